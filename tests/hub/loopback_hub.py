"""A Hugging Face hub on loopback: the three routes a pull uses, over real HTTP, and ways for it to misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is served (`owner/name` -> file -> bytes) and how it goes wrong."""

    repos: dict[str, dict[str, bytes]]
    url: str = ""
    tell_hash: bool = True
    wrong_hash: bool = False
    gated: bool = False
    token: str | None = None
    cut_after: int | None = None
    """Close the connection after so many bytes of a file, `cuts` times."""
    cuts: int = 0
    slow: threading.Event | None = None
    """Stop in the middle of a file until this is set."""
    content: bytes | None = None
    """Send these bytes instead of the file's."""
    elsewhere: str | None = None
    """Send whoever asks for bytes to this other server, as hubs do."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.hub
        hub.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        path = unquote(self.path.partition("?")[0])
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            return self.info(found[1], found[2])
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.file(found[1], found[2], found[3])
        return self.answer(404)

    def refused(self, repo: str, revision: str) -> bool:
        hub = self.hub
        if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            if hub.gated:
                self.answer(401, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted.")
            else:
                self.answer(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        elif repo not in hub.repos:
            self.answer(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        elif revision not in ("main", COMMIT):
            self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="Revision not found")
        else:
            return False
        return True

    def hash_of(self, content: bytes) -> str:
        return "0" * 64 if self.hub.wrong_hash else hashlib.sha256(content).hexdigest()

    def info(self, repo: str, revision: str) -> None:
        if self.refused(repo, revision):
            return
        siblings = []
        for name, content in self.hub.repos[repo].items():
            sibling: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": "b" * 40}
            if self.hub.tell_hash:
                sibling["lfs"] = {"sha256": self.hash_of(content), "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        document = {"_id": "1", "id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": []}
        self.answer(200, json.dumps(document).encode(), Content_Type="application/json")

    def file(self, repo: str, revision: str, name: str) -> None:
        hub = self.hub
        if self.refused(repo, revision):
            return
        if name not in hub.repos[repo]:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found")
        content = hub.repos[repo][name]
        linked = (
            {"X_Linked_Size": str(len(content)), "X_Linked_ETag": f'"{self.hash_of(content)}"'} if hub.tell_hash else {}
        )
        if self.command == "HEAD" and hub.elsewhere:
            location = f"{hub.elsewhere}{self.path}"
            return self.answer(302, X_Repo_Commit=COMMIT, Location=location, ETag='"x"', **linked)
        sent = content if hub.content is None else hub.content
        start = 0
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(found[1])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{self.hash_of(content)}"' if hub.tell_hash else '"abc"')
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(sent) - 1}/{len(sent)}")
        self.send_header("Content-Length", str(len(sent) - start))
        self.end_headers()
        if self.command == "HEAD":
            return None
        end = len(sent)
        if hub.cuts > 0 and hub.cut_after is not None:
            hub.cuts -= 1
            end = min(end, start + hub.cut_after)
        with contextlib.suppress(ConnectionError):  # the one who pulls may be killed
            for at in range(start, end, 65536):
                if hub.slow is not None and at >= len(sent) // 2:
                    hub.slow.wait(30)
                self.wfile.write(sent[at : min(at + 65536, end)])
        if end < len(sent):
            self.close_connection = True
        return None


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        if hub.slow is not None:
            hub.slow.set()
        server.shutdown()
        server.server_close()
