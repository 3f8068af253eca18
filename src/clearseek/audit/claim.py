"""A public claim about a training run, a fleet or a service, read from TOML and checked.

    load_claim("deepseek-v3-pretraining")      a shipped one
    load_claim("claims/mine.toml", changes={"run.mfu": "0.4"})

The format is described in docs/claims.md. Everything wrong with a file is told in one sentence (UsageError).
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from clearseek.audit import architecture, chips, library, numbers
from clearseek.audit.architecture import Architecture
from clearseek.audit.chips import Chip
from clearseek.audit.hf_config import from_file
from clearseek.audit.numbers import Reported, clean, suggestion
from clearseek.audit.variables import BY_PATH, VARIABLES
from clearseek.errors import UsageError
from clearseek.toml_tables import Source, parse_toml

T = TypeVar("T")

MAX_FILE = 200_000
"""Bytes of a claim."""
MAX_PARTS = 64
"""Phases, kinds of chip in a fleet, pieces of evidence."""

SCOPES = ("stage", "final-run", "programme", "fleet", "service")
WORK = (
    "pretraining",
    "context-extension",
    "distillation",
    "reinforcement-learning",
    "data-generation",
    "serving",
    "metered",
)
PRECISIONS = ("bf16", "fp16", "fp8")
_TOP = ("title", "date", "scope", "summary", "notes", "against", "country", "sources")
_WORDS = {
    "model": ("architecture", "config", "name"),
    "data": ("phase",),
    "hardware": ("chip", "precision", "fleet"),
    "run": ("work",),
    "rollouts": (),
    "serving": (),
}
_TABLES = (*_WORDS, "assume", "evidence")


@dataclass(frozen=True)
class Phase:
    """A part of the data with a sequence length of its own."""

    tokens: Reported
    sequence_length: Reported


@dataclass(frozen=True)
class FleetPart:
    chip: Chip
    count: Reported


@dataclass(frozen=True)
class Evidence:
    """Chips that were in use at one time, as somebody who should know says."""

    what: str
    count: Reported
    at: str = ""


@dataclass(frozen=True)
class Claim:
    """What was claimed. `stated` has, per variable, every statement about it: the first is the one used."""

    name: str
    title: str
    scope: str
    date: datetime.date | None = None
    summary: str = ""
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    against: str = ""
    """The claim that this one is said to refute."""
    country: str = ""
    """Two letters: where the chips stand, for what could be bought there."""
    work: str = "pretraining"
    architecture: Architecture | None = None
    chip: Chip | None = None
    chip_ambiguous: bool = False
    """The chip was named without its form, and the SXM one is meant."""
    precision: str = "bf16"
    stated: Mapping[str, tuple[Reported, ...]] = field(default_factory=dict)
    assumed: Mapping[str, Reported] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    fleet: tuple[FleetPart, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def first(self, name: str) -> Reported | None:
        """What was stated of a variable."""
        return self.stated[name][0] if name in self.stated else None

    def without(self, name: str) -> Claim:
        """The same with nothing said of one variable."""
        return replace(self, stated={key: value for key, value in self.stated.items() if key != name})


def load_claim(claim: str | Path, *, changes: Mapping[str, Any] | None = None) -> Claim:
    """A shipped claim by its name, or one from a file. `changes` sets numbers by path: `{"run.mfu": "40 %"}`.

    Raises UsageError for a name that is not there and for everything that is wrong with the file.
    """
    path = Path(claim)
    if not path.exists() and path.suffix != ".toml":  # a name may have dots: llama-3.1-8b
        path = library.path_of(str(claim))
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"The claim {path} cannot be read: {error.strerror or error}.") from None
    if len(content) > MAX_FILE:
        raise UsageError(f"{path.name} is larger than {MAX_FILE // 1000} kB: a claim is not.")
    raw = parse_toml(content, path.name, parse_float=Decimal)
    source = Source(path.name, "" if changes else content.decode())  # what was changed stands on no line
    return read_claim(raw, path.name.removesuffix(".toml"), folder=path.parent, changes=changes, source=source)


def read_claim(
    raw: Mapping[str, Any],
    name: str,
    *,
    folder: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    source: Source | None = None,
) -> Claim:
    """A claim from parsed TOML. `folder` is where a `model.config` is looked for; without one there can be none.
    `source`: the text it was parsed from, so that an error names the line."""
    raw = _with_changes(raw, changes or {})
    source = source or Source(name)

    def top(key: str, read: Callable[[Any, str], T], default: Any) -> T:
        with source.locating("", None, key):
            return read(raw.get(key, default), key)

    def within(path: str, read: Callable[[Any, str], T], default: Any) -> T:
        table, key = path.split(".")
        with source.locating(table, None, key):
            return read(tables[table].get(key, default), path)

    def parts(table: Mapping[str, Any], path: str, read: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
        results: list[T] = []
        for index, part in enumerate(_parts(table, path)):
            with source.locating(path, index):
                results.append(read(part))
        return tuple(results)

    for key in raw:
        with source.locating("", None, key):
            _known(key, (*_TOP, *_TABLES), "A claim")
    tables = {key: _table(raw.get(key, {}), key) for key in _WORDS}
    stated = _stated(tables, source)
    chip, ambiguous = within("hardware.chip", _chip, None)
    with source.locating("model"):
        model = _architecture(tables["model"], folder)
    return Claim(
        name=name,
        title=top("title", clean, name),
        scope=top("scope", _one_of(SCOPES), "final-run"),
        date=top("date", _date, None),
        summary=top("summary", clean, ""),
        notes=top("notes", _lines, []),
        sources=top("sources", _lines, []),
        against=top("against", clean, ""),
        country=top("country", clean, "").upper()[:2],
        work=within("run.work", _one_of(WORK), "serving" if tables["serving"] else "pretraining"),
        architecture=model,
        chip=chip,
        chip_ambiguous=ambiguous,
        precision=within("hardware.precision", _one_of(PRECISIONS), "bf16"),
        stated=stated,
        assumed=_assumed(_table(raw.get("assume", {}), "assume"), source),
        phases=parts(tables["data"], "data.phase", _phase),
        fleet=parts(tables["hardware"], "hardware.fleet", _fleet_part),
        evidence=parts(raw, "evidence", _evidence),
    )


def _with_changes(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(dict(raw))
    words = {f"{table}.{word}" for table, known in _WORDS.items() for word in known if word not in ("phase", "fleet")}
    words -= {"model.config"}  # a path: what may be set over HTTP must not name files
    for path, value in changes.items():
        table, _, key = path.partition(".")
        if path not in BY_PATH and path not in words and not (table == "assume" and key in VARIABLES):
            raise UsageError(f"There is no `{path[:80]}` to set{suggestion(path, (*BY_PATH, *sorted(words)))}")
        part = changed.setdefault(table, {})
        if not isinstance(part, dict):
            raise UsageError(f"`{table}` is not a table.")
        before = part.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            value = {**{k: v for k, v in before.items() if k in ("source", "provenance", "unit")}, **value}
        part[key] = value
        if path == "data.tokens":
            part.pop("phase", None)  # the sum was changed, so its parts no longer hold
    return changed


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"`{where}` must be a table: [{where}].")
    return value


def _known(key: str, known: tuple[str, ...], what: str) -> None:
    if key not in known:
        raise UsageError(f"{what} has no `{key}`{suggestion(key, known)}")


def _parts(table: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    parts = table.get(path.rpartition(".")[2], [])
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise UsageError(f"`{path}` is a list of tables: [[{path}]].")
    if len(parts) > MAX_PARTS:
        raise UsageError(f"`{path}` has more than {MAX_PARTS} parts.")
    return parts


def _word(value: Any, known: tuple[str, ...], where: str) -> str:
    if value not in known:
        raise UsageError(f"{where} is one of {', '.join(known)}, not {str(value)[:40]!r}.")
    return str(value)


def _one_of(known: tuple[str, ...]) -> Callable[[Any, str], str]:
    return lambda value, where: _word(value, known, where)


def _lines(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_PARTS:
        raise UsageError(f"`{where}` is a list of at most {MAX_PARTS} texts.")
    return tuple(clean(line, where) for line in value)


def _date(value: Any, where: str) -> datetime.date | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.date.fromisoformat(value)
        except ValueError:
            raise UsageError(f"{where}: {value[:40]!r} is no date; write it as 2024-12-26.") from None
    if isinstance(value, datetime.datetime) or not isinstance(value, datetime.date):
        raise UsageError(f"{where} must be a day, as in 2024-12-26.")
    return value


def _stated(tables: Mapping[str, dict[str, Any]], lines: Source) -> dict[str, tuple[Reported, ...]]:
    stated: dict[str, tuple[Reported, ...]] = {}
    for table, content in tables.items():
        names = {path.split(".")[1] for path in BY_PATH if path.startswith(f"{table}.")}
        known = (*sorted(names), *_WORDS[table], "source", "provenance")
        with lines.locating(table, None, "source"):
            source = clean(content.get("source", ""), f"{table}.source")
        with lines.locating(table, None, "provenance"):
            provenance = _word(content.get("provenance", "press"), numbers.PROVENANCES, f"{table}.provenance")
        for key, value in content.items():
            with lines.locating(table, None, key):
                _known(key, known, f"[{table}]")
                if key not in names:
                    continue
                variable = BY_PATH[f"{table}.{key}"]
                statements = value if isinstance(value, list) else [value]
                if not 0 < len(statements) <= 8:
                    raise UsageError(f"{table}.{key}: between one and eight statements of one number, please.")
                stated[variable.name] = tuple(
                    numbers.read(variable, statement, source=source, provenance=provenance) for statement in statements
                )
    return stated


def _assumed(table: dict[str, Any], lines: Source) -> dict[str, Reported]:
    source = clean(table.get("source", ""), "assume.source")
    assumed: dict[str, Reported] = {}
    for key, value in table.items():
        with lines.locating("assume", None, key):
            _known(key, (*VARIABLES, "source", "provenance"), "[assume]")
            if key in VARIABLES:
                assumed[key] = numbers.read(VARIABLES[key], value, source=source, provenance="assumed")
    return assumed


def _chip(name: Any, where: str) -> tuple[Chip | None, bool]:
    return (None, False) if name is None else chips.find(clean(name, where)[:80])


def _architecture(table: Mapping[str, Any], folder: Path | None) -> Architecture | None:
    if "architecture" in table and "config" in table:
        raise UsageError("model: give `architecture` or `config`, not both.")
    if "architecture" in table:
        name = clean(table["architecture"], "model.architecture")
        if name.endswith(".toml"):
            return from_file(_beside(folder, name))
        return architecture.shipped(name)
    if "config" in table:
        return from_file(_beside(folder, clean(table["config"], "model.config")))
    return None


def _beside(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise UsageError("This claim names a file of its model's sizes; here only a shipped architecture can be named.")
    return folder / name


def _only(part: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in part:
        _known(key, known, f"[[{where}]]")


def _number(part: dict[str, Any], key: str, path: str, where: str) -> Reported:
    if key not in part:
        raise UsageError(f"[[{where}]] needs `{key}`.")
    source = clean(part.get("source", ""), f"{where}.source")
    provenance = _word(part.get("provenance", "press"), numbers.PROVENANCES, f"{where}.provenance")
    return numbers.read(BY_PATH[path], part[key], source=source, provenance=provenance)


def _phase(part: dict[str, Any]) -> Phase:
    _only(part, ("tokens", "sequence_length", "source", "provenance"), "data.phase")
    return Phase(
        _number(part, "tokens", "data.tokens", "data.phase"),
        _number(part, "sequence_length", "data.sequence_length", "data.phase"),
    )


def _fleet_part(part: dict[str, Any]) -> FleetPart:
    _only(part, ("chip", "count", "source", "provenance"), "hardware.fleet")
    chip, _ = _chip(part.get("chip", ""), "hardware.chip")
    assert chip
    return FleetPart(chip, _number(part, "count", "hardware.count", "hardware.fleet"))


def _evidence(part: dict[str, Any]) -> Evidence:
    _only(part, ("what", "count", "at", "source", "provenance"), "evidence")
    return Evidence(
        clean(part.get("what", ""), "evidence.what"),
        _number(part, "count", "hardware.count", "evidence"),
        clean(part.get("at", ""), "evidence.at"),
    )
