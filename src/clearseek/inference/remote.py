"""Any OpenAI-compatible server as an engine: vLLM, SGLang, llama.cpp, Ollama, a hosted API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson

from clearseek.errors import UsageError
from clearseek.inference.engine import (
    Delta,
    Description,
    Event,
    Finished,
    FinishReason,
    Request,
    TokenLogprob,
    ToolCall,
    Usage,
)
from clearseek.inference.errors import BadRequest, Busy, EngineCrashed, EngineError, EngineUnavailable, UpstreamTimeout
from clearseek.inference.thinking import ThinkingSplitter

MAX_LINE = 8 * 1024 * 1024
MAX_ERROR = 64 * 1024
MAX_REDIRECTS = 3


@dataclass(frozen=True)
class Deadlines:
    """Seconds. `idle` counts from the last payload: comments that keep a connection alive do not move it."""

    connect: float = 10.0
    idle: float = 120.0
    total: float = 3600.0


class RemoteServer:
    """The server at `--engine-url`: its models and one connection pool for all of them."""

    def __init__(self, url: str, key: str | None = None, deadlines: Deadlines = Deadlines()) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"`{url}` is not a URL of a server; write it like http://127.0.0.1:8000/v1.")
        self.url = url.rstrip("/") + "/"
        self.origin = (parts.scheme, parts.hostname, parts.port)
        self.deadlines = deadlines
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=self.deadlines.connect)
            self._session = aiohttp.ClientSession(
                headers=self._headers, timeout=timeout, trust_env=True, connector=aiohttp.TCPConnector(limit=0)
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def models(self) -> list[str]:
        """The model names it offers. Raises EngineUnavailable."""
        try:
            async with asyncio.timeout(self.deadlines.connect), self._request("GET", "models", None) as response:
                if response.status != 200:
                    raise await _refusal(response)
                said = orjson.loads(await response.content.read(MAX_LINE))
            return [str(model["id"]) for model in said["data"]]
        except TimeoutError:
            raise EngineUnavailable(f"The engine at {self.url} did not answer in time.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise EngineUnavailable(f"The engine at {self.url} cannot be reached: {error}.") from None
        except (ValueError, KeyError, TypeError):
            raise EngineUnavailable(
                f"What answers at {self.url} is no OpenAI-compatible server (no list at {self.url}models)."
            ) from None

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; redirects are followed only within the origin the user pointed us to."""
        url = urljoin(self.url, path)
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if data else {}
        for _ in range(MAX_REDIRECTS + 1):
            response = await self.session.request(method, url, data=data, headers=headers, allow_redirects=False)
            if response.status not in (301, 302, 303, 307, 308):
                try:
                    yield response
                finally:
                    response.close()
                return
            response.close()
            target = urljoin(url, response.headers.get("Location", ""))
            parts = urlsplit(target)
            if (parts.scheme, parts.hostname, parts.port) != self.origin:
                raise EngineUnavailable(
                    f"The engine at {self.url} redirects to another server ({parts.scheme}://{parts.netloc}); "
                    "if you trust it, give its address as --engine-url."
                )
            url = target
        raise EngineUnavailable(f"The engine at {self.url} redirects in a circle.")

    @contextlib.asynccontextmanager
    async def chat(self, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """POST /chat/completions with a status of 200; raises what another status means.

        Fields beyond OpenAI's are left out and the request sent again when the server refuses them.
        """
        for attempt in (body, {name: value for name, value in body.items() if name not in EXTENSIONS}):
            async with self._request("POST", "chat/completions", attempt) as response:
                if response.status == 200:
                    yield response
                    return
                refusal = await _refusal(response)
                named = any(name in str(refusal) for name in EXTENSIONS)
                if attempt is not body or response.status not in (400, 422) or not named:
                    raise refusal


EXTENSIONS = ("thinking", "chat_template_kwargs", "reasoning_effort")


class RemoteEngine:
    """An `Engine` over one model of a remote server."""

    def __init__(self, server: RemoteServer, model: str) -> None:
        self.server, self.model = server, model
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def describe(self) -> Description:
        return Description(self.model, "remote", None, None, None, "unknown", True, details={"url": self.server.url})

    async def close(self) -> None:
        """The connections belong to the server, which several engines share."""

    async def cancel(self, request_id: str) -> None:
        task = self._running.get(request_id)
        if task is not None:
            task.cancel()

    async def generate(self, request: Request, *, request_id: str = "") -> AsyncGenerator[Event, None]:
        """See `Engine.generate`. Raises BadRequest, Busy, EngineUnavailable, EngineCrashed, UpstreamTimeout."""
        if request.completion_prompt is not None:
            raise BadRequest("Raw completions are not passed to a remote engine; use /chat/completions.")
        task = asyncio.current_task()
        if request_id and task is not None:
            self._running[request_id] = task
        try:
            async with contextlib.aclosing(self._chat(request)) as events:
                async for event in events:
                    yield event
        except aiohttp.ClientConnectorError as error:
            raise EngineUnavailable(f"The engine at {self.server.url} cannot be reached: {error.os_error}.") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(f"The engine at {self.server.url} did not answer in time.") from None
            raise EngineCrashed(f"The engine at {self.server.url} broke off in the middle of the answer.") from None
        finally:
            self._running.pop(request_id, None)

    async def _chat(self, request: Request) -> AsyncGenerator[Event, None]:
        answer = _Answer()
        async with (
            self.server.chat(_body(self.model, request)) as response,
            contextlib.aclosing(_payloads(response, self.server)) as payloads,
        ):
            async for said in payloads:
                for event in answer.take(said):
                    yield event
        for event in answer.finish():
            yield event


class _Answer:
    """Puts one answer together from chunks, whichever dialect they speak."""

    def __init__(self) -> None:
        self.splitter = ThinkingSplitter()
        self.reason: FinishReason | None = None
        self.usage: Usage | None = None
        self.tokens = 0
        self.calls: dict[int, dict[str, str]] = {}

    def take(self, said: dict[str, Any]) -> list[Event]:
        out: list[Event] = []
        if isinstance(said.get("usage"), dict):
            self.usage = _usage(said["usage"])
        for choice in said.get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            if choice.get("finish_reason"):
                known = choice["finish_reason"]
                self.reason = cast(FinishReason, known if known in ("stop", "length", "tool_calls") else "aborted")
            thinking = delta.get("reasoning_content") or delta.get("reasoning")
            logprobs = _logprobs(choice.get("logprobs"))
            if thinking:
                self.tokens += 1
                # The server splits by itself: a <think> in its content is then literal.
                self.splitter = ThinkingSplitter(expect=False)
                out.append(Delta("thinking", str(thinking), 1, logprobs))
                logprobs = ()
            content = delta.get("content")
            if content:
                self.tokens += 1
                for kind, text in self.splitter.feed(str(content)):
                    out.append(Delta(kind, text, 1, logprobs))
                    logprobs = ()
            for call in delta.get("tool_calls") or ():
                whole = self.calls.setdefault(
                    int(call.get("index", len(self.calls))), {"id": "", "name": "", "text": ""}
                )
                function = call.get("function") or {}
                whole["id"] = call.get("id") or whole["id"]
                whole["name"] = function.get("name") or whole["name"]
                whole["text"] += function.get("arguments") or ""
        return out

    def finish(self) -> list[Event]:
        out: list[Event] = [Delta(kind, text, 0) for kind, text in self.splitter.finish()]
        out += [ToolCall(call["id"], call["name"], call["text"]) for _, call in sorted(self.calls.items())]
        if self.reason is None:
            raise EngineCrashed("The remote engine ended the stream without finishing the answer.")
        out.append(Finished(self.reason, self.usage or Usage(completion_tokens=self.tokens)))
        return out


def _body(model: str, request: Request) -> dict[str, Any]:
    messages = [dict(message) for message in request.messages]
    if request.continue_last:
        messages[-1]["prefix"] = True
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "thinking": {"type": "enabled" if request.thinking.enabled else "disabled"},
        "chat_template_kwargs": {"enable_thinking": request.thinking.enabled},
    }
    if request.thinking.enabled:
        body["reasoning_effort"] = request.thinking.effort
    asked = request.sampling
    optional = {
        "max_tokens": request.limit,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "seed": asked.seed,
        "frequency_penalty": asked.frequency_penalty or None,
        "presence_penalty": asked.presence_penalty or None,
        "stop": list(request.stop) or None,
        "tools": list(request.tools) or None,
        "tool_choice": request.tool_choice if request.tools else None,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.json_schema == {"type": "object"}:
        body["response_format"] = {"type": "json_object"}
    elif request.json_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.json_schema},
        }
    return body


async def _payloads(response: aiohttp.ClientResponse, server: RemoteServer) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON payloads of an event stream until `[DONE]` or its end, under the two deadlines."""
    loop = asyncio.get_running_loop()
    end = loop.time() + server.deadlines.total
    idle = loop.time() + server.deadlines.idle
    buffer = b""
    while True:
        try:
            async with asyncio.timeout_at(min(idle, end)):
                chunk = await response.content.readany()
        except TimeoutError:
            seconds = server.deadlines.total if loop.time() >= end else server.deadlines.idle
            raise UpstreamTimeout(
                f"The engine at {server.url} sent nothing of its answer for {seconds:g} seconds; try again later."
                if loop.time() < end
                else f"The engine at {server.url} did not finish its answer within {seconds:g} seconds."
            ) from None
        if not chunk:
            return
        buffer += chunk
        *lines, buffer = buffer.replace(b"\r\n", b"\n").split(b"\n")
        if len(buffer) > MAX_LINE:
            raise EngineError(f"The engine at {server.url} sent a line of more than {MAX_LINE >> 20} MB.")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            payload = line[5:].strip()
            if payload == b"[DONE]":
                return
            try:
                said = orjson.loads(payload)
            except orjson.JSONDecodeError:
                raise EngineError(f"The engine at {server.url} sent something that is not JSON.") from None
            if isinstance(said, dict):
                if said.get("error"):
                    error = said["error"]
                    told = error.get("message") if isinstance(error, dict) else str(error)
                    raise EngineError(f"The engine at {server.url} failed: {told}")
                idle = loop.time() + server.deadlines.idle
                yield said


async def _refusal(response: aiohttp.ClientResponse) -> EngineError:
    """What a status other than 200 means to whoever asked us."""
    raw = await response.content.read(MAX_ERROR)
    told = ""
    with contextlib.suppress(ValueError, AttributeError):
        error = orjson.loads(raw).get("error")
        told = str(error.get("message") if isinstance(error, dict) else error or "")
    status = response.status
    if status in (401, 403):
        return EngineUnavailable(
            f"The remote engine refused our key ({status}); set CLEARSEEK_ENGINE_KEY to one that it takes."
        )
    if status == 429:
        wait = response.headers.get("Retry-After", "5")
        return Busy(
            f"The remote engine has too many requests: {told or 'try again later'}", int(wait) if wait.isdigit() else 5
        )
    if 400 <= status < 500:
        return BadRequest(f"The remote engine refused the request ({status}): {told or 'it gave no reason'}")
    return EngineUnavailable(f"The remote engine failed ({status}): {told or 'it gave no reason'}")


def _usage(said: dict[str, Any]) -> Usage:
    """Both framings: OpenAI's details and DeepSeek's hit and miss counts."""
    prompt = said.get("prompt_tokens_details") or {}
    completion = said.get("completion_tokens_details") or {}
    cached = said.get("prompt_cache_hit_tokens")
    return Usage(
        prompt_tokens=int(said.get("prompt_tokens") or 0),
        cached_tokens=int((prompt.get("cached_tokens") if cached is None else cached) or 0),
        completion_tokens=int(said.get("completion_tokens") or 0),
        reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
    )


def _logprobs(said: Any) -> tuple[TokenLogprob, ...]:
    if not isinstance(said, dict):
        return ()
    entries = (said.get("reasoning_content") or []) + (said.get("content") or [])
    return tuple(
        TokenLogprob(*_token(one), top=tuple(_token(other) for other in one.get("top_logprobs") or ()))
        for one in entries
    )


def _token(said: dict[str, Any]) -> tuple[str, float, tuple[int, ...]]:
    return str(said.get("token", "")), float(said.get("logprob", 0.0)), tuple(said.get("bytes") or ())
