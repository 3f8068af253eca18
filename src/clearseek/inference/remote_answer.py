"""One answer of a remote engine, put together from payloads of any dialect. Pure.

Understood are the chunks of OpenAI's API as OpenAI, vLLM, SGLang, llama.cpp, Ollama, LM Studio, Gemini, Mistral,
DeepSeek, OpenRouter, Groq, Azure and others send them, and whole answers in place of chunks. What is of no known shape
is passed over; nothing that a server sends raises anything but an EngineError.

An answer that goes round in a circle is over: `reason` is then "repeating", and nothing more need be read.
"""

from __future__ import annotations

import math
from typing import Any

from clearseek.inference.engine import (
    Delta,
    Event,
    Finished,
    FinishReason,
    Kind,
    Recast,
    Request,
    TokenLogprob,
    Usage,
)
from clearseek.inference.errors import EngineCrashed
from clearseek.inference.late_tags import LateTags, Part, speaks_of_tags
from clearseek.inference.remote_calls import Calls
from clearseek.inference.remote_refusal import failure
from clearseek.inference.remote_text import Halves, parts_of, text_of, thinking_of
from clearseek.inference.repetition import CIRCLING, Repetition
from clearseek.inference.thinking import State, ThinkingSplitter

_REASONS: dict[str, FinishReason] = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "token_limit"), "length"),
    "model_context_window_exceeded": "length",
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "recitation", "sensitive"), "content_filter"),
    **dict.fromkeys(("refusal", "blocklist", "prohibited_content", "spii", "guardrail_intervened"), "content_filter"),
    **dict.fromkeys(("insufficient_system_resource", "error", "abort", "aborted", "cancelled"), "aborted"),
    **dict.fromkeys(("canceled", "network_error", "timeout", "repetition_truncation"), "aborted"),
}
"""Words for why an answer ended, in small letters. Any other (`stop`, `eos_token`, `end_turn`) is an end of its own."""
_UNFINISHED = ("", "none", "null", "finish_reason_unspecified")
MAX_COUNT = 1 << 53
CIRCLING_THOUGHT = "Stopped: its thinking was repeating itself."


class RemoteAnswer:
    """Feed payloads to `take`, which gives events; `finish` gives the last ones."""

    def __init__(self, request: Request) -> None:
        self.reason: FinishReason | None = None
        self.note: str | None = None
        """What to tell of how it ended."""
        form = request.json_schema is not None
        begun = str(request.messages[-1].get("content") or "") if request.continue_last else ""
        self._shown = request.thinking.enabled
        self._splitter = ThinkingSplitter()
        self._late = LateTags(begun, literal=speaks_of_tags(request.messages), form=form)
        self._watches: dict[Kind, Repetition] = {
            "thinking": Repetition(request.messages),
            "answer": Repetition(request.messages, code=form),
        }
        self._answer: list[str] = []
        """The answer as told, without what turned out to be thinking; gathered where it must have a form."""
        self._gathers = form
        self._one_call = request.one_call
        self._told = False
        """Whether text was told as answer, and still is."""
        self._thinks = False
        """Whether text was told as thinking."""
        self._hidden = False
        """Whether thinking came that nobody is to see, and no answer yet."""
        self._halves: dict[Kind, Halves] = {"thinking": Halves(), "answer": Halves()}
        self._usage: Usage | None = None
        self._pieces: dict[Kind, int] = {"thinking": 0, "answer": 0}
        self._calls = Calls()
        self._choice: Any = None
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether anything came that is part of an answer."""
        return self._begun or bool(self._calls)

    @property
    def answer(self) -> str:
        """The text of the answer so far; of one that must have no form, nothing."""
        return "".join(self._answer)

    def take(self, payload: dict[str, Any]) -> list[Event]:
        """The events of one payload. Raises the EngineError that it tells, if it tells one."""
        if (error := failure(payload)) is not None:
            raise error
        out: list[Event] = []
        groq = payload.get("x_groq")
        self._count(payload.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None))
        choices = payload.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            number = choice.get("index") or 0
            if self._choice is None:
                self._choice = number
            if number == self._choice:  # one answer was asked for
                out += self._take(choice)
        return out

    def _take(self, choice: dict[str, Any]) -> list[Event]:
        if choice.get("error") and (error := failure(choice)) is not None:
            raise error
        self._count(choice.get("usage"))
        why = choice.get("finish_reason")
        if isinstance(why, str) and why.lower() not in _UNFINISHED:
            self.reason = _REASONS.get(why.lower(), "stop")
        delta = choice.get("delta")
        if not delta:
            delta = {"content": choice["text"]} if choice.get("text") else None
        if not delta and not self.begun:  # at the end of a stream, the whole message says again what was said
            delta = choice.get("message")
        if not isinstance(delta, dict):
            return []
        out: list[Event] = []
        logprobs = _logprobs(choice.get("logprobs"))
        for thinks, text in [(True, thinking_of(delta)), *parts_of(delta.get("content")), *_refused(delta)]:
            if text:
                parts = self._thought(text) if thinks else self._content(text)
                if all(kind == "recast" for kind, _ in parts):  # held back, and generated all the same
                    parts.append(("thinking" if thinks else "answer", ""))
                for kind, piece in parts:
                    if kind == "recast":
                        out.append(Recast(self._shown))
                    else:
                        out.append(Delta(kind, piece, 1, logprobs))
                        logprobs = ()
                self._watch("thinking" if thinks else "answer", text)
        for name in ("tool_calls", "function_call"):
            if delta.get(name):
                self._calls.take(delta[name])
        return out

    def _thought(self, text: str) -> list[Part]:
        """The server splits by itself: what looks like a tag in its content is text from here on."""
        self._begun = True
        self._pieces["thinking"] += 1
        held = [(kind, piece) for kind, piece in self._splitter.finish() if piece.strip()]
        self._splitter = ThinkingSplitter(expect=False)
        parts = self._read(held)
        self._late.literal = True
        text = self._halves["thinking"].feed(text)
        self._thinks = self._thinks or bool(text)
        return [*parts, ("thinking", text)] if text else parts

    def _content(self, text: str) -> list[Part]:
        """The one place where a remote engine's text is split into thinking and answer."""
        self._begun = True
        return self._read(self._splitter.feed(self._halves["answer"].feed(text)), count=True)

    def _read(self, pieces: list[tuple[Kind, str]], *, count: bool = False) -> list[Part]:
        """What to tell of some pieces, of which the answer's are read on. With `count` they are one piece of a kind."""
        inside = self._late.inside
        parts: list[Part] = []
        for kind, text in pieces:
            parts += [(kind, text)] if kind == "thinking" else self._late.feed(text)
        settled = self._settle(parts)
        if count:
            kinds: set[Kind] = set()
            for part, _ in parts:
                if part == "recast":
                    kinds = {"thinking"} if kinds else kinds
                else:
                    kinds.add(part)
            for kind in kinds or {"thinking" if inside else "answer"}:
                self._pieces[kind] += 1
        return settled

    def _settle(self, parts: list[Part]) -> list[Part]:
        """The same, each kind in one piece. What came with the tag that makes it thinking is told as thinking at once:
        there is nothing to take back."""
        out: list[Part] = []
        for kind, text in parts:
            if kind == "recast":
                out = self._rethought(out)
                self._pieces = {"thinking": sum(self._pieces.values()), "answer": 0}
                self._told, self._answer = False, []
            elif kind == "thinking" and not self._shown:
                said = self._told or any(part == "answer" for part, _ in out)
                self._hidden = self._hidden or not said
            elif out and out[-1][0] == kind:
                out[-1] = (kind, out[-1][1] + text)
            else:
                if self._hidden and kind == "answer":
                    out.append(("recast", ""))
                    self._hidden = False
                out.append((kind, text))
        for kind, text in out:
            self._thinks = self._thinks or kind == "thinking"
            if kind == "answer":
                self._told = True
                if self._gathers:
                    self._answer.append(text)
        return out

    def _rethought(self, parts: list[Part]) -> list[Part]:
        """These parts, not told yet, where all of the answer so far was thinking."""
        if not self._shown:
            return [("recast", "")]
        out: list[Part] = [("recast", "")] if self._told else []
        for kind, text in parts:
            apart = kind == "answer" and not self._told and (self._thinks or bool(out))
            out.append((kind, text) if kind == "recast" else ("thinking", f"\n{text}" if apart else text))
        return out

    def _watch(self, kind: Kind, text: str) -> None:
        """Ends an answer that goes round in a circle: each round costs."""
        if self._watches[kind].feed(text) and self.reason is None:
            self.reason = "repeating"
            thinks = kind == "thinking" or self._late.inside or self._splitter.state is State.THINKING
            self.note = CIRCLING_THOUGHT if thinks else CIRCLING

    def _count(self, payload: Any) -> None:
        if isinstance(payload, dict) and (usage := _usage(payload)) is not None:
            self._usage = usage

    def finish(self, *, done: bool = False) -> list[Event]:
        """The last events. `done`: the server said that it is over, if not why.

        Raises EngineCrashed where the answer is not whole.
        """
        if self.reason is None and not (done and self.begun):
            raise EngineCrashed("The remote engine ended the stream without finishing the answer.")
        calls = self._calls.finish()[: 1 if self._one_call else None]
        rest = self._halves["thinking"].finish()
        pieces = self._splitter.feed(self._halves["answer"].finish()) + self._splitter.finish()
        parts = self._read(pieces)
        parts += self._settle(self._late.finish(more=bool(calls)))
        if self._hidden:
            parts.append(("recast", ""))
        out: list[Event] = [Delta("thinking", rest, 0)] if rest else []
        out += [Recast(self._shown) if kind == "recast" else Delta(kind, text, 0) for kind, text in parts]
        out += calls
        reason = self.reason or "stop"
        if calls and reason == "stop":  # clients look there to see whether to call
            reason = "tool_calls"
        elif reason == "tool_calls" and not calls:
            reason = "stop"
        out.append(Finished(reason, self._usage or self._uncounted(), note=self.note))
        return out

    def _uncounted(self) -> Usage:
        thought = self._pieces["thinking"]
        return Usage(completion_tokens=thought + self._pieces["answer"], reasoning_tokens=thought, counted=False)


def _refused(delta: dict[str, Any]) -> list[tuple[bool, str]]:
    """What the model says instead of an answer, where it says it apart."""
    return [(False, text_of(delta.get("refusal")))]


def _usage(payload: dict[str, Any]) -> Usage | None:
    """OpenAI's form, DeepSeek's hits, Moonshot's cached tokens, Anthropic's names; None where nothing is counted."""
    prompt, written = (
        _number(payload, "prompt_tokens", "input_tokens"),
        _number(payload, "completion_tokens", "output_tokens"),
    )
    total = _number(payload, "total_tokens")
    if not prompt and not written:
        return None
    if total > prompt + written:  # Gemini and xAI do not count the thinking as completion
        written = total - prompt
    read = payload.get("prompt_tokens_details") or payload.get("input_tokens_details") or {}
    wrote = payload.get("completion_tokens_details") or payload.get("output_tokens_details") or {}
    cached = (
        _number(payload, "prompt_cache_hit_tokens")
        or _number(read, "cached_tokens")
        or _number(payload, "cached_tokens")
    )
    thought = _number(wrote, "reasoning_tokens") or _number(payload, "reasoning_tokens")
    return Usage(prompt, min(cached, prompt), written, min(thought, written))


def _number(payload: Any, *names: str) -> int:
    """The first of these that is a count; 0 where none is."""
    if isinstance(payload, dict):
        for name in names:
            value = payload.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MAX_COUNT:
                return int(value)
    return 0


def _logprobs(payload: Any) -> tuple[TokenLogprob, ...]:
    if not isinstance(payload, dict):
        return ()
    entries = [one for name in ("reasoning_content", "content") for one in _objects(payload.get(name))]
    return tuple(
        TokenLogprob(*_token(entry), top=tuple(_token(other) for other in _objects(entry.get("top_logprobs"))))
        for entry in entries
    )


def _objects(payload: Any) -> list[dict[str, Any]]:
    return [one for one in payload if isinstance(one, dict)] if isinstance(payload, list) else []


def _token(payload: dict[str, Any]) -> tuple[str, float, tuple[int, ...]]:
    token = Halves().feed(text_of(payload.get("token")))
    value, raw = payload.get("logprob"), payload.get("bytes")
    number = float(value) if isinstance(value, (int, float)) and -MAX_COUNT < value <= 0 else -math.inf
    if not isinstance(raw, list) or not all(isinstance(one, int) and 0 <= one < 256 for one in raw):
        raw = list(token.encode())
    return token, number, tuple(raw)
