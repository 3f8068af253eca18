"""Fetching a model, and booking what it took: seconds, CPU seconds, bytes, and energy and money where declared."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from clearseek.hub.errors import HubError, UnknownModel

if TYPE_CHECKING:
    from clearseek.hub.files import Progress
    from clearseek.hub.model import Model
    from clearseek.hub.store import Store
    from clearseek.ledger.entry import Draft
    from clearseek.settings import Settings


def pull(store: Store, name: str, settings: Settings, *, quant: str | None, progress: Progress | None) -> Model:
    """`Store.pull`; what is here already costs nothing and is not booked. A ledger that refuses stops no pull."""
    if not settings.metering:
        return store.pull(name, quant=quant, progress=progress)
    from clearseek.ledger.meter import Meter
    from clearseek.ledger.prices import rates_from

    before = _installed(store, name)
    drafts: list[Draft] = []
    try:
        with Meter(drafts.append, machine=rates_from(settings)).span("pull", model=name) as span:
            model = store.pull(name, quant=quant, progress=progress)
            span.label(model=model.name, model_sha256=model.sha256, status="complete")
            span.count(bytes=model.bytes)
    except UnknownModel:
        raise
    except Exception:
        _book(drafts)  # what was fetched in vain was spent too
        raise
    if model != before:
        _book(drafts)
    return model


def _installed(store: Store, name: str) -> Model | None:
    try:
        return store.find(name)
    except HubError:
        return None


def _book(drafts: list[Draft]) -> None:
    from clearseek.errors import UserError
    from clearseek.ledger.book import Book, home_book

    try:
        Book(home_book()).append(*drafts)
    except UserError as error:
        print(f"What the pull took is not booked: {error}", file=sys.stderr)
