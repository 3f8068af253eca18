"""How a whole program ended, whichever interpreter ran it."""

from __future__ import annotations

from dataclasses import dataclass

MAX_OUTPUT = 1 << 20
"""Bytes that a program may print."""
MAX_TOLD = 240


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program printed, and what went wrong with it, "" where nothing did. `unavailable`: it was not run, because
    nothing here may run it."""

    output: str
    trouble: str
    unavailable: bool = False


def last_line(text: str) -> str:
    """The last line of what was said, as text that can be shown: an exception, mostly."""
    line = text.strip().rpartition("\n")[2][:MAX_TOLD]
    return "".join(char if char.isprintable() else " " for char in line).strip()
