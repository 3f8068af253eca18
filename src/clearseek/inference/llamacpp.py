"""Chat with a GGUF file: the prompt is rendered here, thinking is opened and closed here, llama.cpp makes the tokens.

An answer is one or two completions. With thinking on, the first one runs until the model closes its thinking or the
budget is spent; the second one continues the same text after the closing, and the grammar, the stop texts and tool
calls apply to it alone. The second finds the first in the KV cache, so it costs a handful of prompt tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from clearseek.hub.chat_template import ChatTemplate, Piece
from clearseek.hub.errors import BadTemplate
from clearseek.hub.gguf_file import Header, kv_bytes_per_token, read_header
from clearseek.hub.model import Model
from clearseek.hub.weights import known_digest
from clearseek.inference.completion import Completion, Stopped
from clearseek.inference.engine import (
    Delta,
    Description,
    Event,
    Finished,
    FinishReason,
    Progress,
    Recast,
    Request,
    Thinking,
    ToolCall,
)
from clearseek.inference.errors import EngineCrashed, EngineUnavailable
from clearseek.inference.late_tags import LateTags, Part, speaks_of_tags
from clearseek.inference.llamacpp_process import LlamaProcess
from clearseek.inference.machine import Plan, plan
from clearseek.inference.output_contract import FOREIGN_CALLS, NO_CALLS, kept, promised
from clearseek.inference.repetition import CIRCLING, Repetition
from clearseek.inference.schema_service import SchemaDesk
from clearseek.inference.style import NATIVE, ThinkingStyle, budget, style_of
from clearseek.inference.thinking import CLOSE, OPEN, ThinkingSplitter
from clearseek.inference.token_ids import Spoken
from clearseek.inference.tool_calls import OPEN as OPEN_CALL
from clearseek.inference.tool_calls import ToolCallParser, forced_functions, parse_call, understands_calls
from clearseek.inference.verified_weights import Weights

WHOLE_TEXT = 1_000_000
"""Tokens that a penalty looks back on: more than any context. llama.cpp keeps a place for each."""
MAX_CRASHES = 3
"""Crashes in a row, without one answer between them, after which the engine stays down until it is asked anew."""
CIRCLING_THOUGHT = "Its thinking was repeating itself and was ended; the answer goes by what it had found."


def plan_for(model: Model, header: Header, *, context: int | None, slots: int | None, threads: int | None) -> Plan:
    """What the machine gives this model. Raises EngineUnavailable when it does not fit."""
    return plan(
        file_bytes=model.bytes,
        parameters=model.parameters,
        train_context=model.context,
        kv_bytes_per_token=kv_bytes_per_token(header),
        context=context,
        slots=slots,
        threads=threads,
    )


def template_of(header: Header) -> ChatTemplate:
    """The chat template in the file, or what a model without one gets. Raises BadTemplate."""
    return ChatTemplate(
        header.chat_template,
        bos_token=header.bos_token,
        eos_token=header.eos_token,
        control_tokens=(*header.control_tokens, *header.user_tokens),
    )


class LlamaCppEngine:
    """An `Engine` over one GGUF file. The child process starts with the first request and again after a crash."""

    def __init__(
        self, model: Model, *, context: int | None = None, slots: int | None = None, threads: int | None = None
    ) -> None:
        self.model = model
        self.weights = Weights(model)
        self.weights.there()
        self.header = read_header(model.path)
        self.plan = plan_for(model, self.header, context=context, slots=slots, threads=threads)
        try:
            self.template = template_of(self.header)
        except BadTemplate as error:
            raise EngineUnavailable(f"{model.name} cannot be chatted with. {error} Choose another model.") from None
        self.style: ThinkingStyle = style_of(model.thinking, model.parameters)
        self.restarts = 0
        self.loading: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        """Around every loading of the model: whoever keeps the books puts theirs here."""
        self._refused_tools = None
        if not understands_calls(self.template):
            self._refused_tools = FOREIGN_CALLS if self.template.supports_tools else NO_CALLS
        self.schemas = SchemaDesk()
        self._crashes = 0
        self._spoken = Spoken()
        self._starting = asyncio.Lock()
        self._process: LlamaProcess | None = None
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._closed = False

    async def describe(self) -> Description:
        return Description(
            model=self.model.name,
            kind="llamacpp",
            digest=self.weights.digest or known_digest(self.model.path) or self.model.sha256,
            context=self.plan.context,
            slots=self.plan.slots,
            thinking=self.model.thinking,
            tools=self._refused_tools is None,
            hold=self.style.hold,
        )

    async def start(self) -> LlamaProcess:
        """The running child; started when there is none. Raises EngineUnavailable."""
        async with self._starting:
            if self._closed:
                raise EngineUnavailable("The server is shutting down.")
            if self._process is not None and self._process.alive:
                await self.weights.unchanged()
                return self._process
            if self._process is not None:
                self.restarts += 1
                self._crashes += 1
                await self._process.stop()
                self._process = None
                if self._crashes > MAX_CRASHES:
                    self._crashes = 0
                    raise EngineUnavailable(
                        f"The engine for {self.model.name} crashed {MAX_CRASHES} times in a row; "
                        "check the file with `clearseek models show` or choose another model."
                    )
            self.weights.there()
            with self.loading():
                self._process = await self.weights.load(self.plan)
            return self._process

    def cpu_seconds(self) -> float | None:
        """CPU time that the child has used since it was started; None where there is none."""
        return None if self._process is None else self._process.cpu_seconds()

    async def close(self) -> None:
        self._closed = True
        await self.schemas.close()
        async with self._starting:
            if self._process is not None:
                await self._process.stop()

    async def cancel(self, request_id: str) -> None:
        """Ends a running generation; its reader sees `asyncio.CancelledError`. Unknown ids are ignored."""
        task = self._running.get(request_id)
        if task is not None:
            task.cancel()

    async def generate(self, request: Request, *, request_id: str = "") -> AsyncGenerator[Event, None]:
        """See `Engine.generate`. Raises BadRequest, ContextOverflow, EngineCrashed, EngineUnavailable."""
        vocabulary = self.header.vocab_size
        request = await promised(request, self.schemas, vocabulary=vocabulary, refused_tools=self._refused_tools)
        process = await self.start()
        task = asyncio.current_task()
        if request_id and task is not None:
            self._running[request_id] = task
        try:
            async with contextlib.aclosing(self._answer(process, request)) as events:
                async for event in events:
                    if isinstance(event, Finished):  # now: whoever reads may leave with it
                        self._crashes = 0
                    yield event
        except EngineCrashed:
            # The child may still be on its way out: wait for it, so that the next request starts a fresh one.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.process.wait(), 2)
            raise EngineCrashed(
                f"The engine stopped in the middle of the answer ({process.ending()}). Ask again and it starts afresh."
            ) from None
        finally:
            self._running.pop(request_id, None)

    async def _answer(self, process: LlamaProcess, request: Request) -> AsyncGenerator[Event, None]:
        bytewise = self.header.text("tokenizer.ggml.model") in ("gpt2", "llama")  # others may drop or fold text
        completion = Completion(process, self.plan.context, self.header.longest_token if bytewise else None)
        # Before it is rendered, too: what is told of many megabytes is told at once.
        completion.check_length([str(message.get("content") or "") for message in request.messages])
        if request.completion_prompt is not None:
            async with contextlib.aclosing(_raw(completion, request)) as events:
                async for event in events:
                    yield event
            return
        prompt, thought, answered = await self._prompt(completion, request)
        await completion.check_fits(prompt)
        thinking_now = request.thinking.enabled and not answered
        # Only text that is all trusted: what somebody typed must not be taken for what the model said.
        text = "".join(prompt) if all(isinstance(part, str) for part in prompt) else None
        if text is not None and request.sampling.seed is None:
            prompt = self._spoken.recall(text)
        spent = 0
        if thinking_now:
            if self.style.shown and not thought:
                yield Delta("thinking", self.style.shown, tokens=0)
            allowed = budget(self.style, request.thinking, request.limit or self.plan.context // 2)
            splitter = ThinkingSplitter(opened=True)
            watch = Repetition(request.messages)
            new = ""
            stopped: Stopped | None = None
            body = _sampling(request, self.style) | {"prompt": prompt, "n_predict": allowed}
            body["stop"] = [CLOSE, *self.template.stops]
            # A seed promises the same text; a prompt read in other batches rounds differently.
            body["cache_prompt"] = request.sampling.seed is None
            if allowed > 0:
                async with contextlib.aclosing(completion.run(body)) as steps:
                    async for step in steps:
                        if isinstance(step, Stopped):
                            stopped = step
                        elif isinstance(step, Progress):
                            yield step
                        else:
                            text = "".join(piece for _, piece in splitter.feed(step.text))
                            new += text
                            if text or step.logprobs:
                                yield replace(step, kind="thinking", text=text)
                            if watch.feed(step.text):
                                completion.ended_here()
                                completion.note = CIRCLING_THOUGHT
                                break
            rest = "".join(piece for _, piece in splitter.finish())
            if rest:
                yield Delta("thinking", rest, tokens=0)
            spent = completion.generated
            completion.reasoning = spent
            if stopped is not None and stopped.kind == "limit":
                used_up = request.limit is not None and spent >= request.limit
                if used_up or completion.full:
                    yield completion.finished("length")
                    return
            prompt = [*prompt, *await self._pieces(completion, new + rest), self.style.closing]
        said = False
        say = self._say(completion, request, prompt, spent, fresh=not thinking_now)
        async with contextlib.aclosing(say) as events:
            async for event in events:
                said = (
                    (said and not isinstance(event, Recast))
                    or isinstance(event, ToolCall)
                    or (isinstance(event, Delta) and bool(event.text.strip()))
                )
                if isinstance(event, Finished) and not said and thinking_now and event.reason == "stop":
                    break
                if isinstance(event, Finished) and text is not None and not thinking_now:
                    await self._remember(completion, request, text, prompt)
                yield event
            else:
                return
        # A small model may find that its thinking has said it all. The reader still wants an answer, so it is asked
        # again without the thinking.
        plain, _, _ = await self._prompt(completion, replace(request, thinking=Thinking(enabled=False)))
        async with contextlib.aclosing(
            self._say(completion, request, plain, completion.generated, fresh=False)
        ) as events:
            async for event in events:
                yield event

    async def _say(
        self, completion: Completion, request: Request, prompt: list[Any], spent: int, *, fresh: bool
    ) -> AsyncGenerator[Event, None]:
        """The answer itself, after whatever thinking there was, and without what turns out to be thinking in it."""
        body = _sampling(request, self.style, answering=True) | {"prompt": prompt}
        body["stop"] = [*request.stop, *self.template.stops]
        if request.max_tokens is not None:
            body["n_predict"] = max(1, request.max_tokens - spent)
        elif self.style.answer_limit is not None:
            body["n_predict"] = self.style.answer_limit
        if request.at_most is not None:
            body["n_predict"] = min(body.get("n_predict", request.at_most), max(1, request.at_most - spent))
        if fresh:
            body["cache_prompt"] = request.sampling.seed is None
        elif "dry_penalty_last_n" in body:
            body["dry_penalty_last_n"] = 64  # an answer may say again what the thinking found
        tools = () if request.tool_choice == "none" else request.tools
        forced = bool(tools and forced_functions(tools, request.tool_choice))
        if forced:
            body["prompt"] = [*prompt, f"{OPEN_CALL}\n"]
        if request.grammar is not None:
            body["grammar"] = request.grammar
        names = frozenset(tool["function"]["name"] for tool in tools)
        parser = ToolCallParser(names) if tools else None
        continuing = request.continue_last and bool(request.messages[-1].get("content"))
        bare = forced or request.grammar is not None
        thinks = request.thinking.enabled
        # A grammar lets no tag through; and what a model says that knows no tags and was not asked to think is text.
        plain = bare or not (self.model.thinking == "native" or thinks) or speaks_of_tags(request.messages)
        late = LateTags(request.messages[-1]["content"] if continuing else "", literal=plain)
        watch = Repetition(request.messages, code=bare)
        gathered = ""
        reason = "stop"
        whole = False
        async with contextlib.aclosing(completion.run(body)) as steps:
            async for step in steps:
                if isinstance(step, Stopped):
                    reason = "length" if step.kind == "limit" else "stop"
                    whole = step.kind == "eos"
                elif isinstance(step, Progress):
                    if fresh:
                        yield step
                elif forced:
                    gathered += step.text
                    if step.logprobs:
                        yield replace(step, text="")
                else:
                    inside = late.inside
                    pieces = late.feed(step.text)
                    completion.reasoning += inside or late.inside
                    counted = False
                    for event in self._tell(pieces, parser, completion, shown=thinks):
                        if isinstance(event, Delta) and not counted:
                            counted, event = True, replace(step, kind=event.kind, text=event.text)
                        yield event
                    if not counted:
                        yield replace(step, text="")
                if isinstance(step, Delta) and watch.feed(step.text):
                    reason = "repeating"
                    completion.ended_here()
                    completion.note = CIRCLING
                    break
        for event in self._tell(late.finish(), parser, completion, shown=thinks):
            yield event
        calls = []
        if forced:
            call = parse_call(gathered, names)
            if call is not None:
                calls = [call]
            elif gathered:
                yield Delta("answer", gathered, tokens=0)
        elif parser is not None:
            rest = parser.finish()
            if rest:
                yield Delta("answer", rest, tokens=0)
            calls = parser.calls[:1] if request.one_call else parser.calls
        await kept(request, self.schemas, completion.text, calls, whole=whole)
        for call in calls:
            yield call
        ended: FinishReason = "length" if reason == "length" else "repeating" if reason == "repeating" else "stop"
        yield completion.finished("tool_calls" if calls else ended)

    def _tell(
        self, pieces: list[Part], parser: ToolCallParser | None, completion: Completion, *, shown: bool
    ) -> Iterator[Delta | Recast]:
        """Pieces of an answer as events, without tool calls; nothing is counted in them."""
        for kind, text in pieces:
            if kind == "recast":
                rest = "" if parser is None else parser.restart()
                if rest:
                    yield Delta("answer", rest, tokens=0)
                completion.reasoning = completion.so_far - 1  # all but the token that begins the answer
                yield Recast(shown)
            elif kind == "thinking":
                if shown:
                    yield Delta("thinking", text, tokens=0)
            else:
                said = text if parser is None else parser.feed(text)
                if said:
                    yield Delta("answer", said, tokens=0)

    async def _remember(self, completion: Completion, request: Request, text: str, prompt: list[Any]) -> None:
        """Keeps the ids of the answer, where what is sent back with the next turn will be what was written."""
        wrote = completion.text
        begun = request.continue_last and bool(request.messages[-1].get("content"))
        if not wrote or request.tools or not (begun or wrote == wrote.lstrip()):
            return
        with contextlib.suppress(EngineCrashed):  # the answer has come; the next request is told
            if await completion.wrote_exactly():
                self._spoken.remember(text, prompt, wrote, completion.ids)

    async def _prompt(self, completion: Completion, request: Request) -> tuple[list[Any], str, bool]:
        """The prompt up to where generation begins; thinking that is continued; whether the answer has begun."""
        messages = list(request.messages)
        last: dict[str, Any] = {}
        if request.continue_last:
            last = messages.pop()
        tools = None if request.tool_choice == "none" or not request.tools else list(request.tools)
        thought = (last.get("reasoning_content") or "").removeprefix(self.style.shown)
        content = last.get("content") or ""
        thinks = bool(thought) or (request.thinking.enabled and not content)
        pieces = list(self.template.render(messages, tools=tools, enable_thinking=thinks))
        opening = self.style.opening
        # A template may open the thinking itself; we write the opening, or its opposite, in one place. One that has a
        # switch for thinking says by itself what an answer without it looks like.
        tail = pieces[-1].text
        head, opened, space = tail.rpartition(OPEN)
        if pieces[-1].trusted and opened and not space.strip():
            pieces[-1] = Piece(head, trusted=True)
            opening = f"{opened}{space}" if self.style.stop == CLOSE else opening
        parts: list[Any] = []
        for piece in pieces:
            parts += [piece.text] if piece.trusted else [*await completion.tokenize(piece.text)]
        if thinks:
            parts += [opening, *await self._pieces(completion, thought)]
            if content:
                parts.append(self.style.closing)
        elif not self.template.switches_thinking:
            parts.append(self.style.suppress)
        if content:
            parts += await self._pieces(completion, content)
        return parts, thought, bool(content)

    async def _pieces(self, completion: Completion, text: str) -> list[Any]:
        """Text that was generated or came from outside: control tokens spelt out in it stay plain text."""
        if any(token in text for token in self.header.control_tokens):
            return list(await completion.tokenize(text))
        return [text] if text else []


async def _raw(completion: Completion, request: Request) -> AsyncGenerator[Event, None]:
    """`/beta/completions`: text, or the middle between a prompt and a suffix."""
    body = _sampling(request, NATIVE) | {"stop": list(request.stop)}
    if request.limit is not None:
        body["n_predict"] = request.limit
    path = "/completion"
    if request.completion_suffix:
        path = "/infill"
        body |= {"input_prefix": request.completion_prompt, "input_suffix": request.completion_suffix, "prompt": ""}
    else:
        body["prompt"] = [*await completion.tokenize(request.completion_prompt or "", special=True)]
    reason = "stop"
    async with contextlib.aclosing(completion.run(body, path)) as steps:
        async for step in steps:
            if isinstance(step, Stopped):
                reason = "length" if step.kind == "limit" else "stop"
            else:
                yield step
    yield completion.finished("length" if reason == "length" else "stop")


def _sampling(request: Request, style: ThinkingStyle, *, answering: bool = False) -> dict[str, Any]:
    """llama.cpp's sampler settings. Values the caller gave are exact: no other truncation is mixed in."""
    asked = request.sampling
    body: dict[str, Any] = {"top_k": 0, "min_p": 0.0, "top_p": 1.0, "temperature": 1.0, "repeat_penalty": 1.0}
    if asked.temperature is None and asked.top_p is None:
        body |= {**style.sampling, **(style.answering if answering else {})}
    if asked.temperature is not None:
        body["temperature"] = asked.temperature
        if asked.temperature == 0:
            body["top_k"] = 1  # the likeliest, which is then all: else the whole vocabulary is weighed for nothing
    if asked.top_p is not None:
        body["top_p"] = asked.top_p
    if asked.seed is not None:
        body["seed"] = asked.seed & 0xFFFFFFFF
    body["frequency_penalty"] = asked.frequency_penalty
    body["presence_penalty"] = asked.presence_penalty
    if asked.top_k is not None:
        body["top_k"] = asked.top_k
    if asked.min_p is not None:
        body["min_p"] = asked.min_p
    if asked.repetition_penalty is not None:
        body |= {"repeat_penalty": asked.repetition_penalty, "repeat_last_n": WHOLE_TEXT}
    if asked.logit_bias:
        body["logit_bias"] = [list(pair) for pair in asked.logit_bias]
    if request.logprobs is not None:
        body["n_probs"] = max(1, request.logprobs)
        body["_top"] = request.logprobs
    return body
