"""Server-sent events as bytes: the one place where they are written."""

from __future__ import annotations

from typing import Any

import orjson

KEEP_ALIVE_COMMENT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
"""How a stream of chat completions ends."""


def event_bytes(data: Any, name: str | None = None, id: int | None = None) -> bytes:
    """`data` as JSON. `name` is its type, `id` what a browser says it had last when it comes back."""
    head = b"" if id is None else b"id: %d\n" % id
    if name is not None:
        head += b"event: %s\n" % name.encode()
    return b"%sdata: %s\n\n" % (head, orjson.dumps(data))
