"""The switch of thinking, in every way that clients have of saying it. They must agree with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeVar

from clearseek.inference.engine import Effort, Thinking
from clearseek.server.errors import ApiError

EFFORTS: dict[str, Effort] = {
    "minimal": "low",
    "low": "low",
    "medium": "high",
    "high": "high",
    "xhigh": "high",
    "max": "max",
    "ultra": "max",
}
MAX_BUDGET = 10_000_000
_T = TypeVar("_T")
_Vote = tuple[str, _T]


def thinking_of(body: dict[str, Any]) -> Thinking:
    """The switch that a chat body sets. Raises ApiError: 422 for a wrong value, 400 where two of them contradict.

    `thinking` and `reasoning_effort` are DeepSeek's and OpenAI's, `reasoning` is OpenRouter's, `think` Ollama's,
    `enable_thinking` (beside the messages, or in `chat_template_kwargs`) that of Qwen's hosts and of vLLM.
    """
    asked = [(name, value) for name, value in _said(body) if value is not None]
    enabled = _agreed([(name, value) for name, value in asked if isinstance(value, bool)])
    effort = _agreed([(name, EFFORTS[value]) for name, value in asked if isinstance(value, str)])
    budget = _agreed([(name, value) for name, value in asked if type(value) is int])
    on = enabled is not False
    return Thinking(on, effort or "high", budget if on else None)


def _said(body: dict[str, Any]) -> Iterator[tuple[str, bool | str | int | None]]:
    """Each place that says something: whether (a bool), how hard (a text) or how long (a number of tokens)."""
    switch = _parts(body, "thinking", {"type": _type, "budget_tokens": _tokens})
    yield "thinking.type", switch.get("type")
    yield "thinking.budget_tokens", switch.get("budget_tokens")
    yield "reasoning_effort", _effort("reasoning_effort", body.get("reasoning_effort"))
    yield "enable_thinking", _flag("enable_thinking", body.get("enable_thinking"))
    yield "thinking_budget", _tokens("thinking_budget", body.get("thinking_budget"))
    yield "think", _flag_or_effort("think", body.get("think"))
    if isinstance(body.get("think"), str) and body["think"] != "none":
        yield "think", True
    kinds = {"enabled": _flag, "effort": _effort, "max_tokens": _tokens, "exclude": _not_excluded, "summary": _nothing}
    reasoning = _parts(body, "reasoning", kinds)
    for name, value in reasoning.items():
        yield f"reasoning.{name}", value
    kwargs = {"enable_thinking": _flag, "thinking": _flag, "reasoning_effort": _effort, "thinking_budget": _tokens}
    for name, value in _parts(body, "chat_template_kwargs", kwargs).items():
        yield f"chat_template_kwargs.{name}", value


def _agreed(votes: list[tuple[str, _T]]) -> _T | None:
    """What all of them say; None where none does."""
    for (first, one), (second, other) in pairwise(votes):
        if one != other:
            message = f"`{first}` and `{second}` contradict each other; say once how the model should think."
            raise ApiError(400, message, param=second)
    return votes[0][1] if votes else None


def _parts(body: dict[str, Any], name: str, kinds: Mapping[str, Callable[[str, Any], Any]]) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError(422, f"`{name}` is wrong: it is an object of {', '.join(kinds)}.", param=name)
    for part in value:
        if part not in kinds and value[part] is not None:
            message = f"`{name}.{part}` is not understood; `{name}` may have {', '.join(kinds)}."
            raise ApiError(400, message[:400], param=f"{name}.{part}"[:200])
    return {part: kinds[part](f"{name}.{part}", value[part]) for part in value if part in kinds}


def _type(name: str, value: Any) -> bool | None:
    if value is None or value in ("enabled", "disabled"):
        return None if value is None else value == "enabled"
    raise ApiError(422, f"`{name}` is wrong: enabled or disabled.", param=name)


def _flag(name: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ApiError(422, f"`{name}` is wrong: true or false.", param=name)


def _effort(name: str, value: Any) -> bool | str | None:
    if value is None or value == "none":
        return None if value is None else False
    if isinstance(value, str) and value in EFFORTS:
        return value
    raise ApiError(422, f"`{name}` is wrong: one of low, high, max or none, not {str(value)[:40]!r}.", param=name)


def _flag_or_effort(name: str, value: Any) -> bool | str | None:
    return value if isinstance(value, bool) else _effort(name, value)


def _tokens(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= MAX_BUDGET:
        raise ApiError(422, f"`{name}` is wrong: a number of tokens from 1 to {MAX_BUDGET:,}.", param=name)
    return value


def _not_excluded(name: str, value: Any) -> None:
    if value not in (None, False):
        message = (
            f"`{name}` is not done here: the thinking is told apart in `reasoning_content`; disable it to do without."
        )
        raise ApiError(400, message, param=name)


def _nothing(name: str, value: Any) -> None:
    return None
