"""JSON Schemas at random, with every word that is held to and many that are not."""

from __future__ import annotations

import random
from typing import Any

PATTERNS = [
    "^ab|cd$", r"^\W\D$", r"^[[:alpha:]]{2}$", r"^a\\b$", "^(?:ab)+$", r"\d", "^[a-z]{2,4}$", "^.{2}$", "a", "^[^a]$",
    r"^\S+$", r"^\w+@\w+\.com$", "^$", r"[\d.]+$", "^(a|b|c)?$", r"^\+?[0-9]{3,5}$", r"^\p{L}$", "^(?=a)b$",
    r"^[^\w\s]$",
]  # fmt: skip
FORMATS = ["date", "time", "date-time", "uri", "email", "ipv4", "ipv6", "uuid", "hostname", "duration", "password", "x"]
NUMBERS = [0, 1, -1, 3, 5, 10, 100, 0.5, -2.5, 0.1, 1e3, 2**31 - 1, -(2**63), 2**63 - 1, 2**53 + 1, 1e16, 0.3, 99.99]
VALUES: list[Any] = [None, True, False, 0, 1, 1.0, -1, 2.5, "", "a", "ab", "é", "x y", 'q"\\', 2**53 + 1, 1e16, 3.14]
REFERENCES = ["#/$defs/A", "#/$defs/B", "#/$defs/x~1y", "#/$defs/p%25q", "#anchored", "#/$defs/A/properties/b", "#/no"]
_KINDS = "string integer number object object array enum const anyOf oneOf allOf ref boolean typeless several"
KINDS = _KINDS.split()
REFUSED = [{"not": {"type": "null"}}, {"uniqueItems": True}, {"nullable": True}, {"requird": ["a"]}]


def schema_at(seed: int) -> dict[str, Any]:
    """The same schema for the same seed; some are valid, some can be held to, some neither."""
    draw = random.Random(seed)
    schema = _schema(draw, 0)
    schema = schema if isinstance(schema, dict) else {"anyOf": [schema, {"type": "null"}]}
    if draw.random() < 0.05:
        schema |= draw.choice(REFUSED)
    schema["$defs"] = {
        "A": {"type": "object", "properties": {"b": {"type": "integer"}, "n": {"$ref": "#/$defs/A"}}},
        "B": _schema(draw, 2),
        "x/y": {"enum": ["xy"]},
        "p%q": {"type": "null"},
        "C": {"$anchor": "anchored", "type": "boolean"},
    }
    return schema


def _value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.random()
    if kind < 0.5 or depth > 2:
        return draw.choice(VALUES)
    if kind < 0.75:
        return [_value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    return {draw.choice("abcd"): _value(draw, depth + 1) for _ in range(draw.randint(0, 3))}


def _some(draw: random.Random, part: float, **words: Any) -> dict[str, Any]:
    return {word: make() for word, make in words.items() if draw.random() < part}


def _schema(draw: random.Random, depth: int) -> Any:
    if depth > 3:
        return {"type": draw.choice(["string", "integer", "boolean", "null"])}
    kind = draw.choice(KINDS)

    def inner() -> Any:
        return _schema(draw, depth + 1)

    def count(most: int) -> Any:
        return lambda: draw.randint(0, most)

    def number() -> Any:
        return draw.choice(NUMBERS)

    schema: dict[str, Any] = {}
    if kind == "string":
        schema = {"type": "string"} | _some(draw, 0.4, minLength=count(4), maxLength=count(6))
        schema |= _some(draw, 0.3, pattern=lambda: draw.choice(PATTERNS), format=lambda: draw.choice(FORMATS))
    elif kind in ("integer", "number"):
        bounds = dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), number)
        schema = {"type": kind} | _some(draw, 0.3, **bounds)
        schema |= _some(draw, 0.2, multipleOf=lambda: draw.choice([1, 2, 3, 7, 0.5, 0.25, 10, 0.01]))
    elif kind == "object":
        named = {name: inner() for name in draw.sample(["a", "b", "c", "ab", "é", 'q"'], draw.randint(0, 3))}
        schema = _some(draw, 0.8, type=lambda: "object") | {"properties": named}
        schema |= _some(draw, 0.6, required=lambda: draw.sample([*named, "z"], draw.randint(0, len(named))))
        schema |= _some(draw, 0.6, additionalProperties=lambda: draw.choice([False, False, True, {"type": "integer"}]))
        schema |= _some(draw, 0.2, patternProperties=lambda: {draw.choice(["^a", "b$", "^x[0-9]$"]): inner()})
        schema |= _some(draw, 0.15, minProperties=count(2), maxProperties=count(3))
    elif kind == "array":
        schema = {"type": "array"} | _some(draw, 0.8, items=lambda: draw.choice([inner(), inner(), False, True]))
        schema |= _some(draw, 0.3, prefixItems=lambda: [inner() for _ in range(draw.randint(1, 2))])
        schema |= _some(draw, 0.4, minItems=count(3), maxItems=count(4))
    elif kind == "enum":
        schema = {"enum": [_value(draw) for _ in range(draw.randint(0, 4))]}
        schema |= _some(draw, 0.3, type=lambda: draw.choice(["string", "integer", "number", "object", "array"]))
    elif kind == "const":
        schema = {"const": _value(draw)}
    elif kind in ("anyOf", "oneOf", "allOf"):
        beside = inner() if draw.random() < 0.3 else {}
        schema = (beside if isinstance(beside, dict) else {}) | {kind: [inner() for _ in range(draw.randint(1, 3))]}
    elif kind == "ref":
        beside = inner() if draw.random() < 0.2 else {}
        schema = (beside if isinstance(beside, dict) else {}) | {"$ref": draw.choice(REFERENCES)}
    elif kind == "boolean":
        return draw.choice([True, False, {"type": "boolean"}])
    elif kind == "typeless":
        schema = _some(draw, 0.3, minimum=count(3), maxLength=count(3), minItems=count(3))
    else:
        kinds = ["null", "boolean", "integer", "number", "string", "array", "object"]
        schema = {"type": draw.sample(kinds, draw.randint(1, 3))}
    return schema | _some(draw, 0.1, title=lambda: "t", default=lambda: _value(draw))
