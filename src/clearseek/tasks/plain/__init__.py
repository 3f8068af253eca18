"""The suite `plain`: what people really ask a small assistant and a program can check, in their words.

Each kind of question has at least a dozen wordings (terse, polite, misspelt, with chatter around them, in other
languages), two of which are kept for dev and two for test; and, where it is taught, programs that answer it.
"""

from __future__ import annotations

from clearseek.tasks.plain import arithmetic, letters, measures, money, numbers
from clearseek.tasks.plain.kind import Kind

KINDS: tuple[Kind, ...] = (
    *arithmetic.KINDS, *money.KINDS, *measures.KINDS, *letters.KINDS, *numbers.KINDS,
)  # fmt: skip

__all__ = ["KINDS", "Kind"]
