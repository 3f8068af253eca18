"""A real server process and a real browser for the page's tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Pages, Server
from echo_engine import EchoEngine
from playwright.sync_api import Browser, expect, sync_playwright

from clearseek.hub.store import Store

ROOT = Path(__file__).parents[2]
BASE = ("--model", "smollm2-135m-instruct")
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The system's Chromium or Chrome. Where there is none the tests are skipped, unless a browser is required."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        said = f"no browser on this machine (looked for {', '.join(BROWSERS)})"
        if os.environ.get("CLEARSEEK_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{said}, and CLEARSEEK_REQUIRE_BROWSER asks for one")
        pytest.skip(said)
    return path


@pytest.fixture(scope="session")
def page_is_built(browser_path: str) -> None:
    """These tests look at the page as it is now, so it must have been built from the source as it is now."""
    sys.path.insert(0, str(ROOT))
    try:
        import hatch_build
    except ImportError:  # no hatchling here: the page is the one that was installed
        assert (ROOT / "src/clearseek/server/static/index.html").is_file(), "build the page first: pip install -e ."
        return
    finally:
        sys.path.remove(str(ROOT))
    hatch_build.build(ROOT)


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    # Not for the whole session: a running playwright keeps an event loop, which other tests' own loops cannot bear.
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def real_server(page_is_built: None, model_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with SmolLM2, which talks for as long as one likes."""
    yield from _with_model(model_store, tmp_path_factory.mktemp("home"), *BASE)


@pytest.fixture(scope="module")
def own_server(page_is_built: None, model_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the default model: ClearSeek's own."""
    yield from _with_model(model_store, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def cramped_server(
    page_is_built: None, model_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with SmolLM2 and a context of 512 tokens."""
    yield from _with_model(model_store, tmp_path_factory.mktemp("home"), *BASE, "--context", "512")


@pytest.fixture(scope="module")
def priced_server(
    page_is_built: None, model_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with SmolLM2, on a machine whose price and watts were declared."""
    home = tmp_path_factory.mktemp("home")
    prices = "[prices]\nmachine_usd_per_hour = 0.36\n\n[machine]\nwatts = 100\nwatts_idle = 20\n"
    (home / "config.toml").write_text(prices, "utf-8")
    yield from _with_model(model_store, home, *BASE)


def _with_model(store: Store, home: Path, *arguments: str) -> Iterator[Server]:
    shutil.copytree(store.root, home / "models", copy_function=_link, ignore=shutil.ignore_patterns(".*"))
    server = Server(home, arguments)
    server.start()
    yield server
    server.stop()


def _link(source: str, target: str) -> None:
    """A hard link for weights, a copy for records, which a server may change."""
    if source.endswith(".gguf"):
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    shutil.copy2(source, target)


@pytest.fixture(scope="module")
def echo(page_is_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose engine is a remote one that says back what it was asked: every byte on the page is the test's."""
    with EchoEngine() as engine:
        server = Server(tmp_path_factory.mktemp("home"), ("--engine-url", engine.url, "--model", "echo"))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Pages]:
    """Pages; at the end none of them may have failed, opened a dialog, asked elsewhere, or broken the CSP."""
    pages = Pages(browser)
    yield pages
    pages.close()
    assert pages.wrong == []


@pytest.fixture(autouse=True, scope="module")
def patience() -> None:
    expect.set_options(timeout=120_000)
