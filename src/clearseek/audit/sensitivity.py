"""Which input moves the verdict most: the goodput at both ends of each, the others as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clearseek.audit.bands import band_of
from clearseek.audit.conventions import Convention
from clearseek.audit.solve import Knowledge
from clearseek.audit.words import label, peak, span


@dataclass(frozen=True)
class Swing:
    """What one input does to `target` when it goes from one end of its interval to the other."""

    name: str
    label: str
    words: str
    at_low: float
    at_high: float
    crosses: bool
    """The verdict is another one at one of its ends (where the target is the goodput)."""

    @property
    def width(self) -> float:
        return max(self.at_low, self.at_high) / max(min(self.at_low, self.at_high), 1e-300)


def swings(knowledge: Knowledge, target: str, conventions: Iterable[Convention] = ()) -> tuple[Swing, ...]:
    """The inputs of `target`, the one that moves it most first; the choice of convention counts as an input."""
    if target not in knowledge.known:
        return ()
    middle = knowledge.known[target].value
    _, powers = knowledge.roots(target)
    results = []
    for root, power in powers.items():
        item = knowledge.known[root]
        if item.high <= item.low:
            continue
        ends = [middle * (end / item.value) ** power for end in (item.low, item.high)]
        results.append(
            Swing(root, label(root), span(root, item.low, item.high), ends[0], ends[1], _crosses(target, ends))
        )
    conventions = tuple(conventions)
    named = next((c for c in conventions if c.named), None)
    if named and target == "mfu":
        for what, words, group in (
            ("counting", "How FLOP are counted", [c for c in conventions if c.peak == named.peak]),
            ("peak", "Which peak is meant", [c for c in conventions if c.counting == named.counting]),
        ):
            ends = [min(c.goodput for c in group), max(c.goodput for c in group)]
            if ends[0] < ends[1]:
                message = " or ".join(dict.fromkeys((c.counting if what == "counting" else _short(c)) for c in group))
                results.append(Swing(what, words, message, ends[0], ends[1], _crosses(target, ends)))
    return tuple(sorted(results, key=lambda swing: -swing.width))


def _short(convention: Convention) -> str:
    return peak(convention.peak_value)


def _crosses(target: str, ends: list[float]) -> bool:
    return target == "mfu" and band_of(ends[0]).status != band_of(ends[1]).status
