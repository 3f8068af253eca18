"""The server at `--engine-url`: one connection pool for all its models, redirects, refusals and new tries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson

from clearseek.errors import UsageError
from clearseek.inference.errors import EngineError, EngineUnavailable
from clearseek.inference.remote_payloads import loads
from clearseek.inference.remote_refusal import meaning, mended, plain, reason, reason_in, seconds_to_wait
from clearseek.inference.remote_stream import Clock, Deadlines, broken, read_all
from clearseek.inference.schema_service import SchemaDesk

MAX_LIST = 8 * 1024 * 1024
MAX_ERROR = 64 * 1024
MAX_REDIRECTS = 3
MAX_TRIES = 5
PORTS = {"http": 80, "https": 443}


class RemoteServer:
    """An OpenAI-compatible server. For use within one event loop."""

    def __init__(self, url: str, key: str | None = None, deadlines: Deadlines = Deadlines()) -> None:
        self.url = url.rstrip("/") + "/"
        try:
            self.origin = _origin(url)
        except ValueError:
            raise UsageError(f"`{url}` is not a URL of a server; write it like http://127.0.0.1:8000/v1.") from None
        self.deadlines = deadlines
        self.schemas = SchemaDesk()
        """Where the answers of all its models are held against what was promised."""
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            timeout = aiohttp.ClientTimeout(total=None, connect=self.deadlines.connect)
            self._session = aiohttp.ClientSession(
                headers=headers, timeout=timeout, trust_env=True, connector=aiohttp.TCPConnector(limit=0)
            )
        return self._session

    async def close(self) -> None:
        await self.schemas.close()
        if self._session is not None:
            await self._session.close()

    async def models(self) -> list[str]:
        """The model names it offers. Raises EngineUnavailable."""
        try:
            async with asyncio.timeout(self.deadlines.lists):
                response = await self._send("GET", "models", None)
                try:
                    body = await read_all(response, MAX_LIST)
                finally:
                    response.close()
        except TimeoutError:
            raise EngineUnavailable(f"The engine at {self.url} did not send its list of models in time.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(str(broken(error, self.url, False))) from None
        if not 200 <= response.status < 300:
            raise EngineUnavailable(str(self._refusal(response, body)))
        try:
            return _names(loads(body))
        except ValueError as error:
            raise EngineUnavailable(
                f"What answers at {self.url} is no OpenAI-compatible server (no list at {self.url}models: {error})."
            ) from None

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> aiohttp.ClientResponse:
        """One request; redirects are followed only within the origin the user pointed us to. Close the response."""
        url = urljoin(self.url, path)
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if data else {}
        for _ in range(MAX_REDIRECTS + 1):
            response = await self.session.request(method, url, data=data, headers=headers, allow_redirects=False)
            if response.status not in (301, 302, 303, 307, 308):
                return response
            response.close()
            target, there = response.headers.get("Location", ""), "no address"
            try:
                target = urljoin(url, target)
                origin = _origin(target)
                there = f"{origin[0]}://{urlsplit(target).netloc.rpartition('@')[2]}"
            except ValueError:
                origin = None
            if origin != self.origin:
                raise EngineUnavailable(
                    f"The engine at {self.url} redirects to another server ({plain(there, 100)}); "
                    "if you trust it, give its address as --engine-url."
                )
            url = target
        raise EngineUnavailable(f"The engine at {self.url} redirects in a circle.")

    @contextlib.asynccontextmanager
    async def chat(self, body: dict[str, Any], clock: Clock) -> AsyncIterator[aiohttp.ClientResponse]:
        """POST /chat/completions with success; raises what another status means.

        What a server refuses of our own additions is left out, and the request sent again.
        """
        for _ in range(MAX_TRIES):
            refused = b""
            try:
                async with clock.timeout():
                    response = await self._send("POST", "chat/completions", body)
                    if not 200 <= response.status < 300:
                        try:
                            refused = await read_all(response, MAX_ERROR)
                        finally:
                            response.close()
            except aiohttp.ServerTimeoutError:
                raise
            except TimeoutError:
                raise clock.late(self.url) from None
            if 200 <= response.status < 300:
                try:
                    yield response
                finally:
                    # without this an unfinished body would be read to its end before the connection is let go
                    response.close()
                return
            other = mended(body, response.status, reason_in(refused))
            if other is None:
                break
            body = other
        raise self._refusal(response, refused)

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> EngineError:
        message = reason_in(body)
        if self._key and len(self._key) > 3:
            message = message.replace(self._key, "…")  # some servers say the key again that they refuse
        return meaning(response.status, message, seconds_to_wait(response.headers))


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError for what is no address of a web server."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(url)
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def _names(payload: Any) -> list[str]:
    """The names in a list of models: OpenAI's, a bare list (Together), or `models` (Ollama). Raises ValueError."""
    result = payload
    if isinstance(payload, dict):
        if payload.get("error"):
            raise ValueError(reason(payload) or "it gave no reason")
        if not {"data", "models"} & payload.keys():
            raise ValueError("no `data` in it")
        result = payload.get("data") or payload.get("models") or []
    if not isinstance(result, list):
        raise ValueError("it is no list")
    names = [one if isinstance(one, str) else _name(one) for one in result]
    return list(dict.fromkeys(plain(name) for name in names if name))


def _name(payload: Any) -> str:
    if not isinstance(payload, dict):
        return ""
    return next((payload[key] for key in ("id", "model", "name") if isinstance(payload.get(key), str)), "")
