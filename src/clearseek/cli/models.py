"""`clearseek models`: the model store."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The models on this machine: list, pull, show, import, export, rm.")


@app.callback()
def _models() -> None:
    pass
