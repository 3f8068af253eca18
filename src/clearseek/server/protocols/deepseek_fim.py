"""`POST /beta/completions`: plain and fill-in-the-middle completion, both ways. Pure."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import Field, ValidationError

from clearseek.inference.engine import Delta, Event, Finished, Request, Thinking, TokenLogprob
from clearseek.server.errors import ApiError, error_body, invalid_parameters
from clearseek.server.protocols.deepseek import (
    Body,
    Call,
    Penalty,
    Seed,
    StreamOptions,
    Temperature,
    Tokens,
    TopP,
    sampling,
    stops,
    wants_usage,
)
from clearseek.server.protocols.deepseek_answer import DONE, Stamp, extension, finish_reason, usage_json


class TextBody(Body):
    model: str | None = None
    prompt: str | list[str]
    suffix: str | None = None
    echo: bool | None = None
    max_tokens: Tokens | None = None
    stop: Any = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


def parse_text(document: Any) -> tuple[Call, str]:
    """A completion from the JSON of its body, and the text to begin the answer with (the prompt, with `echo`)."""
    if not isinstance(document, dict):
        raise ApiError(400, "The body must be a JSON object.")
    try:
        body = TextBody.model_validate(document)
    except ValidationError as error:
        raise invalid_parameters(error.errors(include_url=False, include_input=False)) from None
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise ApiError(422, "`prompt` is wrong: one text at a time.", param="prompt")
    if body.echo and body.suffix:
        raise ApiError(400, "`echo` and `suffix` do not go together.", param="echo")
    request = Request(
        messages=(),
        max_tokens=body.max_tokens,
        thinking=Thinking(enabled=False),
        sampling=sampling(body),
        stop=stops(body.stop),
        logprobs=body.logprobs,
        completion_prompt=prompts[0],
        completion_suffix=body.suffix or None,
    )
    call = Call(body.model, request, bool(body.stream), wants_usage(body.stream, body.stream_options))
    return call, prompts[0] if body.echo else ""


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
        return b"data: " + orjson.dumps(error_body(error)) + b"\n\n"

    def _take_echo(self) -> bytes:
        echo, self._echo = self._echo, ""
        return self._chunk(echo, None, None) if echo else b""

    def _chunk(
        self, text: str, logprobs: dict[str, Any] | None, reason: str | None, ending: dict[str, Any] | None = None
    ) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return b"data: " + orjson.dumps({**_common(self._stamp), "choices": [choice], **(ending or {})}) + b"\n\n"
