"""Every answer is booked with what it took, and held to its budget: scripted engines for the exact places, then the
real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from clearseek.flops import TransformerSizes
from clearseek.hub.store import Store
from clearseek.inference import accounting, ledger_writer
from clearseek.inference.accounting import Accounting
from clearseek.inference.budget import Caps, OverBudget
from clearseek.inference.engine import Delta, Event, Finished, Progress, Request, Thinking, Usage
from clearseek.inference.errors import BadRequest, EngineCrashed
from clearseek.inference.machine_share import Metered
from clearseek.inference.pool import Pool
from clearseek.inference.proration import Shares
from clearseek.ledger.book import Book, check
from clearseek.ledger.entry import Entry
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import Basis, declared
from clearseek.settings import Settings

PRICED = Rates(
    machine_usd_per_hour=declared(3600.0, "USD/h", "a dollar a second"), watts=declared(100, "W", "", 90, 110)
)
ASK = Request(({"role": "user", "content": "Count."},))


class Engine:
    """Writes so many tokens, each after a pause; its CPU clock runs twice as fast as ours."""

    def __init__(self, tokens: int = 5, pause: float = 0.0, local: bool = True, error: Exception | None = None) -> None:
        self.tokens, self.pause, self.error = tokens, pause, error
        self.closed = False
        self.asked: Request | None = None
        clock = asyncio.get_running_loop().time
        cpu, work = (Shares(lambda: 2 * clock()), TransformerSizes(5, 1, 1)) if local else (None, None)
        self.metered = Metered("m", "ab" * 32 if local else None, work, cpu)

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self.asked = request
        try:
            yield Progress(10, 4, 10)
            for n in range(self.tokens):
                await asyncio.sleep(self.pause)
                yield Delta("thinking" if n < 2 else "answer", f"{n} ")
            if self.error:
                raise self.error
            yield Finished("stop", Usage(10, 4, self.tokens, min(2, self.tokens)))
        finally:
            self.closed = True


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes books on one ledger; all are closed at the end."""
    open_ones: list[Accounting] = []

    def make(rates: Rates = PRICED, day: Caps = Caps(), keys: dict[str, Caps] | None = None) -> Accounting:
        books = Accounting(tmp_path / "ledger.jsonl", rates, day, lambda owner: (keys or {}).get(owner, Caps()))
        open_ones.append(books)
        return books

    yield make
    for books in open_ones:
        await books.close()


async def answer(
    books: Accounting,
    engine: Engine,
    id: str = "a",
    owner: str = "local",
    request: Request = ASK,
    limit: int | None = None,
) -> list[Event]:
    """As the pool does it; after `limit` events the reader goes away."""
    found = await books.open(engine.metered, request, id, owner, "api", None)
    heard: list[Event] = []
    error: BaseException | None = None
    try:
        made = books.watch(found, engine.generate(found.request), lambda: None)
        async with aclosing(made) as events:
            async for event in events:
                heard.append(event)
                if limit is not None and len(heard) >= limit:
                    error = GeneratorExit()
                    break
    except BaseException as failure:
        error = failure
        raise
    finally:
        books.leave(found, error)
    return heard


async def entries(books: Accounting) -> list[Entry]:
    await books.close()
    assert not books.path.exists() or check(books.path).state == "intact"
    return list(Book(books.path).read())


async def test_what_it_took_comes_with_the_end_and_is_what_was_booked(made: Any) -> None:
    books = made()
    began = time.monotonic()
    *_, end = await answer(books, Engine(pause=0.01))
    elapsed = time.monotonic() - began  # however busy the machine is
    assert isinstance(end, Finished)
    assert end.spent is not None
    [entry] = await entries(books)
    assert (end.spent.seq, end.spent.hash) == (entry.seq, entry.hash)
    assert end.spent.quantities == entry.quantities
    assert entry.kind == "answer"
    assert entry.labels == {
        "model": "m",
        "model_sha256": "ab" * 32,
        "owner": "local",
        "source": "api",
        "status": "complete",
    }
    found = {name: quantity.value for name, quantity in entry.quantities.items()}
    assert [found[f"{n}_tokens"] for n in ("prompt", "cached", "completion", "reasoning")] == [10, 4, 5, 2]
    assert 0.045 <= found["wall"] <= elapsed
    assert found["wall"] < found["cpu"] <= 2 * elapsed, "the engine's clock runs twice as fast"
    assert entry.quantities["wall"].basis is entry.quantities["cpu"].basis is Basis.MEASURED
    assert found["money"] == pytest.approx(found["wall"]), "a dollar a second"
    assert entry.quantities["energy"].basis is Basis.MODELLED
    assert found["flops"] == (6 + 5) * 10 + 5 * 2 + sum(range(5, 16))


async def test_side_by_side_the_parts_add_up_to_what_was_measured(made: Any) -> None:
    books = made()
    one = Engine(tokens=20, pause=0.01)
    others = [Engine(tokens=n, pause=0.01) for n in (5, 10)]
    for other in others:
        other.metered = one.metered
    clock = asyncio.get_running_loop().time
    began = clock()
    await asyncio.gather(*(answer(books, engine, str(n)) for n, engine in enumerate([one, *others])))
    took = clock() - began
    booked = await entries(books)
    walls = [entry.quantities["wall"] for entry in booked]
    assert sum(wall.value or 0 for wall in walls) == pytest.approx(books._machine._wall.total)
    assert 20 * 0.01 * 0.95 <= books._machine._wall.total <= took, "the longest of them, and booking is not in it"
    assert one.metered.cpu is not None
    assert sum(entry.quantities["cpu"].value or 0 for entry in booked) == pytest.approx(one.metered.cpu.total)
    assert all(wall.basis is Basis.MODELLED and "FLOPs" in wall.how for wall in walls)
    assert sum(entry.quantities["money"].value or 0 for entry in booked) == pytest.approx(books._machine._wall.total)
    by_tokens = sorted(
        (entry.quantities["completion_tokens"].value, entry.quantities["wall"].value) for entry in booked
    )
    assert by_tokens == sorted(by_tokens, key=lambda pair: pair[1] or 0), "more tokens, more of the time"


@pytest.mark.parametrize("how", ["left", "cancelled", "crashed", "silent"])
async def test_however_it_ends_it_is_booked_with_what_came(made: Any, how: str) -> None:
    books = made()
    if how == "left":
        await answer(books, Engine(), limit=4)
    elif how == "cancelled":
        task = asyncio.create_task(answer(books, Engine(tokens=3, pause=0.02)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    elif how == "crashed":
        with pytest.raises(EngineCrashed):
            await answer(books, Engine(tokens=3, error=EngineCrashed("gone")))
    else:
        engine = Engine(tokens=3)

        async def silent(request: Request) -> AsyncGenerator[Event, None]:
            yield Progress(10, 4, 10)
            yield Delta("answer", "and then")

        engine.generate = silent  # type: ignore[method-assign]
        await answer(books, engine)
    [entry] = await entries(books)
    assert entry.labels["status"] == ("cancelled" if how in ("left", "cancelled") else "failed")
    assert entry.quantities["prompt_tokens"].value == 10
    assert 0 < (entry.quantities["completion_tokens"].value or 0) <= 3
    assert (entry.quantities["wall"].value or 0) > 0
    assert not books._running
    spent = await books.spent("a")
    assert spent is not None
    assert spent.hash == entry.hash, "whoever stopped it can still ask what it took"


async def test_what_was_refused_before_it_ran_is_not_booked(made: Any) -> None:
    books = made()
    engine = Engine()

    async def refuses(request: Request) -> AsyncGenerator[Event, None]:
        raise BadRequest("no")
        yield Progress(0, 0, 0)

    engine.generate = refuses  # type: ignore[method-assign]
    with pytest.raises(BadRequest):
        await answer(books, engine)
    waiting = await books.open(engine.metered, ASK, "b", "local", "api", None)
    books.leave(waiting, asyncio.CancelledError())
    assert await entries(books) == []
    assert not books._running


async def test_elsewhere_only_the_seconds_are_known(made: Any) -> None:
    books = made()
    *_, end = await answer(books, Engine(local=False))
    assert isinstance(end, Finished)
    assert end.spent is not None
    quantities = end.spent.quantities
    assert quantities["wall"].basis is Basis.MEASURED
    assert {n for n, q in quantities.items() if not q.known} == {"cpu", "energy", "money", "flops"}
    assert books.stats().unknown_money == 1


async def test_without_a_price_money_is_unknown_and_says_how_to_declare_it(made: Any) -> None:
    *_, end = await answer(made(Rates()), Engine())
    assert isinstance(end, Finished)
    assert end.spent is not None
    assert not end.spent.quantities["money"].known
    assert "machine_usd_per_hour" in end.spent.quantities["money"].how


# Budgets


async def test_a_token_cap_clamps_then_refuses_and_is_never_passed(made: Any) -> None:
    books = made(day=Caps(tokens=40))
    engine = Engine(tokens=8)
    *_, end = await answer(books, engine)
    assert isinstance(end, Finished)
    assert (end.reason, end.over) == ("stop", None)
    assert engine.asked is not None
    assert engine.asked.at_most == 40
    engine = Engine(tokens=100)  # does not heed its limit
    *events, end = await answer(books, engine)
    assert isinstance(end, Finished)
    assert engine.asked is not None
    assert engine.asked.at_most == 22
    assert end.reason == "length"
    assert end.over is not None
    assert "40 tokens, is used up" in end.over
    assert sum(isinstance(event, Delta) for event in events) == 40 - 18 - 10
    assert engine.closed
    with pytest.raises(OverBudget, match="used up"):
        await answer(books, Engine())
    with pytest.raises(OverBudget):
        await books.afford("local")
    booked = await entries(books)
    assert sum(sum(e.quantities[n].value or 0 for n in ("prompt_tokens", "completion_tokens")) for e in booked) == 40
    assert [entry.labels["status"] for entry in booked] == ["complete", "budget"]


async def test_a_question_that_is_too_long_for_what_is_left_is_refused(made: Any) -> None:
    books = made(day=Caps(tokens=9))
    with pytest.raises(OverBudget, match="does not hold the 10 tokens of this question"):
        await answer(books, Engine())


async def test_an_answer_that_the_budget_refused_counts_no_tokens(made: Any) -> None:
    """Asked for together they all begin; those for which nothing is left are refused, and are not charged for it."""
    books = made(day=Caps(tokens=40))

    async def one(id: str) -> bool:
        try:
            await answer(books, Engine(tokens=8, pause=0.001), id)
        except OverBudget:
            return False
        return True

    served = await asyncio.gather(*(one(str(n)) for n in range(12)))
    assert 0 < sum(served) < 12
    booked = await entries(books)
    counted = {
        entry.labels["status"]: entry.quantities for entry in booked if not entry.quantities["completion_tokens"].value
    }
    for quantities in counted.values():
        assert quantities["prompt_tokens"].value == 0
        assert "refused counts no tokens" in quantities["prompt_tokens"].how
        assert (quantities["flops"].value or 0) > 0, "what the machine did for it is told"
    assert counted
    total = sum(sum(e.quantities[n].value or 0 for n in ("prompt_tokens", "completion_tokens")) for e in booked)
    assert total <= 40 + sum(served), "but for the token that each was writing"
    assert not books.day.running
    assert books.day.tokens == 0


async def test_what_the_ledger_lost_counts_until_the_day_ends_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "ENTRY_SECONDS", 0.01)
    monkeypatch.setattr(ledger_writer, "MAX_WAITING", 0)
    ends = asyncio.get_running_loop().time()
    monkeypatch.setattr(accounting, "midnight", lambda days=0: time.time() + 0.3)
    books = Accounting(tmp_path / "ledger.jsonl", PRICED, Caps(tokens=1000))
    await answer(books, Engine(tokens=5))
    assert books.stats().lost == 1
    assert books.day.tokens == 15 or asyncio.get_running_loop().time() - ends > 0.3
    async with asyncio.timeout(30):
        while books.day.tokens:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert books.day.usd == pytest.approx(0)
    await books.close()


async def test_what_was_promised_to_one_is_not_given_to_another(made: Any) -> None:
    books = made(day=Caps(tokens=100))
    first = await books.open(Engine().metered, Request((), max_tokens=70), "1", "local", "api", None)
    second = await books.open(Engine().metered, Request((), max_tokens=70), "2", "local", "api", None)
    assert (first.request.limit, second.request.limit) == (70, 30)
    with pytest.raises(OverBudget):
        await books.open(Engine().metered, ASK, "3", "local", "api", None)
    books.leave(second, None)
    third = await books.open(Engine().metered, Request((), max_tokens=20), "3", "local", "api", None)
    assert third.request.limit == 20
    for one in (first, third):
        books.leave(one, None)


async def test_all_who_run_at_once_hold_the_cap_together(made: Any) -> None:
    books = made(day=Caps(tokens=60))
    ends = await asyncio.gather(*(answer(books, Engine(tokens=100, pause=0.001), str(n)) for n in range(3)))
    assert all(isinstance(events[-1], Finished) and events[-1].over for events in ends)
    written = sum(isinstance(event, Delta) for events in ends for event in events)
    assert 30 <= written <= 32, "each may have had one token under way"


async def test_each_key_has_its_own_and_the_day_has_all(made: Any) -> None:
    books = made(day=Caps(tokens=45), keys={"ann": Caps(tokens=15)})
    await answer(books, Engine(), owner="ann")
    *_, end = await answer(books, Engine(), owner="ben")
    assert isinstance(end, Finished)
    assert end.over is None
    with pytest.raises(OverBudget, match="This key's budget"):
        await answer(books, Engine(tokens=1), owner="ann")
    await answer(books, Engine(), owner="ben")
    with pytest.raises(OverBudget, match="Today's budget"):
        await answer(books, Engine(), owner="cleo")


async def test_what_was_spent_outlives_the_program_and_is_shared_with_another(made: Any) -> None:
    await answer(made(day=Caps(tokens=30)), Engine())
    again = made(day=Caps(tokens=30))
    *_, end = await answer(again, Engine())
    assert isinstance(end, Finished)
    assert end.over is not None or end.usage.completion_tokens == 5
    with pytest.raises(OverBudget):
        await answer(again, Engine())


async def test_money_ends_an_answer_while_it_is_silent(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "LOOK_SECONDS", 0.05)
    books = made(day=Caps(usd=0.2))  # a dollar a second
    engine = Engine(tokens=2)

    async def stuck(request: Request) -> AsyncGenerator[Event, None]:
        try:
            yield Progress(10, 0, 10)
            yield Delta("answer", "Once")
            await asyncio.sleep(30)
        finally:
            engine.closed = True

    engine.generate = stuck  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        *_, end = await answer(books, engine)
        assert isinstance(end, Finished)
        assert (end.reason, end.usage.completion_tokens) == ("budget", 1)
        assert end.over is not None
        assert "$0.2" in end.over
        assert engine.closed
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "the task goes on as if nothing had been"
        with pytest.raises(OverBudget):
            await answer(books, Engine())
    [entry] = await entries(books)
    assert 0.2 <= (entry.quantities["money"].value or 0) < 0.6


async def test_money_ends_it_before_anything_was_written_as_a_refusal(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "LOOK_SECONDS", 0.02)
    engine = Engine(tokens=1, pause=30)
    async with asyncio.timeout(5):
        with pytest.raises(OverBudget):
            await answer(made(day=Caps(usd=0.1)), engine)
    assert engine.closed


async def test_being_cancelled_by_somebody_else_is_no_budget(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "LOOK_SECONDS", 0.05)
    books = made(day=Caps(usd=1000.0))
    task = asyncio.create_task(answer(books, Engine(tokens=2, pause=10)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [entry] = await entries(books)
    assert entry.labels["status"] == "cancelled"


async def test_a_budget_in_dollars_takes_no_answer_whose_price_is_unknown(made: Any) -> None:
    with pytest.raises(OverBudget, match="remote engine"):
        await answer(made(day=Caps(usd=1.0)), Engine(local=False))
    with pytest.raises(OverBudget, match="machine_usd_per_hour"):
        await answer(made(Rates(), keys={"ann": Caps(usd=1.0)}), Engine(), owner="ann")


async def test_a_ledger_that_cannot_be_written_stops_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "ENTRY_SECONDS", 0.05)
    (tmp_path / "file").write_text("")
    books = Accounting(tmp_path / "file" / "ledger.jsonl", PRICED, Caps(tokens=30))
    *_, end = await answer(books, Engine())
    assert isinstance(end, Finished)
    assert end.spent is not None
    assert end.spent.seq is None
    assert end.spent.as_json()["entry"] is None
    assert books.stats().problem is not None
    await answer(books, Engine())
    with pytest.raises(OverBudget):  # what could not be booked counts all the same
        await answer(books, Engine())
    await books.close()


# The real engine


@pytest.fixture
async def pool(model_store: Store, made: Any) -> AsyncIterator[Pool]:
    pool = Pool(Settings(context=1024, slots=4), model_store, made())
    yield pool
    await pool.close()


async def real(pool: Pool, id: str, text: str = "Tell me about whales.", **how: Any) -> list[Event]:
    request = Request(({"role": "user", "content": text},), thinking=Thinking(False), **how)
    async with aclosing(pool.generate(None, request, request_id=id, source="terminal", conversation="c")) as events:
        return [event async for event in events]


@pytest.mark.slow
async def test_the_real_engine_books_what_it_used(pool: Pool) -> None:
    assert pool.books is not None
    *_, end = await real(pool, "alone", max_tokens=40)
    assert isinstance(end, Finished)
    ends = [end]
    engine = next(iter(pool._desks.values())).metered
    assert engine.cpu is not None
    before_wall, before_cpu = pool.books._machine._wall.total, engine.cpu.total
    ends += [
        events[-1]  # type: ignore[misc]
        for events in await asyncio.gather(
            *(real(pool, str(n), f"Story {n}.", max_tokens=20 + 10 * n) for n in range(3))
        )
    ]
    load, alone, *together = await entries(pool.books)
    assert load.kind == "load"
    assert (load.quantities["bytes"].value or 0) > 1e7
    assert (load.quantities["cpu"].value or 0) > 0
    booked = {entry.seq: entry for entry in (alone, *together)}
    for finished in ends:
        assert finished.spent is not None
        assert finished.spent.seq is not None
        entry = booked[finished.spent.seq]
        usage = finished.usage
        assert entry.quantities["prompt_tokens"].value == usage.prompt_tokens > 5
        assert entry.quantities["cached_tokens"].value == usage.cached_tokens
        assert entry.quantities["completion_tokens"].value == usage.completion_tokens > 5
        assert entry.labels["source"] == "terminal"
        assert entry.labels["conversation"] == "c"
        assert 1e9 < (entry.quantities["flops"].value or 0) < 1e12
    assert alone.quantities["wall"].basis is Basis.MEASURED
    assert alone.quantities["wall"].value == pytest.approx(before_wall)
    assert alone.quantities["cpu"].value == pytest.approx(before_cpu)
    for name, total in (("wall", pool.books._machine._wall.total), ("cpu", engine.cpu.total)):
        before = before_wall if name == "wall" else before_cpu
        assert sum(entry.quantities[name].value or 0 for entry in together) == pytest.approx(total - before)


@pytest.mark.slow
async def test_the_real_engine_heeds_what_is_left(model_store: Store, made: Any) -> None:
    books = made(day=Caps(tokens=120))
    pool = Pool(Settings(context=1024, slots=2, model="smollm2-135m-instruct"), model_store, books)
    try:
        *_, end = await real(pool, "1")
        assert isinstance(end, Finished)
        assert end.usage.prompt_tokens + end.usage.completion_tokens <= 120
        if not end.over:
            *_, end = await real(pool, "2", "Tell me a very long story about the sea, with many characters.")
            assert isinstance(end, Finished)
        assert end.over is not None
        assert end.reason == "length"
        with pytest.raises(OverBudget):
            await real(pool, "3")
    finally:
        await pool.close()
    answers = [entry for entry in Book(books.path).read() if entry.kind == "answer"]
    spent = sum(
        (e.quantities["prompt_tokens"].value or 0) + (e.quantities["completion_tokens"].value or 0) for e in answers
    )
    assert spent == 120
