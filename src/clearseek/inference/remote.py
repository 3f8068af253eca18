"""Any OpenAI-compatible server as an engine: vLLM, SGLang, llama.cpp, Ollama, a hosted API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from clearseek.inference.engine import Description, Event, Finished, Request, ToolCall
from clearseek.inference.errors import BadRequest, EngineCrashed, EngineError
from clearseek.inference.output_contract import held_to, kept
from clearseek.inference.remote_answer import RemoteAnswer
from clearseek.inference.remote_payloads import Payloads
from clearseek.inference.remote_server import RemoteServer
from clearseek.inference.remote_stream import Clock, Deadlines, broken, payloads
from clearseek.inference.style import SMALL_NATIVE

__all__ = ["Deadlines", "RemoteEngine", "RemoteServer"]


class RemoteEngine:
    """An `Engine` over one model of a remote server."""

    def __init__(self, server: RemoteServer, model: str) -> None:
        self.server, self.model = server, model
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def describe(self) -> Description:
        return Description(
            model=self.model,
            kind="remote",
            digest=None,
            context=None,
            slots=None,
            thinking="unknown",
            tools=None,
            hold=SMALL_NATIVE.hold,  # it may be any model, with any template
            hold_words=SMALL_NATIVE.hold,
            details={"url": self.server.url},
        )

    async def close(self) -> None:
        """The connections belong to the server, which several engines share."""

    async def cancel(self, request_id: str) -> None:
        task = self._running.get(request_id)
        if task is not None:
            task.cancel()

    async def generate(self, request: Request, *, request_id: str = "") -> AsyncGenerator[Event, None]:
        """See `Engine.generate`. Raises BadRequest, Busy, EngineUnavailable, EngineCrashed, UpstreamTimeout and
        SchemaBroken.

        Its `Finished` has no timings: the clocks of another machine are not believed here.
        """
        if request.completion_prompt is not None:
            raise BadRequest("Raw completions are not passed to a remote engine; use /chat/completions.")
        await held_to(request, self.server.schemas)
        task = asyncio.current_task()
        if request_id and task is not None:
            self._running[request_id] = task
        try:
            async with contextlib.aclosing(self._chat(request)) as events:
                async for event in events:
                    yield event
        finally:
            self._running.pop(request_id, None)

    async def _chat(self, request: Request) -> AsyncGenerator[Event, None]:
        answer, reader, clock, url = RemoteAnswer(request), Payloads(), Clock(self.server.deadlines), self.server.url
        try:
            async with (
                self.server.chat(_body(self.model, request), clock) as response,
                contextlib.aclosing(payloads(response, reader, clock, url)) as all_said,
            ):
                async for said in all_said:
                    for event in answer.take(said):
                        yield event
                    if answer.reason == "repeating":
                        break  # leaving hangs up, and most servers then stop
                    if answer.reason is not None:
                        clock.finished()
                    elif said.get("choices"):
                        clock.heard()
        except (aiohttp.ClientError, OSError) as error:
            if answer.reason is None:
                raise broken(error, url, answer.begun) from None
        except EngineError:
            if answer.reason in (None, "aborted"):
                raise
        # Where the answer was finished, it does not matter how the stream ended.
        try:
            last = answer.finish(done=reader.done)
        except EngineCrashed as error:
            raise EngineCrashed(f"{error} It said: {reader.stray}" if reader.stray else str(error)) from None
        checked = False
        for event in last:
            if isinstance(event, ToolCall | Finished) and not checked:
                await self._check(request, answer, last)
                checked = True
            yield event

    async def _check(self, request: Request, answer: RemoteAnswer, last: list[Event]) -> None:
        """Raises SchemaBroken where a whole answer is not what was promised.

        Remote engines say "stop" of the caller's own stop texts too: with those, nobody knows what is whole.
        """
        [finished] = [event for event in last if isinstance(event, Finished)]
        if finished.reason in ("stop", "tool_calls") and not request.stop:
            calls = [event for event in last if isinstance(event, ToolCall)]
            await kept(request, self.server.schemas, answer.answer, calls, whole=True)


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
        if request.thinking.budget is not None:
            body["thinking"]["budget_tokens"] = request.thinking.budget
    asked = request.sampling
    optional = {
        "max_tokens": request.limit,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "seed": asked.seed,
        "frequency_penalty": asked.frequency_penalty or None,
        "presence_penalty": asked.presence_penalty or None,
        "top_k": asked.top_k,
        "min_p": asked.min_p,
        "repetition_penalty": asked.repetition_penalty,
        "logit_bias": {str(token): bias for token, bias in asked.logit_bias} or None,
        "parallel_tool_calls": False if request.one_call and request.tools else None,
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
