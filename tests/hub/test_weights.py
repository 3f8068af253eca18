"""Which weights a file holds: hashed once, told anew when it is another file, forgotten when there are too many."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from clearseek.hub import weights
from clearseek.hub.errors import HubError, WrongHash
from clearseek.hub.store import Store, weights_are_whole
from clearseek.hub.weights import Cancelled, digest_of, known_digest, remember_digest
from clearseek.settings import home
from tests.hub.tiny_gguf import write_tiny


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.gguf"
    path.write_bytes(b"weights" * 1000)
    return path


def test_a_file_is_hashed_once_and_anew_when_it_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_digest(file) is None
    assert digest_of(file)[0] == sha(file.read_bytes()) == known_digest(file)
    before = sha(file.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(weights, "hashlib", None)  # nothing is read again
        assert digest_of(file)[0] == before
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    times = file.stat()
    file.write_bytes(data)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # a date that was put back hides nothing
    assert known_digest(file) is None
    assert digest_of(file)[0] == sha(bytes(data))


def test_afresh_reads_every_byte_whatever_is_remembered(file: Path) -> None:
    remember_digest(file, "f" * 64)  # whoever may write to the home can do this
    assert digest_of(file)[0] == "f" * 64
    assert digest_of(file, afresh=True)[0] == sha(file.read_bytes()) == known_digest(file)


def test_another_file_in_its_place_is_another(file: Path, tmp_path: Path) -> None:
    digest_of(file)
    other = tmp_path / "other"
    other.write_bytes(b"WEIGHTS" * 1000)
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    os.replace(other, file)
    assert known_digest(file) is None
    assert digest_of(file)[0] == sha(b"WEIGHTS" * 1000)


def test_what_changes_while_it_is_read_is_told(file: Path) -> None:
    def touch(stage: str, done: int, total: int | None) -> None:
        with file.open("ab") as out:
            out.write(b"more")

    with pytest.raises(HubError, match="changes while it is read"):
        digest_of(file, progress=touch)
    assert known_digest(file) is None


def test_nobody_waits_any_more(file: Path) -> None:
    with pytest.raises(Cancelled):
        digest_of(file, stop=lambda: True)


@pytest.mark.parametrize("said", ["", "{", "[]", '{"1:2": 3}', '{"1": "short"}', "\udcff"])
def test_a_damaged_note_only_costs_time(file: Path, said: str) -> None:
    home().mkdir(parents=True)
    (home() / "digests.json").write_bytes(said.encode("utf-8", "surrogateescape"))
    assert known_digest(file) is None
    assert digest_of(file)[0] == sha(file.read_bytes()) == known_digest(file)


def test_the_note_is_bounded_and_several_may_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "REMEMBERED", 20)
    files = [tmp_path / str(n) for n in range(40)]
    for n, path in enumerate(files):
        path.write_bytes(bytes([n]))
    threads = [threading.Thread(target=digest_of, args=(path,)) for path in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = json.loads((home() / "digests.json").read_text())
    assert 1 <= len(kept) <= 20
    assert [path.name for path in home().iterdir()] == ["digests.json"]
    assert all(digest_of(path)[0] == sha(path.read_bytes()) for path in files)


def test_a_home_that_cannot_be_written_to_only_costs_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home().parent.mkdir(parents=True, exist_ok=True)
    home().write_text("a file where the home should be")
    assert digest_of(file)[0] == sha(file.read_bytes())


@pytest.mark.parametrize(("source", "says"), [("pypi:x==1/y.gguf", "pulled"), ("file:x.gguf", "imported")])
def test_wrong_weights_are_told_with_what_to_do(tmp_path: Path, source: str, says: str) -> None:
    store = Store(tmp_path / "models")
    model = replace(store.import_file(write_tiny(tmp_path / "t.gguf"), "tiny"), source=source)
    weights.check_installed(model, model.sha256)
    todo = "clearseek models pull tiny" if says == "pulled" else "clearseek models rm tiny` and import it again"
    with pytest.raises(WrongHash, match=f"The weights of tiny are not those that were {says}.*{todo}"):
        weights.check_installed(model, "0" * 64)


def test_what_is_installed_is_known_at_once_and_a_pull_mends_what_was_found_wrong(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    model = store.import_file(write_tiny(tmp_path / "t.gguf"), "tiny")
    assert known_digest(model.path) == model.sha256
    data = bytearray(model.path.read_bytes())
    data[-1] ^= 1
    model.path.write_bytes(data)
    with pytest.raises(WrongHash):
        store.verify("tiny")
    assert known_digest(model.path) == sha(bytes(data))
    assert not weights_are_whole(model)
