"""A schema is rewritten so that whatever the engine may write matches it; or it is refused in words, with its place."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from byte_writer import ByteWriter
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from random_schemas import schema_at

from clearseek.inference.grammar import MAX_VALUES, check_size, rewrite
from clearseek.inference.schema_keywords import Refused, dialect

DEFS = {"$defs": {"A": {"type": "integer"}, "x/y": {"enum": ["xy"]}, "p%q": {"type": "null"}, "t~e": {"const": 1}}}
ZOD_EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
DECIMAL = r"^(?!^[-+.]*$)[+-]?0*"
"""How pydantic begins the pattern of a decimal number in a string."""
PETS = {
    "$defs": {
        "Cat": {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]},
        "Dog": {"type": "object", "properties": {"kind": {"$ref": "#/$defs/dog"}, "n": {}}, "required": ["kind"]},
        "dog": {"enum": ["dog", "hound"]},
        # as pydantic writes a tag that has a default
        "Bird": {"type": "object", "properties": {"kind": {"const": "bird", "default": "bird"}}},
        "Fish": {"type": "object", "properties": {"kind": {"const": "fish", "default": "fish"}}},
        "Tree": {"type": "object", "properties": {"of": {"oneOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}}},
    }
}
HELD: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}, "required": ["a"]},
    {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 3},
    {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}},
    {"type": "string", "pattern": "^[a-z]{2,4}$"},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"type": "object", "properties": {"not": {"type": "string"}}},
    {"oneOf": [{"const": 1}, {"const": 2}]},
    {"oneOf": [{"const": 1}, {"const": "1"}, {"const": True}]},
    {"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 5}]},
    {"oneOf": [{"type": "integer", "exclusiveMaximum": 3}, {"type": "number", "minimum": 3}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
    {**PETS, "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]},
    {**PETS, "oneOf": [{"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}, {"type": "null"}]},
    {**PETS, "oneOf": [{"$ref": "#/$defs/Dog"}, {"$ref": "#/$defs/Bird"}]},
    {**PETS, "oneOf": [{"allOf": [{"$ref": "#/$defs/Cat"}]}, {"$ref": "#/$defs/Dog"}]},
    {**PETS, "oneOf": [{"$ref": "#/$defs/Bird"}, {"$ref": "#/$defs/Fish"}], "discriminator": {"propertyName": "kind"}},
    {**PETS, "properties": {"p": {"oneOf": [{"$ref": "#/$defs/Tree"}, {"type": "string"}]}}, "required": ["p"]},
    {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    {"type": "integer", "minimum": 2**53 + 1},
    {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
    {"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 3},
    {"type": "number", "exclusiveMinimum": 0.25, "exclusiveMaximum": 0.5},
    {"type": "number", "minimum": -1.5, "maximum": 1e20},
    {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 9},
    {"type": "number", "multipleOf": 0.25},
    {"type": "string", "minLength": 2.0, "maxLength": 3},
    {"const": {"a": [1, {"b": "é"}], "c": None}},
    {"enum": ["é", "\t", 'q"\\', 1.5, {"a": []}, [], None]},
    {"type": "string", "enum": [1, "a", None]},
    {**DEFS, "$ref": "#/$defs/A"},
    {**DEFS, "$ref": "#/$defs/x~1y"},
    {**DEFS, "$ref": "#/$defs/p%25q"},
    {**DEFS, "$ref": "#/$defs/t~0e"},
    {"definitions": {"C": {"enum": ["red"]}}, "properties": {"c": {"$ref": "#/definitions/C"}}, "required": ["c"]},
    {"$defs": {"C": {"$anchor": "c", "type": "boolean"}}, "$ref": "#c"},
    {"$id": "https://example.org/s", "$defs": {"C": {"type": "boolean"}}, "$ref": "https://example.org/s#/$defs/C"},
    {"$defs": {"C": {"$id": "c", "type": "boolean"}}, "$id": "https://example.org/s", "$ref": "c"},
    {"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}, "required": ["b"]},
    {"prefixItems": [{"type": "integer"}, {"$ref": "#/prefixItems/0"}], "items": False, "minItems": 2},
    {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}], "additionalItems": False},
    {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 3, "exclusiveMinimum": True},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "patternProperties": {"^a": {"minimum": 5}}},
    {"type": "object", "patternProperties": {"^x[0-9]$": {"type": "integer"}}, "additionalProperties": False},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "null"}}}]},
    {"allOf": [{"type": "object", "properties": {"a": {}}, "additionalProperties": False}, {"required": ["a"]}]},
    {"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"type": "object", "required": ["a", "a"], "properties": {"a": {"type": "null"}}},
    {"type": "object", "properties": {"a": False, "b": {"type": "null"}}, "required": ["b"]},
    {"type": ["string", "null"], "maxLength": 2},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uri", "maxLength": 40},
    {"type": "string", "format": "date", "pattern": "^2"},
    {"type": "string", "format": "password", "maxLength": 3},
    {"type": "integer", "format": "int64"},
    {"type": "string", "x-note": 1, "examples": [1], "deprecated": True, "discriminator": {}, "colour": "red"},
    {"type": "object", "uniqueItems": False, "nullable": False, "propertyNames": True},
    {"type": "null", "then": {"type": "integer"}},
    {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "integer"}},
    {"propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}, "required": ["a"]},
    {"propertyNames": {"enum": ["a", "b", 1]}, "properties": {"a": {"type": "null"}, "c": {}}, "required": ["a"]},
    {"propertyNames": {"const": "a"}, "additionalProperties": False},
    {"$defs": {"C": {"enum": ["x"]}}, "propertyNames": {"$ref": "#/$defs/C"}, "additionalProperties": {"const": 1}},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{2}$"}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "propertyNames": {"minLength": 1}, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "propertyNames": {"maxLength": 3}, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "propertyNames": {"format": "uuid"}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "unevaluatedProperties": False},
    {"type": "object", "additionalProperties": {"type": "null"}, "unevaluatedProperties": False, "oneOf": [{}]},
    {"type": "object", "properties": {"a": {"not": {}}, "b": {"type": "null"}}, "required": ["b"]},
    {"anyOf": [{"anyOf": [{"not": {}}, {"type": "boolean"}]}, {"type": "null"}]},
    {"type": "array", "items": [{"type": "integer"}, {"type": "null"}], "minItems": 2, "maxItems": 2},
    {"type": "array", "items": [{"type": "integer"}], "additionalItems": False},
    {"type": "string", "format": "uuid4"},
    {"type": "string", "format": "base64"},
    {"type": "string", "format": "path", "maxLength": 4},
    {"type": "string", "format": "cuid2", "pattern": "^[0-9a-z]{3}$"},
    {"type": "string", "format": "email", "pattern": ZOD_EMAIL},
    {"type": "string", "pattern": DECIMAL + r"\d*\.?\d*$"},
    {"type": "string", "pattern": DECIMAL + r"\d*\.?\d{0,2}0*$"},
    {"type": "string", "pattern": DECIMAL + r"(?:\d{0,3}|(?=[\d.]{1,6}0*$)\d{0,3}\.\d{0,2}0*$)"},
    {"type": "string", "pattern": DECIMAL + r"(?:\d{0,5}|(?=[\d.]{1,6}0*$)\d*\.\d*0*$)"},
]
REFUSED: list[tuple[Any, str]] = [
    ({"type": "strin"}, "is it `string`"),
    ({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}, "`not`"),
    ({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}, "(at /properties/a)"),
    ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ({"type": "string", "nullable": True}, "list of types"),
    ({"type": "object", "requird": ["a"]}, "is it `required`"),
    ({"type": "object", "additionalproperties": False}, "is it `additionalProperties`"),
    ({"type": "string", "minlength": 2}, "is it `minLength`"),
    ({"$ref": "https://example.org/schema.json"}, "points outside"),
    ({"$ref": "#/$defs/missing"}, "there is nothing"),
    ({"type": "object", "$ref": "#/items/0"}, "there is nothing"),
    ({"$ref": "#nowhere"}, "there is nothing"),
    ({"$ref": 5}, "`$ref` is a text"),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, "requires itself"),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}, "requires itself"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "requires itself"),
    ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "requires itself"),
    ({"type": "integer", "minimum": 10, "maximum": 3}, "allows nothing"),
    ({"type": "string", "minLength": 3, "maxLength": 2}, "allows nothing"),
    ({"type": "array", "minItems": 3, "maxItems": 2}, "allows nothing"),
    ({"enum": []}, "allows nothing"),
    ({"type": "string", "enum": [1, 2]}, "allows nothing"),
    ({"const": 1, "enum": [2]}, "allows nothing"),
    ({"enum": [2**53 + 1]}, "too large"),
    ({"anyOf": []}, "empty `anyOf`"),
    ({"type": []}, "empty list"),
    ({"type": "integer", "minimum": "3"}, "`minimum` is a number"),
    ({"type": "integer", "minimum": True}, "`minimum` is a number"),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, "`exclusiveMinimum` is a number"),
    ({"type": "number", "multipleOf": 0.01}, "binary form"),
    ({"type": "number", "multipleOf": 0}, "more than 0"),
    ({"type": "string", "minLength": -1}, "whole number"),
    ({"type": "string", "maxLength": 10**9}, "at most"),
    ({"type": "string", "format": "phone"}, "these are: base64"),
    ({"$schema": "https://json-schema.org/draft/2020-12/schema", "items": [{"type": "null"}]}, "`prefixItems`"),
    ({"type": "object", "propertyNames": {"not": {"const": "a"}}}, "(at /propertyNames)"),
    ({"type": "object", "propertyNames": {"enum": ["a"]}, "patternProperties": {"^b": {}}}, "says more of names"),
    ({"allOf": [{"type": "object"}], "unevaluatedProperties": False}, "beside other schemas"),
    ({"type": "string", "pattern": "^(?=.*[0-9])a"}, "looks ahead"),
    ({"type": "string", "format": "cuid2"}, "is not held to"),
    ({"type": "object", "properties": []}, "schemas by name"),
    ({"type": "object", "required": "a"}, "list of names"),
    ({"type": "object", "minProperties": 2}, "`minProperties`"),
    ({"type": "object", "properties": {"a": 5}}, "(at /properties/a)"),
    ({"type": "object", "properties": {"a/b~c": 5}}, "(at /properties/a~1b~0c)"),
    ({"allOf": [{"patternProperties": {"^a": True}}, {"type": "object"}]}, "joins `patternProperties`"),
    ({"anyOf": [{"type": "string", "if": {"minLength": 2}}]}, "(at /anyOf/0)"),
    ({"properties": {f"p{n}": {"type": "string"} for n in range(3000)}}, "more than 2,000 parts"),
    (True, "just `true`"),
    ([], "no object"),
]


@pytest.fixture(scope="module")
def writer() -> ByteWriter:
    return ByteWriter()


def mismatches(schema: dict[str, Any], texts: list[str | None]) -> list[str]:
    validator = validator_for({"$schema": dialect(schema)}, default=Draft202012Validator)(schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [text for text in texts if text is not None and not validator.is_valid(json.loads(text))]


@pytest.mark.parametrize("schema", HELD)
def test_whatever_may_be_written_matches(schema: dict[str, Any], writer: ByteWriter) -> None:
    rewritten = rewrite(schema).schema
    assert not writer.refuses(rewritten)
    texts = [writer.write(rewritten, seed) for seed in range(25)]
    assert any(text is not None for text in texts)
    assert mismatches(schema, texts) == []


@pytest.mark.parametrize(("schema", "words"), REFUSED)
def test_what_cannot_be_held_to_is_refused_in_words(schema: Any, words: str) -> None:
    with pytest.raises(Refused) as refused:
        rewrite(schema)
    assert words in refused.value.sentence()
    assert refused.value.sentence().endswith((".", "?"))


@pytest.mark.parametrize("part", range(10))
def test_schemas_at_random_are_refused_or_held_to(part: int, writer: ByteWriter) -> None:
    held = 0
    for seed in range(part * 100, part * 100 + 100):
        schema = schema_at(seed)
        try:
            rewritten = rewrite(schema).schema
        except Refused:
            continue
        if writer.refuses(rewritten):
            continue
        texts = [writer.write(rewritten, at) for at in range(3)]
        assert mismatches(schema, texts) == [], schema
        held += any(text is not None for text in texts)
    assert held > 20


def test_white_space_cannot_go_on(writer: ByteWriter) -> None:
    schema = rewrite({"type": "array", "items": {"enum": [1, {"a": 2, "b": 3}]}, "minItems": 2, "maxItems": 2}).schema
    texts = {writer.write(schema, seed) for seed in range(20)} - {None}
    assert '[1, {"a": 2, "b": 3}]' in texts
    assert all(text == json.dumps(json.loads(text or "")) for text in texts)


def test_properties_without_a_type_mean_an_object(writer: ByteWriter) -> None:
    schema = rewrite({"properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}).schema
    assert {writer.write(schema, seed) for seed in range(20)} == {'{"a": 1}'}
    for words, kind in (({"items": {}}, "array"), ({"pattern": "a"}, "string"), ({"minimum": 1}, "number")):
        assert rewrite(words).schema["type"] == kind
    # the same words beside others narrow nothing: null stays allowed
    assert rewrite({"allOf": [{"type": ["string", "null"]}, {"maxLength": 2}]}).schema["allOf"][1] == {"maxLength": 2}


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]},
        {"oneOf": [{"properties": {"a": {"const": 1}}}, {"maxLength": 3}]},
        {"oneOf": [{"type": "integer", "minimum": 3}, {"type": "integer", "maximum": 3}]},
        {**PETS, "oneOf": [{"$ref": "#/$defs/Bird"}, {"$ref": "#/$defs/Fish"}]},
        {**PETS, "oneOf": [{"$ref": "#/$defs/Bird"}, {"$ref": "#/$defs/Fish"}], "discriminator": {"propertyName": "n"}},
    ],
)
def test_branches_that_may_both_match_are_not_taken_for_one_of_them(schema: dict[str, Any], writer: ByteWriter) -> None:
    assert writer.refuses(rewrite(schema).schema)


def test_deep_schemas_are_held_to(writer: ByteWriter) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"type": "array", "items": schema}
    assert not writer.refuses(rewrite(schema).schema)


def test_a_schema_is_measured_before_it_is_walked() -> None:
    leaf = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(20)}}
    big = {"anyOf": [{"anyOf": [leaf] * 20}] * 40}  # 430 kB as JSON; looking it over took half a minute once
    with pytest.raises(Refused, match="more than 20,000 values"):
        check_size(big)
    seen = 0

    class Counting(list[Any]):
        def __iter__(self) -> Any:
            nonlocal seen
            for one in super().__iter__():
                seen += 1
                yield one

    endless: Any = Counting([1])
    endless.append(endless)
    with pytest.raises(Refused):
        check_size({"enum": endless})
    assert seen <= MAX_VALUES
    with pytest.raises(Refused, match="characters"):
        check_size({"description": "x" * 600_000})
