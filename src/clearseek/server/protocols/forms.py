"""The form that an answer must have, in every way that clients have of saying it."""

from __future__ import annotations

from typing import Any

import orjson

from clearseek.server.errors import ApiError

ANY_OBJECT = {"type": "object"}


def form_of(body: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The schema that the answer must match (None: any text), and the field that said so.

    Raises ApiError: 422 for a wrong value, 400 for what is not held to, and where two fields ask for different forms.
    """
    wanted = [
        (name, schema)
        for name, schema in (
            ("response_format", _response_format(body.get("response_format"))),
            ("guided_json", _schema("guided_json", body.get("guided_json"))),
            ("json_schema", _schema("json_schema", body.get("json_schema"))),
            ("structured_outputs", _structured(body.get("structured_outputs"))),
        )
        if schema is not None
    ]
    for name, schema in wanted[1:]:
        if orjson.dumps(schema) != orjson.dumps(wanted[0][1]):
            message = f"`{wanted[0][0]}` and `{name}` ask for different forms; an answer has one."
            raise ApiError(400, message, param=name)
    return (wanted[0][1], wanted[0][0]) if wanted else (None, "response_format")


def _response_format(value: Any) -> dict[str, Any] | None:
    """OpenAI's field; and with `schema` beside `type`, as llama.cpp and others have it."""
    where = "response_format"
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ApiError(422, f"`{where}` is wrong: it is an object with a `type`.", param=where)
    kind = value.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        message = f"`{where}.type` is wrong: text, json_object or json_schema, not {str(kind)[:40]!r}."
        raise ApiError(422, message, param=f"{where}.type")
    for name in value:
        if name not in ("type", "json_schema", "schema", "strict", "name", "description") and value[name] is not None:
            raise ApiError(400, f"`{where}.{name[:60]}` is not understood.", param=f"{where}.{name[:60]}")
    inner = value.get("json_schema")
    if inner is not None and not isinstance(inner, dict):
        raise ApiError(422, f"`{where}.json_schema` is wrong: it is an object with a `schema`.", param=where)
    schemas = [
        _schema(f"{where}.json_schema.schema", None if inner is None else inner.get("schema")),
        _schema(f"{where}.schema", value.get("schema")),
    ]
    given = [schema for schema in schemas if schema is not None]
    if kind == "text":
        if given:
            raise ApiError(
                400, f"`{where}` asks for text and has a schema; set its `type` to json_schema.", param=where
            )
        return None
    if len(given) == 2 and orjson.dumps(given[0]) != orjson.dumps(given[1]):
        raise ApiError(400, f"`{where}` has two schemas that differ; send one.", param=where)
    if given:
        return given[0]
    if kind == "json_schema":
        missing = f"{where}.json_schema" if inner is None else f"{where}.json_schema.schema"
        raise ApiError(422, f"`{missing}` is missing.", param=missing)
    return ANY_OBJECT


def _schema(where: str, value: Any) -> dict[str, Any] | None:
    """A schema as an object, or as the text of one."""
    if isinstance(value, str) and value:
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ApiError(422, f"`{where}` is wrong: its text is not JSON.", param=where) from None
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise ApiError(422, f"`{where}` is wrong: it is a JSON Schema, which is an object.", param=where)
    return value


def _structured(value: Any) -> dict[str, Any] | None:
    """vLLM's `structured_outputs`: its `json` part."""
    where = "structured_outputs"
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ApiError(422, f"`{where}` is wrong: it is an object with `json`.", param=where)
    for name, part in value.items():
        if name not in ("json", "json_object") and part not in (None, False):
            message = f"`{where}.{name[:60]}` is not done here: of its forms `json` is held to."
            raise ApiError(400, message, param=f"{where}.{name[:60]}")
    schema = _schema(f"{where}.json", value.get("json"))
    return ANY_OBJECT if schema is None and value.get("json_object") else schema
