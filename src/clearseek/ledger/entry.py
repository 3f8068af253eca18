"""One line of the book: what was spent, when, on what; and the hash that ties it to the line before.

On disk an entry is one canonical JSON object (RFC 8785) with the keys `at`, `hash`, `kind`, `labels`, `prev`,
`quantities`, `seq` and `v`. `hash` is the SHA-256 of the same object without `hash`. Canonical JSON sorts its keys and
`at` has a fixed length, so `hash` always stands at the same place in the line: it can be cut out of the very bytes,
and a change of any byte, even of one that JSON would ignore, shows.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from clearseek.errors import UsageError
from clearseek.ledger.canonical import canonical
from clearseek.ledger.quantity import Quantity

VERSION = 1
FIRST_PREV = "0" * 64
MAX_LINE = 64 * 1024
"""Bytes of one line with its newline. A longer one is refused when written, and is no entry when read."""

UNITS = {
    "wall": "s",
    "cpu": "s",
    "gpu": "s",
    "energy": "J",
    "prompt_tokens": "token",
    "cached_tokens": "token",
    "completion_tokens": "token",
    "reasoning_tokens": "token",
    "flops": "FLOP",
    "bytes": "B",
    "money": "USD",
}
"""Every quantity that an entry may hold, and the unit it is booked in."""

_LONGEST_REASON = 200
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEX = re.compile(r"[0-9a-f]{64}")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_HASH_STARTS = len('{"at":"2025-01-20T12:00:00.000000Z",')
_HASH_ENDS = _HASH_STARTS + len('"hash":"",') + 64


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be booked. `at` is Unix time in seconds; None is the moment of booking.

    Any label is allowed; `model`, `model_sha256`, `conversation`, `owner`, `source`, `run`, `stage`, `step`, `parent`
    mean the same everywhere. Quantities have the names and units of UNITS.
    """

    kind: str
    at: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    quantities: dict[str, Quantity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """What was booked. `seq` counts from 0 and is one less than the number of its line in the file.

    `at` is ISO 8601 in UTC with microseconds. `prev` and `hash` are SHA-256 in lower-case hex.
    """

    seq: int
    at: str
    kind: str
    labels: dict[str, str]
    quantities: dict[str, Quantity]
    prev: str
    hash: str

    def as_json(self) -> dict[str, Any]:
        """Plain data, as on disk."""
        return {**_body(self), "hash": self.hash}


class NotAnEntry(UsageError):
    """A line that is no entry; the message says what is wrong with it, in a few words without a full stop."""

    def __init__(self, why: str) -> None:
        # it may quote the line, which may hold anything and much of it
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in why[:_LONGEST_REASON]))


def write_entry(draft: Draft, seq: int, prev: str) -> tuple[Entry, bytes]:
    """The draft as entry `seq` after the one with the hash `prev`, and its line, newline included.

    Raises UsageError, in one sentence, for a draft that cannot be booked: a name that is none, a quantity that does
    not exist or is in another unit, or a line of more than MAX_LINE bytes.
    """
    _check(draft)
    at = iso(time.time() if draft.at is None else draft.at)
    unhashed = Entry(seq, at, draft.kind, dict(draft.labels), dict(draft.quantities), prev, "")
    body = canonical(_body(unhashed))
    digest = hashlib.sha256(body).hexdigest()
    line = b"".join((body[:_HASH_STARTS], b'"hash":"', digest.encode(), b'",', body[_HASH_STARTS:], b"\n"))
    if len(line) > MAX_LINE:
        raise UsageError(f"A ledger entry may have {MAX_LINE:,} bytes; this one, of kind {draft.kind}, has more.")
    return Entry(seq, at, draft.kind, unhashed.labels, unhashed.quantities, prev, digest), line


def read_entry(line: bytes) -> Entry:
    """The entry in a line (with or without its newline). Its hash is not recomputed: see `hash_of`.

    Raises NotAnEntry, saying why.
    """
    line = line.removesuffix(b"\n")
    try:
        if len(line) > MAX_LINE:
            raise NotAnEntry(f"it has more than {MAX_LINE:,} bytes")
        json = orjson.loads(line)
        if not isinstance(json, dict) or set(json) != _KEYS:
            raise NotAnEntry(f"it does not have exactly the keys {', '.join(sorted(_KEYS))}")
        if json["v"] != VERSION or isinstance(json["v"], bool):
            raise NotAnEntry(f"it is of version {json['v']!r}, and this ClearSeek knows version {VERSION}")
        seq, labels, quantities = json["seq"], json["labels"], json["quantities"]
        if isinstance(seq, bool) or not isinstance(seq, int) or seq < 0:
            raise NotAnEntry("`seq` is not a count")
        if not isinstance(json["at"], str) or not _AT.fullmatch(json["at"]):
            raise NotAnEntry("`at` is not a time in UTC with microseconds")
        if not all(isinstance(json[name], str) and _HEX.fullmatch(json[name]) for name in ("prev", "hash")):
            raise NotAnEntry("`prev` or `hash` is not a SHA-256 in hexadecimal")
        if not isinstance(json["kind"], str) or not isinstance(labels, dict) or not isinstance(quantities, dict):
            raise NotAnEntry("`kind`, `labels` or `quantities` has the wrong form")
        if not all(isinstance(value, str) for value in labels.values()):
            raise NotAnEntry("a label is not text")
        read = {name: Quantity.from_json(part) for name, part in quantities.items()}
    except orjson.JSONDecodeError as error:
        raise NotAnEntry(f"it is not JSON ({error})") from None
    except NotAnEntry:
        raise
    except UsageError as error:
        raise NotAnEntry(str(error).rstrip(".")) from None
    return Entry(seq, json["at"], json["kind"], labels, read, json["prev"], json["hash"])


def hash_of(line: bytes) -> str:
    """What the entry's hash must be, from the bytes of its line (with or without its newline).

    Raises NotAnEntry where the line has no hash in its place.
    """
    line = line.removesuffix(b"\n")
    mark = line[_HASH_STARTS:_HASH_ENDS]
    if not (mark.startswith(b'"hash":"') and mark.endswith(b'",')):
        raise NotAnEntry("it has no hash where a canonical entry has it")
    return hashlib.sha256(line[:_HASH_STARTS] + line[_HASH_ENDS:]).hexdigest()


def iso(at: float) -> str:
    """Unix time in seconds as ISO 8601 in UTC, with microseconds. Raises UsageError before 1970 and after 9999."""
    if not 0 <= at < 253_402_300_799:
        raise UsageError(f"{at!r} is not a time, in seconds since 1970.")
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def unix(at: str) -> float:
    """What `iso` was given, to the microsecond."""
    return datetime.fromisoformat(at).timestamp()


_KEYS = {"v", "seq", "at", "kind", "labels", "quantities", "prev", "hash"}


def _body(entry: Entry) -> dict[str, Any]:
    return {
        "v": VERSION,
        "seq": entry.seq,
        "at": entry.at,
        "kind": entry.kind,
        "labels": entry.labels,
        "quantities": {name: quantity.as_json() for name, quantity in entry.quantities.items()},
        "prev": entry.prev,
    }


def _check(draft: Draft) -> None:
    if not _NAME.fullmatch(draft.kind):
        raise UsageError(f"`{draft.kind}` is not a kind of entry: a word of a-z, 0-9 and _ is.")
    for name, value in draft.labels.items():
        if not _NAME.fullmatch(name) or not isinstance(value, str):
            raise UsageError(f"The label `{name}` of a ledger entry must be a word, and its value text.")
    for name, quantity in draft.quantities.items():
        if name not in UNITS:
            raise UsageError(f"A ledger entry has no quantity `{name}`; there are {', '.join(UNITS)}.")
        if quantity.unit != UNITS[name]:
            raise UsageError(f"`{name}` is booked in {UNITS[name]}, not in {quantity.unit or 'plain numbers'}.")
