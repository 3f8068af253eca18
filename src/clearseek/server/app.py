"""The server: the app, what it opens and closes, and `run`, which the command line calls."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from clearseek import __version__
from clearseek.conversations.store import ChatStore
from clearseek.errors import UserError
from clearseek.hub.store import Store
from clearseek.inference.pool import Pool
from clearseek.server import static_page, transport
from clearseek.server.budgets import open_books
from clearseek.server.errors import install_handlers
from clearseek.server.generations import Generations
from clearseek.server.guard import Guard, refuse_open_bind
from clearseek.server.keys import KeyRing, keys_file
from clearseek.server.metrics import Metrics
from clearseek.server.routes import audit, balance, books, completions, conversations, health, models, proof
from clearseek.server.services import Services
from clearseek.settings import Settings, home

API_PREFIXES = ("", "/v1", "/beta")


def create_app(
    settings: Settings,
    *,
    store: Store | None = None,
    pool: Pool | None = None,
    chats: ChatStore | None = None,
    generations: Generations | None = None,
) -> FastAPI:
    """The whole server as an ASGI app; what is not given is opened in `home()` when it starts.

    `app.state.services` is there from start-up on. Raises UsageError for an address others can reach without a key.
    """
    keyring, metrics = KeyRing(keys_file()), Metrics()
    refuse_open_bind(settings, keyring)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            the_store = store or Store(home() / "models")
            the_pool = pool or Pool(settings, the_store, open_books(settings, keyring))
            the_chats = chats or ChatStore(home() / "chat.sqlite")
            the_generations = generations or Generations(the_pool, the_chats)
        except Exception as error:
            app.state.failure = error  # uvicorn makes a bare exit of it; `run` tells it
            raise
        metrics.watch(the_pool)
        app.state.services = Services(
            settings, the_store, the_pool, the_chats, the_generations, metrics, the_pool.books
        )
        try:
            yield
        finally:
            await the_generations.close()
            await the_pool.close()
            the_chats.close()

    # no page of documentation: it would need scripts of a foreign host (see docs/api.md)
    app = FastAPI(title="ClearSeek", version=__version__, lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, settings=settings, keyring=keyring, metrics=metrics)
    install_handlers(app)
    for prefix in API_PREFIXES:
        app.include_router(completions.router, prefix=prefix)
        app.include_router(models.router, prefix=prefix)
        app.include_router(balance.router, prefix=prefix)
    app.include_router(health.router)
    app.include_router(audit.router)
    app.include_router(conversations.router)
    app.include_router(proof.router)
    app.include_router(books.router)
    app.include_router(static_page.router)
    return app


def run(settings: Settings, *, open_browser: bool = False, verbose: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM. Prints one line with the address on stdout once the server answers.

    `verbose` logs each request on stderr. Raises UserError when the address cannot be listened on, or what the
    server needs (the chat history, a key) cannot be opened.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")
    # until the server is up its log would only repeat, with a traceback, what is raised here
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    app = create_app(settings)
    sock = transport.listen(settings.host, settings.port)
    url = _url(settings.host, sock.getsockname()[1])

    def started() -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
        print(f"ClearSeek is at {url}", flush=True)
        # the engine loads while the person reads the page: the first answer does not wait for it
        app.state.warming = asyncio.get_running_loop().create_task(_warm(app.state.services.pool))
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    async def closing() -> None:
        # running answers are kept as interrupted, and their listeners told, before connections are waited for
        await app.state.services.generations.close()

    config = uvicorn.Config(
        app,
        http=transport.BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=transport.GRACEFUL_SECONDS,
    )
    server = transport.Server(config, started, closing)
    try:
        server.run([sock])
    except KeyboardInterrupt:
        pass
    except SystemExit:
        raise getattr(app.state, "failure", None) or UserError("The server could not start.") from None
    finally:
        sock.close()
    print("ClearSeek has stopped.", file=sys.stderr)


async def _warm(pool: Pool) -> None:
    try:
        await pool.warm()
    except UserError as error:  # whoever asks first is told too
        logging.getLogger("clearseek.server").warning("%s", error)


def _url(host: str, port: int) -> str:
    """An address to click on: a wildcard is not one."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
