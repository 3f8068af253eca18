"""Pulling from a hub that we serve ourselves, well-behaved and not."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_hub import COMMIT, Hub, serving
from pulling import catalogue, pull, start
from tiny_gguf import write_tiny

from clearseek.hub.catalogue import parse_catalogue
from clearseek.hub.store import Store

pytestmark = pytest.mark.slow  # a hub of its own, and programs that are killed


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """About 3 MB: enough to be cut in the middle."""
    return write_tiny(tmp_path_factory.mktemp("weights") / "tiny.gguf", vocab=30_000).read_bytes()


@pytest.fixture
def hub(weights: bytes) -> Iterator[Hub]:
    with serving(Hub({"owner/tiny": {"tiny.gguf": weights, "README.md": b"hello"}})) as served:
        yield served


@pytest.fixture
def big(weights: bytes) -> Iterator[Hub]:
    """A hub with 36 MB: huggingface_hub hands bytes on in blocks of 10 MB, so less cannot be taken up in the middle."""
    with serving(Hub({"owner/tiny": {"tiny.gguf": weights + bytes(33 << 20)}})) as served:
        yield served


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def leftovers(root: Path) -> list[str]:
    """Everything under the store but locks and the finished models."""
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts]


def test_a_pull_is_checked_recorded_and_not_repeated(hub: Hub, root: Path, tmp_path: Path, weights: bytes) -> None:
    entries = catalogue(tmp_path / "c.toml")
    code, out, err = pull(root, entries, HF_ENDPOINT=hub.url)
    assert (code, err) == (0, "")
    assert Path(out).read_bytes() == weights
    model = Store(root, parse_catalogue(entries.read_text(), str(entries))).find("T")
    assert model.sha256 == model.original_sha256 == hashlib.sha256(weights).hexdigest()
    assert model.source == f"hf:owner/tiny@{COMMIT}/tiny.gguf"
    asked = len(hub.requests)
    assert pull(root, entries, HF_ENDPOINT=hub.url)[0] == 0
    assert len(hub.requests) == asked


def test_a_pattern_finds_its_file_and_an_etag_is_a_promise_too(hub: Hub, root: Path, tmp_path: Path) -> None:
    entries = catalogue(tmp_path / "c.toml", file="*.gguf")
    assert pull(root, entries, HF_ENDPOINT=hub.url)[0] == 0


def test_without_any_stated_hash_ours_is_recorded(hub: Hub, root: Path, tmp_path: Path, weights: bytes) -> None:
    hub.tell_hash = False
    entries = catalogue(tmp_path / "c.toml")
    assert pull(root, entries, HF_ENDPOINT=hub.url)[0] == 0
    assert (
        Store(root, parse_catalogue(entries.read_text(), str(entries))).find("tiny").sha256
        == hashlib.sha256(weights).hexdigest()
    )


def test_a_connection_cut_short_is_taken_up_where_it_broke(big: Hub, root: Path, tmp_path: Path) -> None:
    big.cut_after, big.cuts = 20 << 20, 1
    code, out, err = pull(root, catalogue(tmp_path / "c.toml"), HF_ENDPOINT=big.url)
    assert (code, err) == (0, "")
    assert Path(out).read_bytes() == big.repos["owner/tiny"]["tiny.gguf"]
    assert any(headers.get("range") for _, _, headers in big.requests)


@pytest.mark.parametrize("wrong", ["catalogue", "hub", "bytes"])
def test_a_wrong_hash_leaves_nothing(hub: Hub, root: Path, tmp_path: Path, weights: bytes, wrong: str) -> None:
    promised = None
    if wrong == "catalogue":
        promised = "1" * 64
    elif wrong == "hub":
        hub.wrong_hash = True
    else:
        hub.content = weights[:-1] + bytes([weights[-1] ^ 1])
    code, _, err = pull(root, catalogue(tmp_path / "c.toml", sha256=promised), HF_ENDPOINT=hub.url)
    assert code == 3
    assert "are not the ones promised" in err
    assert "\n" not in err
    assert leftovers(root) == []


def test_more_bytes_than_promised_are_not_taken(hub: Hub, root: Path, tmp_path: Path, weights: bytes) -> None:
    hub.content = weights + b"x" * 500_000
    code, _, err = pull(root, catalogue(tmp_path / "c.toml"), HF_ENDPOINT=hub.url)
    assert code == 1
    assert "\n" not in err
    assert Store(root, ()).list() == []


def test_what_is_no_gguf_is_refused(root: Path, tmp_path: Path) -> None:
    with serving(Hub({"owner/tiny": {"tiny.gguf": b"<html>not weights</html>" * 100}})) as hub:
        code, _, err = pull(root, catalogue(tmp_path / "c.toml"), HF_ENDPOINT=hub.url)
    assert code == 1
    assert "is not a usable GGUF file" in err
    assert leftovers(root) == []


def test_a_gated_repository_says_what_to_do_and_a_token_opens_it(hub: Hub, root: Path, tmp_path: Path) -> None:
    hub.gated, hub.token = True, "hf_right"
    entries = catalogue(tmp_path / "c.toml")
    code, _, err = pull(root, entries, HF_ENDPOINT=hub.url)
    assert code == 1
    assert "accepted its terms" in err
    assert "HF_TOKEN" in err
    assert pull(root, entries, HF_ENDPOINT=hub.url, HF_TOKEN="hf_right")[0] == 0


def test_the_token_stays_with_the_hub(hub: Hub, root: Path, tmp_path: Path, weights: bytes) -> None:
    """Hubs keep their bytes elsewhere; the other server must not see the token."""
    hub.token = "hf_right"
    with serving(Hub({"owner/tiny": {"tiny.gguf": weights}})) as other:
        hub.elsewhere = other.url
        code, _, err = pull(root, catalogue(tmp_path / "c.toml"), HF_ENDPOINT=hub.url, HF_TOKEN="hf_right")
        assert (code, err) == (0, "")
        assert other.requests
        assert all("authorization" not in headers for _, _, headers in other.requests)
    assert all(headers.get("authorization") == "Bearer hf_right" for _, _, headers in hub.requests)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "hf:owner/nothing"}, "There is no repository owner/nothing"),
        ({"revision": "v9"}, "no revision v9"),
        ({"file": "other.gguf"}, "holds no file other.gguf; it has tiny.gguf"),
        ({"file": "*"}, "means 2 files"),
    ],
)
def test_what_is_not_there_is_said(hub: Hub, root: Path, tmp_path: Path, changes: dict[str, str], words: str) -> None:
    code, _, err = pull(root, catalogue(tmp_path / "c.toml", **changes), HF_ENDPOINT=hub.url)
    assert code == 1
    assert words in err
    assert "\n" not in err


def test_a_hub_that_is_not_there(root: Path, tmp_path: Path) -> None:
    with serving(Hub({})) as gone:
        url = gone.url
    code, _, err = pull(root, catalogue(tmp_path / "c.toml"), HF_ENDPOINT=url)
    assert code == 1
    assert "could not be made or broke" in err
    assert "\n" not in err


def test_kill_in_the_middle_and_go_on(big: Hub, root: Path, tmp_path: Path) -> None:
    big.slow = threading.Event()
    entries = catalogue(tmp_path / "c.toml")
    process = start(root, entries, HF_ENDPOINT=big.url)
    have = 0
    for _ in range(1500):
        parts = list((root / ".staging" / "tiny").glob("*.part")) if root.exists() else []
        have = parts[0].stat().st_size if parts else 0
        if have >= 10 << 20:
            break
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert have >= 10 << 20
    assert Store(root, parse_catalogue(entries.read_text(), str(entries))).list() == []
    have = parts[0].stat().st_size
    big.slow.set()
    code, out, _ = pull(root, entries, HF_ENDPOINT=big.url)
    assert code == 0
    assert Path(out).read_bytes() == big.repos["owner/tiny"]["tiny.gguf"]
    assert f"bytes={have}-" in [headers.get("range") for _, _, headers in big.requests]
