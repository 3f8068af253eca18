"""Puts entries into the ledger from a thread of its own, so that no answer ever waits for a disk.

What comes while one writing is under way is written together in the next. An entry is told as booked as soon as it is
written; it survives the end of this process from then on, and a power cut a moment later, when the thread has synced
the file. Where the ledger cannot be written (a full disk), drafts wait here and are tried again, and `problem` says so.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from clearseek.errors import UsageError, UserError
from clearseek.ledger.book import Book
from clearseek.ledger.entry import Draft, Entry

log = logging.getLogger("clearseek.ledger")

TRY_AGAIN = 5.0
"""Seconds until the next try after a writing failed."""
MAX_WAITING = 10_000
"""Drafts kept while the ledger cannot be written; one more is lost, and counted."""

_Waiting = tuple[Draft, "Future[Entry]"]


class BookWriter:
    """The one writer of a book in this process. `put` may be called from any thread and never waits."""

    def __init__(self, book: Book, written: Callable[[Sequence[Entry]], None] = lambda entries: None) -> None:
        """`written` is called in the writer's thread with what was written, before anybody is told of it."""
        self.problem: str | None = None
        """Why the ledger is not being written, in a sentence; None while it is."""
        self.booked = 0
        self.lost = 0
        self._book, self._written = book, written
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._news = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Drafts that are not written yet."""
        return len(self._waiting)

    def put(self, draft: Draft) -> Future[Entry]:
        """The entry, once it is written. Cancelled where the draft could not be kept or the writer closed before."""
        future: Future[Entry] = Future()
        with self._news:
            if self._closing or len(self._waiting) >= MAX_WAITING:
                self.lost += 1
                future.cancel()
                return future
            self._waiting.append((draft, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ledger-write", daemon=True)
                self._thread.start()
            self._news.notify()
        return future

    def close(self) -> None:
        """Write what waits (one last try, if it failed before) and end the thread."""
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()
        while self._waiting:
            self.lost += 1
            self._waiting.popleft()[1].cancel()
        if self.lost:
            log.error("%d answers could not be booked: %s", self.lost, self.problem)
        self._book.close()

    def _run(self) -> None:
        while True:
            with self._news:
                if self._waiting and self.problem and not self._closing:
                    self._news.wait_for(lambda: self._closing, TRY_AGAIN)
                else:
                    self._news.wait_for(lambda: self._closing or bool(self._waiting))
                last, batch = self._closing, list(self._waiting)
            if batch and not self._write(batch) and last:
                return
            if last and not self._waiting:
                return

    def _write(self, batch: list[_Waiting]) -> bool:
        """Whether the batch is out of the way, booked or refused for good."""
        try:
            entries = self._book.append(*(draft for draft, _ in batch), sync=False)
        except UsageError as error:
            if len(batch) > 1:  # one of them is no entry: it must not keep the others out
                return all(self._write([one]) for one in batch)  # in turn, up to the first that the disk refuses
            log.error("an answer cannot be booked: %s", error)
            self._drop(batch)
            self.lost += 1
            batch[0][1].cancel()
            return True
        except UserError as error:
            if self.problem is None:
                log.error("the ledger cannot be written; answers go on, and are booked when it can be: %s", error)
            self.problem = str(error)
            return False
        if self.problem is not None:
            log.warning("the ledger is written again")
        self.problem = None
        self.booked += len(entries)
        self._drop(batch)
        try:
            self._written(entries)
        except Exception:
            log.exception("what was booked could not be counted")
        for (_, future), entry in zip(batch, entries[-len(batch) :], strict=True):
            future.set_result(entry)
        self._sync()
        return True

    def _drop(self, batch: list[_Waiting]) -> None:
        with self._news:
            for _ in batch:
                self._waiting.popleft()

    def _sync(self) -> None:
        # any descriptor of the file will do: what is synced is the file
        with contextlib.suppress(OSError):
            fd = os.open(self._book.path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
