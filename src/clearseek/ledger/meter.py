"""One context manager around any work: seconds, joules, tokens, FLOPs, bytes and money, as a draft for the book.

    meter = Meter(lambda draft: book.append(draft), machine=rates_from(load_settings()))
    with meter.span("sft", run="r1", step="7") as span:
        ...
        span.count(prompt_tokens=512, completion_tokens=128, flops=modelled(...))

Spans may hold spans. A span within another has the label `parent` (the kind of the one it is in), and what it counted
counts in its parent too, whose clocks ran all along: so totals add the entries without `parent`, and only those.
Spans in another thread than the one that opened the outer span stand on their own; asyncio tasks inherit it.

CPU seconds are those of this whole process (and of `child`, where one is named), and RAPL's joules those of the whole
machine. Two spans side by side in one process therefore both hold what the two spent together. What serves several
people at once shares its readings out itself, and does not use spans for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

from clearseek.errors import UsageError
from clearseek.ledger.entry import UNITS, Draft
from clearseek.ledger.instruments import GpuReading, Gpus, Rapl
from clearseek.ledger.prices import Rates, energy_of, money
from clearseek.ledger.quantity import Basis, Quantity, measured, unknown

if TYPE_CHECKING:
    import psutil

MachineRates = Rates

_COUNTED = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "flops", "bytes")
_NO_GPU = "NVML does not show which GPUs this process holds"
_open_span: ContextVar[Span | None] = ContextVar("clearseek_open_span", default=None)


class Meter:
    """Gives a draft of every span that ends to `sink`.

    `machine` is what the user declared about it; without it nothing is said of money, and energy is said only where it
    is measured. `child` is a process whose CPU seconds and GPUs count as well. `rapl` and `gpus` are the instruments;
    False leaves them out.
    """

    def __init__(
        self,
        sink: Callable[[Draft], object],
        *,
        machine: Rates | None = None,
        child: int | None = None,
        rapl: Rapl | bool = True,
        gpus: Gpus | bool = True,
    ) -> None:
        self.sink = sink
        self.machine = machine
        self.cores = os.cpu_count() or 1
        self.rapl = Rapl.find() if rapl is True else rapl or None
        self.gpus = Gpus.find() if gpus is True else gpus or None
        self.pids = frozenset({os.getpid()} | ({child} if child is not None else set()))
        self._child = _process(child)

    def span(self, kind: str, **labels: str) -> Span:
        """Work of this kind; use it in a `with`. If it ends in an error, its entry has the label `failed`."""
        return Span(self, kind, labels)

    def cpu_seconds(self) -> float:
        """CPU seconds of this process, and of the child while it lives."""
        own = time.process_time()
        if self._child is None:
            return own
        import psutil

        try:
            times = self._child.cpu_times()
        except psutil.Error:
            self._child = None  # it has gone: what it took until the last reading is all that can be known
            return own + self._child_seconds
        self._child_seconds = times.user + times.system
        return own + self._child_seconds

    _child_seconds = 0.0


class Span:
    """A piece of work that is being metered. Made by `Meter.span`."""

    def __init__(self, meter: Meter, kind: str, labels: dict[str, str]) -> None:
        self._meter, self._kind, self._labels = meter, kind, labels
        self._counts: dict[str, Quantity] = {}
        self._parent: Span | None = None

    def count(self, **amounts: float | Quantity | None) -> None:
        """Add to what was counted: tokens, FLOPs, bytes. Numbers count as measured; None says nothing.

        Raises UsageError for a name that is no such quantity, or a quantity in a unit that does not fit.
        """
        for name, amount in amounts.items():
            if amount is None:
                continue
            if name not in _COUNTED:
                raise UsageError(f"A span counts {', '.join(_COUNTED)}; `{name}` is none of them.")
            unit = UNITS[name]
            more = (
                amount.to(unit) if isinstance(amount, Quantity) else Quantity(amount, unit, Basis.MEASURED, "counted")
            )
            have = self._counts.get(name)
            self._counts[name] = more if have is None else _plus(have, more)

    def label(self, **labels: str) -> None:
        """Say more about the work than was known when it began."""
        self._labels = {**self._labels, **labels}

    def __enter__(self) -> Span:
        meter = self._meter
        self._parent = _open_span.get()
        self._token: Token[Span | None] = _open_span.set(self)
        self._gpu = meter.gpus.read(meter.pids) if meter.gpus is not None else None
        self._joules = meter.rapl.joules() if meter.rapl is not None else 0.0
        self._at = time.time()
        self._cpu = meter.cpu_seconds()
        self._wall = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall = time.perf_counter() - self._wall
        meter = self._meter
        cpu = max(meter.cpu_seconds() - self._cpu, 0.0)
        _open_span.reset(self._token)
        labels = self._labels if kind is None else {**self._labels, "failed": kind.__name__}
        if self._parent is not None:
            labels = {**labels, "parent": self._parent._kind}
            self._parent.count(**self._counts)
        quantities = {
            "wall": Quantity(wall, "s", Basis.MEASURED, "perf_counter"),
            "cpu": Quantity(cpu, "s", Basis.MEASURED, "CPU time of the process"),
        }
        self._spent(quantities, wall, cpu)
        quantities |= self._counts
        meter.sink(Draft(self._kind, self._at, labels, quantities))

    def _spent(self, quantities: dict[str, Quantity], wall: float, cpu: float) -> None:
        """Adds energy, GPU seconds and money, as far as anything is known about them."""
        meter = self._meter
        energy: Quantity | None = None
        if meter.rapl is not None:
            energy = measured(max(meter.rapl.joules() - self._joules, 0.0), "J", "RAPL, the whole machine's processors")
        elif meter.machine is not None:
            energy = energy_of(meter.machine, wall_s=wall, cpu_s=cpu, cores=meter.cores)
        gpu = meter.gpus.read(meter.pids) if meter.gpus is not None else None
        if gpu is not None:
            if gpu.held is None:
                quantities["gpu"] = unknown("s", _NO_GPU)
            else:
                quantities["gpu"] = measured(wall * gpu.held, "s", f"{gpu.held} GPUs held")
            if gpu.held != 0:
                drawn = _gpu_joules(self._gpu, gpu)
                energy = drawn if energy is None else energy + drawn
        if energy is not None:
            quantities["energy"] = energy
        if meter.machine is not None:
            quantities["money"] = money(meter.machine, wall_s=wall, energy=energy or unknown("J"))


def _gpu_joules(before: GpuReading | None, after: GpuReading) -> Quantity:
    """What the GPUs drew between two readings; unknown where other GPUs were held at the second than at the first."""
    if after.joules is None:
        return unknown("J", _NO_GPU)
    if before is None or before.joules is None or before.held != after.held:
        return unknown("J", "GPUs were taken or given back while they were metered")
    return measured(max(after.joules - before.joules, 0.0), "J", "NVML, the GPUs held")


def _plus(have: Quantity, more: Quantity) -> Quantity:
    # the sum of two exact counts, without the detour of `+`: spans that count every step do this often
    if have.low is None and more.low is None and have.basis is more.basis and have.value is not None:
        return Quantity(have.value + (more.value or 0.0), have.unit, have.basis, have.how)
    return have + more


def _process(pid: int | None) -> psutil.Process | None:
    if pid is None:
        return None
    import psutil

    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None
