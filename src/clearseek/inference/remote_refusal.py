"""What a remote engine says when it will not: its reason in whatever shape, what that means, what to ask instead. Pure.

The shapes: OpenAI's `error.message` and `error.param`, `error` as a text, vLLM's `message` at the top, FastAPI's and
Mistral's `detail` with a place and a sentence for each field, Gemini's list, Cloudflare's `errors`, OpenRouter's
`metadata.raw`, MiniMax's `base_resp`, plain text, and the web page of a proxy in between.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from clearseek.inference.errors import (
    BadRequest,
    Busy,
    EngineCrashed,
    EngineError,
    EngineUnavailable,
    UnknownModel,
    UpstreamTimeout,
)

EXTENSIONS = ("thinking", "chat_template_kwargs", "reasoning_effort", "stream_options")
"""What we send beyond what every server knows: left out where it is refused."""
MAX_WAIT = 3600
"""Seconds: whoever tells us to wait longer is not believed."""
_REASONS = ("error", "message", "Message", "detail", "details", "msg", "errors", "status_msg", "description", "title")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.IGNORECASE | re.DOTALL)


def plain(text: str | bytes, length: int = 400) -> str:
    """One line of it, for people: a web page by its title, without control characters, cut to `length` characters."""
    if isinstance(text, bytes):
        text = text[:65536].decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        titled = _TITLE.search(text)
        text = re.sub(r"<[^<>]*>", " ", (titled[1] or titled[2] or "") if titled else text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: length * 8]).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def reason(payload: Any, depth: int = 0) -> str:
    """The sentence in an error of any shape; empty where there is none."""
    if isinstance(payload, str):
        return plain(payload)
    if depth > 6:
        return ""
    if isinstance(payload, list):
        return plain("; ".join(filter(None, (reason(one, depth + 1) for one in payload[:4]))))
    if not isinstance(payload, dict):
        return ""
    match = next((text for key in _REASONS if (text := reason(payload.get(key), depth + 1))), "")
    beneath = payload.get("metadata")
    if isinstance(beneath, dict) and (raw := reason(beneath.get("raw"))):
        match = f"{match}: {raw}" if match else raw
    place = payload.get("param") or payload.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else place
    if isinstance(where, str) and where and where not in match:
        match = f"{plain(where)}: {match}" if match else plain(where)
    return plain(match)


def reason_in(body: bytes) -> str:
    """The reason in the body of an answer with a status that is no success."""
    try:
        return reason(orjson.loads(body))
    except orjson.JSONDecodeError:
        return plain(body)


def seconds_to_wait(headers: Mapping[str, str]) -> int | None:
    """What `Retry-After` asks for: seconds, perhaps with a fraction or a unit, or a date."""
    retry_after = headers.get("Retry-After", "").strip()
    milliseconds = headers.get("retry-after-ms", "").strip()
    if number := re.fullmatch(r"(\d{1,12}(?:\.\d*)?)\s*s?", retry_after):
        wait = float(number[1])
    elif re.fullmatch(r"\d{1,12}(\.\d*)?", milliseconds):
        wait = float(milliseconds) / 1000
    else:
        try:
            wait = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(1, min(math.ceil(wait), MAX_WAIT))


def meaning(status: int, message: str, wait: int | None = None) -> EngineError:
    """What a status that is no success means to whoever asked us. `told` is the engine's reason, `wait` in seconds."""
    why = message or "it gave no reason"
    if status in (401, 403):
        return EngineUnavailable(
            f"The remote engine refused our key ({status}{f': {message}' if message else ''}); "
            "set CLEARSEEK_ENGINE_KEY to one that it takes."
        )
    if status == 402:
        return EngineUnavailable(f"The remote engine wants to be paid first (402): {why}")
    if status == 404:
        if "model" in message.lower():
            return UnknownModel(f"The remote engine has no such model (404): {why}")
        return EngineUnavailable(
            f"The remote engine has nothing at this address (404: {why}); most addresses for --engine-url end in /v1."
        )
    if status in (408, 504):
        return UpstreamTimeout(f"The remote engine took too long ({status}): {why}")
    if status == 429:
        return Busy(f"The remote engine has too many requests: {message or 'try again later'}", wait or 5)
    if 400 <= status < 500:
        return BadRequest(f"The remote engine refused the request ({status}): {why}")
    error = EngineUnavailable(f"The remote engine failed ({status}): {why}")
    if wait is not None:
        error.retry_after = wait
    return error


def failure(payload: dict[str, Any]) -> EngineError | None:
    """The error that a payload of an answer tells; None where it tells none."""
    value = payload.get("error")
    if not value:
        if payload.get("object") == "error" or payload.get("type") == "error":
            value = payload
        elif isinstance(payload.get("base_resp"), dict) and payload["base_resp"].get("status_code"):
            value = payload["base_resp"]
        elif "choices" not in payload and (
            isinstance(payload.get("message"), str) or payload.get("detail") or payload.get("errors")
        ):
            value = payload
        else:
            return None
    why = reason(value) or reason(payload) or "it gave no reason"
    for one in (value, payload):
        if not isinstance(one, dict):
            continue
        for code in (one.get("code"), one.get("status"), one.get("status_code")):
            if isinstance(code, (int, str)) and re.fullmatch("[45][0-9][0-9]", str(code)):
                return meaning(int(code), why)
        if "rate_limit" in f"{one.get('code')} {one.get('type')}":
            return meaning(429, why)
    return EngineCrashed(f"The remote engine failed: {why}")


def mended(body: dict[str, Any], status: int, message: str) -> dict[str, Any] | None:
    """What to ask for instead, after a refusal; None where nothing of ours was in the way.

    Only what people did not ask for is left out or told otherwise: fields beyond OpenAI's, first those that the reason
    names, then all of them; the newer name of `max_tokens`; and the answer whole, where it is not streamed.
    """
    if status not in (400, 404, 415, 422, 500, 501):
        return None
    new = dict(body)
    if "max_tokens" in new and "max_completion_tokens" in message:
        new["max_completion_tokens"] = new.pop("max_tokens")
        return new
    sent = [name for name in EXTENSIONS if name in body]
    named = [name for name in EXTENSIONS if re.search(rf"(?<!\w){name}(?!\w)", message)]
    if named or (not message and status in (400, 422)):
        for name in [name for name in sent if name in named] or sent:
            del new[name]
    elif (
        body.get("stream") and re.search(r"\bstream(ing)?\b", message, re.I) and re.search("not |unsupp", message, re.I)
    ):
        new["stream"] = False
        new.pop("stream_options", None)
    return None if new == body else new
