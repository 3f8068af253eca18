"""Every answer is booked, whoever asked: what it took of the machine, its tokens and FLOPs, and its owner's budget."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from clearseek.inference.answer import Answer
from clearseek.inference.budget import Caps, OverBudget, Scope, Spending, midnight
from clearseek.inference.engine import (
    Delta,
    Event,
    Finished,
    FinishReason,
    Progress,
    Recast,
    Request,
    Source,
    Spent,
    Usage,
)
from clearseek.inference.errors import BadRequest
from clearseek.inference.flops import answer_flops
from clearseek.inference.ledger_writer import BookWriter
from clearseek.inference.machine_share import Machine, Metered, no_price, upper
from clearseek.ledger.book import Book
from clearseek.ledger.entry import Draft, Entry
from clearseek.ledger.instruments import Rapl
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import Quantity, declared, measured, modelled, unknown

log = logging.getLogger("clearseek.ledger")

LOOK_SECONDS = 1.0
"""How often it is looked whether running answers have reached a cap in money."""
ENTRY_SECONDS = 0.25
"""How long the end of an answer waits for its entry's number: a disk that is slower is not waited for."""
REFUSED = "an answer that the budget refused counts no tokens"
REMEMBERED = 256
"""Booked answers whose figures can still be asked for by their id."""


@dataclass(frozen=True, slots=True)
class BookStats:
    """For `/health` and `/metrics`. Counters only grow; dollars and joules are those that are known."""

    entries: int
    waiting: int
    lost: int
    problem: str | None
    joules: float
    dollars: float
    unknown_money: int


class Accounting:
    """What the pool books with. For use within one event loop; `open_books` makes one for a ledger."""

    def __init__(
        self,
        path: Path,
        rates: Rates,
        day: Caps = Caps(),
        caps_of: Callable[[str], Caps] = lambda owner: Caps(),
        rapl: Rapl | None = None,
    ) -> None:
        """`path` is the ledger's file, `day` the caps of everybody together, `caps_of` those of one owner.

        `rapl` reads the processor's joules; without it they are modelled from declared watts.
        """
        self.rates = rates
        self.path = path
        self.spending = Spending(path)
        self.day = Scope(None, "Today's budget", day, self.spending)
        self._caps_of = caps_of
        self._keys: dict[str, Scope] = {}
        self._writer = BookWriter(Book(path), self._written)
        self._machine = Machine(rates, rapl)
        self._running: set[Answer] = set()
        self._closed: OrderedDict[str, tuple[dict[str, Quantity], Future[Entry]]] = OrderedDict()
        self._looking: asyncio.Task[None] | None = None
        self._joules = self._dollars = 0.0
        self._unknown = 0

    # What is asked of it from outside

    def stats(self) -> BookStats:
        writer = self._writer
        return BookStats(
            writer.booked,
            writer.waiting,
            writer.lost,
            writer.problem,
            self._joules,
            self._dollars,
            self._unknown,
        )

    async def spent(self, id: str) -> Spent | None:
        """What the answer of that request took, with its entry if that is written by now or within a moment."""
        value = self._closed.get(id)
        if value is None:
            return None
        quantities, future = value
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(ENTRY_SECONDS):
                entry = await asyncio.shield(asyncio.wrap_future(future))
            return Spent(quantities, entry.seq, entry.hash)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return Spent(quantities)

    def scope_of(self, owner: str) -> Scope | None:
        """The budget of one owner; None where it has none."""
        caps = self._caps_of(owner)
        scope = self._keys.get(owner)
        if scope is None:
            scope = self._keys[owner] = Scope(owner, "This key's budget for today", caps, self.spending)
        scope.caps = caps  # a key's budget may have been changed
        return scope if caps.any else None

    async def refresh(self) -> None:
        """Look at what the ledger says now, what others wrote to it included."""
        if self.spending.stale:
            await asyncio.to_thread(self.spending.refresh)

    def running_usd(self, scope: Scope) -> float:
        """Dollars that the running answers of a scope have taken so far, at the upper end of what is known."""
        self._machine.settle()
        return sum(self._machine.usd(a, a.engine) for a in self._running if scope in a.scopes and a.began is not None)

    async def close(self) -> None:
        """Write what is not written yet."""
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.to_thread(self._writer.close)

    # What the pool does with it

    def meter(
        self, engine: Metered, cpu_seconds: Callable[[], float | None], size: int
    ) -> Callable[[], contextlib.AbstractContextManager[None]]:
        """Look at an engine's CPU time from now on; gives what is to be put around each loading of its `size` bytes."""
        self._machine.know(engine)
        return lambda: self._machine.loading(engine, cpu_seconds, size, self._put)

    def forget(self, engine: Metered) -> None:
        """An engine that was closed."""
        self._machine.forget(engine)

    async def open(
        self, engine: Metered, request: Request, id: str, owner: str, source: Source, conversation: str | None
    ) -> Answer:
        """Admit an answer, within what is left. Raises OverBudget; `leave` it, whatever happens."""
        scopes = self._scopes(owner)
        labels = {"model": engine.model, "owner": owner, "source": source}
        if engine.digest is not None:
            labels["model_sha256"] = engine.digest
        if conversation is not None:
            labels["conversation"] = conversation
        answer = Answer(id, engine, labels, request, scopes)
        if scopes:
            await self.refresh()
            left = min((self._admit(scope, engine) for scope in scopes), default=None)
            if left is not None and left < UNLIMITED:
                answer.request = replace(request, at_most=left)
                answer.keep = min(request.max_tokens or 0, left)
            for scope in scopes:
                scope.promised[answer] = answer.keep
        self._running.add(answer)
        return answer

    async def afford(self, owner: str) -> None:
        """Raises OverBudget where nothing is left for this owner, whatever is asked."""
        scopes = self._scopes(owner)
        if scopes:
            await self.refresh()
        for scope in scopes:
            self._left(scope)

    def _scopes(self, owner: str) -> tuple[Scope, ...]:
        key = self.scope_of(owner)
        return tuple(scope for scope in (self.day, key) if scope is not None and scope.caps.any)

    def _admit(self, scope: Scope, engine: Metered) -> int:
        if scope.caps.usd is not None:
            if engine.cpu is None:
                raise scope.refusal(_REMOTE.format(scope.name), "money")
            if missing := no_price(self.rates):
                raise scope.refusal(f"{scope.name} is in dollars and cannot be held, because {missing}.", "money")
        return self._left(scope)

    def _left(self, scope: Scope) -> int:
        """Tokens that an answer may take. Raises OverBudget where there is nothing left, of tokens or of money."""
        tokens = scope.tokens_left()
        if tokens is not None and tokens <= 0:
            raise scope.over("tokens")
        if scope.caps.usd is not None:
            usd = scope.usd_left(self.running_usd(scope))
            if usd is not None and usd <= 0:
                raise scope.over("money")
        return UNLIMITED if tokens is None else tokens

    async def watch(
        self, answer: Answer, events: AsyncGenerator[Event, None], done: Callable[[], None]
    ) -> AsyncGenerator[Event, None]:
        """The same events, counted; the last one with what was spent. `done` is called when the engine has finished.

        Where a cap is reached on the way the engine is stopped, and a Finished comes with what there is by then;
        or, before anything was written, OverBudget is raised.
        """
        self._begin(answer)
        finished: Finished | None = None
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    answer.waiting = False
                    if type(event) is Delta:
                        self._wrote(answer, event)
                    elif isinstance(event, Recast):
                        answer.recast()
                    elif isinstance(event, Progress):
                        self._read(answer, event)
                    elif isinstance(event, Finished):
                        finished = event
                        break
                    if answer.over is None or answer.written:
                        yield event
                    if answer.over is not None:
                        break
                    answer.waiting = True
        except asyncio.CancelledError:
            # Cancelled by `_end`, to wake it; by anybody else too, then it goes.
            if answer.over is None or answer.task is None or answer.task.uncancel() > 0:
                raise
        finally:
            answer.waiting = False
        over = answer.over
        if finished is None:
            if over is None:
                return
            if not answer.written:
                self._book(answer, "budget", answer.usage(), refused=True)
                raise over
            reason: FinishReason = "length" if over.of == "tokens" else "budget"
            finished = Finished(reason, answer.usage(), answer.timings(), over=str(over))
        elif finished.reason == "length" and answer.cut_by_budget(finished.usage):
            finished = replace(finished, over=str(answer.tightest().over("tokens")))
        self._book(answer, "budget" if finished.over else "complete", finished.usage)
        done()
        yield replace(finished, spent=await self.spent(answer.id))

    def leave(self, answer: Answer, error: BaseException | None) -> None:
        """However it ended. What it took is booked, if it took anything and is not booked yet. Twice is harmless."""
        if answer.booked:
            return
        if answer.began is None or (isinstance(error, BadRequest) and not answer.read.total and not answer.written):
            self._drop(answer)  # it never ran, or was refused
        else:
            cancelled = isinstance(error, (GeneratorExit, asyncio.CancelledError))
            self._book(answer, "cancelled" if cancelled else "failed", answer.usage())

    # While an answer runs

    def _begin(self, answer: Answer) -> None:
        answer.task = asyncio.current_task()
        answer.began = time.monotonic()
        answer.clock["began"] = answer.began
        answer.waiting = True
        self._machine.join(answer, answer.engine)
        if self._looking is None and any(scope.caps.usd is not None for scope in answer.scopes):
            self._looking = asyncio.create_task(self._look())

    def _wrote(self, answer: Answer, delta: Delta) -> None:
        answer.wrote(delta)
        self._machine.work(answer, answer.engine, answer.engine.flops_to_write(delta.tokens))
        if answer.scopes:
            self._count(answer)

    def _read(self, answer: Answer, progress: Progress) -> None:
        before, answer.read = answer.read, progress
        # what was cached needed no work; a second look (after the thinking) begins again from what is cached
        more = max(0, progress.processed - max(before.processed, progress.cached))
        self._machine.work(answer, answer.engine, answer.engine.flops_to_read(more))
        if answer.scopes:
            self._count(answer)

    def _count(self, answer: Answer) -> None:
        for scope in answer.scopes:
            if scope.caps.tokens is None:
                continue
            scope.running[answer] = answer.taken
            if scope.tokens_now() <= 0:
                self._end(answer, scope.over("tokens", 0 if answer.written else answer.read.total))

    async def _look(self) -> None:
        """Once a second, while there are answers with a cap in money: end those whose money is used up."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            capped = {s for answer in self._running for s in answer.scopes if s.caps.usd is not None}
            if not capped:
                self._looking = None
                return
            try:
                await self.refresh()
                for scope in capped:
                    left = scope.usd_left(self.running_usd(scope))
                    if left is not None and left <= 0:
                        for answer in [a for a in self._running if scope in a.scopes and a.began is not None]:
                            self._end(answer, scope.over("money"))
            except Exception:  # a budget that cannot be looked at now is looked at again in a second
                log.exception("the budget could not be looked at")

    def _end(self, answer: Answer, over: OverBudget) -> None:
        if answer.over is None:
            answer.over = over
            if answer.waiting and answer.task is not None:
                answer.task.cancel()

    # Booking

    def _drop(self, answer: Answer) -> None:
        self._running.discard(answer)
        answer.booked = True
        for scope in answer.scopes:
            scope.promised.pop(answer, None)
            scope.running.pop(answer, None)
        if answer.began is not None:
            self._machine.leave(answer, answer.engine, 0.0)

    def _book(self, answer: Answer, status: str, usage: Usage, *, refused: bool = False) -> None:
        """With `refused` the machine's work is booked, and no tokens: nothing was given for them."""
        assert answer.began is not None
        engine = answer.engine
        quantities = self._machine.leave(answer, engine, time.monotonic() - answer.began)
        if engine.sizes is not None:
            quantities["flops"] = answer_flops(
                engine.sizes, prompt=usage.prompt_tokens, cached=usage.cached_tokens, completion=usage.completion_tokens
            )
        else:
            quantities["flops"] = unknown("FLOP", "the architecture of a remote model is not known here")
        quantities |= _tokens(
            usage, complete=status == "complete", remote=engine.cpu is None, thought=answer.thought > 0
        )
        if refused:
            usage = Usage()
            quantities |= {name: declared(0, "token", REFUSED) for name in quantities if name.endswith("_tokens")}
        self._running.discard(answer)
        answer.booked = True
        future = self._put(Draft("answer", None, {**answer.labels, "status": status}, quantities))
        self._closed[answer.id] = (quantities, future)
        while len(self._closed) > REMEMBERED:
            self._closed.popitem(last=False)
        self._hand_over(answer, usage, quantities["money"], future)

    def _hand_over(self, answer: Answer, usage: Usage, money: Quantity, future: Future[Entry]) -> None:
        """What an answer took counts here until the ledger has it, and there from then on."""
        tokens = usage.prompt_tokens + usage.completion_tokens
        usd = upper(money)
        for scope in answer.scopes:
            scope.promised.pop(answer, None)
            scope.running.pop(answer, None)
            scope.tokens += tokens
            scope.usd += usd
        if not answer.scopes:
            return
        loop = asyncio.get_running_loop()

        def over_there() -> None:
            for scope in answer.scopes:
                scope.tokens -= tokens
                scope.usd -= usd

        def told(future: Future[Entry]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
                if not future.cancelled():
                    loop.call_soon_threadsafe(over_there)
                else:  # lost, and spent all the same: it counts until the day ends, as it would there
                    rest = max(0.0, midnight(1) - time.time())
                    loop.call_soon_threadsafe(loop.call_later, rest, over_there)

        future.add_done_callback(told)

    def _put(self, draft: Draft) -> Future[Entry]:
        energy, money = draft.quantities["energy"], draft.quantities["money"]
        self._joules += energy.value or 0.0
        self._dollars += money.value or 0.0
        self._unknown += not money.known
        return self._writer.put(draft)

    def _written(self, entries: object) -> None:
        """In the writer's thread: what was written is in the day's sums before anybody stops counting it here."""
        if self.day.caps.any or any(scope.caps.any for scope in tuple(self._keys.values())):
            self.spending.refresh()


def _tokens(usage: Usage, *, complete: bool, remote: bool, thought: bool) -> dict[str, Quantity]:
    """Counts of tokens. A remote engine counts at the end only, and not always: what comes is pieces of text.

    `thought`: whether thinking came; then none counted means that it was not counted apart.
    """
    named = {
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    if not remote or (complete and usage.counted):
        counted = "counted by the engine" if complete else "counted as they came"
        fields = {name: measured(value, "token", counted) for name, value in named.items()}
    else:
        fields = {name: modelled(value, "token", _PIECES) for name, value in named.items()}
        fields["cached_tokens"] = unknown("token", _NOT_SAID)
    if remote and thought and usage.reasoning_tokens == 0:
        fields["reasoning_tokens"] = unknown("token", _NOT_SAID)
    if remote and usage.prompt_tokens == 0:
        fields["prompt_tokens"] = unknown("token", _NOT_SAID)
    return fields


_PIECES = "pieces of text that came, each taken for one token: the remote engine did not count"
_NOT_SAID = "the remote engine did not say"
UNLIMITED = 1 << 62


_REMOTE = (
    "{} is in dollars, and what a remote engine costs is not known here: use a model of this machine, "
    "or a budget in tokens."
)
