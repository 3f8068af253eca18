"""The code of a receipt is all of the package that a run could depend on: a byte anywhere changes its digest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import clearseek
from clearseek.receipts.gather import NOT_CODE, code

PACKAGE = Path(clearseek.__file__).parent


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed package in a copy, without what is excluded and is large, of which one file each is put there."""
    copy = tmp_path_factory.mktemp("installed") / "clearseek"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "static", "models", "claims"))
    for place in ("server/static/index.html", "data/models/one/adapter.json", "data/claims/one.toml"):
        (copy / place).parent.mkdir(parents=True, exist_ok=True)
        (copy / place).write_text("{}")
    return copy


def spoilt(path: Path, package: Path) -> str:
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
        return str(code(package)["digest"]["sha256"])
    finally:
        path.write_bytes(content)


def test_a_byte_of_any_file_changes_the_digest_but_of_those_that_are_named(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clearseek.receipts import gather

    known: dict[Path, str] = {}
    read = gather.sha256_of
    for path in package.rglob("*"):
        if path.is_file():
            known[path] = read(path)
    changed: set[Path] = set()
    monkeypatch.setattr(gather, "sha256_of", lambda path: read(path) if path in changed else known[path])
    before = code(package)["digest"]["sha256"]
    free = set()
    for path in known:
        changed = {path}
        if spoilt(path, package) == before:
            free.add(path.relative_to(package).as_posix())
    assert free == {
        "server/static/index.html", "data/models/one/adapter.json", "data/claims/one.toml", "data/chat/README.md",
    }  # fmt: skip
    assert len(NOT_CODE) == 4
    names = {path.relative_to(package).as_posix() for path in known} - free
    assert {
        "training/kernels/csrc/learn.cpp", "training/kernels/csrc/decode.cpp", "training/kernels/csrc/common.h",
        "data/chat/identity.jsonl", "data/chat/prompts.jsonl", "tasks/suites.toml",
    } <= names  # fmt: skip


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_file_more_or_less_changes_the_digest(package: Path, tmp_path: Path, change: str) -> None:
    copy = Path(shutil.copytree(package / "training" / "kernels" / "csrc", tmp_path / "clearseek"))
    before = code(copy)
    if change == "added":
        (copy / "other.inc").write_text("int x;")
    elif change == "removed":
        (copy / "common.h").unlink()
    else:
        (copy / "common.h").rename(copy / "uncommon.h")
    assert code(copy)["digest"] != before["digest"]


def test_where_the_package_lies_does_not_matter(package: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(package, tmp_path / "elsewhere"))
    (other / "__pycache__").mkdir()
    (other / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert code(other) == code(package) == code()
