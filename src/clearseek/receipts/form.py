"""Whether a statement has the form of a training receipt: the published JSON Schema, and what it cannot say."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from clearseek.errors import UsageError
from clearseek.ledger.quantity import Quantity
from clearseek.receipts.predicate import Statement


@functools.cache
def schema() -> dict[str, Any]:
    """The published JSON Schema of a statement."""
    text = resources.files("clearseek.receipts").joinpath("training-receipt-v1.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def schema_error(statement: Statement, *, newer: bool = False) -> tuple[str, str] | None:
    """The field that is wrong and a sentence about it; None for a statement in form.

    `newer` allows fields that this version does not know, as later minor versions may add some.
    """
    from jsonschema import Draft202012Validator

    rules = _open(schema()) if newer else schema()
    error = next(iter(sorted(Draft202012Validator(rules).iter_errors(statement), key=_depth)), None)
    if error is None:
        return None
    field = field_path(error.absolute_path)
    message = error.message if len(error.message) <= 200 else f"{error.message[:120]} ... {error.message[-60:]}"
    return field, f"`{field}` does not have the form of a training receipt: {message.rstrip('.')}."


def quantity_error(part: Any, field: str = "predicate") -> tuple[str, str] | None:
    """The first quantity, wherever it stands, that is none: a value outside its interval, a unit that does not fit."""
    if isinstance(part, dict) and "basis" in part and "unit" in part:
        try:
            Quantity.from_json(part)
        except UsageError as error:
            return field, f"`{field}` is no quantity: {error}"
        return None
    pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, inner in pairs:
        if name not in ("resolved", "data"):  # what others wrote, in a form of their own
            wrong = quantity_error(inner, f"{field}[{name}]" if isinstance(name, int) else f"{field}.{name}")
            if wrong is not None:
                return wrong
    return None


def _depth(error: Any) -> int:
    return -len(error.absolute_path)


def _open(rules: Any) -> Any:
    """The schema with room for fields that a newer minor version added."""
    if isinstance(rules, dict):
        return {
            name: True if name == "additionalProperties" and rule is False else _open(rule)
            for name, rule in rules.items()
        }
    return [_open(rule) for rule in rules] if isinstance(rules, list) else rules


def field_path(parts: Any) -> str:
    """`["predicate", "stages", 1]` as `predicate.stages[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or "the statement"
