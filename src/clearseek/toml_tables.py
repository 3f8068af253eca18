"""TOML tables as frozen dataclasses and back: an unknown key is answered with the nearest one and its line."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from clearseek.errors import UsageError, UserError
from clearseek.suggest import suggest

T = TypeVar("T")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")


def parse_toml(content: bytes, name: str, **options: Any) -> dict[str, Any]:
    """The tables of a TOML file; `options` are `tomllib.loads`'s. Raises UsageError for what is none: bytes that are no
    UTF-8, a number of thousands of digits, or a nesting without end too."""
    try:
        return tomllib.loads(content.decode("utf-8"), **options)
    except RecursionError:
        raise UsageError(f"{name} is not valid TOML: it is nested too deep.") from None
    except ValueError as error:
        raise UsageError(f"{name} is not valid TOML: {str(error).rstrip('.')}.") from None


class BadKey(UsageError):
    """A value that makes no sense; `key` says whose, so that the line can be told."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


@dataclass(frozen=True)
class Source:
    """The text that tables came from, so that an error can name the line; `what` it is, in a sentence about it, and by
    our keys what `synonyms` (words with spaces between) other programs have for them."""

    name: str
    text: str = ""
    what: str = "the file"
    synonyms: Mapping[str, str] = field(default_factory=dict)

    def line(self, table: str, index: int | None, key: str | None) -> int | None:
        """The number of the line of `key` in the table (the `index`-th of that name); of its header without a key."""
        at, count = "", -1
        for number, line in enumerate(self.text.splitlines(), 1):
            if found := _HEADER.match(line):
                at = found[2].strip()
                if at == table:
                    count += 1
                    if key is None and (index is None or index == count):
                        return number
                continue
            mine = at == table and (index is None or index == count)
            if key is not None and mine and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return None

    def where(self, table: str, index: int | None = None, key: str | None = None) -> str:
        """ "recipe.toml, line 7", as far as it is known."""
        line = self.line(table, index, key)
        return f"{self.name}, line {line}" if line else self.name

    @contextmanager
    def locating(self, table: str, index: int | None = None, key: str | None = None) -> Iterator[None]:
        """A UsageError from within is told with the line, where there is one and it was not told by then."""
        try:
            yield
        except UsageError as error:
            line = self.line(table, index, key)
            if line is None or str(error).startswith(f"{self.name}, line "):
                raise
            raise UsageError(f"{self.name}, line {line}: {error}") from None

    def check_keys(self, given: Iterable[str], known: Sequence[str], table: str, index: int | None = None) -> None:
        """Raises UsageError for the first key that is not known."""
        for key in given:
            if key not in known:
                where = self.where(table, index, key)
                raise UsageError(f"{where}: {self.named(table)} has no key `{key}`; {self.nearest(key, known)}")

    def nearest(self, word: str, known: Sequence[str]) -> str:
        """ "did you mean `x`?" or the list of what there is, with the sentence's end."""
        for key, names in self.synonyms.items():
            if key in known and word.lower().replace("-", "_") in names.split():
                return f"did you mean `{key}`?"
        return suggest(word, known, 0.6)

    def named(self, table: str) -> str:
        """The table, or the whole, as a sentence calls it."""
        return f"[{table}]" if table else self.what


def _ended(sentence: str) -> str:
    """With a full stop, unless it ends as a question."""
    return sentence if sentence.endswith("?") else f"{sentence}."


def fill(cls: type[T], given: Mapping[str, Any], source: Source, table: str, index: int | None = None) -> T:
    """A dataclass from a table. Raises UsageError for an unknown key, a value of the wrong type, or one refused."""
    assert dataclasses.is_dataclass(cls)
    fields = {each.name: each for each in dataclasses.fields(cls) if each.init}
    source.check_keys(given, list(fields), table, index)
    hints = get_type_hints(cls)
    values = {}
    for key, value in given.items():
        try:
            values[key] = convert(value, hints[key])
        except ValueError as error:
            raise UsageError(f"{source.where(table, index, key)}: `{key}` must be {_ended(str(error))}") from None
    for name, each in fields.items():
        bare = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        if bare and name not in values:
            raise UsageError(f"{source.where(table, index)}: {source.named(table)} needs `{name}`.")
    try:
        return cls(**values)
    except BadKey as error:
        raise UsageError(f"{source.where(table, index, error.key)}: {error}") from None
    except ValueError as error:
        raise UsageError(f"{source.where(table, index)}: {str(error).rstrip('.')}.") from None
    except UserError as error:  # of dataclasses that are not only filled from a file
        raise UsageError(f"{source.where(table, index)}: {error}") from None


def convert(value: Any, hint: Any) -> Any:
    """The value as the type says, or ValueError("a whole number"). 3 is a float too; lists become tuples."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for option in get_args(hint):
            try:
                return convert(value, option)
            except ValueError:
                continue
        said = [text for text in (_wanted(option) for option in get_args(hint)) if text]
        raise ValueError(" or ".join(dict.fromkeys(said)))
    if origin is Literal:
        if any(value == option and type(value) is type(option) for option in get_args(hint)):
            return value
        close = difflib.get_close_matches(str(value), [str(option) for option in get_args(hint)], n=1, cutoff=0.6)
        raise ValueError(_wanted(hint) + (f"; did you mean {json.dumps(close[0])}?" if close else ""))
    if origin in (tuple, list, Sequence) and isinstance(value, list | tuple):
        parts = get_args(hint)
        if origin is tuple and parts and parts[-1] is not Ellipsis:
            if len(parts) != len(value):
                raise ValueError(_wanted(hint))
            return tuple(convert(item, part) for item, part in zip(value, parts, strict=True))
        try:
            made = [convert(item, parts[0] if parts else Any) for item in value]
        except ValueError as error:
            raise ValueError(f"a list, each item {error}") from None
        return made if origin is list else tuple(made)
    if isinstance(value, dict) and (origin or hint) in (dict, Mapping):
        return value
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise ValueError(_wanted(hint))


def _wanted(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return "one of " + ", ".join(json.dumps(option) for option in get_args(hint))
    if origin in (tuple, list, Sequence):
        parts = get_args(hint)
        if origin is tuple and parts and parts[-1] is not Ellipsis:
            return f"a list of {len(parts)}"
        return "a list"
    if (origin or hint) in (dict, Mapping):
        return "a table"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): ""}
    return words.get(hint, "something else")


def table_of(settings: Any) -> dict[str, Any]:
    """A dataclass as a table with every value that TOML can say; None, which it cannot, is left out."""
    found = {}
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if each.init and value is not None:
            found[each.name] = plain(value)
    return found


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, tuple | list | frozenset):
        return [plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


def write_toml(tables: Mapping[str, Any], comment: str = "") -> str:
    """TOML that reads back as the same tables: values first, then tables, then arrays of tables.

    Within a table of an array, a table is written inline: it is short, and stands where it belongs.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    values = {key: value for key, value in tables.items() if not _is_table(value)}
    lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    for key, value in tables.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *(f"{_key(name)} = {_value(part)}" for name, part in value.items())]
    for key, value in tables.items():
        if _is_table(value) and not isinstance(value, Mapping):
            for one in value:
                lines += ["", f"[[{_key(key)}]]", *(f"{_key(name)} = {_value(part)}" for name, part in one.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
    )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return _text(str(value))


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's too, but for the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
