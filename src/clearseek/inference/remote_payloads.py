"""What a remote engine sends, cut into JSON payloads, however it is cut into pieces on the way. Pure and bounded.

An event stream by the WHATWG rules (any line ends, BOM, comments, several `data:` lines), and what servers send in its
place: events without blank lines between them, one JSON document, JSON lines, a web page. A parser of our own, because
the libraries for it (`httpx-sse`, `aiohttp-sse-client`) bring another HTTP client or reconnect by themselves, keep
without bound what never ends, and know the rules only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from clearseek.inference.errors import EngineError, EngineUnavailable
from clearseek.inference.remote_refusal import plain

MAX_EVENT = 8 * 1024 * 1024
"""Bytes of one event, or of one document in place of a stream."""
LENIENT = 1024 * 1024
"""Up to so many bytes, JSON that is not quite JSON is read by the slower parser of the standard library."""
LINE = 64
"""Bytes that a line takes beside what is in it."""
BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"


class Payloads:
    """Feed bytes, get JSON objects. `done` once `[DONE]` came; call `finish` where the bytes end before it.

    An event named `error` is given as `{"error": ...}`. Raises EngineError for what is no JSON or too long, and
    EngineUnavailable for a web page.
    """

    def __init__(self) -> None:
        self.done = False
        self.stray = ""
        """The first line that was nothing of an event stream: where nothing else came, it may say why."""
        self._kind: str | None = None
        self._head = b""
        self._parts: list[bytes] = []  # of the line, or the document, that is not over yet
        self._size = 0
        self._after_cr = False
        self._data: list[bytes] = []  # of the event that is not over yet
        self._data_size = 0
        self._event = b""

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """To be read to its end, or until `done`. What comes before something bad is given before that is told."""
        if self._kind is None:
            chunk = self._head + chunk
            self._head = chunk if BOM.startswith(chunk) else b""
            chunk = b"" if self._head else chunk.removeprefix(BOM).lstrip(SPACE)
            if not chunk:
                return
            self._kind = {b"{": "document", b"[": "document", b"<": "page"}.get(chunk[:1], "events")
        if self._kind == "events":
            yield from self._lines(chunk)
        else:
            self._keep(chunk)

    def finish(self) -> list[dict[str, Any]]:
        """The bytes are over. An event that was cut short is dropped, as the rules say."""
        text = b"".join(self._parts)
        self._parts = []
        if self._kind == "page":
            raise EngineUnavailable(
                f"The remote engine answered with a web page ({plain(text)}): see whether --engine-url is right."
            )
        if self._kind == "document":
            return self._document(text)
        out = self._line(text) if text else []
        try:
            return out + self._dispatch()
        except EngineError:
            return out

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size + self._data_size > MAX_EVENT:
            raise _too_long()
        self._parts.append(part)

    def _document(self, text: bytes) -> list[dict[str, Any]]:
        try:
            return self._objects(loads(text))
        except ValueError:
            pass
        out: list[dict[str, Any]] = []
        for line in text.splitlines():  # JSON lines
            if line.strip():
                try:
                    out += self._objects(loads(line))
                except ValueError:
                    raise _not_json(text) from None
        return out

    def _lines(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return
        self._after_cr = chunk.endswith(b"\r")
        for piece in chunk.splitlines(keepends=True):
            line = piece.rstrip(b"\r\n")
            self._keep(line)
            if len(line) == len(piece):
                break  # the last one goes on in the next chunk
            whole = b"".join(self._parts)
            self._parts, self._size = [], 0
            yield from self._line(whole)
            if self.done:
                break

    def _line(self, line: bytes) -> list[dict[str, Any]]:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if name == b"event":
            self._event = value.strip()
        elif name == b"data":
            if not self._data:  # most events are one line; and some servers leave out the blank line after it
                try:
                    return self._objects(self._loads(value))
                except ValueError:
                    pass
            self._data.append(value.removeprefix(b" "))
            self._data_size += len(value) + LINE
        elif name not in (b"", b"id", b"retry") and not self.stray:
            self.stray = plain(line)
        return []

    def _dispatch(self) -> list[dict[str, Any]]:
        """What a blank line ends."""
        data, self._data, self._data_size = self._data, [], 0
        text = b"\n".join(data)
        try:
            if text.strip():
                return self._objects(self._loads(text))
        except ValueError:
            if self._event == b"error":
                return [{"error": plain(text)}]
            try:
                return [one for line in data for one in self._objects(self._loads(line))]
            except ValueError:
                raise _not_json(text) from None
        finally:
            self._event = b""
        return []

    def _loads(self, text: bytes) -> Any:
        return "[DONE]" if text.strip() == b"[DONE]" else loads(text)

    def _objects(self, payload: Any) -> list[dict[str, Any]]:
        if payload == "[DONE]":
            self.done = True
            return []
        objects = [one for one in (payload if isinstance(payload, list) else [payload]) if isinstance(one, dict)]
        if self._event == b"error":
            self._event = b""
            return [one if one.get("error") else {"error": one} for one in objects] or [{"error": plain(str(payload))}]
        return objects


def loads(text: bytes) -> Any:
    """JSON as servers write it: also NaN, half a character, and bytes that are no UTF-8. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if len(text) > LENIENT:
            raise
    try:
        return json.loads(text.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _not_json(text: bytes) -> EngineError:
    return EngineError(f"The remote engine sent something that is not JSON: {plain(text, 80)}")


def _too_long() -> EngineError:
    return EngineError(f"The remote engine sent a line of more than {MAX_EVENT >> 20} MB.")
