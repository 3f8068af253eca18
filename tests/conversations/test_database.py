"""History outlives everything: old schemas, newer ones, damage, `kill -9` and a full disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from clearseek.conversations.database import open_database
from clearseek.conversations.errors import DiskFull, StoreBroken
from clearseek.conversations.store import ChatStore
from clearseek.conversations.tables import metadata

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))


def load(dump: Path, path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.executescript(dump.read_text("utf-8"))
    db.close()


def schema(path: Path) -> list[tuple[str, str, str]]:
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    db.close()
    return [(kind, name, " ".join(sql.split())) for kind, name, sql in rows]


def check(path: Path) -> None:
    """The file is whole, and the search index agrees with the text."""
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()


@pytest.mark.parametrize("dump", SCHEMAS, ids=lambda dump: dump.stem)
def test_every_released_schema_becomes_todays_with_nothing_lost(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    load(dump, path)
    chats = ChatStore(path)
    (line,) = chats.page("local").items
    assert line.title == "Why is the sky blue; isn't it?"
    question, answer, cut = chats.conversation("local", line.id).messages
    assert question.attachments[0].text == "violet\nis shorter"
    assert (answer.content, answer.thinking, answer.usage) == (
        "Rayleigh scattering.",
        "Hmm, light.",
        {"prompt_tokens": 9, "cached_tokens": 1, "completion_tokens": 5, "reasoning_tokens": 3},
    )
    if dump.stem == "0001":
        assert answer.spent is None, "what was answered before there was a ledger is in none"
    else:
        assert answer.spent is not None
        assert answer.spent["wall"]["value"] == 1.5
        assert answer.spent["entry"] == {"seq": 0, "hash": "ab" * 32}
    assert (cut.content, cut.status, cut.spent) == ("Half an ans", "interrupted", None)
    assert [found.id for found in chats.page("local", "scattering violet").items] == [line.id]
    assert [other.title for other in chats.page("key-1").items] == ["Another person's"]
    chats.delete("local", line.id)
    chats.close()
    check(path)
    ChatStore(tmp_path / "fresh.sqlite").close()
    assert schema(path) == schema(tmp_path / "fresh.sqlite"), "an old file and a new one end up alike"


def test_the_last_dump_is_todays_schema(tmp_path: Path) -> None:
    """A changed schema needs a new migration and a new dump; a released one is never edited."""
    load(SCHEMAS[-1], tmp_path / "dump.sqlite")
    ChatStore(tmp_path / "fresh.sqlite").close()
    assert schema(tmp_path / "dump.sqlite") == schema(tmp_path / "fresh.sqlite")


def test_the_tables_in_code_are_those_in_the_file(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "chat.sqlite")
    ours = {*metadata.tables}
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, parents: kind != "table" or name in ours, "compare_type": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert differences == []


def test_the_settings_that_keep_a_history_safe(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "chat.sqlite")
    with engine.connect() as db:
        found = {name: db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in WANTED}
    engine.dispose()
    assert found == WANTED


WANTED = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000, "synchronous": 2}


def test_a_newer_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    ChatStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    before = schema(path)
    with pytest.raises(StoreBroken, match="newer ClearSeek"):
        ChatStore(path)
    assert schema(path) == before


@pytest.mark.parametrize(
    "content", [b"this is no database, but it is long enough to be one" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_history_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "chat.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreBroken) as told:
        ChatStore(path)
    assert "\n" not in str(told.value)
    assert path.read_bytes() == content


def test_a_damaged_history_is_told(tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    chats = ChatStore(path)
    for n in range(50):
        chats.create("me", f"title {n} " * 50)
    chats.close()
    damaged = bytearray(path.read_bytes())
    damaged[8192:] = random.Random(1).randbytes(len(damaged) - 8192)
    path.write_bytes(bytes(damaged))
    with pytest.raises(StoreBroken, match="damaged"):
        ChatStore(path).page("me")


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from clearseek.conversations.store import ChatStore

chats = ChatStore(Path(sys.argv[1]))
said = print
said("open", flush=True)
n = 0
while True:
    id = chats.create("me").id
    said("conversation", id, flush=True)
    question, answer = chats.ask("me", id, f"question {n} " * 20, None, model="m", effort=None)
    said("asked", question.id, flush=True)
    for part in range(3):
        chats.save([replace(answer, content=f"word{n} " * (part + 1) * 50)])
    chats.save([replace(answer, content=f"word{n} " * 200, status="complete", generation_id=None)])
    said("answered", answer.id, n, flush=True)
    if n % 5 == 4:
        chats.delete("me", id)
        said("deleted", id, flush=True)
    n += 1
"""


@pytest.mark.slow
def test_kill_in_a_write_loop_loses_nothing_that_was_said_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    moments = random.Random(7)
    answered: dict[str, tuple[str, str]] = {}
    conversations: set[str] = set()
    last = ""
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        lines = [writer.stdout.readline() for _ in range(moments.randrange(1, 60))]  # somewhere among its writes
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        for line in [*lines, *rest.splitlines()]:
            match line.split():
                case ["conversation", last]:
                    conversations.add(last)
                case ["answered", id, n]:
                    answered[id] = (last, f"word{n} " * 200)
                case ["deleted", id]:
                    conversations.discard(id)
        check(path)
        chats = ChatStore(path)
        kept = {line.id for line in chats.page("me", limit=100_000).items}
        # The last one may have been deleted, or one more made, just before the kill, with no time left to say so.
        assert conversations - kept <= {last}
        assert len(kept - conversations) <= 1
        conversations = kept
        answered = {id: (where, text) for id, (where, text) in answered.items() if where in kept}
        for id, (_, text) in answered.items():
            assert chats.message("me", id).content == text
        assert all(m.status != "generating" for id in kept for m in chats.conversation("me", id).messages)
        chats.close()
    assert len(answered) > 10, "the loop was killed before it wrote anything worth losing"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> object:
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk can only be mounted by root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=False).returncode:
        pytest.skip("this machine mounts no tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Takes all the room there is; gives the file that took it."""
    ballast = disk / "ballast"
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(file, b"x" * 4096):
            pass
    except OSError:
        pass
    finally:
        os.close(file)
    return ballast


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(tiny_disk: Path) -> None:
    path = tiny_disk / "chat.sqlite"
    chats = ChatStore(path)
    id = chats.create("me", "Before").id
    _, answer = chats.ask("me", id, "kept?", None, model="m", effort=None)
    answer = replace(answer, content="yes", status="complete", generation_id=None)
    chats.save([answer])
    ballast = fill(tiny_disk)
    written = 0

    def write() -> None:
        nonlocal written
        while written < 1000:
            chats.create("me", f"chat {written} " * 20)
            written += 1

    with pytest.raises(DiskFull) as told:
        write()
    assert "Free some space" in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(DiskFull):
        chats.save([replace(answer, content="no " * 100_000)])
    assert chats.message("me", answer.id).content == "yes", "reading goes on"
    ballast.unlink()
    chats.create("me", "After")
    titles = {line.title for line in chats.page("me", limit=2000).items}
    assert {"Before", "After"} <= titles
    assert len(titles) == written + 2
    chats.close()
    check(path)


def test_opening_on_a_full_disk_is_one_sentence(tiny_disk: Path) -> None:
    fill(tiny_disk)
    with pytest.raises((DiskFull, StoreBroken)) as told:
        ChatStore(tiny_disk / "chat.sqlite")
    assert "full" in str(told.value) or "No space" in str(told.value)


def test_two_programs_may_open_and_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    code = (
        "import sys; from pathlib import Path; from clearseek.conversations.store import ChatStore; "
        "chats = ChatStore(Path(sys.argv[1])); [chats.create('me', str(n)) for n in range(50)]; chats.close()"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    chats = ChatStore(path)
    assert len(chats.page("me", limit=200).items) == 100
    chats.close()
