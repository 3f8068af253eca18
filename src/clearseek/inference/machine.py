"""How much context, how many threads and slots: chosen from the machine and the model, and explained."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from clearseek.inference.errors import EngineUnavailable

KV_SHARE = 0.25
"""Of the memory that is free, how much the KV cache may take."""
MAX_CONTEXT = 32_768
"""More is rarely used at home, and every slot reserves it; `--context` goes beyond."""
COMFORTABLE_CONTEXT = 8_192
"""More slots are not bought by going below this (or below the model's own context)."""
SLOTS = (8, 4, 2, 1)
PREFILL_FLOPS = 1e11
"""FLOP/s that two laptop cores really reach in prefill: only used to keep a batch short enough to cancel."""


@dataclass(frozen=True)
class Plan:
    """What one engine child gets. Contexts in tokens."""

    context: int
    slots: int
    threads: int
    batch: int
    """Prompt tokens read between two looks at whether the client is still there."""
    cache_mib: int
    """Host memory for KV states of conversations that lost their slot."""
    kv_bytes: int
    why: tuple[str, ...]

    @property
    def total_context(self) -> int:
        return self.context * self.slots


def usable_cores() -> int:
    """Physical cores this process may use: affinity and the cgroup's quota are honoured."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    quota = physical
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if limit != "max":
            quota = max(1, int(limit) // int(period))
    except (OSError, ValueError):
        pass
    return max(1, min(physical, allowed, quota))


def available_memory() -> int:
    """Bytes that can be taken without swapping, by the machine and by the cgroup."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        if limit != "max":
            free = min(free, max(0, int(limit) - used))
    except (OSError, ValueError):
        pass
    return free


def plan(
    *,
    file_bytes: int,
    parameters: int | None,
    train_context: int,
    kv_bytes_per_token: int,
    context: int | None = None,
    slots: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
) -> Plan:
    """Chooses, keeping what the user fixed (`context`, `slots`, `threads`).

    `kv_bytes_per_token` is for one token over all layers. Raises EngineUnavailable when the weights do not fit.
    """
    free = available_memory() if memory is None else memory
    if file_bytes > free:
        raise EngineUnavailable(
            f"The model needs {file_bytes / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
            "close other programs, or choose a smaller model or quantisation."
        )
    cores = threads or usable_cores()
    why = [f"{cores} threads: " + ("as you set" if threads else "the physical cores this process may use")]
    budget = int(max(0, free - file_bytes) * KV_SHARE)
    per_token = max(1, kv_bytes_per_token)
    wanted = context or min(train_context, MAX_CONTEXT)
    floor = min(wanted, COMFORTABLE_CONTEXT)
    chosen = slots or next((n for n in SLOTS if budget // per_token // n >= floor), 1)
    why.append(
        f"{chosen} at once: "
        + ("as you set" if slots else f"{floor} tokens of context each fit in {KV_SHARE:.0%} of the free memory")
    )
    if context:
        size = context
        why.append(f"{size} tokens of context: as you set")
    else:
        size = max(512, min(wanted, budget // per_token // chosen) // 256 * 256)
        limit = "the model's own" if size == train_context else f"at most {MAX_CONTEXT}, and what memory allows"
        why.append(f"{size} tokens of context: {limit}")
    batch = 512
    while batch > 32 and parameters and batch * 2 * parameters > 0.6 * PREFILL_FLOPS:
        batch //= 2
    batch = max(batch, chosen)
    kv = size * chosen * per_token
    return Plan(size, chosen, cores, batch, min(256, max(32, kv >> 21)), kv, tuple(why))
