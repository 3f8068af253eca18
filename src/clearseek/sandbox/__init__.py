"""Programs that a model wrote, run where they can reach nothing: no file, no network, no process, bounded in time,
memory and output.

`interpreter.py` runs Python in pydantic-monty, an interpreter made for this: a run takes a fraction of a millisecond,
its state lives as long as one answer, and the same code gives the same output. `cpython.py` runs a whole program in
full CPython behind bubblewrap, where a system has that.
"""

from __future__ import annotations

from clearseek.sandbox.interpreter import (
    CodeResult,
    ExecutionLimits,
    Interpreter,
    InterpreterSession,
    shared_interpreter,
)

__all__ = ["CodeResult", "ExecutionLimits", "Interpreter", "InterpreterSession", "shared_interpreter"]
