"""Two processes write one book while one of them is killed again and again: nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from booking_samples import sample

from clearseek.errors import UserError
from clearseek.ledger.book import Book, check
from clearseek.ledger.entry import read_entry
from clearseek.ledger.lines import lines

# Books entries, in batches of random size, and then says on stdout, in one line, which they were. What was said, was
# acknowledged. `goal` entries at most.
WRITER = """
import os, random, sys, time
from pathlib import Path
from clearseek.ledger.book import Book
from clearseek.ledger.entry import Draft
from clearseek.ledger.quantity import measured
whole_write = os.write
if sys.argv[2] == "victim":
    # a slow disk that takes 700 bytes at a time: SIGKILL then finds lines half written, as a power cut would
    os.write = lambda fd, data: time.sleep(0.0001) or whole_write(fd, data[:700])
book, name, start, goal = Book(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
number, often = start, random.Random(start)
while number < goal:
    count = min(often.choice((1, 1, 2, 20, 60)), goal - number)
    drafts = [
        Draft("test", labels={"run": name, "step": str(number + i)}, quantities={"wall": measured(number + i, "s")})
        for i in range(count)
    ]
    book.append(*drafts, sync=False)
    number += count
    whole_write(1, f"{number}\\n".encode())
"""


class Writer:
    def __init__(self, path: Path, name: str, goal: int, said: Path) -> None:
        self.path, self.name, self.goal, self.said = path, name, goal, said
        self.kills = 0
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.said.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-c", WRITER, str(self.path), self.name, str(self.acknowledged), str(self.goal)],
                stdout=out,
            )

    @property
    def acknowledged(self) -> int:
        """How many entries it was told are booked. What it had booked and not yet said, it books again."""
        told = self.said.read_bytes() if self.said.exists() else b""
        whole = told[: told.rfind(b"\n") + 1].split()
        return int(whole[-1]) if whole else 0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1
        self.process = self.start()


def run_two(folder: Path, entries: int, pause: float, least_healed: int) -> None:
    path = folder / "ledger.jsonl"
    steady = Writer(path, "steady", entries // 2, folder / "steady")
    victim = Writer(path, "victim", entries - entries // 2, folder / "victim")
    chance = random.Random(7)
    while victim.process.poll() is None or steady.process.poll() is None:
        # not before it has written: a busy machine needs a second to start it
        told = victim.acknowledged
        while victim.process.poll() is None and victim.acknowledged == told:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 1.0) * pause)
        if victim.process.poll() is None:
            victim.kill()
    assert steady.process.returncode == victim.process.returncode == 0
    assert victim.kills >= 3

    found = check(path)
    assert found.state == "intact", found
    booked: dict[str, list[int]] = {"steady": [], "victim": []}
    for _, _, line in lines(path):
        entry = read_entry(line)
        if entry.kind == "test":
            booked[entry.labels["run"]].append(int(entry.labels["step"]))
    # the one that was never killed: every entry once and in order; the other: every one at least once
    assert booked["steady"] == list(range(entries // 2))
    assert set(booked["victim"]) == set(range(entries - entries // 2))
    assert found.entries >= entries
    assert found.healed >= least_healed
    print(f"{found.entries} entries, {victim.kills} kills, {found.healed} healed")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_two_writers_one_killed(tmp_path: Path) -> None:
    run_two(tmp_path, 4_000, 0.1, least_healed=0)


HOLDER = """
import os, sys
from pathlib import Path
from clearseek.ledger.lock import locked
fd = os.open(sys.argv[1], os.O_RDWR)
with locked(fd, Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_lock_is_waited_for_with_patience_and_free_when_its_holder_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(tmp_path / "ledger.jsonl")
    book.append(sample(0))
    command = [sys.executable, "-c", HOLDER, str(book.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        monkeypatch.setattr("clearseek.ledger.lock.PATIENCE_S", 0.3)
        with pytest.raises(UserError, match="held by another process"):
            book.append(sample(1))
        holder.kill()
        holder.wait()
        book.append(sample(2))
    assert check(book.path).entries == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_two_writers_one_killed_100_000_entries(tmp_path: Path) -> None:
    run_two(tmp_path, 100_000, 0.6, least_healed=3)
