"""What is learned from: prompts, and what was written after each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt and what was written after it; every token of a completion is scored, the one that ends it included.

    Supervised examples are groups of one completion.
    """

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]

    @property
    def scored(self) -> int:
        """Completion tokens, M of this group."""
        return sum(map(len, self.completions))
