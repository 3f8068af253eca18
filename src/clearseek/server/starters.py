"""What an empty page offers: three questions that the model can really answer, and one that it cannot, said so."""

from __future__ import annotations

from typing import Any

SMALL = 1_000_000_000
"""Parameters below which a model can tell and rephrase, but not reckon."""

_OPEN: list[dict[str, Any]] = [
    {"text": "Why is the sky blue?", "can": True, "note": ""},
    {"text": "Write a short poem about the sea.", "can": True, "note": ""},
    {"text": "What is the capital of France, and what is it known for?", "can": True, "note": ""},
]


def starters_for(parameters: int | None) -> list[dict[str, Any]]:
    """`parameters`: those of the default model; None where they are not known."""
    if parameters is not None and parameters < SMALL:
        cannot = {
            "text": "What is 347 times 28?",
            "can": False,
            "note": "This model is too small to reckon: it will be wrong, and sound sure. The answer is 9,716.",
        }
    else:
        cannot = {
            "text": "What is in the news today?",
            "can": False,
            "note": "A model knows nothing after its training and reads no internet: it can only make something up.",
        }
    return [*_OPEN, cannot]
