"""`clearseek ledger` as people and scripts meet it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from booking_samples import sample

from clearseek.cli.main import run
from clearseek.ledger.book import Book, home_book

AT = 1_770_000_000.0


@pytest.fixture
def book() -> Book:
    book = Book(home_book())
    book.append(*(sample(i, at=AT + i * 86400, model=f"m{i % 2}", conversation=f"c{i}") for i in range(4)))
    return book


def test_an_empty_home(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger"]) == 0
    assert "Nothing has been booked" in capsys.readouterr().out
    assert run(["ledger", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"] == []
    assert document["book"]["state"] == "empty"
    assert run(["ledger", "--check"]) == 1
    assert "no ledger" in capsys.readouterr().err


def test_a_table_with_marks_a_total_and_how_to_declare_a_price(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "--by", "model"]) == 0
    out = capsys.readouterr().out
    assert "m0" in out
    assert "in all" in out
    assert "◐ modelled" in out
    assert "+ 2 ?" in out
    assert "machine_usd_per_hour" in out
    assert "4 entries is intact" in out


def test_json_is_one_document(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["entries"] for row in document["rows"]] == [1, 1, 1, 1]
    assert document["total"]["totals"]["energy"] == {
        "value": 80, "unit": "J", "basis": "modelled", "how": "sum of 4 entries", "low": 40, "high": 120
    }  # fmt: skip
    assert document["total"]["totals"]["money"]["value"] is None
    assert document["total"]["missing"] == {"money": 2}
    assert document["book"]["state"] == "intact"


def test_csv_is_for_spreadsheets_and_safe_in_them(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.append(sample(7, model='=HYPERLINK("http://x","y")'), sample(8, model='a,b\n"c"'))
    assert run(["ledger", "--by", "model", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    keys = {row["model"] for row in rows}
    assert '\'=HYPERLINK("http://x","y")' in keys
    assert 'a,b "c"' in keys
    [m0] = [row for row in rows if row["model"] == "m0"]
    assert (m0["entries"], m0["energy_J"], m0["energy_basis"], m0["money_unknown_entries"]) == (
        "2",
        "40.0",
        "modelled",
        "1",
    )


def test_days(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "--json"]) == 0
    days = [row["day"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert run(["ledger", "--json", "--since", days[1], "--until", days[2]]) == 0
    assert [row["day"] for row in json.loads(capsys.readouterr().out)["rows"]] == days[1:3]
    assert run(["ledger", "--since", "1999-01-01", "--until", "1999-12-31"]) == 0
    assert "Nothing was booked in that time" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["--since", "yesterday"],
        ["--until", "2026-02-30"],
        ["--since", "2026-02-02", "--until", "2026-02-01"],
        ["--by", "colour"],
        ["--csv", "--json"],
        ["no-such-file"],
    ],
)
def test_wrong_usage_is_one_sentence(wrong: list[str], book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", *wrong]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_check_says_yes_and_no(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "--check"]) == 0
    assert "is intact: 4 entries" in capsys.readouterr().out
    whole = book.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    book.path.write_bytes(lines[0] + lines[1].replace(b'"value":1}', b'"value":9}') + b"".join(lines[2:]))
    assert run(["ledger", "--check"]) == 3
    assert "line 2 (entry 1)" in capsys.readouterr().err
    assert run(["ledger", "--check", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["state"], document["line"], document["seq"]) == ("broken", 2, 1)
    assert run(["ledger"]) == 0
    assert "The book is broken: line 2" in capsys.readouterr().out
    book.path.write_bytes(whole[:-9])
    assert run(["ledger", "--check"]) == 3
    assert "cut short" in capsys.readouterr().err


def test_check_misses_what_was_taken_off_the_end(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger"]) == 0
    book.path.write_bytes(b"".join(book.path.read_bytes().splitlines(keepends=True)[:2]))
    capsys.readouterr()
    assert run(["ledger", "--check"]) == 3
    assert "Entry 3" in capsys.readouterr().err


def test_another_ledger(book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Book(tmp_path / "run" / "ledger.jsonl")
    other.append(sample(1, kind="sft"))
    assert run(["ledger", str(other.path), "--by", "kind", "--json"]) == 0
    assert [row["kind"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["sft"]
    assert run(["ledger", str(other.path), "--check"]) == 0
    assert not (tmp_path / "run" / "ledger.sqlite").exists()


def test_labels_cannot_drive_the_terminal(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.append(sample(1, model="\x1b[2J\x1b]0;owned\x07[bold]x"))
    assert run(["ledger", "--by", "model"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out
    assert "\x07" not in out
    assert "[bold]x" in out


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_keeps_the_days_and_the_money(
    book: Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert run(["ledger", "--by", "model"]) == 0
    table = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out.split("\n\n")[0])
    assert "m0" in table
    assert "in all" in table
    assert "$" in table
    assert max(len(line) for line in table.splitlines()) <= width
