"""Times that the engine told of one pass and not of the other; times by our own clock."""

from __future__ import annotations

from typing import Any

import pytest

from clearseek.inference.completion import Completion
from clearseek.inference.engine import Timings
from clearseek.inference.timing import AT_ONCE, phases

TIMED = {"tokens_predicted": 3, "tokens_evaluated": 5, "timings": {"prompt_ms": 500.0, "predicted_ms": 1500.0}}
UNTIMED = {"tokens_predicted": 3, "tokens_evaluated": 5}


@pytest.mark.parametrize(
    ("passes", "timings"),
    [
        ([TIMED], Timings(prompt=0.5, decode=1.5, clock="engine")),
        ([TIMED, TIMED], Timings(prompt=1.0, decode=3.0, clock="engine")),
        ([UNTIMED], Timings()),
        ([TIMED, UNTIMED], Timings()),
        ([UNTIMED, TIMED], Timings()),
    ],
)
def test_the_thinking_and_the_answer_are_timed_together_or_not_at_all(
    passes: list[dict[str, Any]], timings: Timings
) -> None:
    completion = Completion(None, 100)  # type: ignore[arg-type]
    for said in passes:
        completion._stopped(said)
    finished = completion.finished("stop")
    assert finished.timings == timings
    assert finished.usage.completion_tokens == 3 * len(passes)


def test_phases_by_our_own_clock() -> None:
    assert phases(0.5, 10.0, 12.0, 15.0) == Timings(0.5, 2.0, 3.0, "server")
    assert phases(None, 10.0, None, 15.0) == Timings(None, 5.0, None, "server")
    assert phases(0.5, 10.0, 15.0 - AT_ONCE / 2, 15.0) == Timings(0.5, 5.0, None, "server")
    assert phases(0.5, 10.0, 12.0, 15.0).total == 5.5
    assert Timings().total is None
