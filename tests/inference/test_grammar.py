"""A schema that the grammar cannot hold to is refused in words; one that it can is let through."""

from __future__ import annotations

from typing import Any

import pytest

from clearseek.inference.errors import BadRequest
from clearseek.inference.grammar import check_schema

FINE: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}, "required": ["a"]},
    {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 3},
    {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}},
    {"type": "string", "pattern": "^[a-z]{2,4}$"},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"type": "object", "properties": {"not": {"type": "string"}}},
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"type": "strin"}, "not valid"),
    ({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}, "`not` at /properties/a"),
    ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ({"type": "number", "multipleOf": 3}, "multipleOf"),
    ({"$ref": "https://example.org/schema.json"}, "points outside"),
    ({"type": "string", "pattern": "(?=a)b"}, "begin with ^"),
    ({"type": "string", "pattern": "^(?=a)b$"}, "look-around"),
    ({"type": "string", "maxLength": 10**9}, "at most"),
    ({"anyOf": [{"type": "string", "if": {"minLength": 2}}]}, "`if` at /anyOf/0"),
    ({"properties": {f"p{n}": {"type": "string"} for n in range(3000)}}, "more than"),
]


@pytest.mark.parametrize("schema", FINE)
def test_expressible_schemas_pass(schema: dict[str, Any]) -> None:
    check_schema(schema)


@pytest.mark.parametrize(("schema", "words"), WRONG)
def test_inexpressible_schemas_are_refused_in_words(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_schema(schema)
    assert words in str(refused.value)
    assert refused.value.status == 400


def test_deep_schemas_end_in_a_sentence() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"type": "array", "items": schema}
    check_schema(schema)
