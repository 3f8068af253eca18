"""One reading (seconds, joules), shared out among those who used what it counts at the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class Shares:
    """Between two readings, what the counter moved by goes to those who were there, in proportion to their work.

    Work is whatever is comparable: FLOPs here. Where nobody did any work that can be counted, all get the same. The
    shares of all add up to what was read while anybody was there; whoever was alone has exactly what was read. What
    the counter moves by while nobody is there is nobody's.
    """

    def __init__(self, read: Callable[[], float | None]) -> None:
        """`read` gives the counter's value, None where it cannot be read (any more): then it has not moved."""
        self._read = read
        self._last = 0.0
        self._shares: dict[Hashable, float] = {}
        self._work: dict[Hashable, float] = {}
        self._ever_shared: set[Hashable] = set()
        self.total = 0.0
        """What was read so far while anybody was there."""

    def join(self, who: Hashable) -> None:
        self.settle()
        self._shares[who], self._work[who] = 0.0, 0.0
        if len(self._shares) > 1:
            self._ever_shared.update(self._shares)

    def work(self, who: Hashable, amount: float) -> None:
        """`who` did so much more. Cheap: called for every token."""
        self._work[who] += amount

    def so_far(self, who: Hashable) -> float:
        """The share of someone who is there, as of the last settling."""
        return self._shares[who]

    def alone(self, who: Hashable) -> bool:
        """Whether nobody else was there at any moment since `who` joined."""
        return who not in self._ever_shared

    def leave(self, who: Hashable) -> float:
        """The share of someone who goes."""
        self.settle()
        self._work.pop(who, None)
        self._ever_shared.discard(who)
        return self._shares.pop(who)

    def settle(self) -> None:
        """Share out what the counter moved by since the last time."""
        now = self._read()
        if now is None:
            return
        moved, self._last = now - self._last, now
        if not self._shares or moved <= 0:
            return
        self.total += moved
        worked = sum(self._work.values())
        for who in self._shares:
            part = self._work[who] / worked if worked > 0 else 1 / len(self._shares)
            self._shares[who] += moved * part
            self._work[who] = 0.0
