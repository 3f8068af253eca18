"""Ctrl-C and SIGTERM during a run: stop at once where nothing of the weights has changed, and else after the step.

A step's rollouts and verifiers may be cut anywhere: the weights are those of the step before, and so is what is saved.
From the first update of a step on, the step is finished, which is a matter of seconds. A second signal ends the process
at once, as the system does it and whatever it is busy with: the last checkpoint counts then, as after `kill -9`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearseek.training.update.learner import Learner

_SAID = (
    "\n{}: what has begun is finished and saved first. Once more ends it at once; --resume then goes on from the last "
    "checkpoint.\n\x1b[?25h"
)
"""To whoever sits at the terminal; the last sign shows the cursor again, which a panel hides."""


class Interrupted(BaseException):
    """Raised out of a signal handler. Not an Exception: no verifier's or engine's `except` may swallow it."""


class Interrupts:
    """Use it in a `with`, in the main thread; elsewhere signals are left alone."""

    def __init__(self) -> None:
        self.stopping: str | None = None
        """The signal that asked for the end: "Ctrl-C" or "SIGTERM"."""
        self._open = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._on)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def _on(self, number: int, frame: FrameType | None) -> None:
        first = self.stopping is None
        self.stopping = self.stopping or ("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
        if first:
            for each in self._old:  # the second is the system's own, which native code cannot hold up
                signal.signal(each, signal.SIG_DFL)
        if self._open and first:
            self._open = False
            raise Interrupted
        if first and sys.stderr.isatty():
            with contextlib.suppress(OSError):  # not print: a signal may come in the middle of one
                os.write(sys.stderr.fileno(), _SAID.format(self.stopping).encode())

    def close(self) -> None:
        """From here on nothing may be cut."""
        self._open = False

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """What runs in here may be cut anywhere, until `close`. Raises Interrupted where a signal came before."""
        if self.stopping is not None:
            raise Interrupted
        self._open = True
        try:
            yield
        finally:
            self._open = False


class WatchedLearner:
    """A learner whose updates close the guard. Everything else is the learner's own, so whoever wraps one says that the
    result is a Learner; nothing can check that."""

    def __init__(self, learner: Learner, guard: Interrupts) -> None:
        self._learner, self._guard = learner, guard

    def update(self, *args: Any, **more: Any) -> Any:
        self._guard.close()
        return self._learner.update(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)
