"""The words of JSON Schema: which are held to, which only describe, which are refused, and what each may say."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from clearseek.inference.json_values import same
from clearseek.inference.patterns import PatternError, whole

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
STRING = ("minLength", "maxLength", "pattern", "format")
NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
ARRAY = ("items", "prefixItems", "additionalItems", "minItems", "maxItems")
OBJECT = (
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "unevaluatedProperties",
)
ASSERTIONS = ("type", "enum", "const", "allOf", "anyOf", "oneOf", "$ref", *STRING, *NUMBER, *ARRAY, *OBJECT)
_DESCRIBING = """
$schema $id id $anchor $defs definitions $comment $vocabulary $dynamicAnchor $recursiveAnchor title description default
example examples deprecated readOnly writeOnly contentMediaType contentEncoding contentSchema discriminator externalDocs
xml then else enumNames enumDescriptions markdownDescription propertyOrdering strict name
"""
ANNOTATIONS = frozenset(_DESCRIBING.split())
"""Words that describe, or that mean nothing where they stand (`then` without `if`)."""
_CHECK = "leave it out and check that condition yourself"
_CANNOT = """
if dependentSchemas dependentRequired dependencies contains minContains maxContains $dynamicRef $recursiveRef
extends disallow divisibleBy
"""
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    **dict.fromkeys(_CANNOT.split(), ((), _CHECK)),
    "not": ((False,), _CHECK),
    "unevaluatedItems": ((True,), "write `items` where the items are"),
    "uniqueItems": ((False,), _CHECK),
    "nullable": ((False,), 'it is OpenAPI\'s: write a list of types, as in `"type": ["string", "null"]`'),
}
"""Words that are not held to: the values with which they ask for nothing, and what to do."""

_DATE = (
    r"([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"
    r"02-(0[1-9]|1[0-9]|2[0-8])))"
)
_TIME = r"(([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))"
_URI = (
    r"[a-z][a-z0-9+.-]{0,20}://[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"(:[0-9]{1,4})?(/[A-Za-z0-9._~-]*)*(\?[A-Za-z0-9._~=&-]*)?(#[A-Za-z0-9._~-]*)?"
)
_HOURS = r"T([0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S)"
_DAYS = r"([0-9]{1,4}D|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?)"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?"
_EMAIL = rf"[A-Za-z0-9_+-]{{1,20}}(\.[A-Za-z0-9_+-]{{1,20}}){{0,2}}@({_LABEL}\.){{1,3}}[A-Za-z]{{2,10}}"
_BYTE = r"([1-9]?[0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_HEX = r"[0-9a-f]"
FORMATS: dict[str, str | None] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uri": _URI,
    "duration": f"P({_DAYS}({_HOURS})?|[0-9]{{1,4}}W|{_HOURS})",
    "email": _EMAIL,
    "hostname": None,
    "ipv4": None,
    "ipv6": None,
    "uuid": rf"{_HEX}{{8}}-{_HEX}{{4}}-[1-8]{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}",
    # Those that pydantic and zod write, and OpenAPI's.
    **{
        f"uuid{version}": rf"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}"
        for version in range(1, 9)
    },
    "url": _URI,
    "uri-reference": _URI,
    "multi-host-uri": _URI,
    "name-email": rf"[A-Za-z]{{1,20}}( [A-Za-z]{{1,20}}){{0,2}} <{_EMAIL}>",
    "byte": r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "base64": r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "base64url": r"([A-Za-z0-9_-]{4})*",
    "ipvanyaddress": rf"({_BYTE}\.){{3}}{_BYTE}",
    "ipv4interface": rf"({_BYTE}\.){{3}}{_BYTE}/([12]?[0-9]|3[0-2])",
    "ipvanyinterface": rf"({_BYTE}\.){{3}}{_BYTE}/([12]?[0-9]|3[0-2])",
    "ipv4network": rf"({_BYTE}\.){{3}}0/(2[4-9]|3[0-2])",
    "ipvanynetwork": rf"({_BYTE}\.){{3}}0/(2[4-9]|3[0-2])",
}
"""The formats that are held to: as the engine knows them (None), or by an expression that is stricter."""
_SHOWING = "password int32 int64 uint32 uint64 float double binary path file-path directory-path json-string textarea"
HINTS = frozenset(_SHOWING.split())
"""Formats that say how to show or to store a value, not which values there are."""
_ZOD = "cuid cuid2 ulid nanoid xid ksuid emoji e164 jwt guid cidrv4 cidrv6 lowercase uppercase"
_BY_PATTERN = frozenset(_ZOD.split())
"""zod's own formats: it writes a `pattern` beside each that says all of it."""

MAX_LENGTH = 100_000
MAX_ITEMS = 10_000
MAX_ENUM = 10_000
_INSIDE = 2.0**63 - 1024
"""The largest bound that the engine reads exactly."""


class Refused(Exception):
    """A schema that is not one, or cannot be held to. `told` goes on from "The JSON Schema"; `path` is the place."""

    def __init__(self, path: tuple[Any, ...], message: str) -> None:
        super().__init__(message)
        self.path, self.told = path, message

    def sentence(self, subject: str = "The JSON Schema") -> str:
        where = f" (at {place(self.path)})" if self.path else ""
        return f"{subject} {self.told}{where}" + ("" if self.told.endswith("?") and not where else ".")


def place(path: tuple[Any, ...]) -> str:
    """A path into a schema as a JSON pointer."""
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in path)


def dialect(schema: dict[str, Any]) -> str:
    """The `$schema` of a document. Without one it is the latest draft; or the one before, where an `items` is a list,
    which says only there what each item is."""
    value = schema.get("$schema")
    if isinstance(value, str):
        return value
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("items"), list):
                return "https://json-schema.org/draft/2019-09/schema"
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Words:
    """One schema's words, read strictly. `path` is where it stands."""

    schema: dict[str, Any]
    path: tuple[Any, ...]
    draft: str = ""
    """The `$schema` of the document."""

    def refuse(self, message: str) -> Refused:
        return Refused(self.path, message)

    def types(self) -> list[str] | None:
        value = self.schema.get("type")
        if value is None and "type" not in self.schema:
            return None
        kinds = value if isinstance(value, list) else [value]
        for kind in kinds:
            if kind not in TYPES:
                near = get_close_matches(str(kind).lower(), TYPES, 1, 0.3)
                meant = f"; is it `{near[0]}`?" if near else ""
                raise self.refuse(f"is not valid: {str(kind)[:40]!r} is no type{meant}")
        if not kinds:
            raise self.refuse("is not valid: `type` is an empty list")
        return list(dict.fromkeys(kinds))

    def values(self) -> list[Any] | None:
        """What `enum` and `const` allow; None without them."""
        values: list[Any] | None = None
        if "enum" in self.schema:
            values = self.schema["enum"]
            if not isinstance(values, list):
                raise self.refuse("is not valid: `enum` is a list of values")
            if not values:
                raise self.refuse("allows nothing: its `enum` is empty")
            if len(values) > MAX_ENUM:
                raise self.refuse(f"has an `enum` of more than {MAX_ENUM:,} values")
        if "const" in self.schema:
            only = self.schema["const"]
            if values is not None and not any(same(only, value) for value in values):
                raise self.refuse("allows nothing: its `const` is not in its `enum`")
            values = [only]
        if values is not None and not all(map(_written_exactly, values)):
            raise self.refuse("has a number in its `enum` or `const` that is too large to be written exactly")
        return values

    def count(self, word: str) -> int | None:
        value = self.schema.get(word)
        if word not in self.schema:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.refuse(f"is not valid: `{word}` is a whole number from 0")
        return value

    def number(self, word: str) -> int | float | None:
        if word not in self.schema:
            return None
        value = self.schema[word]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.refuse(f"is not valid: `{word}` is a number")
        return value

    def text(self, word: str) -> str | None:
        if word not in self.schema:
            return None
        if not isinstance(self.schema[word], str):
            raise self.refuse(f"is not valid: `{word}` is a text")
        return str(self.schema[word])

    def names(self, word: str) -> list[str]:
        value = self.schema.get(word, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.refuse(f"is not valid: `{word}` is a list of names")
        return list(dict.fromkeys(value))

    def list_of_schemas(self, word: str) -> list[Any]:
        said = self.schema[word]
        if not isinstance(said, list):
            raise self.refuse(f"is not valid: `{word}` is a list of schemas")
        return said

    def schemas_by_name(self, word: str) -> dict[str, Any]:
        value = self.schema.get(word, {})
        if not isinstance(value, dict):
            raise self.refuse(f"is not valid: `{word}` is an object of schemas by name")
        return value


def _written_exactly(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_written_exactly, value.values()))
    if isinstance(value, list):
        return all(map(_written_exactly, value))
    if isinstance(value, int):
        return abs(value) < 2**63 and int(float(value)) == value
    return not isinstance(value, float) or math.isfinite(value)


@dataclass(frozen=True)
class Pattern:
    """One expression: as the engine reads it, and to look for it in a name."""

    engine: str
    _sent: str

    def search(self, text: str) -> bool:
        return re.search(self._sent, text) is not None


def pattern_of(pattern: str, path: tuple[Any, ...]) -> Pattern:
    """Raises Refused for an expression that cannot be held to."""
    try:
        return Pattern(whole(pattern), pattern)
    except PatternError as error:
        raise Refused(path, f"has a `pattern` ({pattern[:80]}) that {error}") from None


def string_words(words: Words, types: list[str] | None) -> dict[str, Any]:
    """`minLength`, `maxLength`, `pattern` and `format`."""
    out: dict[str, Any] = {}
    least, most = words.count("minLength"), words.count("maxLength")
    for word, value in (("minLength", least), ("maxLength", most)):
        if value is not None:
            if value > MAX_LENGTH:
                raise words.refuse(f"has a `{word}` of {value:,}; it may be at most {MAX_LENGTH:,}")
            out[word] = value
    if least is not None and most is not None and least > most and types == ["string"]:
        raise words.refuse("allows nothing: its `minLength` is more than its `maxLength`")
    pattern = words.text("pattern")
    if pattern is not None:
        out["pattern"] = pattern_of(pattern, words.path).engine
    name = words.text("format")
    if name in _BY_PATTERN and pattern is not None:
        return out
    if name is None or name in HINTS or (types is not None and "string" not in types):
        return out
    if name not in FORMATS:
        raise words.refuse(
            f"has the format {name[:40]!r}, which is not held to; these are: {', '.join(sorted(FORMATS))}"
        )
    ours = FORMATS[name]
    if ours is None:
        out["format"] = name
    elif "pattern" in out:
        # One expression for both would need an intersection, which the engine makes of two schemas.
        return {"allOf": [{"type": "string", **out}, {"type": "string", "pattern": f"^(?:{ours})$"}]}
    else:
        out["pattern"] = f"^(?:{ours})$"
    return out


def number_words(words: Words, types: list[str] | None) -> dict[str, Any]:
    """The bounds of a number, as the engine reads them exactly, or a little inside."""
    whole_ones = types is not None and "integer" in types and "number" not in types
    low, high = words.number("minimum"), words.number("maximum")
    over, under = _draft4(words, "exclusiveMinimum", low), _draft4(words, "exclusiveMaximum", high)
    out: dict[str, Any] = {}
    if whole_ones:
        lows = [*([] if low is None else [math.ceil(low)]), *([] if over is None else [math.floor(over) + 1])]
        highs = [*([] if high is None else [math.floor(high)]), *([] if under is None else [math.ceil(under) - 1])]
        if lows:
            out["minimum"] = _inward(max(lows), up=True)
        if highs:
            out["maximum"] = _inward(min(highs), up=False)
    else:
        for word, value, up in (
            ("minimum", low, True),
            ("exclusiveMinimum", over, True),
            ("maximum", high, False),
            ("exclusiveMaximum", under, False),
        ):
            if value is not None:
                out[word] = _inward(value, up=up)
    lowest = max((out[word] for word in ("minimum", "exclusiveMinimum") if word in out), default=-math.inf)
    highest = min((out[word] for word in ("maximum", "exclusiveMaximum") if word in out), default=math.inf)
    if lowest > highest and types is not None and set(types) <= {"integer", "number"}:
        raise words.refuse("allows nothing: its `minimum` is more than its `maximum`")
    step = words.number("multipleOf")
    if step is not None:
        out["multipleOf"] = _step(step, words)
    return out


def _draft4(words: Words, word: str, bound: int | float | None) -> int | float | None:
    """An exclusive bound; `true` makes the other bound exclusive, as in draft 4."""
    value = words.schema.get(word)
    if isinstance(value, bool) and "draft-04" in str(words.schema.get("$schema", words.draft)):
        return bound if value else None
    return words.number(word)


def _inward(value: int | float, *, up: bool) -> int | float:
    """The nearest bound that the engine, which reads numbers as doubles, reads as what it is, on the inner side."""
    if up and value < -_INSIDE:
        return -int(_INSIDE)
    if not up and value > _INSIDE:
        return int(_INSIDE)
    if isinstance(value, int) and abs(value) > 2**53:
        near = float(value)
        if up and int(near) < value:
            near = math.nextafter(near, math.inf)
        if not up and int(near) > value:
            near = math.nextafter(near, -math.inf)
        return int(near)
    return value


def _step(step: int | float, words: Words) -> int | float:
    if step <= 0:
        raise words.refuse("is not valid: `multipleOf` is more than 0")
    if step > 2**31:
        raise words.refuse("has a `multipleOf` beyond 2,147,483,648")
    if float(step).is_integer():
        return int(step)
    if not float(step * 1024).is_integer():
        raise words.refuse(
            f"has a `multipleOf` of {step}, which no two programs check alike, because it has no exact binary form; "
            "ask for whole numbers of the smaller unit, or for a text with a `pattern`"
        )
    return step


def array_words(words: Words) -> dict[str, Any]:
    """`minItems` and `maxItems`."""
    out: dict[str, Any] = {}
    for word in ("minItems", "maxItems"):
        value = words.count(word)
        if value is not None:
            if value > MAX_ITEMS:
                raise words.refuse(f"has a `{word}` of {value:,}; it may be at most {MAX_ITEMS:,}")
            out[word] = value
    if out.get("minItems", 0) > out.get("maxItems", MAX_ITEMS) and words.types() == ["array"]:
        raise words.refuse("allows nothing: its `minItems` is more than its `maxItems`")
    return out
