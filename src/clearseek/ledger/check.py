"""Whether a book is what was booked: every hash, every link, every count, from its bytes alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from clearseek.errors import UserError
from clearseek.ledger.canonical import canonical
from clearseek.ledger.entry import FIRST_PREV, NotAnEntry, hash_of, read_entry
from clearseek.ledger.lines import lines
from clearseek.ledger.lock import locked


@dataclass(frozen=True, slots=True)
class BookCheck:
    """What `check` found in a whole book.

    `entries` counts its whole lines; `head` is the hash that the last of them holds (64 zeros where there is none).
    `state` is "torn" where only the last line is incomplete; "broken" where a line is not what was booked, and then
    `line` (from 1), `seq` (from 0) and `problem` say which and how, for the first one; `wrong` counts them all.
    `healed` counts the torn lines that were cut off in the past.
    """

    entries: int
    head: str
    state: Literal["intact", "torn", "broken"]
    healed: int = 0
    problem: str | None = None
    line: int | None = None
    seq: int | None = None
    wrong: int = 0


def check(path: Path) -> BookCheck:
    """Read the whole book and recompute every hash. Raises UserError where there is no such file.

    That an intact book is complete it cannot tell: lines taken off its end leave it intact. Compare `head` with one
    that was kept elsewhere.
    """
    seq, prev, head, healed, entries, wrong = 0, {FIRST_PREV}, FIRST_PREV, 0, 0, 0
    first: tuple[str, int, int] | None = None
    torn: tuple[str, int, int] | None = None
    for number, line in _settled(path):
        if not line.endswith(b"\n"):
            torn = f"the last line is cut short after {len(line)} bytes", number, seq
            break
        entries += 1
        entry, problem = None, None
        try:
            entry = read_entry(line)
            problem = _problem(line, entry.hash)
        except NotAnEntry as error:
            problem = f"it is no entry: {error}"
        if entry is not None and problem is None:
            if entry.seq != seq:
                problem = f"it is entry {entry.seq} where entry {seq} belongs: lines were taken out, put in or moved"
            elif prev and entry.prev not in prev:
                problem = "it does not hold the hash of the line before: that line was changed, or another put there"
        if problem is not None:
            wrong += 1
            first = first or (problem, number, seq)
        healed += entry is not None and entry.kind == "healed"
        head = entry.hash if entry is not None else hashlib.sha256(line).hexdigest()
        # after a line that is wrong, what follows may rest on what it was (which only its own hash still says), or on
        # what it has become: it has been named already
        prev = {head} if problem is None else {head, hashlib.sha256(line).hexdigest()} if entry is not None else set()
        seq = (entry.seq if entry is not None else seq) + 1
    said = first or torn
    problem, at, at_seq = said if said is not None else (None, None, None)
    state: Literal["intact", "torn", "broken"] = "broken" if first else "torn" if torn else "intact"
    return BookCheck(entries, head, state, healed, problem, at, at_seq, wrong)


def _problem(line: bytes, claimed: str) -> str | None:
    if hash_of(line) != claimed:
        return "its bytes do not give the hash that it holds: it was changed"
    if canonical(orjson.loads(line)) != line[:-1]:
        return "it is not canonical JSON (RFC 8785)"
    return None


def _settled(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of the book. One that seems torn is read again under the lock: it may be just being written."""
    try:
        for number, offset, line in lines(path):
            if line.endswith(b"\n"):
                yield number, line
                continue
            try:
                with path.open("rb") as file, locked(file.fileno(), path):
                    rest = list(lines(path, offset, number))
            except (OSError, UserError):  # somebody else's file, on a disk that has no locks for us
                rest = [(number, offset, line)]
            for late_number, _, late in rest:
                yield late_number, late
            return
    except FileNotFoundError:
        raise UserError(f"There is no ledger at {path} yet.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
