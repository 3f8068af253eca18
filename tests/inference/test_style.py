"""Which style a model is served in."""

from __future__ import annotations

from clearseek.inference.engine import Request, Sampling
from clearseek.inference.llamacpp import _sampling
from clearseek.inference.style import NATIVE, PROMPTED, SMALL_NATIVE, style_of


def test_a_small_model_that_was_taught_to_think_has_short_budgets() -> None:
    assert style_of("native", 134_515_008) is SMALL_NATIVE
    assert style_of("native", 7_000_000_000) is NATIVE
    assert style_of("native", None) is NATIVE
    assert style_of("prompted", 134_515_008) is PROMPTED
    assert SMALL_NATIVE.budgets["high"] < NATIVE.budgets["high"]
    assert (SMALL_NATIVE.opening, SMALL_NATIVE.stop) == (NATIVE.opening, NATIVE.stop)


def test_nothing_keeps_a_small_model_from_copying_while_it_thinks() -> None:
    asked = Request(({"role": "user", "content": "Sort 3, 1, 2"},))
    thinking, answering = (_sampling(asked, SMALL_NATIVE, answering=part) for part in (False, True))
    assert "dry_multiplier" not in thinking
    assert answering["dry_allowed_length"] > 16  # no list of a question is forbidden
    assert thinking["temperature"] == answering["temperature"] < 0.5


def test_what_the_caller_says_counts_alone() -> None:
    asked = Request(({"role": "user", "content": "Hi"},), sampling=Sampling(temperature=0.0))
    for style in (NATIVE, SMALL_NATIVE, PROMPTED):
        body = _sampling(asked, style, answering=True)
        assert (body["temperature"], body["top_p"], body["top_k"]) == (0.0, 1.0, 1)
        assert "dry_multiplier" not in body
