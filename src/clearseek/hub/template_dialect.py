"""What a chat template wants its messages to look like, found by trying it.

Templates agree on `role` and `content` and on little else. Some write a tool call's arguments themselves and want the
object, some print them and want JSON text; some walk through typed parts, and a plain string then vanishes without a
word; some refuse two turns of one role. None of them says so, so each is asked with marked messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearseek.hub.errors import BadTemplate, TemplateTooLong

Message = dict[str, Any]
Run = Callable[[list[Message]], str]
"""Renders messages for a generation; raises BadTemplate."""

MARK = "probe7f3"
_USER = {"role": "user", "content": "q"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """`argument_objects`: a tool call's arguments are wanted as an object, not as JSON text. `parts_of`: the roles
    whose content is wanted as a list of typed parts."""

    argument_objects: bool = False
    parts_of: frozenset[str] = frozenset()

    def say(self, messages: Sequence[Mapping[str, Any]]) -> list[Message]:
        """The messages in this dialect. Raises BadTemplate for arguments that are wanted as an object and are none."""
        return [self._say(message) for message in messages]

    def _say(self, message: Mapping[str, Any]) -> Message:
        copied = {**message, "content": message.get("content") or ""}
        if copied.get("role") in self.parts_of and isinstance(copied["content"], str):
            copied["content"] = [{"type": "text", "text": copied["content"]}] if copied["content"] else []
        calls = copied.get("tool_calls")
        if self.argument_objects and isinstance(calls, list | tuple):
            copied["tool_calls"] = [_with_object(call) for call in calls]
        return copied


def dialect_of(run: Run) -> Dialect:
    """What the template that `run` renders with wants."""
    parts: frozenset[str] = frozenset()
    for role, before in (("user", []), ("system", []), ("assistant", [_USER]), ("tool", [_USER, _calling("{}")])):
        asked = {"role": role, "content": MARK}
        after = [_USER] if role == "system" else []
        plain, typed = Dialect(parts_of=parts - {role}), Dialect(parts_of=parts | {role})
        if MARK not in _try(run, plain.say([*before, asked, *after])) and MARK in _try(
            run, typed.say([*before, asked, *after])
        ):
            parts |= {role}
    return Dialect(_wants_objects(run, Dialect(parts_of=parts)), parts)


def _wants_objects(run: Run, dialect: Dialect) -> bool:
    """A template that was handed text and writes it as JSON writes it in quotes; one that was handed an object and
    prints it writes Python."""
    value = {MARK: "value7f3"}
    as_object = _try(run, dialect.say([_USER, _calling(value)]))
    as_text = _try(run, dialect.say([_USER, _calling(json.dumps(value))]))
    if "value7f3" not in as_object or f"'{MARK}'" in as_object:
        return False
    return "value7f3" not in as_text or f'\\"{MARK}' in as_text


def _calling(arguments: Any) -> Message:
    function = {"name": "look", "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]}


def _try(run: Run, messages: list[Message]) -> str:
    try:
        return run(messages)
    except TemplateTooLong:
        raise
    except BadTemplate:
        return ""


def _with_object(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    text = function["arguments"]
    try:
        arguments = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        arguments = None
    if arguments is None and text.strip() == "null":
        arguments = {}
    if not isinstance(arguments, dict):
        raise BadTemplate(
            f"The arguments of the call to `{function.get('name')}` are no JSON object, and this model's chat "
            f"template can only show an object: {text[:80]}"
        )
    return {**call, "function": {**function, "arguments": arguments}}


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """System text in front of the first user message, for templates that have no system turn."""
    system, rest = _apart(messages)
    if not system:
        return rest
    for index, message in enumerate(rest):
        if message.get("role") == "user":
            rest[index] = {**message, "content": "\n\n".join([*system, message.get("content") or ""])}
            return rest
    return [{"role": "user", "content": "\n\n".join(system)}, *rest]


def alternating(messages: Sequence[Message]) -> list[Message]:
    """The same conversation for a template that refuses it as it is: one system message, first; neighbouring turns of
    one role joined by a blank line; and an empty question before a greeting, where the assistant begins."""
    system, rest = _apart(messages)
    turns: list[Message] = []
    for message in rest:
        last = turns[-1] if turns else None
        if last is not None and last["role"] == message["role"] and _is_text(last) and _is_text(message):
            both = [text for text in (last.get("content"), message.get("content")) if text]
            turns[-1] = {**last, **message, "content": "\n\n".join(both)}
            continue
        turns.append(message)
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": ""})
    return [{"role": "system", "content": "\n\n".join(system)}, *turns] if system else turns


def _is_text(message: Message) -> bool:
    """Whether it is a turn of a person or of the model that holds words alone."""
    plain = isinstance(message.get("content") or "", str) and not message.get("tool_calls")
    return plain and message.get("role") in ("user", "assistant")


def _apart(messages: Sequence[Message]) -> tuple[list[str], list[Message]]:
    """The texts of the system messages, and the other messages."""
    system = [message["content"] for message in messages if message.get("role") == "system" and message.get("content")]
    return system, [message for message in messages if message.get("role") != "system"]
