"""Writing a file that a person asked for: whole or not at all, and never over another."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from clearseek.errors import UserError


def write_new_text(path: Path, text: str) -> None:
    """Write a new file: aside, synced, then linked into place. Raises UserError if it exists or cannot be written."""
    aside = ""
    try:
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            raise UserError(f"{path} exists already; choose another name.")
        os.rename(aside, path)
        aside = ""
    except OSError as error:
        raise UserError(f"{path} could not be written: {(error.strerror or str(error)).lower()}.") from None
    finally:
        if aside:
            os.unlink(aside)
