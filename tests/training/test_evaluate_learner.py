"""A model in torch is evaluated: the same numbers every time, the learner untouched, thinking closed in time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from small_context import CLOSE, Numbers, Words, copying, stage_context, tiny  # noqa: E402
from sums import HOW  # noqa: E402

from clearseek.evaluation.runner import Completion, Query, QuerySet, evaluate  # noqa: E402
from clearseek.ledger.entry import Draft  # noqa: E402
from clearseek.ledger.meter import Meter  # noqa: E402
from clearseek.training.rollout.torch_backend import (  # noqa: E402
    TorchBackend,
    _batches,
    evaluate_learner,
)


def asked(n: int = 6) -> QuerySet:
    task = copying(last=50)
    return QuerySet(((task, "trained"),), {task.name: [task.make("test", index) for index in range(n)]})


class Closer(Words):
    def encode(self, text: str, *, control: bool = False) -> list[int]:
        assert control
        assert text.strip() == "</think>"
        return [CLOSE]


class Closing(Numbers):
    """With a tokeniser that knows how thinking is closed."""

    tokenizer = Closer()


def test_the_learner_as_it_is_now(tmp_path: Path) -> None:
    entries: list[Draft] = []
    shop = stage_context(tmp_path, [copying("one"), copying("two")], entries=entries)
    before = {name: tensor.clone() for name, tensor in shop.learner.state().items()}
    torch.manual_seed(4)
    drawn = torch.get_rng_state()
    first = evaluate_learner(
        shop.learner,
        shop.chat,
        shop.meter,
        shop.tasks,
        "dev",
        12,
        5,
        max_new=20,
        membership={"two": "unseen"},
        stage="start",
    )
    again = evaluate_learner(
        shop.learner, shop.chat, shop.meter, shop.tasks, "dev", 12, 5, max_new=20, membership={"two": "unseen"}
    )
    assert first.rows == tuple(dataclasses.replace(r, seconds=f.seconds) for f, r in zip(first.rows, again.rows))  # noqa: B905
    assert list(first.means) == ["trained", "unseen"]
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(tensor, before[name]) for name, tensor in shop.learner.state().items())
    entry = entries[0]
    assert (entry.kind, entry.labels["stage"], entry.labels["split"]) == ("eval", "start", "dev")
    assert entry.quantities["completion_tokens"].value == first.tokens
    assert entry.quantities["flops"].value > 0


def test_samples_differ_and_follow_from_the_seed_alone(tmp_path: Path) -> None:
    shop = stage_context(tmp_path, [copying()])
    kinds = {"samples": 4, "temperature": 1.0, "max_new": 12}
    first, again = (
        evaluate_learner(shop.learner, shop.chat, shop.meter, shop.tasks, "dev", 5, 5, **kinds) for _ in range(2)
    )
    other = evaluate_learner(shop.learner, shop.chat, shop.meter, shop.tasks, "dev", 5, 6, **kinds)
    said = [(row.thinking, row.answer) for row in first.rows]
    assert said == [(row.thinking, row.answer) for row in again.rows]
    assert said != [(row.thinking, row.answer) for row in other.rows]
    assert len({row.thinking for row in first.rows if row.problem == first.rows[0].problem}) > 1
    assert list(first.tasks[0].pass_at) == [1, 2, 4]


def test_thinking_is_closed_at_its_budget_and_the_answer_asked_for() -> None:
    model = tiny()
    entries: list[Draft] = []
    answerer = TorchBackend(model, Closing(), Meter(entries.append, rapl=False, gpus=False))  # type: ignore[arg-type]
    how = dataclasses.replace(HOW, temperature=20.0, budget=6, max_new=24)  # all tokens nearly alike
    found = evaluate(answerer, asked(40), how)
    closed = [row for row in found.rows if row.finish == "budget"]
    assert closed
    for row in found.rows:
        assert row.tokens <= 24
        assert row.thinking_tokens <= 7
        assert row.well_formed <= (row.finish == "stop")
    assert all(row.thinking_tokens == 6 and len(row.thinking.split()) == 6 for row in closed)
    free = evaluate(answerer, asked(40), dataclasses.replace(how, budget=None))
    assert max(row.thinking_tokens for row in free.rows) > 7
    assert {row.finish for row in free.rows} <= {"stop", "length"}


def test_no_thinking_and_prompts_that_are_too_long() -> None:
    model = tiny(max_positions=20)
    answerer = TorchBackend(model, Numbers(), Meter(lambda draft: None, rapl=False, gpus=False))  # type: ignore[arg-type]
    found = evaluate(answerer, asked(4), dataclasses.replace(HOW, thinking=False, max_new=12))
    assert found.conditions.arm == "no-think"
    assert all(row.thinking_tokens == 0 for row in found.rows)
    long = evaluate(answerer, asked(4), dataclasses.replace(HOW, max_new=19))
    assert long.mean.value == 0
    assert "does not fit" in long.rows[0].why


def test_batches_keep_the_samples_of_a_problem_together() -> None:
    asks = asked(5).asks(3, 0)
    assert [len(batch) for batch in _batches(asks, 7)] == [6, 6, 3]
    assert [ask for batch in _batches(asks, 2) for ask in batch] == asks


def test_what_was_answered_is_handed_over_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearseek.training.rollout.torch_backend.AT_ONCE", 2)
    answerer = TorchBackend(tiny(), Numbers(), Meter(lambda draft: None, rapl=False, gpus=False))  # type: ignore[arg-type]
    seen: list[Query] = []

    def took(ask: Query, answered: Completion) -> None:
        assert answered.tokens <= 10
        seen.append(ask)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answerer.answer(asked(6).asks(1, 0), dataclasses.replace(HOW, max_new=10), took)
    assert len(seen) == 2
