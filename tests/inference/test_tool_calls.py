"""Tool calls are found in any chunking; what is no call is text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearseek.inference.errors import BadRequest
from clearseek.inference.tool_calls import ToolCallParser, forced_schema

NAMES = frozenset({"weather", "time"})
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
TOOLS = tuple({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in NAMES)


def parse(text: str, size: int) -> tuple[str, list[tuple[str, str]]]:
    parser = ToolCallParser(NAMES)
    out = "".join(parser.feed(text[at : at + size]) for at in range(0, len(text), size)) + parser.finish()
    return out, [(call.name, call.arguments) for call in parser.calls]


@pytest.mark.parametrize(
    ("text", "plain", "names"),
    [
        ("no call", "no call", []),
        (CALL, "", ["weather"]),
        (CALL + "\n" + CALL, "", ["weather", "weather"]),
        ("Let me look. " + CALL, "Let me look.", ["weather"]),
        ("a <tool_cal", "a <tool_cal", []),
        ("a  b \n", "a  b \n", []),
        ('<tool_call>{"name": "unknown"}</tool_call>', '<tool_call>{"name": "unknown"}</tool_call>', []),
        ("<tool_call>not json</tool_call>x", "<tool_call>not json</tool_call>x", []),
        ('<tool_call>{"name": "time"}', "", ["time"]),
    ],
)
@given(size=st.integers(1, 40))
def test_any_chunking(text: str, plain: str, names: list[str], size: int) -> None:
    out, calls = parse(text, size)
    assert out == plain
    assert [name for name, _ in calls] == names
    assert all(isinstance(json.loads(arguments), dict) for _, arguments in calls)


def test_forcing_a_tool_gives_the_schema_of_that_tool_alone() -> None:
    schema = forced_schema(TOOLS, {"type": "function", "function": {"name": "time"}})
    assert schema is not None
    assert [one["properties"]["name"]["const"] for one in schema["anyOf"]] == ["time"]
    assert forced_schema(TOOLS, "auto") is None
    required = forced_schema(TOOLS, "required")
    assert required is not None
    assert len(required["anyOf"]) == 2
    with pytest.raises(BadRequest, match="not among"):
        forced_schema(TOOLS, {"type": "function", "function": {"name": "nope"}})
