"""The types of a receipt are those of its published schema, and what they do not promise, nothing takes for granted."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from clearseek.receipts import verify
from clearseek.receipts.form import schema, schema_error
from clearseek.receipts.predicate import Statement

SCALARS: dict[type, set[str]] = {str: {"string"}, int: {"integer"}, float: {"number"}, type(None): {"null"}}


def differences(hint: Any, rules: dict[str, Any], where: str = "statement") -> list[str]:
    """Where a type says something else than the schema; empty where the two agree."""
    while "$ref" in rules:
        rules = schema()["$defs"][rules["$ref"].rsplit("/", 1)[1]]
    if hint is object:
        return [] if not rules else [f"{where}: the schema has a rule, the type has none"]
    if not rules:
        return [f"{where}: {hint} without a rule of the schema"]
    if "oneOf" in rules and type(None) in get_args(hint):
        (rest,) = (rule for rule in rules["oneOf"] if rule.get("type") != "null")
        (kind,) = (part for part in get_args(hint) if part is not type(None))
        return differences(kind, rest, where)
    if is_typeddict(hint):
        return _of_object(hint, rules, where)
    origin = get_origin(hint)
    if origin is list:
        return differences(get_args(hint)[0], rules["items"], f"{where}[]") if rules.get("type") == "array" else [where]
    if origin is dict:
        return _of_mapping(get_args(hint)[1], rules, where)
    if origin is Literal:
        return [] if set(get_args(hint)) == set(rules["enum"]) else [f"{where}: other words"]
    kinds = get_args(hint) if origin in (Union, types.UnionType) else (hint,)
    told = {"string"} if "enum" in rules or "const" in rules else rules["type"]
    told = {told} if isinstance(told, str) else set(told)
    return [] if set().union(*(SCALARS[kind] for kind in kinds)) == told else [f"{where}: {hint} and {told}"]


def _of_object(hint: Any, rules: dict[str, Any], where: str) -> list[str]:
    hints = get_type_hints(hint, include_extras=True)
    properties, required = rules["properties"], set(rules["required"])
    wrong = [f"{where}.{name}: not in the type" for name in properties.keys() - hints.keys()]
    for name, field in hints.items():
        optional = get_origin(field) is NotRequired
        kind = get_args(field)[0] if optional else field
        if name not in properties and not (rules["additionalProperties"] and kind is object):
            wrong.append(f"{where}.{name}: not in the schema")
        if optional == (name in required):
            wrong.append(f"{where}.{name}: required in one of the two only")
        wrong += differences(kind, properties.get(name, {}), f"{where}.{name}")
    return wrong


def _of_mapping(kind: Any, rules: dict[str, Any], where: str) -> list[str]:
    if rules.get("type") != "object":
        return [where]
    values = list(rules.get("properties", {}).values()) or [rules.get("additionalProperties", {})]
    return (
        [] if kind is Any and values == [{}] else [line for rule in values for line in differences(kind, rule, where)]
    )


def test_types_and_schema_say_the_same() -> None:
    assert differences(Statement, schema()) == []


@pytest.mark.parametrize(
    ("where", "rules"),
    [
        (("machine", "properties", "cores"), {"type": "string"}),
        (("machine", "properties", "cores"), {"type": ["integer", "null"]}),
        (("run", "properties"), {}),
        (("run", "required"), ["name"]),
        (("parents", "items"), {"type": "string"}),
        (("environment", "properties", "packages"), {"type": "object", "additionalProperties": {"type": "integer"}}),
        (("totals",), {"type": "object", "additionalProperties": {"type": "number"}}),
        (("made", "properties", "more"), {"type": "string"}),
    ],
)
def test_a_schema_that_says_something_else_is_seen(monkeypatch: pytest.MonkeyPatch, where: Any, rules: Any) -> None:
    import copy

    changed = copy.deepcopy(schema())
    parent = changed["$defs"]["predicate"]["properties"]
    for name in where[:-1]:
        parent = parent[name]
    parent[where[-1]] = rules
    monkeypatch.setitem(globals(), "schema", lambda: changed)
    try:
        assert differences(Statement, changed)
    except (KeyError, TypeError, ValueError):
        pass  # of another make altogether, which is seen too


def test_what_is_written_is_what_is_read(run: Path) -> None:
    """From a run to its receipt's bytes and back: the same statement, in the schema's form, the same bytes."""
    from clearseek.ledger.canonical import canonical
    from clearseek.receipts.envelope import read_envelope

    envelope = read_envelope((run / "receipt.json").read_bytes())
    assert schema_error(envelope.statement) is None
    assert canonical(envelope.statement) == envelope.payload


@pytest.mark.parametrize("value", [7, True, None, "avx2", {"avx2": 1}, [7, None], [["avx2"]]])
@pytest.mark.parametrize("field", ["instruction_sets", "arithmetic", "gpu_memory"])
def test_an_open_field_may_hold_anything(
    run: Path, forge: Callable[..., Path], field: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The schema leaves `machine` open, so a liar with a key may put anything there; it is never the program's end."""
    from clearseek.cli.main import run as clearseek

    forge(run, lambda statement: statement["predicate"]["machine"].update({field: value}))
    checks = [check for check in verify(run).checks if check.name == "machine"]
    assert [check.state for check in checks] == ["ok"]
    assert clearseek(["receipt", "show", str(run)]) == 0
    capsys.readouterr()
