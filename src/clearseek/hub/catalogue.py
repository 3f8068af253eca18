"""The models that can be pulled by name, read from `catalogue.toml`."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from clearseek.hub.errors import HubError

Thinking = Literal["native", "prompted"]
Quant = Literal["keep", "q4_0", "q8_0"]
QUANTS: tuple[Quant, ...] = ("keep", "q4_0", "q8_0")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue; `sha256` and `bytes` are of the file as its source holds it."""

    name: str
    aliases: tuple[str, ...]
    source: str
    revision: str
    file: str
    sha256: str | None
    bytes: int | None
    licence: str
    parameters: int | None
    context: int
    thinking: Thinking
    quant: Quant
    description: str

    def answers_to(self, name: str) -> bool:
        return name.strip().lower() in (self.name, *self.aliases)


@functools.cache
def catalogue() -> tuple[Entry, ...]:
    """The catalogue that is shipped, the default model first."""
    text = resources.files("clearseek.hub").joinpath("catalogue.toml").read_text("utf-8")
    return parse_catalogue(text, "the catalogue")


def load_catalogue(path: Path) -> tuple[Entry, ...]:
    """A catalogue of one's own, in the same form."""
    return parse_catalogue(path.read_text("utf-8"), str(path))


def parse_catalogue(text: str, where: str) -> tuple[Entry, ...]:
    """Raises HubError, in one sentence, for a catalogue that is not in order."""
    try:
        return tuple(_entry(table) for table in tomllib.loads(text)["model"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise HubError(f"{where} is not in order: {error}.") from None


def _entry(table: dict[str, Any]) -> Entry:
    given = {"sha256": None, "bytes": None, "parameters": None, "aliases": (), "quant": "keep", **table}
    entry = Entry(**{**given, "aliases": tuple(given["aliases"])})
    if entry.quant not in QUANTS or entry.thinking not in ("native", "prompted"):
        raise ValueError(f"`{entry.name}` has an unknown quant or thinking style")
    if entry.source.partition(":")[0] not in ("pypi", "hf"):
        raise ValueError(f"`{entry.name}` has an unknown source")
    return entry
