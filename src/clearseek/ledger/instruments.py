"""What reads joules: RAPL counters of the processor and NVML counters of NVIDIA GPUs, where there are any."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
_HOLDERS_LAST_S = 1.0


class Rapl:
    """Energy of all processor packages and their memory, from the kernel's powercap files.

    It counts everything that runs on the machine. Readable by root only on most systems since 2020: a machine without
    counters, or without the right to read them, has no `Rapl` (see `find`).
    """

    def __init__(self, domains: list[tuple[int, float]]) -> None:
        """`domains` are open files of `energy_uj` with the value at which each starts again from 0 (in microjoules)."""
        self._domains = domains
        self._last = [self._uj(fd) for fd, _ in domains]
        self._total_uj = 0.0

    @classmethod
    def find(cls, root: Path = POWERCAP) -> Rapl | None:
        """The counters under `root`, or None where none can be read.

        Packages are counted, and memory, which is outside of them; not the cores and graphics, which are inside, nor
        the platform as a whole (`psys`), which would count packages again.
        """
        domains = []
        for folder in sorted(root.glob("intel-rapl:*")):
            with contextlib.suppress(OSError, ValueError):
                name = (folder / "name").read_text("ascii").strip()
                if not name.startswith("package") and name != "dram":
                    continue
                limit = float((folder / "max_energy_range_uj").read_text("ascii"))
                fd = os.open(folder / "energy_uj", os.O_RDONLY)
                try:
                    cls._uj(fd)
                except (OSError, ValueError):
                    os.close(fd)
                    raise
                domains.append((fd, limit))
        return cls(domains) if domains else None

    def joules(self) -> float:
        """Joules since this was made. A counter that began again from 0 is followed, once between two readings."""
        for i, (fd, limit) in enumerate(self._domains):
            now = self._uj(fd)
            moved = now - self._last[i]
            self._total_uj += moved if moved >= 0 else moved + limit
            self._last[i] = now
        return self._total_uj / 1e6

    def close(self) -> None:
        for fd, _ in self._domains:
            os.close(fd)
        self._domains = []

    @staticmethod
    def _uj(fd: int) -> float:
        return float(os.pread(fd, 32, 0))


@dataclass(frozen=True, slots=True)
class GpuReading:
    """How many GPUs the processes asked about hold, and the joules of those since the driver was loaded.

    Both are None where that cannot be known: in a container, NVML names processes by numbers that mean nothing there.
    """

    held: int | None
    joules: float | None


class Gpus:
    """NVIDIA GPUs by way of NVML, which is loaded when first asked for."""

    def __init__(self, nvml: Any, handles: list[Any]) -> None:
        self._nvml, self._handles = nvml, handles
        self._held: list[Any] | None = []
        self._held_until = 0.0

    @classmethod
    def find(cls) -> Gpus | None:
        """The GPUs whose energy counter can be read (Volta and later); None where there are none."""
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            handles = []
            for index in range(pynvml.nvmlDeviceGetCount()):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
                handles.append(handle)
        except pynvml.NVMLError:
            return None
        return cls(pynvml, handles) if handles else None

    def read(self, pids: frozenset[int]) -> GpuReading | None:
        """The GPUs on which these processes run, and their energy; None where NVML fails.

        Who runs where is asked at most once a second, because it takes a millisecond.
        """
        try:
            now = time.monotonic()
            if now >= self._held_until:
                self._held = self._held_by(pids)
                self._held_until = now + _HOLDERS_LAST_S
            if self._held is None:
                return GpuReading(None, None)
            joules = sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._held) / 1e3
            return GpuReading(len(self._held), joules)
        except self._nvml.NVMLError:
            return None

    def _held_by(self, pids: frozenset[int]) -> list[Any] | None:
        held = [
            handle
            for handle in self._handles
            if any(process.pid in pids for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        ]
        return held if held or not any(_has_loaded_cuda(pid) for pid in pids) else None


def _has_loaded_cuda(pid: int) -> bool:
    """Whether the process has the driver's library in its memory; False where that cannot be seen."""
    try:
        return "libcuda.so" in Path(f"/proc/{pid}/maps").read_text("utf-8", "replace")
    except OSError:
        return False
