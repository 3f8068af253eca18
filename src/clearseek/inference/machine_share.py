"""What this machine spends while answers are made, shared out among them: seconds, CPU seconds, joules, dollars.

The machine's time and the CPU time of an engine's process go to the answers that ran at the same moment, in proportion
to the FLOPs that each needed (see `proration.py`): their sum is what was measured, and an answer that was alone has
exactly what was measured. Joules are read where the processor has counters that may be read, and shared out likewise;
elsewhere they follow from seconds and declared watts. Money follows from time and joules by declared prices (see
`ledger/prices.py`). Idle time belongs to no answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import psutil

from clearseek.flops import TransformerSizes
from clearseek.inference.proration import Shares
from clearseek.ledger.entry import Draft
from clearseek.ledger.instruments import Rapl
from clearseek.ledger.prices import Rates, energy_of, money
from clearseek.ledger.quantity import Quantity, measured, modelled, unknown

_CPU = "CPU time of the engine's process, as the system counts it"
_RAPL = "RAPL, all processors of the machine"
_BESIDE = "; its part of what several answers took at once, by the FLOPs of each"
_ELSEWHERE = "the answer was made on another machine"


@dataclass(eq=False, slots=True)
class Metered:
    """One engine as the books see it. `work` and `cpu` are None for an engine that is not on this machine."""

    model: str
    digest: str | None
    sizes: TransformerSizes | None = None
    cpu: Shares | None = None

    def flops_to_read(self, tokens: int) -> float:
        """What is done to read so many tokens: FLOP, or just the tokens where the model's numbers are not known."""
        return tokens * (2 * self.sizes.body if self.sizes is not None else 1.0)

    def flops_to_write(self, tokens: int) -> float:
        return tokens * (2 * (self.sizes.body + self.sizes.head) if self.sizes is not None else 1.0)


class Machine:
    """Meters of one machine. For use from one thread."""

    def __init__(self, rates: Rates, rapl: Rapl | None = None) -> None:
        self.rates = rates
        self._wall = Shares(time.perf_counter)
        self._joules = None if rapl is None else Shares(rapl.joules)
        self._engines: list[Metered] = []
        self._cores = psutil.cpu_count() or 1

    def know(self, engine: Metered) -> None:
        """Look at this engine's CPU time from now on."""
        self._engines.append(engine)

    def forget(self, engine: Metered) -> None:
        with contextlib.suppress(ValueError):
            self._engines.remove(engine)

    def settle(self) -> None:
        """Share out what was spent since the last time."""
        for shares in self._all():
            shares.settle()

    def _all(self) -> list[Shares]:
        own = [self._wall] if self._joules is None else [self._wall, self._joules]
        return own + [engine.cpu for engine in self._engines if engine.cpu is not None]

    def _of(self, engine: Metered) -> list[Shares]:
        if engine.cpu is None:
            return []
        return [self._wall, engine.cpu] if self._joules is None else [self._wall, engine.cpu, self._joules]

    def join(self, who: Hashable, engine: Metered) -> None:
        for shares in self._of(engine):
            shares.join(who)

    def work(self, who: Hashable, engine: Metered, flops: float) -> None:
        for shares in self._of(engine):
            shares.work(who, flops)

    def usd(self, who: Hashable, engine: Metered) -> float:
        """Dollars so far, as of the last settling, at the upper end of what is known."""
        if engine.cpu is None:
            return 0.0
        joules = None if self._joules is None else self._joules.so_far(who)
        return upper(self._cost(self._wall.so_far(who), engine.cpu.so_far(who), joules, alone=True)[1])

    def leave(self, who: Hashable, engine: Metered, elapsed: float) -> dict[str, Quantity]:
        """`wall`, `cpu`, `energy` and `money` of someone who goes. `elapsed` seconds are for one who was elsewhere."""
        if engine.cpu is None:
            return {
                "wall": measured(elapsed, "s", "elapsed, by the clock of this machine"),
                "cpu": unknown("s", _ELSEWHERE),
                "energy": unknown("J", _ELSEWHERE),
                "money": unknown("USD", "the price of the remote engine is not known here"),
            }
        alone = self._wall.alone(who)
        make, beside = (measured, "") if alone else (modelled, _BESIDE)
        wall, cpu = self._wall.leave(who), engine.cpu.leave(who)
        energy, usd = self._cost(wall, cpu, None if self._joules is None else self._joules.leave(who), alone=alone)
        return {
            "wall": make(wall, "s", f"elapsed, from its turn to its end{beside}"),
            "cpu": make(cpu, "s", f"{_CPU}{beside}"),
            "energy": energy,
            "money": usd,
        }

    def _cost(self, wall: float, cpu: float, joules: float | None, *, alone: bool) -> tuple[Quantity, Quantity]:
        if joules is None:
            energy = energy_of(self.rates, wall_s=wall, cpu_s=cpu, cores=self._cores)
        else:
            energy = measured(joules, "J", _RAPL) if alone else modelled(joules, "J", f"{_RAPL}{_BESIDE}")
        return energy, money(self.rates, wall_s=wall, energy=energy)

    @contextlib.contextmanager
    def loading(
        self, engine: Metered, cpu_seconds: Callable[[], float | None], size: int, book: Callable[[Draft], object]
    ) -> Iterator[None]:
        """Book what is done inside as the loading of an engine from a file of `size` bytes.

        `cpu_seconds` is what its process has used since it began. Answers of another engine that are made meanwhile
        are not taken apart from it.
        """
        began, status = time.perf_counter(), "failed"
        try:
            yield
            status = "complete"
        finally:
            seconds, cpu = time.perf_counter() - began, cpu_seconds()
            labels = {"model": engine.model, "status": status}
            if engine.digest is not None and status == "complete":  # the weights may be why it failed
                labels["model_sha256"] = engine.digest
            if cpu is None:
                energy = unknown("J", "the engine's process had gone")
            else:
                energy = energy_of(self.rates, wall_s=seconds, cpu_s=cpu, cores=self._cores)
            quantities = {
                "wall": measured(seconds, "s", "elapsed, from starting the engine until it could answer"),
                "cpu": unknown("s", "the engine's process had gone") if cpu is None else measured(cpu, "s", _CPU),
                "energy": energy,
                "money": money(self.rates, wall_s=seconds, energy=energy),
                "bytes": measured(size, "B", "size of the weights"),
            }
            book(Draft("load", None, labels, quantities))


def upper(amount: Quantity) -> float:
    """The upper end of what is known; 0 for what is not."""
    return amount.bounds[1] if amount.known else 0.0


def no_price(rates: Rates) -> str | None:
    """Why a budget in dollars cannot be held here, with what to declare; None where it can."""
    energy = energy_of(rates, wall_s=1.0, cpu_s=1.0, cores=1)
    usd = money(rates, wall_s=1.0, energy=energy)
    return None if usd.known else usd.how
