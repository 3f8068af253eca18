"""Tool calls as Hermes and Qwen templates teach them: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from clearseek.inference.engine import ToolCall
from clearseek.inference.errors import BadRequest

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass
class ToolCallParser:
    """Feed the answer's text; plain text comes back at once, calls are collected in `calls`.

    A call that is not valid JSON, or that names no tool, is text after all.
    """

    names: frozenset[str]
    calls: list[ToolCall] = field(default_factory=list)
    _held: str = ""
    _inside: bool = False

    def feed(self, text: str) -> str:
        self._held += text
        out = ""
        while True:
            if self._inside:
                at = self._held.find(CLOSE)
                if at < 0:
                    return out
                out += self._take(self._held[:at], closed=True)
                self._held, self._inside = self._held[at + len(CLOSE) :], False
            else:
                at = self._held.find(OPEN)
                if at >= 0:
                    out += self._held[:at].rstrip()
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
        held, self._held = self._held, ""
        if self._inside:
            self._inside = False
            return self._take(held, closed=False)
        return held.rstrip() if self.calls else held

    def restart(self) -> str:
        """What was fed so far was thinking: its calls are none. Returns the text that was held back."""
        rest = self.finish()
        self.calls.clear()
        return rest

    def _take(self, body: str, *, closed: bool) -> str:
        call = parse_call(body, self.names)
        if call is None:
            return OPEN + body + (CLOSE if closed else "")
        self.calls.append(call)
        return ""


def parse_call(body: str, names: frozenset[str]) -> ToolCall | None:
    """One call from its JSON; None when it is none."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("name") not in names:
        return None
    arguments = said.get("arguments", said.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall("call_" + secrets.token_hex(8), said["name"], text)


def forced_schema(tools: tuple[dict[str, Any], ...], tool_choice: Any) -> dict[str, Any] | None:
    """The JSON Schema of the one call that `tool_choice` forces; None when it forces none."""
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    if isinstance(tool_choice, dict):
        name = tool_choice.get("function", {}).get("name")
        if name not in functions:
            raise BadRequest(f"`tool_choice` names the tool `{name}`, which is not among `tools`.", "tool_choice")
        functions = {name: functions[name]}
    elif tool_choice != "required":
        return None
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "name": {"const": name},
                    "arguments": function.get("parameters") or {"type": "object"},
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for name, function in functions.items()
        ]
    }
