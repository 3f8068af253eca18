"""Memory that is used again instead of being given back to the system and fetched anew, page by page."""

from __future__ import annotations

import ctypes
import functools

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
"""The names of these settings in glibc's malloc.h."""


@functools.cache
def keep_memory() -> bool:
    """Tell glibc to keep what is freed. Each micro-batch takes and frees about a gigabyte, and every page of it would
    be cleared by the system again (`python bench/update_parts.py MODEL --give-back` counts them).

    One arena for all threads, because the others give back what is above 64 MB whatever they are told. For the whole
    process, and once. False where there is no glibc, and then nothing has changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_TRIM_THRESHOLD, 2**31 - 1), (_MMAP_THRESHOLD, 32 << 20), (_TOP_PAD, 64 << 20), (_ARENA_MAX, 1))
    done = [bool(mallopt(name, value)) for name, value in wanted]  # every one, whatever the first says
    return all(done)
