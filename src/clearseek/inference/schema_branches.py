"""Which branches of a `oneOf` no value can match together: the engine's grammar knows only `anyOf`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearseek.inference.json_values import same, types_of
from clearseek.inference.schema_keywords import TYPES

MAX_STEPS = 50
"""References, `allOf` and `anyOf` that are followed to see whether two branches can match the same value."""


def settle(part: dict[str, Any], name: str | None, defs: dict[str, Any]) -> None:
    """Makes a `oneOf` the `anyOf` that says the same, where it is certain that no value matches two branches.

    `name` is the property of an OpenAPI `discriminator`: it has to be there by OpenAPI's own rule, though what writes
    such schemas leaves it out of `required` where it has a default.
    """
    branches = part["oneOf"]
    if len(branches) < 2:
        return
    if _apart(branches, defs, ()):
        part["anyOf"] = part.pop("oneOf")
    elif name is not None and _apart(branches, defs, (name,)):
        also = {"type": "object", "required": [name]}
        del part["oneOf"]
        part["anyOf"] = [branch if branch is False else {"allOf": [branch, also]} for branch in branches]


def _apart(branches: Sequence[Any], defs: dict[str, Any], also: tuple[str, ...]) -> bool:
    """Whether no value can match two of them; `also` are properties that are required of each beside its own."""
    pairs = ((a, b) for at, a in enumerate(branches) for b in branches[at + 1 :])
    return all(_disjoint(a, b, defs, also, MAX_STEPS) for a, b in pairs)


def _disjoint(a: Any, b: Any, defs: dict[str, Any], also: tuple[str, ...] = (), steps: int = 0) -> bool:
    """Whether it is certain that no value matches both (rewritten schemas)."""
    if a is False or b is False:
        return True
    for one, other in ((a, b), (b, a)):
        for word, enough in (("$ref", any), ("allOf", any), ("anyOf", all), ("oneOf", all)):
            if word in one:
                inner = [defs[one[word].rsplit("/", 1)[-1]]] if word == "$ref" else one[word]
                return steps > 0 and enough(_disjoint(x, other, defs, also, steps - 1) for x in inner)
    if "enum" in a and "enum" in b:
        return not any(same(x, y) for x in a["enum"] for y in b["enum"])
    kinds_a, kinds_b = kinds_of(a), kinds_of(b)
    if not kinds_a & kinds_b:
        return True
    if kinds_a & kinds_b <= {"integer", "number"}:
        return _above(a, b) or _above(b, a)
    if kinds_a & kinds_b == {"object"}:
        return _other_objects(a, b, defs, also, steps) or _other_objects(b, a, defs, also, steps)
    return False


def kinds_of(schema: dict[str, Any]) -> set[str]:
    if "enum" in schema:
        return {kind for value in schema["enum"] for kind in types_of(value)}
    entry = schema.get("type")
    if entry is None:
        return set(TYPES)
    kinds = set(entry) if isinstance(entry, list) else {entry}
    return kinds | {"integer"} if "number" in kinds else kinds


def _above(a: dict[str, Any], b: dict[str, Any]) -> bool:
    if "enum" in a or "enum" in b:
        return False
    low = [a[word] for word in ("minimum", "exclusiveMinimum") if word in a]
    high = [b[word] for word in ("maximum", "exclusiveMaximum") if word in b]
    if not low or not high:
        return False
    if max(low) == min(high):
        return bool(a.get("exclusiveMinimum") == max(low) or b.get("exclusiveMaximum") == min(high))
    return bool(max(low) > min(high))


def _other_objects(
    a: dict[str, Any], b: dict[str, Any], defs: dict[str, Any], also: tuple[str, ...], steps: int
) -> bool:
    """Whether `a` requires a property that `b` forbids, or whose value cannot be one of `b`'s."""
    if "enum" in a or "enum" in b:
        return False
    for name in (*a.get("required", ()), *also):
        if name in b.get("properties", {}):
            mine, theirs = a.get("properties", {}).get(name, {}), b["properties"][name]
            if steps > 0 and _disjoint(mine, theirs, defs, (), steps - 1):
                return True
        elif b.get("additionalProperties") is False and not b.get("patternProperties"):
            return True
    return False
