"""An installed model, as its record tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Model:
    """An installed model. `sha256` and `bytes` are of the file at `path`; `original_sha256` is of the file as its
    source held it, before requantising. `parameters` is a count, `context` is in tokens."""

    name: str
    path: Path
    sha256: str
    bytes: int
    quant: str
    architecture: str
    parameters: int | None
    context: int
    licence: str | None
    thinking: Literal["native", "prompted"]
    description: str
    source: str
    original_sha256: str
    requantised_by: str | None = None
    """With what the file was requantised here; None where it was not, or by a version that did not note it."""
