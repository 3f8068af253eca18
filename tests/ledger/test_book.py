"""The book: what is acknowledged is there, what was cut short is healed and told, what was changed is found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import rfc8785
from booking_samples import sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearseek.errors import UsageError, UserError
from clearseek.ledger.book import Book, BookCheck, check
from clearseek.ledger.entry import FIRST_PREV, MAX_LINE, Draft, NotAnEntry, hash_of, iso, read_entry, unix
from clearseek.ledger.quantity import Quantity, measured


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books" / "ledger.jsonl"


@pytest.fixture
def book(path: Path) -> Book:
    return Book(path)


def test_entries_are_chained_canonical_and_readable(book: Book, path: Path) -> None:
    entries = book.append(*(sample(i, at=1.7e9 + i) for i in range(5)))
    assert [entry.seq for entry in entries] == [0, 1, 2, 3, 4]
    assert [entry.prev for entry in entries] == [FIRST_PREV, *(entry.hash for entry in entries[:4])]
    assert list(book.read()) == entries
    assert list(book.read(3)) == entries[3:]
    for line, entry in zip(path.read_bytes().splitlines(), entries, strict=True):
        document = json.loads(line)
        assert rfc8785.dumps(document) == line
        assert document.pop("hash") == entry.hash
        assert hashlib.sha256(rfc8785.dumps(document)).hexdigest() == entry.hash
    assert check(path) == BookCheck(5, entries[-1].hash, "intact")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_book_that_is_not_there_yet(book: Book, path: Path) -> None:
    assert list(book.read()) == []
    with pytest.raises(UserError, match="no ledger"):
        check(path)
    path.parent.mkdir()
    path.touch()
    assert check(path) == BookCheck(0, FIRST_PREV, "intact")


def test_a_book_goes_on_where_another_one_stopped(path: Path) -> None:
    one, other = Book(path), Book(path)
    for i in range(6):
        (one if i % 2 else other).append(sample(i), sync=False)
    assert check(path).state == "intact"
    assert check(path).entries == 6


@pytest.mark.parametrize("left", [1, 40, -2])
def test_a_torn_last_line_is_cut_off_kept_and_told(book: Book, path: Path, left: int) -> None:
    book.append(sample(0), sample(1))
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    torn = last[:left]
    path.write_bytes(whole[: -len(last)] + torn)
    found = check(path)
    assert (found.state, found.entries, found.line, found.seq) == ("torn", 1, 2, 1)
    assert [entry.seq for entry in Book(path).read()] == [0]
    [entry] = Book(path).append(sample(2))
    assert entry.seq == 2
    healed = list(Book(path).read())[1]
    assert healed.kind == "healed"
    assert healed.labels["lost_bytes"] == str(len(torn))
    assert path.with_name("ledger.jsonl.torn").read_bytes() == torn + b"\n"
    assert check(path) == BookCheck(3, entry.hash, "intact", healed=1)


def test_an_entry_that_lost_nothing_but_its_newline_is_kept(book: Book, path: Path) -> None:
    entries = book.append(sample(0), sample(1))
    path.write_bytes(path.read_bytes()[:-1])
    assert check(path).state == "torn"
    [entry] = Book(path).append(sample(2))
    assert entry.seq == 3
    assert list(book.read())[:2] == entries
    assert list(book.read())[2].labels["lost_bytes"] == "0"
    assert check(path) == BookCheck(4, entry.hash, "intact", healed=1)


def test_a_book_of_nothing_but_a_torn_line(book: Book, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\0" * 200_000)
    book.append(sample(0))
    assert [entry.kind for entry in book.read()] == ["healed", "chat"]
    assert check(path).state == "intact"


def test_a_writer_that_is_running_heals_too(book: Book, path: Path) -> None:
    """The cached end of the file must not be trusted when another process has died in between."""
    book.append(sample(0))
    with path.open("ab") as other:
        other.write(b'{"at":"2026-')
    book.append(sample(1))
    assert [entry.kind for entry in book.read()] == ["chat", "healed", "chat"]


def test_a_changed_last_line_is_neither_healed_nor_hidden(book: Book, path: Path) -> None:
    book.append(sample(0), sample(1))
    whole = path.read_bytes()
    changed = whole[:-1].replace(b'"value":1}', b'"value":7}') + b"\n"
    assert changed != whole
    path.write_bytes(changed)
    [entry] = Book(path).append(sample(2))
    assert entry.seq == 3
    assert path.read_bytes().startswith(changed)
    broken = list(book.read())[2]
    assert broken.kind == "broken"
    assert broken.labels["line"] == "2"
    found = check(path)
    assert (found.state, found.line, found.seq, found.wrong) == ("broken", 2, 1, 1)


@pytest.mark.parametrize("rubbish", [b"\n", b"hello\n", b"[]\n", b"\xff\xfe\n", b"x" * (3 * MAX_LINE) + b"\n"])
def test_a_line_that_is_no_entry_is_found_and_booked_around(book: Book, path: Path, rubbish: bytes) -> None:
    book.append(sample(0))
    with path.open("ab") as file:
        file.write(rubbish)
    Book(path).append(sample(1))
    found = check(path)
    assert (found.state, found.line, found.seq, found.wrong, found.entries) == ("broken", 2, 1, 1, 4)
    with pytest.raises(UserError, match="Line 2"):
        list(book.read())


def test_lines_taken_out_put_in_moved_or_copied_are_found(book: Book, path: Path, tmp_path: Path) -> None:
    book.append(*(sample(i) for i in range(6)))
    lines = path.read_bytes().splitlines(keepends=True)
    other = Book(tmp_path / "other.jsonl")
    other.append(*(sample(10 + i) for i in range(6)))
    foreign = other.path.read_bytes().splitlines(keepends=True)
    for changed, line in (
        (lines[:2] + lines[3:], 3),
        (lines[1:], 1),
        ([*lines[:3], lines[2], *lines[3:]], 4),
        ([*lines[:2], lines[3], lines[2], *lines[4:]], 3),
        ([*lines[:4], foreign[4], *lines[5:]], 5),
    ):
        path.write_bytes(b"".join(changed))
        found = check(path)
        assert (found.state, found.line) == ("broken", line)


@given(st.data())
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_found_and_named(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "bytes.jsonl"
    if not path.exists():
        Book(path).append(*(sample(i, at=1.7e9) for i in range(7)))
        shutil.copy(path, tmp_path / "whole")
    whole = bytearray((tmp_path / "whole").read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda new: new != whole[place]))
    number = whole[:place].count(b"\n") + 1
    whole[place] = byte
    path.write_bytes(whole)
    found = check(path)
    assert found.state in ("broken", "torn")
    assert found.line == number
    assert found.seq == number - 1
    assert found.problem


def test_a_full_disk_leaves_nothing_half_written(path: Path) -> None:
    """The limit on a file's size is met in the middle of a line, as the end of a disk is."""
    code = """
import resource, signal, sys
from pathlib import Path
from booking_samples import sample
from clearseek.errors import UserError
from clearseek.ledger.book import Book
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
book = Book(Path(sys.argv[1]))
book.append(sample(0))
size = book.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300, size + 300))
try:
    book.append(sample(1), sample(2))
except UserError as error:
    print(error)
print(book.path.stat().st_size == size)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=environment
    )
    said, same = done.stdout.splitlines()
    assert said.startswith("Nothing was booked in ")
    assert same == "True"
    Book(path).append(sample(3))
    assert check(path).entries == 2
    assert check(path).state == "intact"


def test_a_book_that_was_moved_away_is_begun_anew(book: Book, path: Path) -> None:
    book.append(sample(0), sample(1))
    path.rename(path.with_name("old.jsonl"))
    assert book.append(sample(2))[0].seq == 0
    assert check(path).entries == 1
    assert check(path.with_name("old.jsonl")).entries == 2
    # replaced by a copy: another file of the same name and length
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)
    assert book.append(sample(3))[0].seq == 1
    assert check(path).state == "intact"


def test_a_book_that_was_truncated_goes_on_from_its_end(book: Book, path: Path) -> None:
    book.append(*(sample(i) for i in range(4)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    assert book.append(sample(9))[0].seq == 2
    assert check(path) == BookCheck(3, list(book.read())[-1].hash, "intact")


def test_threads_share_a_book(book: Book, path: Path) -> None:
    def write() -> None:
        for i in range(50):
            book.append(sample(i), sync=False)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert check(path).entries == 200
    assert check(path).state == "intact"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_lock_of_its_own(book: Book, path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from booking_samples import sample
from clearseek.ledger.book import Book
book = Book(Path(sys.argv[1]))
book.append(sample(0))
child = os.fork()
for i in range(300):
    book.append(sample(i), sync=False)
if child:
    sys.exit(os.waitpid(child, 0)[1])
os._exit(0)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=environment)
    assert check(path).entries == 601
    assert check(path).state == "intact"


@pytest.mark.parametrize(
    "draft",
    [
        Draft("Chat"),
        Draft(""),
        Draft("chat", -1.0),
        Draft("chat", float("nan")),
        Draft("chat", 1e18),
        Draft("chat", labels={"a b": "x"}),
        Draft("chat", labels={"model": 3}),  # type: ignore[dict-item]
        Draft("chat", labels={"model": "\ud800"}),
        Draft("chat", labels={"model": "x" * MAX_LINE}),
        Draft("chat", quantities={"patience": measured(1, "s")}),
        Draft("chat", quantities={"wall": measured(1, "h")}),
        Draft("chat", quantities={"wall": measured(float("inf"), "s")}),
    ],
)
def test_what_cannot_be_booked_is_refused_whole(book: Book, path: Path, draft: Draft) -> None:
    book.append(sample(0))
    before = path.read_bytes()
    with pytest.raises(UsageError):
        book.append(sample(1), draft)
    assert path.read_bytes() == before
    book.append(sample(1))
    assert check(path).entries == 2


@given(st.floats(0, 253402300798))
def test_times_come_back(at: float) -> None:
    assert len(iso(at)) == 27
    assert unix(iso(at)) == pytest.approx(at, abs=1e-5)


@pytest.mark.parametrize("key", ["at", "hash", "kind", "labels", "prev", "quantities", "seq", "v"])
def test_an_entry_needs_each_of_its_keys(book: Book, path: Path, key: str) -> None:
    book.append(sample(0))
    document = json.loads(path.read_bytes())
    for wrong in ({k: v for k, v in document.items() if k != key}, {**document, key: None}, {**document, "more": 1}):
        with pytest.raises(NotAnEntry):
            read_entry(json.dumps(wrong).encode())


def test_what_is_said_of_a_line_is_short_and_cannot_drive_a_terminal(book: Book, path: Path) -> None:
    book.append(sample(0))
    whole = path.read_bytes()
    for hostile in (
        whole.replace(b'"v":1}', b'"v":"' + b"x" * 60_000 + b'"}'),
        whole.replace(b'"unit":"J"', b'"\\u001b[2J":"J"'),
    ):
        path.write_bytes(hostile)
        problem = check(path).problem
        assert problem is not None
        assert len(problem) < 300
        assert "\x1b" not in problem
        Book(path).append(sample(1))
        assert list(map(read_kind, path.read_bytes().splitlines()[1:])) == ["broken", "chat"]


def read_kind(line: bytes) -> str:
    return read_entry(line).kind


def test_a_newer_version_is_named(book: Book, path: Path) -> None:
    book.append(sample(0))
    with pytest.raises(NotAnEntry, match="version 2"):
        read_entry(path.read_bytes().replace(b'"v":1}', b'"v":2}'))


def test_json_that_only_looks_the_same_is_told(book: Book, path: Path) -> None:
    """A line rehashed by somebody who writes JSON otherwise: the hash fits the bytes, the bytes are not canonical."""
    book.append(sample(0))
    line = path.read_bytes()
    changed = line.replace(b'"seq":0', b'"seq":0.0')
    changed = changed.replace(next(book.read()).hash.encode(), hash_of(changed).encode())
    path.write_bytes(changed)
    assert check(path).state == "broken"


def test_quantities_survive_the_book_exactly(book: Book) -> None:
    values = [0.1, 1e-9, 123456789.123456789, 1e300, 5e-324, 2.0**53, 3.286e24, 2.5e16, 1.2345678901234568e19]
    for value in values:
        [entry] = book.append(Draft("chat", quantities={"wall": measured(value, "s")}), sync=False)
        assert next(book.read(entry.seq)).quantities == {"wall": Quantity.from_json(measured(value, "s").as_json())}
    assert check(book.path).state == "intact"
