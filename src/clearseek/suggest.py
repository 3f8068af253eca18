"""What is said of a name that is not there: the nearest one that is, or all there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The end of a sentence: "did you mean `x`?" or "there are a, b, c." """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    return f"did you mean `{near[0]}`?" if near else f"there are {', '.join(names)}."
