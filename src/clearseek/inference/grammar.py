"""Says in words what a JSON Schema asks that the engine's grammar cannot hold to.

llama.cpp turns a schema into a grammar and drops what it does not know without a word; an answer that was promised to
match and does not is worse than a refusal.
"""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from clearseek.inference.errors import BadRequest

UNSUPPORTED = (
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "multipleOf",
    "minProperties",
    "maxProperties",
    "$dynamicRef",
)
MAX_NODES = 2_000
MAX_REPEAT = 2_000
_BOUNDS = ("minLength", "maxLength", "minItems", "maxItems")


def check_schema(schema: dict[str, Any]) -> None:
    """Raises BadRequest, naming the place, for a schema that is invalid or that a grammar cannot express."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise BadRequest(f"The JSON Schema is not valid at {_place(error.path)}: {error.message}.", _PARAM) from None
    _walk(schema, (), [0])


_PARAM = "response_format"


def _place(path: Any) -> str:
    return "/" + "/".join(str(part) for part in path)


def _walk(schema: Any, path: tuple[Any, ...], count: list[int]) -> None:
    count[0] += 1
    if count[0] > MAX_NODES:
        raise BadRequest(f"The JSON Schema has more than {MAX_NODES} parts; make it smaller.", _PARAM)
    if isinstance(schema, bool):
        if schema is False:
            raise BadRequest(f"The JSON Schema allows nothing at {_place(path)} (`false`).", _PARAM)
        return
    if not isinstance(schema, dict):
        return
    for key in UNSUPPORTED:
        if schema.get(key) not in (None, False):
            raise BadRequest(
                f"The JSON Schema uses `{key}` at {_place(path)}, which the engine's grammar cannot express; "
                "leave it out and check that condition yourself.",
                _PARAM,
            )
    for key in _BOUNDS:
        if isinstance(schema.get(key), int) and schema[key] > MAX_REPEAT:
            raise BadRequest(f"`{key}` at {_place(path)} may be at most {MAX_REPEAT}.", _PARAM)
    reference = schema.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise BadRequest(f"`$ref` at {_place(path)} points outside the schema ({reference}); copy it in.", _PARAM)
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        _check_pattern(pattern, path)
    for key in ("properties", "$defs", "definitions"):
        for name, child in (schema.get(key) or {}).items():
            _walk(child, (*path, key, name), count)
    for key in ("items", "additionalProperties"):
        if key in schema and schema[key] is not False:
            _walk(schema[key], (*path, key), count)
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, child in enumerate(schema.get(key) or ()):
            _walk(child, (*path, key, index), count)


def _check_pattern(pattern: str, path: tuple[Any, ...]) -> None:
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise BadRequest(f"`pattern` at {_place(path)} must begin with ^ and end with $ to become a grammar.", _PARAM)
    if re.search(r"\(\?|\\[bBAZ1-9]", pattern):
        raise BadRequest(
            f"`pattern` at {_place(path)} uses look-around, word boundaries or back-references, "
            "which the engine's grammar cannot express.",
            _PARAM,
        )
