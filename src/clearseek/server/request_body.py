"""What a body must be before anything parses it: JSON by its own word, not compressed, not too deep or too much."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from clearseek.server.errors import ApiError
from clearseek.server.origins import is_browser

MAX_DEPTH = 64
MAX_JSON_PARTS = 500_000
"""Brackets, strings and commas in one body: what keeps a small text from becoming gigabytes of objects."""

# possessive, and a quote that opens no string is a match of its own: linear on any input
_JSON_PARTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},"]', re.DOTALL)
_OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed"),
)


def check_json_shape(body: bytes) -> None:
    """Raise ApiError (400) for JSON nested deeper than 64 or of more than 500,000 parts, before anything parses it."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH and len(body) <= MAX_JSON_PARTS:
        return
    depth = 0
    for parts, match in enumerate(_JSON_PARTS.finditer(body)):
        first = body[match.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ApiError(400, f"The JSON is nested deeper than {MAX_DEPTH} levels; flatten it.")
        elif first in b"]}":
            depth -= 1
        elif first == 0x22 and match.end() - match.start() == 1:
            raise ApiError(400, "The body is not valid JSON: a string in it never ends.")
        if parts > MAX_JSON_PARTS:
            raise ApiError(400, f"The JSON has more than {MAX_JSON_PARTS:,} values; send fewer.")


def check_encoding(headers: Mapping[bytes, Sequence[bytes]]) -> None:
    """Raise ApiError (415) for a body that says it is compressed."""
    for value in headers.get(b"content-encoding", ()):
        named = value.decode("latin-1").strip()
        if named.lower() not in ("", "identity"):
            raise ApiError(
                415, f"The body is compressed ({named[:40]}), which is not read here; send it as plain JSON."
            )


def check_kind(body: bytes, headers: Mapping[bytes, Sequence[bytes]]) -> None:
    """Raise ApiError (415) for a body that is not JSON by its own word, or that plainly is something else.

    `application/json` is what a page of another site cannot send without asking first, so a browser must say it. Other
    programs may leave the type out, or leave it as `curl -d` sets it.
    """
    if not body:
        return
    given = [value.decode("latin-1").split(";", 1)[0].strip().lower() for value in headers.get(b"content-type", ())]
    unnamed = not is_browser(headers) and given in ([], ["application/x-www-form-urlencoded"])
    if given != ["application/json"] and not unnamed:
        named = f"`{given[0][:80]}`" if given and given[0] else "of no type"
        raise ApiError(415, f"The body is {named}; send JSON, with `Content-Type: application/json`.")
    for magic, words in _OTHER_KINDS:
        if body.startswith(magic):
            raise ApiError(415, f"The body is {words}, not JSON; unpack it first and send the JSON in it.")
