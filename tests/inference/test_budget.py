"""What a day has spent, read from the ledger itself; and what is left of a cap."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from clearseek.inference import budget
from clearseek.inference.budget import Caps, Scope, Spending, midnight
from clearseek.ledger.book import Book
from clearseek.ledger.entry import Draft
from clearseek.ledger.quantity import Quantity, declared, measured, unknown


def draft(
    owner: str | None = "local", tokens: int = 10, money: Quantity | None = None, at: float | None = None
) -> Draft:
    quantities = {
        "prompt_tokens": measured(tokens, "token"),
        "cached_tokens": measured(tokens, "token"),
        "completion_tokens": measured(1, "token"),
        "money": money or declared(0.5, "USD", "", 0.25, 1.0),
    }
    return Draft("answer", at, {} if owner is None else {"owner": owner}, quantities)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.jsonl")


def test_the_day_is_summed_by_owner_and_at_the_upper_end_of_what_it_cost(book: Book) -> None:
    book.append(draft("ann"), draft("ben", 20), draft("ann", money=unknown("USD")), draft(None, 0))
    spending = Spending(book.path)
    assert spending.stale
    spending.refresh()
    assert not spending.stale
    assert (spending.of("ann").tokens, spending.of("ann").usd, spending.of("ann").unknown) == (22, 1.0, 1)
    assert spending.of("ben").tokens == 21
    assert spending.of("nobody").tokens == 0
    assert (spending.of(None).tokens, spending.of(None).usd, spending.of(None).unknown) == (44, 3.0, 1)


def test_it_follows_what_others_write_and_what_is_torn_waits(book: Book) -> None:
    spending = Spending(book.path)
    spending.refresh()
    assert spending.of(None).tokens == 0, "there is no ledger yet"
    Book(book.path).append(draft())
    assert spending.stale
    spending.refresh()
    Book(book.path).append(draft())
    spending.refresh()
    assert spending.of(None).tokens == 22
    with book.path.open("ab") as file:
        file.write(b'{"at":"20')
    spending.refresh()
    assert spending.of(None).tokens == 22
    book.append(draft())  # heals it
    spending.refresh()
    assert (spending.of(None).tokens, spending.of(None).unknown) == (33, 0)


def test_another_file_is_read_from_its_beginning(book: Book) -> None:
    book.append(draft(), draft())
    spending = Spending(book.path)
    spending.refresh()
    book.path.rename(book.path.with_suffix(".old"))
    Book(book.path).append(draft(tokens=0))
    spending.refresh()
    assert spending.of(None).tokens == 1


def test_only_today_counts_and_a_long_past_is_not_read(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_BLOCK", 2000)
    yesterday = midnight() - 7200
    book.append(*(draft(at=yesterday + n) for n in range(100)), sync=False)
    book.append(draft(at=midnight() - 0.001), draft(), draft())
    spending = Spending(book.path)
    spending.refresh()
    assert spending.of(None).tokens == 22
    old = book.path.read_bytes().splitlines(keepends=True)
    with book.path.open("rb") as file:
        start = spending._start_of_day(file, book.path.stat().st_size, midnight())
    assert 0 < start <= sum(map(len, old[:100])), "it looked back far enough, and no further than it had to"
    assert start > sum(map(len, old[:90]))


def test_a_new_day_begins_with_nothing_spent(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.append(draft())
    spending = Spending(book.path)
    spending.refresh()
    tomorrow = midnight(1)
    monkeypatch.setattr(budget, "midnight", lambda days=0: tomorrow + 86_400 * days)
    assert spending.stale
    spending.refresh()
    assert spending.of(None).tokens == 0


def test_lines_that_are_no_entries_are_passed_over(book: Book) -> None:
    book.append(draft())
    with book.path.open("ab") as file:
        file.write(
            b'not json\n{"at":"2026"}\n[]\n{"at":"x","labels":{},"quantities":{"prompt_tokens":{"value":"x"}}}\n'
        )
    book.append(draft())
    spending = Spending(book.path)
    spending.refresh()
    assert spending.of(None).tokens == 22


def test_midnight_is_this_machines() -> None:
    assert datetime.fromtimestamp(midnight()).strftime("%H:%M:%S") == "00:00:00"
    assert midnight() <= time.time() < midnight(1)


def test_what_is_left_counts_what_runs_what_waits_and_what_was_promised(book: Book) -> None:
    book.append(draft(tokens=9))
    spending = Spending(book.path)
    spending.refresh()
    scope = Scope(None, "Today's budget", Caps(usd=2.0, tokens=100), spending)
    assert (scope.tokens_left(), scope.usd_left(0.25)) == (90, 0.75)
    scope.running["a"], scope.promised["a"] = 20, 50
    scope.tokens, scope.usd = 5, 0.5
    assert scope.tokens_now() == 65
    assert scope.tokens_left() == 35
    assert scope.usd_left(0.5) == 0
    assert Scope(None, "", Caps(), spending).tokens_left() is None


def test_the_refusal_says_when_it_begins_anew() -> None:
    over = Scope("key-1", "This key's budget for today", Caps(0.5, 1000), Spending(Path("none"))).over("money")
    assert (over.status, over.kind) == (402, "budget")
    assert "$0.5, is used up" in str(over)
    assert "midnight" in str(over)
    assert 0 < over.retry_after <= 90_000
    assert over.resets_at == midnight(1)
