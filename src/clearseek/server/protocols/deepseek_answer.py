"""The DeepSeek chat API, outwards: an engine's events become one JSON document, or the chunks of a stream. Pure.

Streams are on the hot path (one chunk per token on the cores that also run the model), so a chunk is a constant head,
one JSON string and a constant tail.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from clearseek.inference.engine import Delta, Event, Finished, Recast, TokenLogprob, ToolCall, Usage
from clearseek.server.errors import ApiError, error_body
from clearseek.server.event_bytes import DONE, event_bytes


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every part of one answer carries. `digest` is the SHA-256 of the weights, where they are held here, and
    `receipt` that of the receipt of the run that made them, where there is one."""

    id: str
    created: int
    model: str
    digest: str | None
    version: str
    receipt: str | None = None
    ignored: tuple[str, ...] = ()
    """Fields of the request that nobody knows here."""

    @property
    def fingerprint(self) -> str:
        return f"clearseek-{self.version}-{(self.digest or 'remote')[:12]}"


def usage_json(usage: Usage) -> dict[str, Any] | None:
    """None where the engine did not count: what is not known is not told as a number."""
    if not usage.counted:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "prompt_cache_hit_tokens": usage.cached_tokens,
        "prompt_cache_miss_tokens": usage.prompt_tokens - usage.cached_tokens,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def extension(stamp: Stamp, finished: Finished) -> dict[str, Any]:
    """The `clearseek` key: seconds by phase, which weights answered, what it took, the fields that were
    not understood, and the budget that cut it."""
    fields: dict[str, Any] = {
        "timings": asdict(finished.timings),
        "model_digest": stamp.digest,
        "receipt_digest": stamp.receipt,
        "spent": None if finished.spent is None else finished.spent.as_json(),
    }
    if stamp.ignored:
        fields["ignored"] = list(stamp.ignored)
    if finished.over is not None:
        fields["budget"] = finished.over
    if finished.note is not None:
        fields["note"] = finished.note
    return fields


def finish_reason(finished: Finished) -> str:
    """The DeepSeek API's word for why an answer ended."""
    words = {
        "budget": "insufficient_system_resource",
        "aborted": "insufficient_system_resource",
        "repeating": "length",  # it is not whole, and clients know that word
    }
    return words.get(finished.reason, finished.reason)


def logprob_json(entry: TokenLogprob) -> dict[str, Any]:
    return {
        **_token(entry.token, entry.logprob, entry.bytes),
        "top_logprobs": [_token(*candidate) for candidate in entry.top],
    }


def _token(token: str, logprob: float, raw: tuple[int, ...]) -> dict[str, Any]:
    # JSON has no infinity; this is the value clients know for "never"
    return {"token": token, "logprob": max(logprob, -9999.0), "bytes": list(raw)}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


@dataclass(slots=True)
class ChatDocument:
    """Gathers events into the one document of an answer that is not streamed."""

    stamp: Stamp
    logprobs: bool
    _thinking: list[str] = field(default_factory=list)
    _answer: list[str] = field(default_factory=list)
    _thinking_logprobs: list[dict[str, Any]] = field(default_factory=list)
    _answer_logprobs: list[dict[str, Any]] = field(default_factory=list)
    _calls: list[dict[str, Any]] = field(default_factory=list)
    _thought: bool = False

    def add(self, event: Event) -> None:
        if isinstance(event, Delta):
            thinking = event.kind == "thinking"
            (self._thinking if thinking else self._answer).append(event.text)
            self._thought |= thinking
            if self.logprobs:
                kept = self._thinking_logprobs if thinking else self._answer_logprobs
                kept.extend(logprob_json(entry) for entry in event.logprobs)
        elif isinstance(event, Recast):
            self._recast(event.shown)
        elif isinstance(event, ToolCall):
            self._calls.append(_tool_call(event))

    def _recast(self, shown: bool) -> None:
        """The answer so far was thinking."""
        text = "".join(self._answer).strip()
        if shown and text:
            self._thinking.append(f"\n{text}" if any(self._thinking) else text)
            self._thinking_logprobs += self._answer_logprobs
            self._thought = True
        self._answer, self._answer_logprobs = [], []

    def document(self, finished: Finished) -> bytes:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._answer),
            "reasoning_content": "".join(self._thinking) if self._thought else None,
        }
        if self._calls:
            message["tool_calls"] = self._calls
        logprobs = None
        if self.logprobs:
            logprobs = {
                "content": self._answer_logprobs,
                "reasoning_content": self._thinking_logprobs if self._thought else None,
            }
        return orjson.dumps(
            {
                "id": self.stamp.id,
                "object": "chat.completion",
                "created": self.stamp.created,
                "model": self.stamp.model,
                "system_fingerprint": self.stamp.fingerprint,
                "choices": [
                    {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish_reason(finished)}
                ],
                "usage": usage_json(finished.usage),
                "clearseek": extension(self.stamp, finished),
            }
        )


class ChatStream:
    """Turns events into the bytes of a stream, one call per event."""

    def __init__(self, stamp: Stamp, *, logprobs: bool, include_usage: bool) -> None:
        self._stamp, self._logprobs = stamp, logprobs
        self._calls = 0
        self._begun = False
        # with include_usage a client expects `usage` on every chunk, null until the last
        self._end = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        common = {
            "id": stamp.id,
            "object": "chat.completion.chunk",
            "created": stamp.created,
            "model": stamp.model,
            "system_fingerprint": stamp.fingerprint,
        }
        self._head = b"data: " + orjson.dumps(common)[:-1] + b',"choices":[{"index":0,"delta":'
        plain = b',"logprobs":null,"finish_reason":null}]' + self._end
        self._thinking = (self._head + b'{"content":null,"reasoning_content":', b"}" + plain)
        self._answer = (self._head + b'{"content":', b',"reasoning_content":null}' + plain)

    def event(self, event: Event) -> bytes:
        """The bytes to send for an event; empty for one that is not told. `Finished` gives the end of the stream."""
        if isinstance(event, Delta):
            if not event.text and not event.logprobs:
                return b""
            opening = b"" if self._begun else self._open(event.kind == "thinking")
            if self._logprobs:
                return opening + self._with_logprobs(event)
            head, tail = self._thinking if event.kind == "thinking" else self._answer
            return opening + head + orjson.dumps(event.text) + tail
        if isinstance(event, ToolCall):
            opening = b"" if self._begun else self._open(False)
            call = {"index": self._calls, **_tool_call(event)}
            self._calls += 1
            return opening + self._chunk({"content": None, "reasoning_content": None, "tool_calls": [call]}, None)
        if isinstance(event, Finished):
            opening = b"" if self._begun else self._open(False)
            return opening + self._last(event) + DONE
        return b""

    def error(self, error: ApiError) -> bytes:
        """A failure in the middle: no `[DONE]` follows it."""
        return event_bytes(error_body(error))

    def _open(self, thinking: bool) -> bytes:
        self._begun = True
        texts = (None, "") if thinking else ("", None)
        return self._chunk({"role": "assistant", "content": texts[0], "reasoning_content": texts[1]}, None)

    def _with_logprobs(self, event: Delta) -> bytes:
        entries = [logprob_json(entry) for entry in event.logprobs]
        if event.kind == "thinking":
            return self._chunk(
                {"content": None, "reasoning_content": event.text}, {"content": None, "reasoning_content": entries}
            )
        return self._chunk(
            {"content": event.text, "reasoning_content": None}, {"content": entries, "reasoning_content": None}
        )

    def _chunk(self, delta: dict[str, Any], logprobs: dict[str, Any] | None) -> bytes:
        tail = b',"logprobs":' + orjson.dumps(logprobs) + b',"finish_reason":null}]' + self._end
        return self._head + orjson.dumps(delta) + tail

    def _last(self, finished: Finished) -> bytes:
        """The chunk that has the finish reason, and with it the usage, asked for or not."""
        ending = {
            "usage": usage_json(finished.usage),
            "clearseek": extension(self._stamp, finished),
        }
        reason = b',"logprobs":null,"finish_reason":' + orjson.dumps(finish_reason(finished)) + b"}],"
        return self._head + b'{"content":"","reasoning_content":null}' + reason + orjson.dumps(ending)[1:] + b"\n\n"
