"""Work side by side on a CPU's cores: a few Python threads, each computing with its share of torch's threads.

Two threads that share every product wait for each other hundreds of times a step, and a core that is late delays both.
Lanes wait once, at the end. torch lets go of the interpreter while it computes, so lanes run at once; what they compute
does not depend on which is quicker, so results are the same bits every time for the same number of threads.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

MOST = 8
"""Lanes at most: each holds a micro-batch or a cache of its own."""

Result = TypeVar("Result")


def worker_count(device: torch.device) -> int:
    """How many lanes to split work into: one for each of torch's threads, and one alone elsewhere than on a CPU."""
    return min(MOST, torch.get_num_threads()) if device.type == "cpu" else 1


def run_in_threads(jobs: Sequence[Callable[[], Result]], stop: threading.Event | None = None) -> list[Result]:
    """What each job returns, in their order; the first runs in the calling thread. Where jobs raise, the first of them
    in their order is raised, after all have ended: jobs that look at `stop` now and then end sooner."""
    if len(jobs) == 1:
        return [jobs[0]()]
    threads = torch.get_num_threads()
    each = max(1, threads // len(jobs))

    def alone(job: Callable[[], Result]) -> Result:
        torch.set_num_threads(each)  # a new thread would take all
        return job()

    others: list[Future[Result]] = []
    torch.set_num_threads(each)  # what MKL goes by is one number for all threads
    try:
        others = [_pool().submit(alone, job) for job in jobs[1:]]
        first = jobs[0]()
        return [first, *(other.result() for other in others)]
    except BaseException:
        if stop is not None:
            stop.set()
        raise
    finally:
        wait(others)
        torch.set_num_threads(threads)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST - 1, thread_name_prefix="lane")
