"""Below the app: the listening socket, HTTP heads that are bounded in size and time, and a shutdown that ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clearseek.errors import UserError

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
GRACEFUL_SECONDS = 3


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's C parser with what it lacks: it would gather a head for as long and as large as a client sends it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes: int | None = 0
        """Bytes of a head that is not whole yet; None while there is no such head."""
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse)

    def on_headers_complete(self) -> None:
        self._head_over()
        super().on_headers_complete()

    def _unsupported_upgrade_warning(self) -> None:
        # Its own says to install a WebSocket library. None is missing: nothing here speaks WebSocket, and the request
        # is answered as if it had not asked for one.
        logging.getLogger("clearseek.server").info("a client asked for a WebSocket; there are none here")

    def _head_over(self) -> None:
        self._head_bytes = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        self._head_over()
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UserError, in a sentence with a way on, where that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UserError(f"There is no address {host!r} on this machine; try --host 127.0.0.1.") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            message = (
                f"Port {port} on {host} is in use, perhaps by another ClearSeek; "
                f"choose another with --port {port + 1 if port < 65535 else 8420} (or --port 0 for any free one)."
            )
        elif error.errno == errno.EACCES:
            message = f"Port {port} is reserved for the system; choose one above 1023, such as --port 8420."
        elif error.errno == errno.EADDRNOTAVAIL:
            message = f"{host} is not an address of this machine; try --host 127.0.0.1."
        else:
            message = f"The server cannot listen on {host} port {port} ({error.strerror})."
        raise UserError(message) from None
    sock.setblocking(False)
    return sock


class Server(uvicorn.Server):
    """uvicorn, which tells when it is up, and tells the app to let go of its streams before it waits for them."""

    def __init__(
        self, config: uvicorn.Config, started: Callable[[], None], closing: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._tell_started, self._closing = started, closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # it reports each stream it has to cut as an error; whoever pressed Ctrl-C meant that
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await self._closing()
        await super().shutdown(sockets)
