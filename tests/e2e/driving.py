"""What the browser tests drive: a real server process, and pages that are watched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, expect

PATIENCE = 180_000
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
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=120).raise_for_status().json()

    def post(self, path: str, body: Any) -> Any:
        return httpx.post(self.url + path, json=body, timeout=120).raise_for_status().json()

    def last_message(self, conversation: str) -> dict[str, Any]:
        read = self.get(f"/api/conversations/{conversation}")
        found: dict[str, Any] = next(message for message in read["messages"] if message["id"] == read["current"])
        return found

    def wait_for_end(self, conversation: str, seconds: float = 600) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self.last_message(conversation)
            if message["status"] != "generating":
                return message
            time.sleep(0.2)
        raise AssertionError("the answer did not end in time")


def ask(page: Page, question: str) -> None:
    """Type a question and send it, once nothing else is being sent or written."""
    page.fill("#question", question)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_enabled()
    page.locator("#question").press("Enter")
    expect(page.locator("#question")).to_have_value("")


class Pages:
    """Opens pages in contexts of their own, and keeps what went wrong in any of them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.wrong: list[str] = []

    def __call__(self, url: str, *, site: str = "", **options: Any) -> Page:
        """`site`: what it may ask, where that is not the address that it is opened on."""
        context = self._browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        page = context.new_page()
        origin = site or "/".join(url.split("/", 3)[:3])

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
