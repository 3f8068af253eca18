"""The queue is bounded, fair between clients, and forgets who has gone."""

from __future__ import annotations

import asyncio
import time
import tracemalloc

import pytest

from clearseek.inference.errors import Busy
from clearseek.inference.scheduler import Place, Scheduler


async def positions(place: Place, into: list[int]) -> None:
    async for position in place.wait():
        into.append(position)


async def test_slots_run_at_once_and_the_rest_wait_in_order() -> None:
    scheduler = Scheduler(slots=2, capacity=10)
    places = [scheduler.admit("a") for _ in range(5)]
    assert [place.admitted is not None for place in places] == [True, True, False, False, False]
    told: list[int] = []
    waiting = asyncio.create_task(positions(places[4], told))
    await asyncio.sleep(0)
    places[0].leave()
    await asyncio.sleep(0)
    places[1].leave()
    await asyncio.sleep(0)
    places[2].leave()
    await asyncio.wait_for(waiting, 60)
    assert told == [3, 2, 1]
    assert len(scheduler.running) == 2


async def test_one_more_than_capacity_is_refused_at_once_with_a_time() -> None:
    scheduler = Scheduler(slots=1, capacity=2)
    for _ in range(3):
        scheduler.admit("a")
    began = time.process_time()
    with pytest.raises(Busy) as refused:
        scheduler.admit("b")
    assert time.process_time() - began < 0.05
    assert refused.value.status == 429
    assert refused.value.retry_after >= 1


async def test_clients_take_turns() -> None:
    scheduler = Scheduler(slots=1, capacity=100)
    first = scheduler.admit("greedy")
    greedy = [scheduler.admit("greedy") for _ in range(5)]
    modest = [scheduler.admit("modest") for _ in range(2)]
    assert scheduler.position(modest[0]) == 2
    order: list[str] = []
    running = first
    everyone = {id(place): place for place in greedy + modest}
    for _ in range(7):
        running.leave()
        (running,) = scheduler.running
        order.append(everyone[id(running)].client)
    assert order == ["greedy", "modest", "greedy", "modest", "greedy", "greedy", "greedy"]


async def test_someone_who_leaves_the_queue_is_forgotten() -> None:
    scheduler = Scheduler(slots=1, capacity=2)
    running, second, third = (scheduler.admit("a") for _ in range(3))
    second.leave()
    second.leave()
    assert scheduler.waiting == 1
    running.leave()
    assert third.admitted is not None
    third.leave()
    assert not scheduler.running
    assert not scheduler.waiting


async def test_ten_thousand_refusals_leave_nothing_behind() -> None:
    scheduler = Scheduler(slots=1, capacity=0)
    scheduler.admit("a")

    def refuse(times: int) -> None:
        for n in range(times):
            with pytest.raises(Busy):
                scheduler.admit(f"client {n}")

    refuse(100)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    refuse(10_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    assert scheduler.waiting == 0
    assert scheduler.refused == 10_100
