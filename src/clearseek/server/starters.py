"""What an empty page offers: three questions that the model can really answer, and one that it cannot, said so."""

from __future__ import annotations

from typing import Any

from clearseek.inference.style import SMALL
from clearseek.settings import OWN_MODEL

# ClearSeek's own: right with three seeds each (the sum with six).
_OWN_CAN = [
    "How many legs do 3 spiders and 2 cats have in total?",
    "What is 47 + 85?",
    "What is the capital of France?",
]
_OWN_CANNOT = {
    "text": "What is 347 times 28?",
    "can": False,
    "note": "It was taught products of two-digit numbers: here it drops a digit and sounds sure. The answer is 9,716.",
}

# Tried on SmolLM2-135M with three seeds each, thinking on: right every time. Of those that were not: why the sky
# is blue, what plants need, the largest planet, who wrote Romeo and Juliet, any poem (it goes round in circles). The
# capital is the telling one: without thinking it goes wrong more often than not.
_SMALL_CAN = [
    "What is the capital of France?",
    "What is the chemical formula of water?",
    "How many days are in a week?",
]
_SMALL_CANNOT = {
    "text": "What is 347 times 28?",
    "can": False,
    "note": "This model is too small to reckon: it will be wrong, and sound sure. The answer is 9,716.",
}

_CAN = ["Why is the sky blue?", "What is 347 times 28?", "Explain compound interest to a twelve-year-old."]
_CANNOT = {
    "text": "What is in the news today?",
    "can": False,
    "note": "A model knows nothing after its training and reads no internet: it can only make something up.",
}


def starters_for(model: str | None, parameters: int | None) -> list[dict[str, Any]]:
    """`model`: the default one's name; `parameters`: its own, None where they are not known."""
    if model == OWN_MODEL:
        return [*({"text": text, "can": True, "note": ""} for text in _OWN_CAN), dict(_OWN_CANNOT)]
    small = parameters is not None and parameters < SMALL
    can = [{"text": text, "can": True, "note": ""} for text in (_SMALL_CAN if small else _CAN)]
    return [*can, dict(_SMALL_CANNOT if small else _CANNOT)]
