"""Whose page asks, and what a body may be: what a page of another site can make a browser send."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from scripted import ScriptedPool, serving
from test_guard import every_route

ASK = {"messages": [{"role": "user", "content": "hi"}]}
JSON_ROUTES = ["/v1/chat/completions", "/completions", "/api/conversations", "/api/conversations/import", "/api/audit"]


def origin_of(http: httpx.Client) -> str:
    return str(http.base_url).rstrip("/")


def test_another_port_of_this_machine_is_another_site(http: httpx.Client, pool: ScriptedPool) -> None:
    """What listens there may be anything: a page that somebody tries out, or one that a stranger's program serves."""
    own = urlsplit(origin_of(http))
    foreign = [
        *("http://localhost:3000", "http://evil.localhost", "http://[::1]:9", "http://127.0.0.1", "http://localhost"),
        *(f"http://evil.localhost:{own.port}", f"http://[::1]:{own.port}", f"http://127.0.0.2:{own.port}"),
        *(f"https://127.0.0.1:{own.port}", f"ws://127.0.0.1:{own.port}", f"http://127.0.0.1.:{own.port}"),
        *(f"http://x@127.0.0.1:{own.port}", f"http://127.0.0.1:{own.port}/path", "null", "", "http://", "*"),
    ]
    for origin in foreign:
        for method, path in (("POST", "/api/conversations"), ("POST", "/v1/chat/completions"), ("GET", "/api/live")):
            answer = http.request(method, path, json=ASK, headers={"origin": origin})
            assert answer.status_code == 403, (origin, path)
            assert answer.json()["error"]["code"] == "foreign_origin"
    assert pool.requests == []
    assert http.get("/api/conversations").json()["conversations"] == []
    assert http.post("/chat/completions", json=ASK, headers={"origin": origin_of(http)}).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "passes"),
    [
        ("localhost:8420", "http://localhost:8420", True),
        ("LOCALHOST:8420", "http://localhost:8420", True),
        ("localhost.:8420", "http://localhost.:8420", True),
        ("localhost", "http://localhost:80", True),
        ("localhost:80", "http://localhost", True),
        ("[::1]:8420", "http://[::1]:8420", True),
        # the Vite dev server hands its own Host on
        ("localhost:5173", "http://localhost:5173", True),
        ("localhost:5173", "http://localhost:5174", False),
        # a proxy that speaks TLS, with the browser's Host, and with its own
        ("chat.home", "https://chat.home", True),
        ("chat.home:8443", "https://chat.home:8443", True),
        ("127.0.0.1:8420", "https://chat.home", True),
        ("127.0.0.1:8420", "http://chat.home:3000", False),
        ("127.0.0.1:8420", "https://files.home:8443", True),
        ("127.0.0.1:8420", "https://files.home:9443", False),
        ("chat.home:8420", "http://chat.home", False),
        ("127.0.0.1:8420", "https://chat.home.evil.example", False),
    ],
)
def test_own_is_the_scheme_host_and_port_that_the_request_came_to(
    home: Path, host: str, origin: str, passes: bool
) -> None:
    names = ("chat.home", "files.home:8443")
    with serving(ScriptedPool(), home, allowed_hosts=names) as url, httpx.Client(base_url=url) as http:
        answer = http.post("/api/conversations", json={}, headers={"host": host, "origin": origin})
        assert answer.status_code == (201 if passes else 403), answer.text


def test_a_browser_that_says_whose_page_it_is_for_is_believed(http: httpx.Client, pool: ScriptedPool) -> None:
    """A form, an image or a script of another site's page sends no Origin, or can go without one."""
    for site in ("cross-site", "same-site", "Cross-Site", "unheard-of"):
        for mode in ("no-cors", "cors", "navigate"):
            headers = {"sec-fetch-site": site, "sec-fetch-mode": mode}
            assert http.post("/v1/chat/completions", json=ASK, headers=headers).status_code == 403
            assert http.post("/api/generations/x/stop", headers=headers).status_code == 403
            if mode != "navigate":  # a hundred of these would use up the page's own streams
                assert http.get("/api/live", headers=headers).status_code == 403
                assert http.get("/v1/models", headers=headers).status_code == 403
            else:
                assert http.get("/v1/models", headers=headers).status_code == 200
            assert http.get("/health", headers=headers).status_code == 200
    assert pool.requests == []
    for site in ("same-origin", "none"):
        assert http.post("/v1/chat/completions", json=ASK, headers={"sec-fetch-site": site}).status_code == 200


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_a_browser_must_say_that_it_is_json(http: httpx.Client, pool: ScriptedPool, path: str) -> None:
    """Every other type can be sent by a page of another site without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", "", None):
        for said in ({"origin": origin_of(http)}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-mode": "no-cors"}):
            headers = said | ({} if kind is None else {"content-type": kind})
            answer = http.post(path, content=orjson.dumps(ASK), headers=headers)
            assert answer.status_code == 415, (kind, said)
            assert answer.json()["error"]["code"] == "unsupported_media_type"
            assert "application/json" in answer.json()["error"]["message"]
    assert pool.requests == []


def test_other_programs_may_leave_the_type_out_and_no_more(http: httpx.Client) -> None:
    body = orjson.dumps(ASK)
    for kind in (None, "application/json", "Application/JSON; charset=utf-8", "application/x-www-form-urlencoded"):
        headers = {} if kind is None else {"content-type": kind}
        assert http.post("/v1/chat/completions", content=body, headers=headers).status_code == 200, kind
        assert http.post("/api/conversations", content=b"{}", headers=headers).status_code == 201, kind
    for kind in ("text/plain", "application/zip", "text/html"):
        assert http.post("/v1/chat/completions", content=body, headers={"content-type": kind}).status_code == 415


def test_a_compressed_body_is_told_so(http: httpx.Client) -> None:
    body = orjson.dumps(ASK)
    for coding in ("gzip", "br", "zstd", "deflate", "GZIP", "gzip, identity"):
        answer = http.post(
            "/v1/chat/completions",
            content=gzip.compress(body),
            headers={"content-encoding": coding, "content-type": "application/json"},
        )
        assert answer.status_code == 415, coding
        assert "compressed" in answer.json()["error"]["message"]
    for packed in (gzip.compress(body), b"PK\x03\x04" + body):
        answer = http.post("/v1/chat/completions", content=packed, headers={"content-type": "application/json"})
        assert answer.status_code == 415
        assert "not JSON" in answer.json()["error"]["message"]
    headers = {"content-encoding": "identity", "content-type": "application/json"}
    assert http.post("/v1/chat/completions", content=body, headers=headers).status_code == 200


def test_an_address_with_a_slash_at_its_end_is_the_same(http: httpx.Client) -> None:
    """A redirect would lose the body with some clients, and the key with others."""
    tried = 0
    for method, path in every_route():
        if path in ("/", "/c/x", "/api/live"):
            continue
        answers = []
        for asked in (path, f"{path}/", f"{path}//"):
            body = ASK if method in ("POST", "PATCH", "DELETE") else None
            answer = http.request(method, asked, json=body)
            assert not 300 <= answer.status_code < 400, (method, asked)
            answers.append(answer.status_code)
        assert len(set(answers)) == 1, (method, path, answers)
        tried += 1
    assert tried > 30
    assert http.post("/v1/chat/completions/", json=ASK).json()["object"] == "chat.completion"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/responses", "Responses API is not served"),
        ("/responses", "Responses API is not served"),
        ("/v1/responses/resp_1", "Responses API is not served"),
        ("/anthropic", "Anthropic's API is not served"),
        ("/anthropic/v1/messages", "Anthropic's API is not served"),
        ("/v1/messages", "Anthropic's API is not served"),
        ("/v1/messages/count_tokens", "Anthropic's API is not served"),
        ("/api/chat", "Ollama's API is not served"),
        ("/api/generate", "Ollama's API is not served"),
        ("/v1/embeddings", "Embeddings are not served"),
        ("/v1/audio/speech", "Only text is served"),
        ("/v1/images/generations", "Only text is served"),
        ("/v1/moderations", "This part of OpenAI's API is not served"),
        ("/completion", "llama.cpp's own API is not served"),
        ("/v1/chat", "There is nothing at this address"),
        ("/v1/v1/chat/completions", "There is nothing at this address"),
    ],
)
def test_what_is_not_served_says_what_is(http: httpx.Client, path: str, words: str) -> None:
    for asked in (path, f"{path}/"):
        error = http.post(asked, json={"model": "x"}).json()["error"]
        assert error["code"] == "not_found"
        assert words in error["message"]
        assert "POST /v1/chat/completions" in error["message"]
    assert http.get("/no/such/thing").json()["error"]["message"] == "There is nothing at this address."


def test_a_wrong_method_says_which_is_right(http: httpx.Client) -> None:
    answer = http.get("/v1/chat/completions")
    assert answer.status_code == 405
    assert answer.json()["error"]["message"] == "This address does not answer GET; use POST."
    assert answer.headers["allow"] == "POST"


def test_a_client_that_wants_a_websocket_is_no_reason_to_install_one(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "eA"}
    assert http.get("/api/state", headers=wanted).status_code == 200
    assert "uvicorn" not in caplog.text
    assert "pip install" not in caplog.text
