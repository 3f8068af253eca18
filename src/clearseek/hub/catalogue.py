"""The models that can be pulled by name, read from `catalogue.toml`."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from clearseek.hub.errors import HubError
from clearseek.settings import default_model, model_data

Thinking = Literal["native", "prompted"]
Quant = Literal["keep", "q4_0", "q8_0"]
QUANTS: tuple[Quant, ...] = ("keep", "q4_0", "q8_0")
DEFAULT_ALIAS = "default"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue; `sha256` and `bytes` are of the file as its source holds it.

    `adapter`: the folder in `model_data()` that is laid over it; `base`: the entry of the same source without it.
    """

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
    adapter: str | None = None
    base: str | None = None

    def answers_to(self, name: str) -> bool:
        return name.strip().lower() in (self.name, *self.aliases)


def catalogue() -> tuple[Entry, ...]:
    """The catalogue that is shipped, the default model first, under the alias `default` too.

    An entry whose adapter is not in the package is left out: it could not be had.
    """
    first = default_model()
    can_be_had = [entry for entry in every_entry() if adapter_is_shipped(entry)]
    return tuple(
        dataclasses.replace(entry, aliases=(*entry.aliases, DEFAULT_ALIAS)) if entry.name == first else entry
        for entry in sorted(can_be_had, key=lambda entry: entry.name != first)
    )


@functools.cache
def every_entry() -> tuple[Entry, ...]:
    """The catalogue as it is written: entries whose adapter is not in the package included."""
    text = resources.files("clearseek.hub").joinpath("catalogue.toml").read_text("utf-8")
    return parse_catalogue(text, "the catalogue")


def adapter_is_shipped(entry: Entry) -> bool:
    """True, too, for an entry that needs none."""
    return entry.adapter is None or (model_data() / entry.adapter / "adapter.json").is_file()


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
    if (entry.adapter is None) != (entry.base is None):
        raise ValueError(f"`{entry.name}` needs both `adapter` and `base`, or neither")
    return entry
