"""The book: entries on lines of one file, each holding the hash of the one before, only ever added to.

What happens to a damaged book, and why:
- A last line without its newline was being written when its writer died; nobody was told that it was booked. Whoever
  appends next cuts it off, keeps its bytes beside the book (`ledger.jsonl.torn`) and books an entry of kind `healed`.
  If it lacks nothing but the newline, it gets that.
- A whole line that was changed is never mended: that would destroy the evidence. `check` names it.
  Booking goes on after it, because a chat that stops over it helps nobody. If it is the very last line, on which the
  next entry must rest, that next one is of kind `broken`, says so, and is chained to the bytes as they are.
- Whole lines taken off the end leave a book that is intact. Only a hash that was kept elsewhere tells: in a receipt,
  or in the index.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearseek.errors import UserError
from clearseek.ledger.check import BookCheck, check
from clearseek.ledger.entry import FIRST_PREV, MAX_LINE, Draft, Entry, NotAnEntry, hash_of, read_entry, write_entry
from clearseek.ledger.lines import lines
from clearseek.ledger.lock import locked
from clearseek.settings import home

__all__ = ["Book", "BookCheck", "check", "home_book", "lines"]

_CHUNK = 1 << 20
_KEPT_OF_TORN = 1 << 20


def home_book() -> Path:
    """Where this machine's own ledger is."""
    return home() / "ledger.jsonl"


@dataclass(frozen=True, slots=True)
class _End:
    """The end of the file when it was last looked at under the lock, and what the next entry rests on.

    `remarks` are entries that have to be booked before anything else: what was found wrong here. `missing` is what has
    to be written even before them: the newline that a whole last entry lacks.
    """

    size: int
    seq: int
    head: str
    remarks: tuple[Draft, ...] = ()
    missing: bytes = b""


class Book:
    """A ledger file. Several threads and processes may append to it at the same time.

    The first `append` makes the file and its folder; only its owner can read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = threading.Lock()
        self._fd: int | None = None
        self._pid = 0
        self._end: _End | None = None

    def append(self, *drafts: Draft, sync: bool = True) -> list[Entry]:
        """Book the drafts, all or none, and return their entries once they are written.

        With `sync` they are on the disk (fsync); without, they survive the death of this process but not a power cut.
        Of a writer that is killed the first few of its drafts may be there, whole, although it was never told so.
        Raises UsageError for a draft that cannot be booked, UserError where the disk is full or cannot be written.
        """
        with self._threads:
            try:
                with self._held() as fd:
                    return self._append(fd, drafts, sync)
            except OSError as error:
                self._close()
                why = (error.strerror or str(error)).lower()
                raise UserError(f"Nothing was booked in {self.path}: {why}.") from error

    def read(self, start_seq: int = 0) -> Iterator[Entry]:
        """The entries from `start_seq` on, in order, without checking their hashes. A torn last line is left out.

        Raises UserError at a whole line that is no entry, naming it. A book that does not exist yet is empty.
        """
        if not self.path.exists():
            return
        for number, _, line in lines(self.path):
            if number <= start_seq or not line.endswith(b"\n"):
                continue
            try:
                yield read_entry(line)
            except NotAnEntry as wrong:
                raise UserError(f"Line {number} of {self.path} is no entry: {wrong}.") from None

    def close(self) -> None:
        """Give the file back. The next `append` opens it again."""
        with self._threads:
            self._close()

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._end = None, None

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The file, open and locked: the one that has the book's name now, whatever was moved away in the meantime."""
        while True:
            # a child that was forked shares the descriptor, and with it the lock: it needs one of its own
            if self._fd is None or self._pid != os.getpid():
                self._close()
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
                self._fd, self._pid = os.open(self.path, flags, 0o600), os.getpid()
            with locked(self._fd, self.path):
                if _is_at(self._fd, self.path):
                    yield self._fd
                    return
            self._close()

    def _append(self, fd: int, drafts: tuple[Draft, ...], sync: bool) -> list[Entry]:
        size = os.fstat(fd).st_size
        end = self._end
        if end is None or end.size != size:
            end = _look_at_end(fd, size, self.path)
        entries, written, seq, head = [], [], end.seq, end.head
        for draft in (*end.remarks, *drafts):
            entry, line = write_entry(draft, seq, head)
            entries.append(entry)
            written.append(line)
            seq, head = seq + 1, entry.hash
        self._end = None  # until all is well
        if end.size < size:
            os.ftruncate(fd, end.size)
        data = end.missing + b"".join(written)
        try:
            _write(fd, data)
            if sync:
                os.fsync(fd)
                if end.size == 0:
                    _sync_folder(self.path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, end.size)
            raise
        self._end = _End(end.size + len(data), seq, head)
        return entries[len(end.remarks) :]


def _look_at_end(fd: int, size: int, path: Path) -> _End:
    """What the next entry rests on. Only the last whole line is read, so that it costs the same in a long book."""
    whole, remarks, missing = size, list[Draft](), b""
    tail = _last_line(fd, size)
    if tail and not tail.endswith(b"\n"):
        if _is_whole(tail):  # an editor that takes the last newline away must not cost an entry
            lost, missing, what = 0, b"\n", "the newline of the last line was missing; nothing was lost"
        else:
            whole = size - _torn_length(fd, size)
            _keep(path, fd, whole, size)
            lost = size - whole
            what = f"the last line had been cut short; its {lost} bytes are kept in {path.name}.torn"
            tail = _last_line(fd, whole)
        remarks.append(Draft("healed", labels={"lost_bytes": str(lost), "what": what}))
    if not tail:
        return _End(whole, 0, FIRST_PREV, tuple(remarks))
    try:
        entry = read_entry(tail)
        if hash_of(tail) != entry.hash:
            raise NotAnEntry("its bytes do not give the hash that it holds")
        return _End(whole, entry.seq + 1, entry.hash, tuple(remarks), missing)
    except NotAnEntry as wrong:
        number = _count_lines(fd, whole)
        what = f"line {number}, on which this entry rests, is not what was booked: {wrong}"
        broken = Draft("broken", labels={"line": str(number), "what": what})
        return _End(whole, number, hashlib.sha256(tail).hexdigest(), (broken, *remarks))


def _is_whole(line: bytes) -> bool:
    try:
        return hash_of(line) == read_entry(line).hash
    except NotAnEntry:
        return False


def _last_line(fd: int, size: int) -> bytes:
    """The last line of the first `size` bytes, with its newline if it has one; at most a little over MAX_LINE bytes."""
    start = max(0, size - MAX_LINE - 2)
    tail = _read(fd, start, size)
    return tail[tail.rfind(b"\n", 0, len(tail) - 1) + 1 :]


def _torn_length(fd: int, size: int) -> int:
    """How many bytes come after the last newline."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        newline = _read(fd, start, end).rfind(b"\n")
        if newline >= 0:
            return size - (start + newline + 1)
        end = start
    return size


def _count_lines(fd: int, size: int) -> int:
    return sum(_read(fd, start, min(start + _CHUNK, size)).count(b"\n") for start in range(0, size, _CHUNK))


def _keep(path: Path, fd: int, start: int, end: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    kept = os.open(path.with_name(f"{path.name}.torn"), flags, 0o600)
    try:
        _write(kept, _read(fd, start, min(end, start + _KEPT_OF_TORN)) + b"\n")
        os.fsync(kept)
    finally:
        os.close(kept)


def _read(fd: int, start: int, end: int) -> bytes:
    os.lseek(fd, start, os.SEEK_SET)  # the descriptor is ours alone while it is locked, and appends whatever its place
    parts = []
    while start < end and (part := os.read(fd, end - start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """So that a power cut does not take the name of a new file away. Windows cannot, and need not."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
