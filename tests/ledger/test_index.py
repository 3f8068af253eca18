"""The index: sums that agree with the book, whatever happens to either."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from booking_samples import sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearseek.errors import UsageError, UserError
from clearseek.ledger.book import Book
from clearseek.ledger.entry import UNITS, Draft
from clearseek.ledger.index import Index, Row
from clearseek.ledger.quantity import Basis, Quantity, measured, total

DAY = 86400.0
NOON = datetime(2026, 3, 10, 12).astimezone().timestamp()


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.jsonl")


@pytest.fixture
def index(book: Book) -> Index:
    return Index(book.path)


def by_key(rows: list[Row]) -> dict[str, Row]:
    return {row.key: row for row in rows}


def test_sums_by_day_and_model(book: Book, index: Index) -> None:
    book.append(*(sample(i, at=NOON + (i // 2) * DAY, model=f"m{i % 2}") for i in range(6)))
    days = index.spend("day")
    assert [row.key for row in days] == ["2026-03-10", "2026-03-11", "2026-03-12"]
    assert [row.totals["wall"].value for row in days] == [1.5 + 2.5, 3.5 + 4.5, 5.5 + 6.5]
    models = by_key(index.spend("model"))
    assert models["m0"].totals["prompt_tokens"].value == 0 + 2 + 4
    assert [row.key for row in index.spend("model")] == ["m1", "m0"]  # the most work first
    [whole] = index.spend(None)
    assert whole.entries == 6
    assert whole.totals["energy"] == Quantity(120, "J", Basis.MODELLED, "sum of 6 entries", 60, 180)
    assert whole.totals["money"].basis is Basis.UNKNOWN
    assert whole.missing["money"] == 4
    assert whole.known["money"].value == pytest.approx(0.002)
    assert "unknown for 4 of 6 entries" in whole.totals["money"].how


def test_since_until_and_where(book: Book, index: Index) -> None:
    book.append(*(sample(i, at=NOON + i * DAY, owner=f"o{i % 2}") for i in range(4)))
    assert [row.entries for row in index.spend(None, since=NOON + DAY, until=NOON + 3 * DAY)] == [2]
    assert by_key(index.spend("owner"))["o1"].entries == 2
    assert index.spend(None, where={"owner": "o0", "kind": "chat"})[0].entries == 2
    assert index.spend("day", since=NOON + 99 * DAY) == []
    with pytest.raises(UsageError, match="day, model"):
        index.spend("colour")
    with pytest.raises(UsageError, match="does not index"):
        index.spend("day", where={"colour = 1; --": "x"})


def test_children_and_remarks_are_not_counted_twice(book: Book, index: Index) -> None:
    book.append(sample(1, kind="step", parent="train"), sample(1, kind="train"))
    with book.path.open("ab") as file:
        file.write(b"torn")
    book.append(sample(1, kind="chat"))
    assert {row.key: row.entries for row in index.spend("kind")} == {"train": 1, "chat": 1}


def test_it_follows_the_book_from_where_it_was(book: Book, index: Index) -> None:
    book.append(sample(0))
    assert index.refresh() == 1
    assert index.refresh() == 0
    book.append(sample(1), sample(2))
    with book.path.open("ab") as file:
        file.write(b'{"at":')  # being written just now
    assert index.refresh() == 2
    book.append(sample(3))
    assert index.refresh() == 2  # the healed one and this
    assert index.spend(None)[0].entries == 4
    assert index.lost() is None


def test_it_is_made_again_when_it_is_gone_foreign_or_spoilt(book: Book, index: Index, tmp_path: Path) -> None:
    book.append(*(sample(i) for i in range(3)))
    assert index.spend(None)[0].entries == 3
    index.path.unlink()
    assert index.spend(None)[0].entries == 3
    index.path.write_bytes(b"SQLite format 3\0 but not really" * 100)
    assert index.spend(None)[0].entries == 3
    with sqlite3.connect(index.path) as db:
        db.execute("DROP TABLE entry")
    assert index.spend(None)[0].entries == 3
    other = Book(tmp_path / "other.jsonl")
    other.append(sample(0))
    assert Index(other.path, index.path).spend(None)[0].entries == 1


def test_entries_that_were_taken_off_the_end_are_missed(book: Book, index: Index) -> None:
    book.append(*(sample(i) for i in range(5)))
    index.refresh()
    lines = book.path.read_bytes().splitlines(keepends=True)
    book.path.write_bytes(b"".join(lines[:3]))
    assert index.spend(None)[0].entries == 3
    said = index.lost()
    assert said is not None
    assert "Entry 4" in said
    book.append(sample(9))
    assert index.lost() == said
    index.path.unlink()
    assert index.lost() is None


def test_a_line_that_is_no_entry_is_passed_over(book: Book, index: Index) -> None:
    book.append(sample(0))
    with book.path.open("ab") as file:
        file.write(b'not an entry\n{"quantities":{"wall":{"unit":"h"}}}\n')
    book.append(sample(1))
    assert index.spend(None)[0].entries == 2
    assert index.refresh() == 0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(["measured", "modelled", "declared", "unknown"])
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_its_sums_are_those_of_quantities(tmp_path: Path, parts: list[tuple[float, float, str]]) -> None:
    folder = tmp_path / str(time.monotonic_ns())
    book = Book(folder / "ledger.jsonl")
    quantities = []
    for value, width, basis in parts:
        quantities.append(
            Quantity(None, "J", Basis.UNKNOWN, "no watts")
            if basis == "unknown"
            else Quantity(value, "J", Basis(basis), "x", value - width, value + width)
        )
    book.append(*(Draft("chat", quantities={"wall": measured(1, "s"), "energy": q}) for q in quantities), sync=False)
    [row] = Index(book.path).spend(None)
    expected = total(quantities, "J")
    assert row.totals["energy"].basis is expected.basis
    if expected.known:
        assert row.totals["energy"].value == pytest.approx(expected.value)
        assert row.totals["energy"].bounds == pytest.approx(expected.bounds, abs=1e-6)
    assert row.missing["energy"] == sum(not q.known for q in quantities)


def test_every_quantity_has_a_place(book: Book, index: Index) -> None:
    book.append(Draft("train", quantities={name: measured(2, unit) for name, unit in UNITS.items()}))
    [row] = index.spend(None)
    assert {name: quantity.value for name, quantity in row.totals.items()} == dict.fromkeys(UNITS, 2)


def test_it_is_quick_with_many_entries(book: Book, index: Index) -> None:
    for _ in range(20):
        book.append(*(sample(i, at=NOON + i) for i in range(500)), sync=False)
    index.refresh()
    start = time.process_time()
    index.spend("day")
    assert time.process_time() - start < 3


def test_tokens_by_quarter_of_an_hour(book: Book, index: Index) -> None:
    def answer(at: float, prompt: int, cached: int, completion: int) -> Draft:
        amounts = {"prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": completion}
        return Draft("chat", at, {}, {name: measured(amount, "token") for name, amount in amounts.items()})

    quarter = NOON - NOON % 900
    book.append(answer(quarter, 10, 4, 3), answer(quarter + 899, 1, 0, 1), answer(quarter + 900, 5, 5, 2))
    assert index.tokens() == [(quarter, 7, 4, 4), (quarter + 900, 0, 5, 2)]


def test_what_cannot_be_read_or_written_is_told_in_a_sentence(book: Book, index: Index, tmp_path: Path) -> None:
    book.append(sample(0))
    with pytest.raises(UserError, match="cannot be"):
        Index(book.path, tmp_path / "ledger.jsonl" / "index.sqlite").spend()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").touch()
    with pytest.raises(UserError, match="cannot be"):
        Index(tmp_path / "folder", tmp_path / "i.sqlite").spend()


def test_several_processes_read_while_one_writes(book: Book, index: Index, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from clearseek.ledger.index import Index
seen = 0
while seen < 300:
    [*rows] = Index(Path(sys.argv[1])).spend()
    assert not rows or rows[0].entries >= seen
    seen = rows[0].entries if rows else 0
"""
    readers = [subprocess.Popen([sys.executable, "-c", code, str(book.path)]) for _ in range(2)]
    for i in range(300):
        book.append(sample(i), sync=False)
    assert [reader.wait(60) for reader in readers] == [0, 0]
    assert index.lost() is None
