"""A bounded, fair queue in front of an engine.

As many run at once as the engine has slots; a bounded number wait; one more is refused at once. Between clients the
turn goes round, so that one client's hundred requests do not stand before another's one. Within a client: first come,
first served.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from clearseek.inference.errors import Busy


@dataclass(eq=False)
class Place:
    """A place in the queue, later a slot. Always `leave` it; twice is harmless."""

    client: str
    scheduler: Scheduler
    since: float = field(default_factory=time.monotonic)
    admitted: float | None = None
    _turn: asyncio.Event = field(default_factory=asyncio.Event)
    _left: bool = False

    async def wait(self) -> AsyncIterator[int]:
        """Yields the position (1 is next) whenever it changed, and ends when it is this place's turn."""
        reported = 0
        while self.admitted is None:
            position = self.scheduler.position(self)
            if position != reported:
                reported = position
                yield position
                continue
            self._turn.clear()
            await self._turn.wait()

    @property
    def waited(self) -> float:
        """Seconds from asking to being admitted (so far, if it is still waiting)."""
        return (self.admitted or time.monotonic()) - self.since

    def leave(self) -> None:
        """Gives the place or the slot back; whoever is next is admitted."""
        if not self._left:
            self._left = True
            self.scheduler.release(self)


class Scheduler:
    """`slots` run, `capacity` more may wait. Not for use from several threads."""

    def __init__(self, slots: int, capacity: int) -> None:
        self.slots, self.capacity = slots, capacity
        self.running: set[Place] = set()
        self.refused = 0
        self._queues: OrderedDict[str, deque[Place]] = OrderedDict()

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def admit(self, client: str) -> Place:
        """Takes a place, never waits. Raises Busy when the queue is full."""
        if len(self.running) >= self.slots and self.waiting >= self.capacity:
            self.refused += 1
            behind = self.waiting // self.slots + 1
            raise Busy(
                f"Too many requests at once: {len(self.running)} are being answered and {self.waiting} wait. "
                "Try again in a moment.",
                retry_after=min(60, max(1, behind)),
            )
        place = Place(client, self)
        self._queues.setdefault(client, deque()).append(place)
        self._fill()
        return place

    def position(self, place: Place) -> int:
        """1 for the next one to run, if nobody leaves or comes. 0 when it is not waiting."""
        for position, other in enumerate(self._order(), start=1):
            if other is place:
                return position
        return 0

    def release(self, place: Place) -> None:
        if place in self.running:
            self.running.remove(place)
        else:
            queue = self._queues.get(place.client)
            if queue is not None and place in queue:
                queue.remove(place)
                if not queue:
                    del self._queues[place.client]
        self._fill()
        for other in self._order():
            other._turn.set()

    def _order(self) -> list[Place]:
        """Those who wait, in the order in which they would run: one of each client in turn."""
        queues = [list(queue) for queue in self._queues.values()]
        longest = max((len(queue) for queue in queues), default=0)
        return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]

    def _fill(self) -> None:
        while len(self.running) < self.slots and self._queues:
            client, queue = next(iter(self._queues.items()))
            place = queue.popleft()
            if queue:
                self._queues.move_to_end(client)
            else:
                del self._queues[client]
            place.admitted = time.monotonic()
            self.running.add(place)
            place._turn.set()
