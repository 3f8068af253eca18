"""A real server process and a real browser for the page's tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from echo_engine import EchoEngine
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

from clearseek.hub.store import Store

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000
"""Milliseconds that a test waits for what should come in one; a loaded machine is slow, not wrong."""


@dataclass
class Server:
    """`clearseek serve` in a process of its own."""

    home: Path
    arguments: tuple[str, ...]
    url: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self, port: int = 0) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLEARSEEK_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clearseek.cli.main", "serve", "--port", str(port), *self.arguments],
            env=environment | {"CLEARSEEK_HOME": str(self.home), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "http://" in line:
                self.url = line[line.index("http://") :].split()[0].rstrip("/.")
                return
        raise RuntimeError(f"the server did not start (exit code {self.process.wait()})")

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=30).raise_for_status().json()

    def post(self, path: str, body: Any) -> Any:
        return httpx.post(self.url + path, json=body, timeout=30).raise_for_status().json()

    def last_message(self, conversation: str) -> dict[str, Any]:
        read = self.get(f"/api/conversations/{conversation}")
        found: dict[str, Any] = next(message for message in read["messages"] if message["id"] == read["current"])
        return found

    def wait_for_end(self, conversation: str, seconds: float = 150) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self.last_message(conversation)
            if message["status"] != "generating":
                return message
            time.sleep(0.2)
        raise AssertionError("the answer did not end in time")


@pytest.fixture(scope="session")
def page_is_built() -> None:
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
def browser() -> Iterator[Browser]:
    """The system's Chromium or Chrome. Where there is none the tests are skipped, unless a browser is required."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        said = f"no browser on this machine (looked for {', '.join(BROWSERS)})"
        if os.environ.get("CLEARSEEK_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{said}, and CLEARSEEK_REQUIRE_BROWSER asks for one")
        pytest.skip(said)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def real_server(model_store: Store, page_is_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the default model."""
    yield from _with_model(model_store, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def cramped_server(
    model_store: Store, page_is_built: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with the default model and a context of 512 tokens."""
    yield from _with_model(model_store, tmp_path_factory.mktemp("home"), "--context", "512")


def _with_model(store: Store, home: Path, *arguments: str) -> Iterator[Server]:
    shutil.copytree(store.root, home / "models", copy_function=_link, ignore=shutil.ignore_patterns(".*"))
    server = Server(home, arguments)
    server.start()
    yield server
    server.stop()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def echo(page_is_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose engine is a remote one that says back what it was asked: every byte on the page is the test's."""
    with EchoEngine() as engine:
        server = Server(tmp_path_factory.mktemp("home"), ("--engine-url", engine.url, "--model", "echo"))
        server.start()
        yield server
        server.stop()


class Pages:
    """Opens pages in contexts of their own, and keeps what went wrong in any of them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.wrong: list[str] = []

    def __call__(self, url: str, **options: Any) -> Page:
        context = self._browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        page = context.new_page()
        origin = "/".join(url.split("/", 3)[:3])

        def dialog(opened: Dialog) -> None:
            self.wrong.append(f"dialog: {opened.message}")
            opened.dismiss()

        def said(message: ConsoleMessage) -> None:
            if message.text.startswith("CSP: "):
                self.wrong.append(message.text)

        def asked(request: Request) -> None:
            if not request.url.startswith((origin, "data:")):
                self.wrong.append(f"asked elsewhere: {request.url}")

        page.on("dialog", dialog)
        page.on("pageerror", lambda error: self.wrong.append(f"error in the page: {error}"))
        page.on("console", said)
        page.on("request", asked)
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Pages]:
    """Pages; at the end none of them may have failed, opened a dialog, asked elsewhere, or broken the CSP."""
    pages = Pages(browser)
    yield pages
    pages.close()
    assert pages.wrong == []


@pytest.fixture(autouse=True, scope="module")
def patience() -> None:
    expect.set_options(timeout=20_000)
