"""An OpenAI-compatible engine for tests: it thinks one sentence, then says back what it was asked."""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class EchoEngine:
    """Serves `/v1` on loopback while it is open.

    A question may begin with `[slow]` (half a second before each piece), `[ponder]` (it thinks ten seconds), `[die]`
    (the connection breaks after the first pieces) or `[full]` (it is cut at the length limit).
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> EchoEngine:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._json({"object": "list", "data": [{"id": "echo", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
        # Only the wish at its beginning is not said back.
        wish, text = re.match(r"(?:\[(slow|ponder|die|full)\] )?(.*)", question, re.DOTALL).groups()  # type: ignore[union-attr]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self._delta(role="assistant", content=None, reasoning_content="I will ")
            self._delta(content=None, reasoning_content="say it back.")
            for number in range(20 if wish == "ponder" else 0):
                time.sleep(0.5)
                self._delta(content=None, reasoning_content=f" Word {number} is clear.")
            pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
            for index, piece in enumerate(pieces):
                if wish == "slow":
                    time.sleep(0.5)
                if wish == "die" and index == 3:
                    return
                self._delta(content=piece, reasoning_content=None)
            usage = {"prompt_tokens": 20, "completion_tokens": len(pieces) + 2, "total_tokens": len(pieces) + 22}
            self._chunk({"delta": {}, "finish_reason": "length" if wish == "full" else "stop"}, usage=usage)
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass  # the client went away, as it may

    def _delta(self, **delta: Any) -> None:
        self._chunk({"delta": delta, "finish_reason": None})

    def _chunk(self, choice: dict[str, Any], **more: Any) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "echo"}
        self.wfile.write(b"data: %s\n\n" % json.dumps(chunk | {"choices": [{"index": 0} | choice]} | more).encode())
        self.wfile.flush()

    def _json(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
