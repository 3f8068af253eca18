"""The gate in front of every route: hosts, origins, keys, sizes, and the headers that every answer carries.

One pure ASGI middleware, outermost: a streamed token passes through one plain function here and nothing else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearseek.errors import UsageError
from clearseek.server.errors import ApiError, as_api_error, error_response
from clearseek.server.keys import KeyRing
from clearseek.server.metrics import Metrics
from clearseek.server.origins import check_site, host_name
from clearseek.server.request_body import check_encoding, check_json_shape, check_kind
from clearseek.server.static_page import is_page_path
from clearseek.settings import Settings

log = logging.getLogger("clearseek.access")

MAX_HEADERS = 128
BODY_SECONDS = 120
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
OPEN_PATHS = frozenset({"/health"})
"""Served without a key, besides the page's own files (which hold nothing of anybody's)."""

SECURITY_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; "
        # KaTeX places its boxes with style attributes; style sheets and <style> stay our own
        b"style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        b"manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or is_page_path(path)


def refuse_open_bind(settings: Settings, keyring: KeyRing) -> None:
    """Raise UsageError for an address that others can reach while there is no key to keep them out."""
    if not is_loopback(settings.host) and not keyring.any():
        raise UsageError(
            f"Others can reach {settings.host}, so the server needs an API key there. Make one with "
            "`clearseek keys create NAME` and start again, or leave out --host to serve this machine only."
        )


class Guard:
    """Checks, in this order: Host, whose page asks, key, size, kind and shape of the body. Catches the unforeseen."""

    def __init__(self, app: ASGIApp, *, settings: Settings, keyring: KeyRing, metrics: Metrics) -> None:
        self._app, self._keyring, self._metrics = app, keyring, metrics
        self._max_body = settings.max_body_bytes
        self._reachable = not is_loopback(settings.host)
        self._names = {host.lower() for host in settings.allowed_hosts}
        self._hosts = {host_name(host) or host for host in self._names}
        if settings.host not in ("0.0.0.0", "::", ""):
            self._hosts.add(settings.host.lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            await send(message)

        state = scope.setdefault("state", {})
        try:
            receive = await self._admit(scope, receive)
            await self._app(scope, receive, guarded_send)
        except _Gone:
            state["abandoned"] = True
        except Exception as error:
            data = as_api_error(error)
            if status:  # too late for another answer: the broken connection tells it
                raise
            await error_response(data)(scope, receive, guarded_send)
        finally:
            code = 499 if state.get("abandoned") else status
            seconds = time.perf_counter() - began
            self._metrics.request(scope, code, seconds)
            log.info("%s %s %d %.3fs %s", scope["method"], scope["path"], code, seconds, state.get("client", "-"))

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Raise ApiError for a request that may not pass; else note who it is from, and give its body's reader."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        if len(scope["headers"]) > MAX_HEADERS:
            raise ApiError(431, f"The request has more than {MAX_HEADERS} headers.")
        self._check_host(scope, headers)
        # `/models/` is `/models`: a redirect would lose the body with some clients.
        if not is_page_path(scope["path"]):
            scope["path"] = scope["path"].rstrip("/") or "/"
        changing = scope["method"] in CHANGING
        if changing or not (scope["method"] == "OPTIONS" or _is_open(scope["path"])):
            check_site(scope["method"], headers, self._names)
        scope["state"]["client"] = self._who(scope, headers)
        if not changing:
            return receive
        receive = await self._read_body(headers, receive)
        # What `curl -d` sends is JSON under another name.
        scope["headers"] = [item for item in scope["headers"] if item[0] != b"content-type"]
        scope["headers"].append((b"content-type", b"application/json"))
        return receive

    def _allowed(self, scope: Scope, name: str) -> bool:
        # the address the connection came in on is ours too: behind 0.0.0.0 it is the only one that is known
        return is_loopback(name) or name in self._hosts or (bool(scope.get("server")) and name == scope["server"][0])

    def _check_host(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> None:
        """A page of a foreign site whose name was made to point here (DNS rebinding) carries its own name in Host."""
        values = headers.get(b"host", [])
        name = host_name(values[0].decode("latin-1")) if len(values) == 1 else None
        if name is None or not self._allowed(scope, name):
            raise ApiError(
                403,
                "The server does not go by the name in the Host header of this request. Use the address it printed, "
                "or add the name to `allowed_hosts` in config.toml.",
                "foreign_host",
            )

    def _who(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> str:
        """The id of the key, or "local" where no key is asked for. Raises ApiError (401)."""
        if not self._reachable and not self._keyring.any():
            return "local"
        given = [value.decode("latin-1").strip() for value in headers.get(b"x-api-key", [])]
        for value in headers.get(b"authorization", []):
            scheme, _, secret = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                given.append(secret.strip())
        for secret in given:
            client = self._keyring.check(secret)
            if client is not None:
                return client
        if scope["method"] in ("GET", "HEAD") and _is_open(scope["path"]):
            return "nobody"
        raise ApiError(
            401,
            "The API key is not known here; ask whoever runs this server for one (`clearseek keys create NAME`)."
            if given
            else "This server asks for an API key: send `Authorization: Bearer KEY`.",
            headers={"www-authenticate": "Bearer"},
        )

    async def _read_body(self, headers: dict[bytes, list[bytes]], receive: Receive) -> Receive:
        """Read the whole body, within bounds, and return what gives it to the app in one piece."""
        check_encoding(headers)
        too_large = ApiError(413, f"The body is larger than {self._max_body:,} bytes; send less at once.")
        for value in headers.get(b"content-length", []):
            if value.isdigit() and int(value) > self._max_body:
                raise too_large
        chunks, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > self._max_body:
                        raise too_large
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise ApiError(408, f"The body did not arrive within {BODY_SECONDS} seconds.") from None
        body = b"".join(chunks)
        check_kind(body, headers)
        check_json_shape(body)
        return _replay(body, receive)


class _Gone(Exception):
    """The client went away before its request was whole."""


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: bytes | None = body

    async def replay() -> Message:
        nonlocal waiting
        if waiting is None:
            return await receive()
        message = {"type": "http.request", "body": waiting, "more_body": False}
        waiting = None  # a generation can take minutes: do not hold its body that long
        return message

    return replay
