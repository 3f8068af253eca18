"""Tool calls are found in any chunking; what is no call is text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearseek.hub.chat_template import ChatTemplate
from clearseek.inference.errors import BadRequest
from clearseek.inference.tool_calls import ToolCallParser, forced_functions, understands_calls

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
        ("The tags are  \n <tool_call> and </tool_call>. ", "The tags are  \n <tool_call> and </tool_call>. ", []),
        ("a\n<tool_call>\nnone", "a\n<tool_call>\nnone", []),
        (f"a <tool_call> b {CALL}", "a <tool_call> b", ["weather"]),
        ('<tool_call>{"name": ["time"]}</tool_call>', '<tool_call>{"name": ["time"]}</tool_call>', []),
        ('<tool_call>{"name": "time", "arguments": [1]}</tool_call>',) * 2 + ([],),
        ('<tool_call>{"name": "time", "arguments": "now"}</tool_call>',) * 2 + ([],),
        ('<tool_call>{"name": "time", "arguments": {"a": NaN}}</tool_call>',) * 2 + ([],),
        ('<tool_call>{"name": "time", "arguments": {"a": 1e999}}</tool_call>',) * 2 + ([],),
        ('<tool_call>{"name": "time", "arguments": {"a": 1}',) * 2 + ([],),  # cut short
    ],
)
@given(size=st.integers(1, 40))
def test_any_chunking(text: str, plain: str, names: list[str], size: int) -> None:
    out, calls = parse(text, size)
    assert out == plain
    assert [name for name, _ in calls] == names
    assert all(isinstance(json.loads(arguments), dict) for _, arguments in calls)


@pytest.mark.parametrize(
    ("inside", "arguments"),
    [
        (
            '{"name": "time", "arguments": {"text": "end with </tool_call> here"}}',
            {"text": "end with </tool_call> here"},
        ),
        ('{"name": "time", "arguments": {"text": "\\"</tool_call>\\\\"}}', {"text": '"</tool_call>\\'}),
        ('{"name": "time", "arguments": {"text": "<tool_call>"}}', {"text": "<tool_call>"}),
        ('{"name": "time", "arguments": {"text": "one\ntwo\tthree"}}', {"text": "one\ntwo\tthree"}),
        ('{"name": "time", "arguments": null}', {}),
        ('{"name": "time", "arguments": ""}', {}),
        ('{"name": "time"}', {}),
        ('{"name": "time", "parameters": {"a": 1}}', {"a": 1}),
        ('{"name": "time", "arguments": "{\\"a\\": 1}"}', {"a": 1}),
        ('{"name": "time", "arguments": {"text": "a"}', {"text": "a"}),
        ('{"name": "time", "arguments": {"text": "a"}}}', {"text": "a"}),
        ('```json\n{"name": "time", "arguments": {"text": "a"}}\n```', {"text": "a"}),
        ('{"name": "time", "arguments": {"text": "\\ud83d"}}', {"text": "\ud83d"}),
        ('{"name": "time", "arguments": {"text": "é😀"}}', {"text": "é😀"}),
    ],
)
@given(size=st.integers(1, 40))
def test_calls_as_models_really_write_them(inside: str, arguments: dict[str, str], size: int) -> None:
    out, [(name, text)] = parse(f"So: <tool_call>\n{inside}\n</tool_call>", size)
    assert (out, name) == ("So:", "time")
    assert json.loads(text) == arguments
    text.encode()  # it can be sent


@given(size=st.integers(1, 40))
def test_a_call_with_quotes_out_of_order_takes_no_other_with_it(size: int) -> None:
    broken = '<tool_call>{"name": "time", "arguments": {"a": "unclosed}}</tool_call>'
    out, calls = parse(f"{broken} then {CALL}", size)
    assert out == f"{broken} then"
    assert [name for name, _ in calls] == ["weather"]


def test_a_long_call_is_looked_through_once() -> None:
    """Each feed goes on where the last one ended: no second look at what is held."""
    parser = ToolCallParser(NAMES)
    parser.feed('<tool_call>{"name": "time", "arguments": {"text": "')
    for _ in range(2000):
        parser.feed("word ")
        assert len(parser._held) - parser._seen <= len("</tool_call>")
    parser.feed('"}}</tool_call>')
    assert len(parser.calls) == 1


TURNS = (
    "{{% if tools %}}<|im_start|>system\nTools: {{{{ tools | tojson }}}} {teach}<|im_end|>\n{{% endif %}}"
    "{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{{{{ m.content }}}}"
    "{{% for c in m.tool_calls or [] %}}{call}{{% endfor %}}<|im_end|>\n{{% endfor %}}"
)
NAME, ARGUMENTS = "{{ c.function.name }}", "{{ c.function.arguments | tojson }}"
HERMES = 'Answer with <tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'


@pytest.mark.parametrize(
    ("teach", "call", "understood"),
    [
        (HERMES, "", True),
        ("", f'<tool_call>\n{{"name": "{NAME}", "arguments": {ARGUMENTS}}}\n</tool_call>', True),
        ("", "", True),  # no word of a form
        ("", f'<|python_tag|>{{"name": "{NAME}", "parameters": {ARGUMENTS}}}', False),  # Llama 3
        ("", f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{NAME}\n{ARGUMENTS}<｜tool▁call▁end｜>", False),  # DeepSeek
        ("", f'[TOOL_CALLS][{{"name": "{NAME}", "arguments": {ARGUMENTS}}}]', False),  # Mistral
        ("", f"<tool_call>\n<function={NAME}>\n</function>\n</tool_call>", False),  # Qwen3-Coder
        ("", f"<tool_call>{NAME}\n<arg_key>a</arg_key></tool_call>", False),  # GLM
    ],
)
def test_only_templates_whose_calls_are_understood_take_tools(teach: str, call: str, understood: bool) -> None:
    template = ChatTemplate(TURNS.format(teach=teach, call=call))
    assert template.supports_tools
    assert understands_calls(template) is understood


def test_forcing_a_tool_gives_that_tool_alone() -> None:
    named = forced_functions(TOOLS, {"type": "function", "function": {"name": "time"}})
    assert [function["name"] for _, function in named] == ["time"]
    assert [TOOLS[at]["function"]["name"] for at, _ in named] == ["time"]
    assert forced_functions(TOOLS, "auto") == []
    assert len(forced_functions(TOOLS, "required")) == 2
    with pytest.raises(BadRequest, match="not among"):
        forced_functions(TOOLS, {"type": "function", "function": {"name": "nope"}})
