"""A remote engine that sends exactly the bytes a test says, cut where it says: a real socket, in its own thread."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

Script = Callable[["Connection"], Awaitable[None]]
LIST = json.dumps({"object": "list", "data": [{"id": "big"}, {"id": "small"}]}).encode()


class Connection:
    """One request as it came, and the socket it came by."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> None:
        self.reader, self.writer, self.path = reader, writer, path
        self.body: dict[str, Any] = json.loads(body) if body else {}

    async def head(self, status: int = 200, type: str = "text/event-stream", **headers: str) -> None:
        """Status and headers; the body is whatever is sent until the connection is closed."""
        named = {"Content-Type": type, "Connection": "close"} | {k.replace("_", "-"): v for k, v in headers.items()}
        lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in named.items() if value)]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def send(self, raw: bytes, size: int | None = None) -> None:
        """All at once, or in pieces of `size` bytes, each with a packet of its own."""
        for at in range(0, len(raw), size or len(raw) or 1):
            self.writer.write(raw[at : at + (size or len(raw))])
            await self.writer.drain()
            await asyncio.sleep(0)


def sends(
    raw: bytes, *, status: int = 200, type: str = "text/event-stream", size: int | None = None, **more: str
) -> Script:
    """Answers with these bytes as the body, and closes."""

    async def script(connection: Connection) -> None:
        await connection.head(status, type, **more)
        await connection.send(raw, size)

    return script


async def silent(connection: Connection) -> None:
    """Takes the request and never says a thing, until the other side goes."""
    await connection.reader.read()


class Upstream:
    """`answers` by model name (`None`: any), `lists` for GET /models. `bodies` are the requests that came."""

    def __init__(self, answer: Script | None = None) -> None:
        self.answers: dict[str | None, Script] = {} if answer is None else {None: answer}
        self.lists: Script = sends(LIST, type="application/json")
        self.bodies: list[dict[str, Any]] = []
        self.listed = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Upstream:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self.url = f"http://127.0.0.1:{server.result(10).sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(self, *of: object) -> None:
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _leave(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0)
            connection = Connection(reader, writer, first.split()[1], await reader.readexactly(length))
            if first.startswith("GET"):
                self.listed += 1
                await self.lists(connection)
            else:
                self.bodies.append(connection.body)
                answer = self.answers.get(connection.body["model"]) or self.answers[None]
                await answer(connection)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side went, as it may, or the test is over
        finally:
            writer.close()
