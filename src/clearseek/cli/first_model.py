"""The first model: a newcomer has none, so the default one is fetched, after saying what and how big."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from clearseek.hub.errors import UnknownModel

if TYPE_CHECKING:
    from clearseek.hub.store import Store
    from clearseek.settings import Settings


def ensure_model(settings: Settings, store: Store) -> None:
    """Make sure that the model of the settings can answer; fetches it if it is the default one.

    Any other model is many times larger, and is only fetched by `clearseek models pull`: raises UnknownModel, which
    says so. With a remote engine nothing is needed here.
    """
    from clearseek.hub.shipped_adapters import newer_ships
    from clearseek.settings import default_model

    try:
        model = store.find(settings.model)
        if newer_ships(model, store.entries):
            way = f"`clearseek models pull {model.name}` gets it"
            print(f"A newer {model.name} comes with this version of ClearSeek: {way}.", file=sys.stderr)
        return
    except UnknownModel:
        entry = store.entry(settings.model)
        if settings.engine_url is not None:
            return
        if entry is None or not entry.answers_to(default_model()):
            raise
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from clearseek.cli.pull_model import pull

    here = entry.base is not None and any(model.name == entry.base for model in store.list())
    size = f", {entry.bytes / 1e6:.0f} MB" if entry.bytes and not here else ""
    doing = f"Assembling {entry.name} from {entry.base}" if here else f"Fetching {entry.name}"
    print(f"{doing}: {entry.description} ({entry.licence}{size}; once)", file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def progress(stage: str, done: int, total: int | None) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        pull(store, entry.name, settings, quant=None, progress=progress)
