"""The one protocol between what people ask and what generates text: a request in, a stream of events out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from clearseek.ledger.quantity import Quantity

Effort = Literal["low", "high", "max"]
Kind = Literal["thinking", "answer"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "aborted", "budget", "repeating"]
"""`content_filter`: a remote engine withheld (the rest of) it. `aborted`: the engine broke it off and said so.
`budget`: it was ended because the money of the day was used up. `repeating`: it went round in a circle."""
Clock = Literal["engine", "server"]
Source = Literal["page", "api", "terminal"]
"""Where a question came from."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether to think first, and for how long.

    `budget` is a number of tokens after which thinking is closed and the answer asked for; None takes the
    model's own for `effort`.
    """

    enabled: bool = True
    effort: Effort = "high"
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. None leaves a value to the model's own recommendation."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    top_k: int | None = None
    """Only the likeliest so many tokens; 0 means all."""
    min_p: float | None = None
    """Only tokens at least this likely, as a part of the likeliest one's probability."""
    repetition_penalty: float | None = None
    """What tokens that came before are made unlikelier by; 1 changes nothing."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Token ids, and what is added to their logits."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to generate.

    `messages` are plain dicts with `role` ("system", "user", "assistant", "tool") and `content` (always a string
    here; protocols flatten parts), and where they apply `reasoning_content`, `tool_calls`, `tool_call_id`, `name`.
    With `continue_last` the last message is an assistant one whose text the answer continues (prefix completion);
    its `reasoning_content`, if any, is finished thinking, unless its `content` is empty: then thinking goes on.
    """

    messages: tuple[dict[str, Any], ...]
    max_tokens: int | None = None
    at_most: int | None = None
    """Tokens that may be generated whatever `max_tokens` says (or does not): what is left of a budget."""
    thinking: Thinking = Thinking()
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """None: no log-probabilities; n: those of the sampled token and of the n likeliest (0 to 20)."""
    json_schema: dict[str, Any] | None = None
    """The answer (never the thinking) must match this schema; `{"type": "object"}` is JSON mode."""
    json_schema_param: str = "response_format"
    """Which field of the request said so, for what is told about it."""
    grammar: str | None = None
    """What holds the engine to `json_schema` or to a forced call. The engine makes it; nobody else sets it."""
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: Any = "auto"
    """"auto", "none", "required" or `{"type": "function", "function": {"name": ...}}`."""
    one_call: bool = False
    """At most one call of a tool (`parallel_tool_calls` is false)."""
    continue_last: bool = False
    completion_prompt: str | None = None
    """Instead of messages: a raw prompt to continue, with no template (`/beta/completions`)."""
    completion_suffix: str | None = None

    @property
    def limit(self) -> int | None:
        """Tokens that may be generated, by `max_tokens` and `at_most`; None where neither says."""
        limits = [limit for limit in (self.max_tokens, self.at_most) if limit is not None]
        return min(limits, default=None)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    token: str
    logprob: float
    bytes: tuple[int, ...]
    top: tuple[tuple[str, float, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting for a place; `position` 1 is next."""

    position: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The prompt is being read. Counts are tokens."""

    total: int
    cached: int
    processed: int


@dataclass(frozen=True, slots=True)
class Delta:
    """More text. `tokens` is how many generated tokens it stands for (0 for text that was inserted)."""

    kind: Kind
    text: str
    tokens: int = 1
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Recast:
    """All of the answer that came so far was thinking: a closing tag came late. With `shown` False thinking is off,
    and nobody is to see it. For readers that can take text back; `settled` serves those who cannot."""

    shown: bool = True


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole call of a tool; `arguments` is a JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. `cached_tokens` are prompt tokens really reused from the KV cache.

    `counted` is False where the engine did not count: then the numbers are of pieces that came, for budgets only.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds; None where nobody measured.

    `queue` is waiting for a place, by this server's clock. By the engine's clock (`clock` "engine"), `prompt` is
    reading the prompt and `decode` generating. By this server's ("server"), `prompt` is from the answer's turn until
    the first of it came, and `decode` from there to the end: of an answer that came all at once it is None.
    """

    queue: float | None = None
    prompt: float | None = None
    decode: float | None = None
    clock: Clock | None = None

    @property
    def total(self) -> float | None:
        """Seconds of all phases that were measured; None where none was."""
        known = [phase for phase in (self.queue, self.prompt, self.decode) if phase is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Spent:
    """What an answer took, as it is booked: quantities by the ledger's names, and which entry holds them.

    `seq` and `hash` are None where the ledger could not be written in time; the entry comes when it can be.
    """

    quantities: dict[str, Quantity]
    seq: int | None = None
    hash: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For messages and the API: the time, the energy, the money and the work (tokens are told elsewhere)."""
        fields = {name: quantity.as_json() for name, quantity in self.quantities.items() if name in SPENT_TOLD}
        entry = None if self.seq is None else {"seq": self.seq, "hash": self.hash}
        return {**fields, "entry": entry}


SPENT_TOLD = ("wall", "cpu", "energy", "money", "flops")


@dataclass(frozen=True, slots=True)
class Finished:
    """Always the last event of a generation that did not raise."""

    reason: FinishReason
    usage: Usage
    timings: Timings = Timings()
    spent: Spent | None = None
    """None where nothing is booked."""
    over: str | None = None
    """Where a budget ended the answer: which, and what to do, in a sentence."""
    note: str | None = None
    """What else the reader should know of how it ended, in a sentence."""


Event = Queued | Progress | Delta | Recast | ToolCall | Finished


@dataclass(frozen=True, slots=True)
class Description:
    """What an engine is, for `/models`, `doctor` and the page."""

    model: str
    kind: Literal["llamacpp", "remote"]
    digest: str | None
    """SHA-256 of the weight file, hex; None where we do not hold it."""
    context: int | None
    """Tokens that one request may use, prompt and answer together; None where it is not known."""
    slots: int | None
    thinking: Literal["native", "prompted", "unknown"]
    tools: bool | None
    """Whether it can call tools; None where that is not known (yet)."""
    hold: int = 0
    """Tokens of an answer that a stream holds back at most, because they may turn out to be thinking."""
    hold_words: int = 0
    """The same, of an answer that begins with a letter."""
    details: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """Who generates text for people.

    Every method may raise `EngineError` (see `errors.py`). Closing the iterator that `generate` gave
    (`aclose`), or cancelling the task that reads it, frees the engine's slot within a second, as does `cancel`.
    """

    def generate(self, request: Request, *, request_id: str = "") -> AsyncGenerator[Event, None]: ...

    async def cancel(self, request_id: str) -> None: ...

    async def describe(self) -> Description: ...

    async def close(self) -> None: ...
