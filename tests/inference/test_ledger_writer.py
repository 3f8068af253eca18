"""The writer's thread: batches, a full disk, drafts that are none, the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from clearseek.errors import UserError
from clearseek.inference import ledger_writer
from clearseek.inference.ledger_writer import BookWriter
from clearseek.ledger.book import Book, check
from clearseek.ledger.entry import Draft, Entry
from clearseek.ledger.quantity import measured


def draft(n: int = 0, kind: str = "answer") -> Draft:
    return Draft(kind, None, {"run": str(n)}, {"completion_tokens": measured(n, "token")})


class Full(Book):
    """A book whose disk is full whenever a test says so."""

    full = False
    batches: list[int]

    def append(self, *drafts: Draft, sync: bool = True) -> list[Entry]:
        if self.full:
            raise UserError("Nothing was booked: no space left on device.")
        self.batches = [*getattr(self, "batches", []), len(drafts)]
        return super().append(*drafts, sync=sync)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_put_is_booked_in_order_and_told(tmp_path: Path) -> None:
    seen: list[Entry] = []
    writer = BookWriter(Book(tmp_path / "l.jsonl"), lambda entries: seen.extend(entries))
    futures = [writer.put(draft(n)) for n in range(50)]
    entries = [future.result(5) for future in futures]
    assert [entry.labels["run"] for entry in entries] == [str(n) for n in range(50)]
    assert seen == entries, "whoever counts was told before the asker"
    writer.close()
    assert check(tmp_path / "l.jsonl").entries == 50 == writer.booked


def test_several_threads_share_one_writing(tmp_path: Path) -> None:
    book = Full(tmp_path / "l.jsonl")
    slow = threading.Event()

    def written(entries: Sequence[Entry]) -> None:
        slow.wait(0.05)

    writer = BookWriter(book, written)
    threads = [threading.Thread(target=lambda: [writer.put(draft(n)) for n in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sum(book.batches) == 80
    assert len(book.batches) < 40, "what came meanwhile was written together"
    assert check(book.path).state == "intact"


def test_a_full_disk_loses_nothing_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_writer, "TRY_AGAIN", 0.02)
    book = Full(tmp_path / "l.jsonl")
    writer = BookWriter(book)
    book.full = True
    futures = [writer.put(draft(n)) for n in range(3)]
    until(lambda: writer.problem)
    assert "no space" in (writer.problem or "")
    assert writer.waiting == 3
    book.full = False
    assert [future.result(5).seq for future in futures] == [0, 1, 2]
    until(lambda: writer.problem is None)
    writer.close()
    assert writer.lost == 0


def test_what_cannot_be_kept_is_counted_as_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_writer, "MAX_WAITING", 2)
    book = Full(tmp_path / "l.jsonl")
    book.full = True
    writer = BookWriter(book)
    kept = [writer.put(draft()), writer.put(draft())]
    until(lambda: writer.problem)
    assert writer.put(draft()).cancelled()
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 30, "it tries once more, and does not wait"
    assert all(future.cancelled() for future in kept)
    assert writer.lost == 3
    assert writer.put(draft()).cancelled(), "after the end nothing is booked"


def test_a_draft_that_is_none_keeps_no_other_out(tmp_path: Path) -> None:
    writer = BookWriter(Book(tmp_path / "l.jsonl"))
    with writer._news:  # the thread waits until all three are there
        futures = [writer.put(draft(0)), writer.put(draft(1, kind="No Kind")), writer.put(draft(2))]
    assert futures[0].result(5).seq == 0
    assert futures[2].result(5).seq == 1
    with pytest.raises(CancelledError):
        futures[1].result(5)
    writer.close()
    assert writer.lost == 1


def test_a_book_that_cannot_be_written_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    writer = BookWriter(Book(place / "ledger.jsonl"))
    future = writer.put(draft())
    until(lambda: writer.problem)
    writer.close()
    assert future.cancelled()
