"""The tool calls of a remote engine, put together from deltas of every dialect. Pure.

OpenAI numbers the calls and sends arguments in pieces. Gemini numbers nothing, Ollama numbers every call 0, old vLLM
makes up a new id for each piece, others repeat the name, send arguments as an object, or send the older
`function_call`.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

import orjson

from clearseek.inference.engine import ToolCall
from clearseek.inference.remote_text import clean


@dataclass(slots=True)
class _Call:
    index: int
    id: str = ""
    name: str = ""
    text: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a JSON object already."""
        try:
            return isinstance(orjson.loads(self.text), dict)
        except orjson.JSONDecodeError:
            return False


class Calls:
    """Feed the `tool_calls` of each delta; `finish` gives the calls in order."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, payload: Any) -> None:
        """`tool_calls`, or a `function_call` of the older kind; what is neither is passed over."""
        for one in payload if isinstance(payload, list) else [payload]:
            if isinstance(one, dict):
                function = one.get("function")
                self._take(one, function if isinstance(function, dict) else one)

    def _take(self, payload: dict[str, Any], function: dict[str, Any]) -> None:
        number, id, name = _number(payload.get("index")), _text(payload.get("id")), _text(function.get("name"))
        call = self._begun(number, id, name)
        if call is None:
            call = _Call(len(self._calls) if number is None else number)
            self._calls.append(call)
        call.id = call.id or id
        call.name = call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            # an empty object before the pieces only holds their place
            held = call.text.strip() == "{}" and arguments.strip()
            call.text = arguments if held else call.text + arguments
        elif isinstance(arguments, (dict, list)):
            call.text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))

    def _begun(self, number: int | None, id: str, name: str) -> _Call | None:
        """The call that a piece belongs to; None for a new one."""
        of_id = next((call for call in reversed(self._calls) if id and call.id == id), None)
        if number is None:
            call = of_id or (self._calls[-1] if self._calls else None)
        else:
            call = next((call for call in reversed(self._calls) if call.index == number), None)
        if call is None or not name:
            return call  # a piece without a name begins nothing
        if id and call.id:
            return call if call.id == id else of_id
        if not call.name:
            return call
        return None if call.is_whole or name != call.name else call

    def finish(self) -> list[ToolCall]:
        """Every call with an id and with arguments that are there; one without a name is none."""
        calls = [call for call in sorted(self._calls, key=lambda call: call.index) if call.name]
        return [
            ToolCall(clean(call.id) or f"call_{secrets.token_hex(12)}", clean(call.name), clean(call.text) or "{}")
            for call in calls
        ]


def _number(payload: Any) -> int | None:
    if isinstance(payload, str) and payload.isdecimal() and len(payload) < 9:
        return int(payload)
    return payload if isinstance(payload, int) and not isinstance(payload, bool) else None


def _text(payload: Any) -> str:
    return str(payload) if isinstance(payload, (str, int)) and not isinstance(payload, bool) else ""
