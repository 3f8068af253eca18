"""The documentation does what it says: its examples are run, in order, in a fresh home with the default model.

- ```sh blocks run in bash with the first failure ending them, ```python blocks in the Python of the tests.
- Where a page talks to http://127.0.0.1:8420, a server is started and its own address put in that place.
- Of a line that begins with `make`, what `make -n` would do is asked: make would build, test or open a browser.
- ```text blocks are not run (they need a network, a key or a screen); their `clearseek` commands must exist, with
  their options. So must every command and target that the text names in `code`.
- Links within the repository must lead somewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "bench" / "README.md"])
ADDRESS = "127.0.0.1:8420"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind in kinds]


RUNNABLE = [page for page in PAGES if blocks(page, "sh", "python")]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def environment(home: Path, place: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CLEARSEEK_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "CLEARSEEK_HOME": str(home), "HOME": str(place), "PATH": path}


@contextmanager
def server(home: Path, place: Path) -> Iterator[str]:
    """A running server's host and port."""
    command = [sys.executable, "-m", "clearseek.cli.main", "serve", "--port", "0"]
    with (place / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(home, place), cwd=place
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:\d+", line)
            assert found, f"{line!r} {(place / 'server.log').read_text()}"
            yield found.group()
        finally:
            process.terminate()
            process.wait(120)
            process.stdout.close()


def runnable(block: str) -> str:
    """The block with `make` lines only asked about, and the virtual environment being the one of the tests."""
    lines = []
    for line in block.splitlines():
        if line.startswith("make "):
            line = f"{line.replace('make ', f'make -C {ROOT} -n ', 1)} >/dev/null"
        elif line == ". .venv/bin/activate" and not Path(".venv/bin/activate").exists():
            line = ":"
        lines.append(line)
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_the_examples_of_a_page_work(
    page: Path, real_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / ".venv").symlink_to(sys.prefix)
    monkeypatch.chdir(place)
    todo = blocks(page, "sh", "python")
    if any(ADDRESS in text for _, text in todo):
        with server(real_home, place) as address:
            run_all([(kind, text.replace(ADDRESS, address)) for kind, text in todo], real_home, place)
    else:
        run_all(todo, real_home, place)


def run_all(todo: list[tuple[str, str]], home: Path, place: Path) -> None:
    for kind, text in todo:
        command = ["bash", "-euo", "pipefail", "-c", runnable(text)] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(
            command,
            cwd=place,
            env=environment(home, place),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        if "curl" in text:
            wrong = '"error"' in done.stdout
            assert wrong == ("smollm2-135m-instuct" in text), f"{text}\n---\n{done.stdout}"


@cache
def help_of(*command: str) -> str | None:
    """What `clearseek command --help` says; None if there is no such command."""
    done = subprocess.run(
        [sys.executable, "-m", "clearseek.cli.main", *command, "--help"], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def commands_named(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    in_code = re.findall(r"`(clearseek [^`\n]+)`", BLOCK.sub("", text))
    in_blocks = [
        line[line.index("clearseek ") :]
        for _, block in blocks(page, "text", "sh")
        for line in block.splitlines()
        if re.match(r"(\S+ \| |[A-Z_]+=\S+ )?clearseek ", line)
    ]
    return in_code + in_blocks


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    for command in commands_named(page):
        words = re.split(r"[;|>#]", command)[0].split()[1:]
        path = [word for word in words[:1] if re.fullmatch("[a-z]+", word)]
        groups = (["models"], ["keys"], ["bench"], ["receipt"])
        if path in groups and len(words) > 1 and re.fullmatch("[a-z]+", words[1]):
            path.append(words[1])
        said = help_of(*path)
        assert said is not None, f"{name(page)}: there is no `{command}`"
        for option in re.findall(r"(?<!\S)--[a-z-]+", command):
            assert re.search(rf"{option}\b", said) or option in ("--debug", "--version"), f"{name(page)}: `{command}`"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    text = page.read_text("utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M):
        assert target in targets, f"{name(page)}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not link.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / link).resolve().is_relative_to(ROOT), f"{name(page)}: {link}"
            assert (page.parent / link).exists(), f"{name(page)}: {link}"


@cache
def anchors(page: Path) -> set[str]:
    """What its headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    for link, heading in re.findall(r"\]\(([^)#\s:]*)#([^)]*)\)", BLOCK.sub("", page.read_text("utf-8"))):
        assert heading in anchors(page.parent / link if link else page), f"{name(page)}: {link}#{heading}"


@cache
def every_file() -> tuple[str, ...]:
    return tuple(
        f"/{path.relative_to(ROOT).as_posix()}"
        for folder in ("src", "web", "tests", "bench", "tools", "recipes")
        for path in (ROOT / folder).rglob("*.*")
        if "node_modules" not in path.parts
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_source_file_that_is_named_with_its_folder_exists(page: Path) -> None:
    """Files move; the pages that send people to them must follow."""
    for file in re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|tsx?|cpp))`", page.read_text("utf-8")):
        assert any(path.endswith(f"/{file}") for path in every_file()), f"{name(page)}: {file}"


def test_this_test_sees_the_examples() -> None:
    """A pattern that matched nothing would make everything above pass."""
    assert len(RUNNABLE) >= 5
    assert any("make chat" in text for _, text in blocks(ROOT / "README.md", "sh"))
    assert any("OpenAI(" in text for _, text in blocks(ROOT / "README.md", "python"))
    assert help_of("no-such-command") is None
    assert "clearseek doctor" in commands_named(ROOT / "README.md")
