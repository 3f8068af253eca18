"""One writer at a time, across processes; the lock of a process that was killed is free at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearseek.errors import UserError

if sys.platform != "win32":
    import fcntl

PATIENCE_S = 30.0
_LONGEST_NAP_S = 0.01


@contextmanager
def locked(fd: int, path: Path) -> Iterator[None]:
    """Hold the file `fd`, which is `path`, against every other process and descriptor that asks for it in this way.

    `flock` on the file itself costs 2 us, where the `filelock` package's file beside it costs over 100, and the kernel
    frees it when its holder dies. Where there is no `flock` (Windows), that package is used.
    Raises UserError after PATIENCE_S seconds: a process that was stopped while it held the lock must not stop all.
    """
    if sys.platform == "win32":
        import filelock

        with filelock.FileLock(f"{path}.lock", timeout=PATIENCE_S, poll_interval=0.002):
            yield
        return
    give_up = time.monotonic() + PATIENCE_S
    nap = 0.0002
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise UserError(
                    f"{path} has been held by another process for {PATIENCE_S:.0f} seconds; end that process."
                ) from None
            time.sleep(nap)
            nap = min(nap * 2, _LONGEST_NAP_S)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)
