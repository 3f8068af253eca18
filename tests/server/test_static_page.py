"""The page's files: what is served, how long it may be kept, and that nothing outside the folder ever is."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "app-1a2b.js").write_text("1")
    (folder / "assets" / "KaTeX.woff2").write_bytes(b"font")
    (folder / ".stamp").write_text("digest")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    monkeypatch.setattr("clearseek.server.static_page.STATIC", folder)
    return folder


def test_the_page_and_its_files(built: Path, http: httpx.Client) -> None:
    for path in ("/", "/c/0123", "/?q=hello", "/books", "/audit", "/audit/deepseek-v3?set=x"):
        page = http.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-cache"
    script = http.get("/assets/app-1a2b.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    assert http.get("/assets/KaTeX.woff2").headers["content-type"] == "font/woff2"
    assert http.get("/favicon.svg").headers["content-type"] == "image/svg+xml"
    head = http.head("/")
    assert head.status_code == 200
    assert head.content == b""


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone.js",
        "/assets/",
        "/assets/../../secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/../secret.txt",
        "/..%5csecret.txt",
        "/link.txt",
        "/.stamp",
        "/x%00.txt",
        "/chat",
    ],
)
def test_nothing_else_is_served(built: Path, url: str, path: str) -> None:
    parts = urlsplit(url)
    # a raw socket: clients tidy such paths up before they send them
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.split(b" ", 2)[1] in (b"404", b"400")
    assert b"secret\n" not in answer
    assert b"root:" not in answer


def test_a_page_that_was_not_built_says_how(
    tmp_path: Path, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearseek.server.static_page.STATIC", tmp_path / "none")
    page = http.get("/")
    assert page.status_code == 503
    assert "make chat" in page.text
    assert http.get("/health").status_code == 200


def test_an_address_with_nothing_is_told_in_the_common_shape(http: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("GET", "/chat/completions", 405),
        ("POST", "/health", 405),
    ):
        answer = http.request(method, path)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
