"""The page's files: what is served, how long it may be kept, and that nothing outside the folder ever is."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from clearseek.server.static_page import codings


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "app-1a2b.js").write_text("1")
    (folder / "assets" / "app-1a2b.js.br").write_bytes(b"as brotli has it")
    (folder / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(b"1"))
    (folder / "index.html.gz").write_bytes(gzip.compress(b"<!doctype html><title>page</title>"))
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
    ("accepted", "expected"),
    [
        ("", []),
        ("gzip", ["gzip"]),
        ("gzip, deflate, br, zstd", ["br", "gzip"]),
        ("br;q=0.5, gzip;q=0.8", ["gzip", "br"]),
        ("gzip;q=0, br;q=0", []),
        ("*", ["br", "gzip"]),
        ("*;q=0.1, br;q=0", ["gzip"]),
        ("gzip;q=0, *", ["br"]),
        ("identity;q=0, gzip", ["gzip"]),
        ("identity, gzip;q=0.5", []),
        ("identity;q=0.5, gzip;q=0.5, br;q=0.2", ["gzip"]),
        ("deflate, compress", []),
        ("GZIP; Q=1.0", ["gzip"]),
        ("x-gzip", ["gzip"]),
        (" br ;q=0.000 , gzip ; q=1", ["gzip"]),
        ("gzip;q=nan, br;q=-1", []),
        ("gzip;q=2", []),
        ("gzip;q=x;;;=, ,;,br;level=3", ["br"]),
        ("gzip;q=" + "1" * 400, []),
        ("a," * 5000 + "gzip", []),
    ],
)
def test_what_a_browser_takes(accepted: str, expected: list[str]) -> None:
    assert codings(accepted) == expected


def test_each_gets_the_form_it_takes(built: Path, http: httpx.Client) -> None:
    tags = set()
    for path, accepted, coding, body in (
        ("/assets/app-1a2b.js", "identity", None, b"1"),
        ("/assets/app-1a2b.js", "br;q=0, *;q=0.3", "gzip", gzip.compress(b"1")),
        ("/assets/app-1a2b.js", "gzip, br", "br", b"as brotli has it"),
        ("/", "gzip, br", "gzip", gzip.compress(b"<!doctype html><title>page</title>")),
        ("/c/0123", "br", None, b"<!doctype html><title>page</title>"),
    ):
        with http.stream("GET", path, headers={"accept-encoding": accepted}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.status_code == 200
        assert answer.headers.get("content-encoding") == coding
        # A cache must not give the packed form to who cannot read it, nor the other way round.
        assert answer.headers["vary"] == "Accept-Encoding"
        assert int(answer.headers["content-length"]) == len(raw)
        assert raw[10:] == body[10:]  # a gzip file begins with the time
        tags.add(answer.headers["etag"])
        again = http.get(
            path, headers={"accept-encoding": accepted, "if-none-match": f'"x", W/{answer.headers["etag"]}'}
        )
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["vary"] == "Accept-Encoding"
        assert again.headers["etag"] == answer.headers["etag"]
        assert "content-encoding" not in again.headers
    assert len(tags) == 5
    font = http.get("/assets/KaTeX.woff2", headers={"accept-encoding": "br, gzip"})
    assert "vary" not in font.headers  # there is one form only
    assert "content-encoding" not in font.headers
    assert http.get("/", headers={"if-none-match": '"other"'}).status_code == 200
    head = http.head("/", headers={"accept-encoding": "gzip"})
    assert head.headers["content-encoding"] == "gzip"


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
        "/assets/app-1a2b.js.br",
        "/assets/app-1a2b.js.gz",
        "/index.html.gz",
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
