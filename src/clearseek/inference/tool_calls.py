"""Tool calls as Hermes and Qwen templates teach them: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from clearseek.hub.chat_template import ChatTemplate
from clearseek.hub.errors import BadTemplate
from clearseek.inference.engine import ToolCall
from clearseek.inference.errors import BadRequest

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_TAUGHT = re.compile(r"<tool_call>\s*\{\s*[\"'](name|arguments)[\"']")
_SIGNS = re.compile(rf'\\.|"|{CLOSE}', re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*(?:```)?", re.DOTALL)


def understands_calls(template: ChatTemplate) -> bool:
    """Whether a template shows tools, and has its model call them in no other form than the one understood here.

    There are others (Llama's, DeepSeek's, Mistral's, Qwen-Coder's); a model that writes one of those would be given
    tools and answer with raw text. A template that names no form at all is taken at its word.
    """
    if not template.supports_tools:
        return False
    name = "probe7f3"
    tool = {"type": "function", "function": {"name": name, "description": "", "parameters": {"type": "object"}}}
    call = {"id": "a1b2c3d4e", "type": "function", "function": {"name": name, "arguments": "{}"}}
    asked: dict[str, Any] = {"role": "user", "content": "q"}
    fields: dict[str, Any] = {"role": "assistant", "content": "a"}
    result: dict[str, Any] = {"role": "tool", "content": "r", "tool_call_id": call["id"]}
    try:
        plain = _rendered(template, [asked, fields, asked], tool)
    except BadTemplate:
        return False
    try:
        called = _rendered(template, [asked, {**fields, "content": "", "tool_calls": [call]}, result], tool)
    except BadTemplate:
        called = None
    if _TAUGHT.search(plain) or (called is not None and _TAUGHT.search(called)):
        return True
    return called is not None and called.count(name) <= plain.count(name)


def _rendered(template: ChatTemplate, messages: list[dict[str, Any]], tool: dict[str, Any]) -> str:
    return "".join(piece.text for piece in template.render(messages, tools=[tool]))


@dataclass
class ToolCallParser:
    """Feed the answer's text; plain text comes back at once, calls are collected in `calls`.

    A call that is not valid JSON, or that names no tool, is text after all, with the white space around it.
    """

    names: frozenset[str]
    calls: list[ToolCall] = field(default_factory=list)
    _held: str = ""
    _gap: str = ""
    """White space before an opening tag: nothing, if a call follows."""
    _inside: bool = False
    _seen: int = 0
    """How far what is held has been looked through for the closing tag."""
    _quoted: bool = False

    def feed(self, text: str) -> str:
        self._held += text
        out = ""
        while True:
            if self._inside:
                body = self._held.lstrip()
                if body and body[0] not in "{`":
                    out += self._no_call()
                    continue
                at = self._close()
                if at < 0:
                    return out
                out += self._take(at)
            else:
                at = self._held.find(OPEN)
                if at >= 0:
                    trimmed = self._held[:at].rstrip()
                    out += trimmed
                    self._gap = self._held[len(trimmed) : at]
                    self._held, self._inside = self._held[at + len(OPEN) :], True
                    continue
                # Held back: what may be the beginning of a call, and the white space before it.
                keep = next((n for n in range(len(OPEN) - 1, 0, -1) if self._held.endswith(OPEN[:n])), 0)
                body = self._held[: len(self._held) - keep].rstrip()
                out += body
                self._held = self._held[len(body) :]
                return out

    def finish(self) -> str:
        """The end: a call whose closing tag never came still counts if its JSON is whole."""
        out = ""
        while self._inside:
            at = self._held.find(CLOSE)  # in what looked like a string: its quotes were not in order
            out += self._take(at) if at >= 0 else self._take(len(self._held), closed=False)
            out += self.feed("")
        held, self._held = self._held, ""
        return out + (held.rstrip() if self.calls else held)

    def restart(self) -> str:
        """What was fed so far was thinking: its calls are none. Returns the text that was held back."""
        rest = self.finish()
        self.calls.clear()
        return rest

    def _close(self) -> int:
        """Where the closing tag stands that is in no string; -1 where it has not come yet."""
        for sign in _SIGNS.finditer(self._held, self._seen):
            if sign[0] == '"':
                self._quoted = not self._quoted
            elif sign[0] == CLOSE and not self._quoted:
                return sign.start()
            self._seen = sign.end()
        self._seen = max(self._seen, len(self._held) - len(CLOSE) + 1)
        return -1

    def _no_call(self) -> str:
        gap, self._gap = self._gap, ""
        self._inside, self._seen, self._quoted = False, 0, False
        return gap + OPEN

    def _take(self, at: int, *, closed: bool = True) -> str:
        """What stands up to `at` is the inside of a call, or text."""
        body = self._held[:at]
        self._held = self._held[at + len(CLOSE) :] if closed else ""
        call = parse_call(body, self.names, mend=closed)
        opened = self._no_call()
        if call is None:
            return opened + body + (CLOSE if closed else "")
        self.calls.append(call)
        return ""


def parse_call(body: str, names: frozenset[str], *, mend: bool = False) -> ToolCall | None:
    """One call from its JSON; None when it is none. With `mend` a last brace may be missing."""
    fenced = _FENCE.fullmatch(body.strip())
    text = fenced[1] if fenced else body.strip()
    said = _object(text)
    for more in ("}", "}}") if mend and said is None else ():
        said = said or _object(text + more)
    name = None if said is None else said.get("name")
    if said is None or not isinstance(name, str) or name not in names:
        return None
    arguments = said.get("arguments", said.get("parameters"))
    if isinstance(arguments, str) and arguments.strip():
        arguments = _object(arguments)
        if arguments is None:
            return None
    if arguments is not None and arguments != "" and not isinstance(arguments, dict):
        return None
    return ToolCall("call_" + secrets.token_hex(8), name, _written(arguments or {}))


def _object(text: str) -> dict[str, Any] | None:
    """A JSON object, leniently: line breaks in strings, and braces too many at its end; but no NaN and no infinity."""
    try:
        reply, end = json.JSONDecoder(strict=False, parse_constant=_no_number).raw_decode(text.lstrip())
        if text.lstrip()[end:].strip("} \r\n\t"):
            return None
        json.dumps(reply, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return reply if isinstance(reply, dict) else None


def _no_number(name: str) -> None:
    raise ValueError(name)


def _written(arguments: dict[str, Any]) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(arguments)
    return text


def forced_functions(tools: tuple[dict[str, Any], ...], tool_choice: Any) -> list[tuple[int, dict[str, Any]]]:
    """The functions one of which `tool_choice` forces, with their places in `tools`; none where it forces none."""
    functions = [(at, tool["function"]) for at, tool in enumerate(tools)]
    if isinstance(tool_choice, dict):
        name = tool_choice.get("function", {}).get("name")
        functions = [(at, function) for at, function in functions if function["name"] == name]
        if not functions:
            raise BadRequest(f"`tool_choice` names the tool `{name}`, which is not among `tools`.", "tool_choice")
        return functions
    return functions if tool_choice == "required" else []
