"""The wire to one llama.cpp child: completions as a stream of events, with their counts added up."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from clearseek.inference.engine import Delta, Finished, FinishReason, Progress, Timings, TokenLogprob, Usage
from clearseek.inference.errors import BadRequest, ContextOverflow, EngineCrashed, EngineError
from clearseek.inference.llamacpp_process import LlamaProcess

MAX_EVENT = 8 * 1024 * 1024
PIECE = 64 * 1024
"""Characters of a long text that are tokenised at once, to see whether it fits."""
CUT = 16
"""Tokens by which a cut may make a text longer, at the very most: it falls within a word, which becomes two."""
SHORT = 64
"""Texts of fewer characters are tokenised once for each answer."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a completion ended: "eos", "word" (a stop text) or "limit"."""

    kind: str


class Completion:
    """One answer's conversation with the child; several completions may follow each other.

    `generated` counts tokens so far, `reasoning` is set by the caller to those of the thinking. `text` and `ids` are
    what the last completion wrote. `note` is told with the end (see `Finished.note`).
    """

    def __init__(self, process: LlamaProcess, context: int, longest_token: int | None = None) -> None:
        """`longest_token`: bytes that one token stands for at most; None where that is not known."""
        self._process = process
        self._context = context
        self._longest = longest_token
        self._known: dict[tuple[str, bool], list[int]] = {}
        self.generated = 0
        self.reasoning = 0
        self.note: str | None = None
        self._seen = 0
        self._read: Progress | None = None
        self.ids: list[int] = []
        self._texts: list[str] = []
        self._prompt_tokens: int | None = None
        self._cached = 0
        self._used = 0
        self._prompt_ms = 0.0
        self._decode_ms = 0.0
        self._timed = True

    @property
    def full(self) -> bool:
        """Whether the context is used up."""
        return self._used >= self._context - 1

    @property
    def so_far(self) -> int:
        """Tokens generated so far, those of the completion that runs included."""
        return self.generated + self._seen

    @property
    def text(self) -> str:
        return "".join(self._texts)

    async def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of a text; control tokens spelt out in it are plain text unless `special`.

        Raises ContextOverflow for one that is longer than the context.
        """
        if len(text) > PIECE:
            await self.check_fits([text])
        known = self._known.get((text, special))
        if known is not None:  # the same control token, a hundred thousand times in a paste
            return known
        tokens: list[int] = await self._look_up(
            "/tokenize", {"content": text, "add_special": special, "parse_special": special}, "tokens"
        )
        if len(text) < SHORT:
            self._known[text, special] = tokens
        return tokens

    def check_length(self, texts: Sequence[str], ids: int = 0) -> int:
        """Bytes of some texts. Raises ContextOverflow where they cannot fit beside so many `ids`, whatever is in them:
        each token would have to be the longest there is, and they would still be too many."""
        size = sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts)
        if self._longest is not None and ids + size // self._longest > self._context:
            raise ContextOverflow(ids + size // self._longest, self._context, at_least=True)
        return size

    async def check_fits(self, prompt: Sequence[str | int]) -> None:
        """Raises ContextOverflow where a prompt is longer than the context, without reading far beyond it.

        The child reads what it is given to its end, whoever has hung up, before it says that it is too long. Here a
        long text is refused by its length alone where that is enough, and else read in pieces, until they are too many
        or nobody waits any more. One that is about as long as the context is left
        to the child.
        """
        texts = [part for part in prompt if isinstance(part, str)]
        ids = len(prompt) - len(texts)
        size = self.check_length(texts, ids)
        if size <= max(PIECE, self._context):
            return
        count = ids
        for text in texts:
            for start in range(0, len(text), PIECE):
                body = {"content": text[start : start + PIECE], "add_special": False, "parse_special": False}
                count += len(await self._look_up("/tokenize", body, "tokens"))
                count -= CUT
                if count > self._context:
                    raise ContextOverflow(count, self._context, at_least=True)

    async def wrote_exactly(self) -> bool:
        """Whether `ids` are all of `text`: the child does not tell the ids of a character that came in several."""
        message: str = await self._look_up("/detokenize", {"tokens": self.ids}, "content")
        return message == self.text

    async def _look_up(self, path: str, body: dict[str, Any], key: str) -> Any:
        try:
            async with self._asked(path, body) as response:
                said = await response.read()
                if response.status != 200:
                    raise _refusal(response.status, said)
                return orjson.loads(said)[key]
        except (aiohttp.ClientError, OSError):
            raise EngineCrashed("The engine stopped.") from None

    @contextlib.asynccontextmanager
    async def _asked(self, path: str, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The child's answer; while it is waited for, the child is watched."""
        with self._process.awaited():
            async with self._process.session.post(path, data=orjson.dumps(body)) as response:
                yield response

    async def run(
        self, body: dict[str, Any], path: str = "/completion"
    ) -> AsyncGenerator[Delta | Progress | Stopped, None]:
        """Posts one completion. Closing the generator closes the connection, which frees the slot."""
        top = body.pop("_top", None)
        if isinstance(body.get("prompt"), list):
            body["prompt"] = joined(body["prompt"])
        body |= {"stream": True, "return_progress": True}
        body.setdefault("cache_prompt", True)
        self.ids, self._texts = [], []
        self._seen, self._read = 0, None
        try:
            async with self._asked(path, body) as response:
                if response.status != 200:
                    raise _refusal(response.status, await response.read())
                buffer = b""
                try:
                    async for chunk in response.content.iter_any():
                        buffer += chunk
                        *events, buffer = buffer.split(b"\n\n")
                        if len(buffer) > MAX_EVENT:
                            raise EngineError("The engine sent a message that is too long.")
                        for event in events:
                            payload = _payload(event)
                            if payload is None:
                                continue
                            if payload.get("content"):  # not where it tells its progress, or the end of turn
                                self._texts.append(payload["content"])
                                self.ids += payload.get("tokens", ())
                            if not payload.get("stop"):
                                self._count(payload)
                            else:
                                if payload["content"]:
                                    yield Delta("answer", payload["content"], 0)
                                yield self._stopped(payload)
                                return
                            out = _event(payload, top)
                            if out is not None:
                                yield out
                finally:
                    # Without this an unfinished body would be read to its end before the connection is let go.
                    response.close()
            raise EngineCrashed("The engine closed the connection.")
        except (aiohttp.ClientError, OSError):
            raise EngineCrashed("The engine stopped.") from None

    def _count(self, payload: dict[str, Any]) -> None:
        progress = payload.get("prompt_progress")
        if progress is not None:
            self._read = Progress(progress["total"], progress["cache"], progress["processed"])
            return
        self._seen += 1

    def ended_here(self) -> None:
        """The completion was left before its end: its counts are those of what came, and its times nobody told."""
        read = self._read or Progress(0, 0, 0)
        self.generated += self._seen
        self._used = read.total + self._seen
        if self._prompt_tokens is None:
            self._prompt_tokens, self._cached = read.total, read.cached
        self._timed = False
        self._seen = 0

    def _stopped(self, payload: dict[str, Any]) -> Stopped:
        timings = payload.get("timings") or {}
        self._seen = 0
        self.generated += int(payload.get("tokens_predicted", 0))
        self._used = int(payload.get("tokens_evaluated", 0)) + int(payload.get("tokens_predicted", 0))
        if self._prompt_tokens is None:
            self._prompt_tokens = int(payload.get("tokens_evaluated", 0))
            self._cached = int(timings.get("cache_n", 0))
        self._timed = self._timed and bool(timings)
        self._prompt_ms += float(timings.get("prompt_ms", 0.0))
        self._decode_ms += float(timings.get("predicted_ms", 0.0))
        return Stopped(str(payload.get("stop_type", "eos")))

    def finished(self, reason: FinishReason) -> Finished:
        """The last event of the answer, all completions together."""
        thought = min(self.reasoning, self.generated)
        usage = Usage(self._prompt_tokens or 0, self._cached, self.generated, thought)
        prompt, decode = self._prompt_ms / 1e3, self._decode_ms / 1e3
        # one that did not say how long each of them took did not say how long all of them did
        timings = Timings(prompt=prompt, decode=decode, clock="engine") if self._timed else Timings()
        return Finished(reason, usage, timings, note=self.note)


def joined(parts: list[Any]) -> list[Any] | str:
    """A prompt of strings and token ids in the form the child takes for one prompt.

    Neighbouring strings become one, so that they are tokenised as the one text they are; and a list of strings alone
    would be taken for several prompts, whose answers come interleaved.
    """
    out: list[Any] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return out[0] if len(out) == 1 and isinstance(out[0], str) else out


def _payload(event: bytes) -> dict[str, Any] | None:
    """The JSON of one server-sent event; None for comments. Raises EngineError for an error told in the stream."""
    if not event.startswith(b"data: "):
        if event.startswith(b"error: "):
            raise _refusal(500, event[7:])
        return None
    data: dict[str, Any] = orjson.loads(event[6:])
    if "error" in data:
        raise _refusal(int(data["error"].get("code", 500)), event[6:])
    return data


def _event(payload: dict[str, Any], top: int | None) -> Delta | Progress | None:
    progress = payload.get("prompt_progress")
    if progress is not None:
        return Progress(progress["total"], progress["cache"], progress["processed"])
    if top is not None:
        logprobs = tuple(_logprob(entry, top) for entry in payload.get("completion_probabilities", ()))
        return Delta("answer", payload["content"], 1, logprobs)
    if not payload["content"]:
        return None  # half of a character; it comes with the next token
    return Delta("answer", payload["content"])


def _logprob(entry: dict[str, Any], top: int) -> TokenLogprob:
    likeliest = tuple(
        (other["token"], other["logprob"], tuple(other["bytes"])) for other in entry["top_logprobs"][:top]
    )
    return TokenLogprob(entry["token"], entry["logprob"], tuple(entry["bytes"]), likeliest)


def _refusal(status: int, body: bytes) -> EngineError:
    try:
        error = orjson.loads(body)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return EngineError(f"The engine answered with status {status}.")
    if error.get("type") == "exceed_context_size_error":
        return ContextOverflow(int(error["n_prompt_tokens"]), int(error["n_ctx"]))
    message = str(error.get("message", "")).rstrip(".")
    if "infill" in message.lower():
        return BadRequest(
            "This model cannot fill in the middle: it has no tokens for that. Leave `suffix` out.", "suffix"
        )
    if "grammar" in message or "schema" in message.lower():
        return BadRequest(f"The engine's grammar cannot express this schema: {message}.", "response_format")
    if 400 <= status < 500:
        return BadRequest(f"The engine refused the request: {message}.")
    return EngineError(f"The engine failed: {message}.")
