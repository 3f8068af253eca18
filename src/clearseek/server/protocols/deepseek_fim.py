"""`POST /beta/completions`: plain and fill-in-the-middle completion, both ways. Pure."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import Field

from clearseek.inference.engine import Delta, Event, Finished, Request, Thinking, TokenLogprob
from clearseek.server.errors import ApiError, error_body
from clearseek.server.event_bytes import DONE, event_bytes
from clearseek.server.protocols.deepseek import Call, SamplingBody, limit, sampling, stops, validated, wants_usage
from clearseek.server.protocols.deepseek_answer import Stamp, extension, finish_reason, usage_json
from clearseek.server.protocols.fields import look_over
from clearseek.server.protocols.thinking_switch import thinking_of


class TextBody(SamplingBody):
    prompt: str | list[str]
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None


_FOR_CHAT = """
messages tools tool_choice response_format guided_json json_schema structured_outputs top_logprobs max_completion_tokens
"""
_SWITCHES = "thinking reasoning_effort reasoning think enable_thinking thinking_budget chat_template_kwargs"


def parse_text(document: Any) -> tuple[Call, str]:
    """A completion from the JSON of its body, and the text to begin the answer with (the prompt, with `echo`)."""
    body = validated(TextBody, document)
    for name in _FOR_CHAT.split():
        if document.get(name) is not None:
            raise ApiError(
                400, f"`{name}` is for /chat/completions; this is /completions, which goes on with a text.", "", name
            )
    switches = [name for name in _SWITCHES.split() if document.get(name) is not None]
    if switches and thinking_of(document).enabled:
        raise ApiError(400, f"`{switches[0]}`: /completions goes on with a text and does not think.", param=switches[0])
    ignored = look_over(document, frozenset((*TextBody.model_fields, *_SWITCHES.split())))
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise ApiError(422, "`prompt` is wrong: one text at a time.", param="prompt")
    if body.echo and body.suffix:
        raise ApiError(400, "`echo` and `suffix` do not go together.", param="echo")
    request = Request(
        messages=(),
        max_tokens=limit(document, "max_tokens", "n_predict"),
        thinking=Thinking(enabled=False),
        sampling=sampling(body),
        stop=stops(body.stop),
        logprobs=body.logprobs,
        completion_prompt=prompts[0],
        completion_suffix=body.suffix or None,
    )
    usage = wants_usage(body.stream, body.stream_options)
    return Call(body.model, request, bool(body.stream), usage, ignored), prompts[0] if body.echo else ""


def _common(stamp: Stamp) -> dict[str, Any]:
    return {
        "id": stamp.id,
        "object": "text_completion",
        "created": stamp.created,
        "model": stamp.model,
        "system_fingerprint": stamp.fingerprint,
    }


def _logprobs(entries: list[TokenLogprob], offset: int) -> dict[str, Any]:
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry.token)
    return {
        "tokens": [entry.token for entry in entries],
        "token_logprobs": [max(entry.logprob, -9999.0) for entry in entries],
        "top_logprobs": [{token: max(value, -9999.0) for token, value, _ in entry.top} for entry in entries],
        "text_offset": offsets,
    }


class TextDocument:
    """Gathers events into one document."""

    def __init__(self, stamp: Stamp, *, logprobs: bool, echo: str) -> None:
        self._stamp, self._asked, self._echo = stamp, logprobs, echo
        self._texts = [echo]
        self._entries: list[TokenLogprob] = []

    def add(self, event: Event) -> None:
        if isinstance(event, Delta):
            self._texts.append(event.text)
            self._entries.extend(event.logprobs)

    def document(self, finished: Finished) -> bytes:
        choice = {
            "index": 0,
            "text": "".join(self._texts),
            "logprobs": _logprobs(self._entries, len(self._echo)) if self._asked else None,
            "finish_reason": finish_reason(finished),
        }
        return orjson.dumps(
            {
                **_common(self._stamp),
                "choices": [choice],
                "usage": usage_json(finished.usage),
                "clearseek": extension(self._stamp, finished),
            }
        )


class TextStream:
    """Turns events into the bytes of a stream, one call per event."""

    def __init__(self, stamp: Stamp, *, logprobs: bool, echo: str) -> None:
        self._stamp, self._asked = stamp, logprobs
        self._echo, self._offset = echo, len(echo)

    def event(self, event: Event) -> bytes:
        if isinstance(event, Delta):
            logprobs = _logprobs(list(event.logprobs), self._offset) if self._asked else None
            self._offset += len(event.text)
            return self._take_echo() + self._chunk(event.text, logprobs, None)
        if isinstance(event, Finished):
            ending = {"usage": usage_json(event.usage), "clearseek": extension(self._stamp, event)}
            return self._take_echo() + self._chunk("", None, finish_reason(event), ending) + DONE
        return b""

    def error(self, error: ApiError) -> bytes:
        return event_bytes(error_body(error))

    def _take_echo(self) -> bytes:
        echo, self._echo = self._echo, ""
        return self._chunk(echo, None, None) if echo else b""

    def _chunk(
        self, text: str, logprobs: dict[str, Any] | None, reason: str | None, ending: dict[str, Any] | None = None
    ) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return event_bytes({**_common(self._stamp), "choices": [choice], **(ending or {})})
