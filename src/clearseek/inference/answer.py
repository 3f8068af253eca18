"""One answer from its admission to its entry: who asked, what came so far, and what it may still take."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from clearseek.inference.budget import OverBudget, Scope
from clearseek.inference.engine import Delta, Progress, Request, Timings, Usage
from clearseek.inference.machine_share import Metered
from clearseek.inference.timing import phases

_NOTHING_READ = Progress(0, 0, 0)


@dataclass(eq=False, slots=True)
class Answer:
    """Changed only by the books that opened it."""

    id: str
    engine: Metered
    labels: dict[str, str]
    request: Request
    """As asked, within what is left of the budget."""
    scopes: tuple[Scope, ...]
    keep: int = 0
    """Tokens that it asked for and that are kept free for it."""
    task: asyncio.Task[object] | None = None
    waiting: bool = False
    """Whether its reader waits for the engine just now (and may be woken by cancelling it)."""
    began: float | None = None
    read: Progress = _NOTHING_READ
    written: int = 0
    thought: int = 0
    over: OverBudget | None = None
    booked: bool = False
    clock: dict[str, float] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """Tokens so far, prompt and answer together."""
        return self.read.total + self.written

    def usage(self) -> Usage:
        """By our own count: for an answer whose engine could not say, because it was ended."""
        return Usage(max(self.read.processed, self.read.cached), self.read.cached, self.written, self.thought)

    def timings(self) -> Timings:
        """By our own clock, for the same reason."""
        now = time.monotonic()
        began = self.clock.get("began", now)
        return phases(None, began, self.clock.get("wrote"), now)

    def wrote(self, delta: Delta) -> None:
        self.written += delta.tokens
        if delta.kind == "thinking":
            self.thought += delta.tokens
        if "wrote" not in self.clock:
            self.clock["wrote"] = time.monotonic()

    def recast(self) -> None:
        """What came so far was thinking."""
        self.thought = self.written

    def cut_by_budget(self, usage: Usage) -> bool:
        """Whether it was what is left of a budget, and no `max_tokens`, that ended it."""
        asked, allowed = self.request.max_tokens, self.request.at_most
        return allowed is not None and (asked is None or asked > allowed) and usage.completion_tokens >= allowed

    def tightest(self) -> Scope:
        """The one of its budgets in tokens that has the least left."""
        return min((s for s in self.scopes if s.caps.tokens is not None), key=lambda scope: scope.tokens_now())
