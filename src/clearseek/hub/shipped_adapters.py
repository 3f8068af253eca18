"""ClearSeek's own models on this machine: the base is fetched or found here, and the shipped adapter laid over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from clearseek.hub.adapter import RESULT_QUANT, Adapter, read_adapter
from clearseek.hub.assemble import assemble
from clearseek.hub.catalogue import Entry, Quant
from clearseek.hub.errors import HubError, UnknownModel
from clearseek.hub.fetching import fetch_entry
from clearseek.hub.files import Progress, hash_file
from clearseek.hub.model import Model
from clearseek.settings import model_data


class Models(Protocol):
    """What is asked of a store here: see `store.Store`."""

    def entry(self, name: str) -> Entry | None: ...

    def find(self, name: str) -> Model: ...

    def pull(self, name: str, *, quant: str | None = None, progress: Progress | None = None) -> Model: ...


def adapter_of(entry: Entry) -> Adapter | None:
    """The adapter that an entry is made with. Raises BadModelFile where the package's copy is not in order."""
    return None if entry.adapter is None else read_adapter(model_data() / entry.adapter)


def newer_ships(model: Model, entries: Iterable[Entry]) -> bool:
    """Whether this installed model was assembled with an earlier adapter than the one in the package. A damaged package
    is told by `pull`, not here."""
    entry = next((entry for entry in entries if entry.name == model.name), None)
    if entry is None or f"+adapter:{model.name}@" not in model.source:
        return False
    try:
        adapter = adapter_of(entry)
    except HubError:
        return False
    return adapter is not None and adapter.result_sha256 not in (None, model.original_sha256)


def quant_of(adapter: Adapter, quant: Quant) -> Quant:
    """The quantisation to ask for: an assembled model has one form, the one that its receipt is about."""
    if quant not in ("keep", RESULT_QUANT):
        raise HubError(f"{adapter.name} is there as {RESULT_QUANT} only: its receipt is about those weights.")
    return "keep"


def assembled(
    store: Models, entry: Entry, adapter: Adapter, staging: Path, progress: Progress
) -> tuple[Path, str, str]:
    """The assembled file in `staging`, its SHA-256, and what it was made of."""
    base = _base_file(store, adapter, staging, progress)
    target = staging / "assembled.gguf"
    digest = assemble(base, adapter, target, progress)
    return target, digest, f"{entry.source}/{entry.file}+adapter:{adapter.name}@{adapter.sha256[:16]}"


def _base_file(store: Models, adapter: Adapter, staging: Path, progress: Progress) -> Path:
    """The base as the adapter wants it: the installed one where that is it, or what can be made of it; else it is
    pulled, and stays, because the receipt of the new model names it. One that is installed in another form stays as
    it is, and the file wanted is fetched beside it."""
    wanted = adapter.base
    entry = store.entry(wanted.name)
    if entry is None or entry.adapter is not None:
        raise HubError(f"{adapter.name} is made from {wanted.name}, which the catalogue does not have.")
    with contextlib.suppress(UnknownModel):
        installed = store.find(entry.name)
        return _made_of(installed, adapter, staging, progress) or _fetched(entry, adapter, staging, progress)
    pulled = store.pull(entry.name, quant=wanted.quant, progress=progress)
    return pulled.path


def _made_of(model: Model, adapter: Adapter, staging: Path, progress: Progress) -> Path | None:
    """The wanted base from an installed one, if it can be had without fetching."""
    if model.sha256 == adapter.base.sha256:
        return model.path
    if model.sha256 == adapter.base.original_sha256 and hash_file(model.path, progress) == model.sha256:
        return _requantised(model.path, adapter, staging, progress)
    return None


def _fetched(entry: Entry, adapter: Adapter, staging: Path, progress: Progress) -> Path:
    place = staging / "base"
    place.mkdir(exist_ok=True)
    file, digest, _ = fetch_entry(entry, place, progress)
    return file if digest == adapter.base.sha256 else _requantised(file, adapter, staging, progress)


def _requantised(file: Path, adapter: Adapter, staging: Path, progress: Progress) -> Path:
    from clearseek.hub.requantize import requantize

    if adapter.base.quant == "keep":
        return file  # another one than the adapter wants: assembling will say so
    made = staging / "base.gguf"
    requantize(file, made, adapter.base.quant, lambda done, total: progress("requantise", done, total))
    return made
