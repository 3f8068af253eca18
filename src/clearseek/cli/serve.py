"""`clearseek serve`: the chat page and the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    open_: Annotated[bool, typer.Option("--open", help="Open the chat page in the browser.")] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The model that answers by default.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; any but loopback needs keys.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on (8420); 0 takes a free one.")] = None,
    engine_url: Annotated[
        str | None,
        typer.Option(
            "--engine-url",
            help="Base URL of an OpenAI-compatible server to put behind the page; its key in CLEARSEEK_ENGINE_KEY.",
        ),
    ] = None,
    context: Annotated[int | None, typer.Option("--context", help="Tokens of context for one request.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="Threads of the engine.")] = None,
    slots: Annotated[int | None, typer.Option("--slots", help="Answers made side by side.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every request on stderr.")] = False,
) -> None:
    """Serve the chat page and the DeepSeek-compatible API; the first time, fetch the default model."""
    from clearseek.cli.first_model import ensure_model
    from clearseek.hub.store import Store
    from clearseek.server.app import run
    from clearseek.settings import home, load_settings

    settings = load_settings(
        model=model, host=host, port=port, engine_url=engine_url, context=context, threads=threads, slots=slots
    )
    ensure_model(settings, Store(home() / "models"))
    run(settings, open_browser=open_, verbose=verbose)
