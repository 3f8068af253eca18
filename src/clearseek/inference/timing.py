"""How long an answer took by this server's own clock: where the engine does not say, and where it cannot be right."""

from __future__ import annotations

import time
from dataclasses import replace

from clearseek.inference.engine import Timings

AT_ONCE = 0.05
"""Seconds: what came within them came all at once, and nobody saw it being written."""
SLACK = 0.1
"""Seconds by which two clocks may differ; and a hundredth of the whole."""


class Stopwatch:
    """Started when it is an answer's turn."""

    def __init__(self, waited: float) -> None:
        """`waited`: seconds in the queue."""
        self._waited = waited
        self._began = time.monotonic()
        self._wrote: float | None = None

    def wrote(self) -> None:
        """Something of the answer came."""
        if self._wrote is None:
            self._wrote = time.monotonic()

    def checked(self, timings: Timings) -> Timings:
        """What the engine told, if that fits into the time that passed here; else what was measured here."""
        now = time.monotonic()
        took = (timings.prompt or 0.0) + (timings.decode or 0.0)
        if timings.clock is None or not 0 < took <= (now - self._began) * 1.01 + SLACK:
            return phases(self._waited, self._began, self._wrote, now)
        return replace(timings, queue=self._waited)


def phases(queue: float | None, began: float, wrote: float | None, ended: float) -> Timings:
    """Timings by this server's clock. Arguments but `queue` are moments; `wrote` is None where nothing came."""
    if wrote is None or ended - wrote < AT_ONCE:
        return Timings(queue, ended - began, None, "server")
    return Timings(queue, wrote - began, ended - wrote, "server")
