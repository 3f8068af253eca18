"""Supervised stages: what a step sees follows from its number, shares hold, and a tiny model learns its task."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from small_context import CLOSE, END, OPEN, SKIP, copying, stage_context, tiny  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.ledger.entry import Draft  # noqa: E402
from clearseek.tasks import load_task  # noqa: E402
from clearseek.tasks.task import Problem, Score, Solution  # noqa: E402
from clearseek.training.data.examples import AT_A_GLANCE, counts_of, from_file, from_tasks  # noqa: E402
from clearseek.training.data.traces import Trace, write_traces  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.recipe.schedule import learning_rate  # noqa: E402
from clearseek.training.recipe.sft_settings import SftSettings  # noqa: E402
from clearseek.training.stages.sft import open_stage  # noqa: E402
from clearseek.training.update.learner import open_learner  # noqa: E402

FULL = LearnerSettings(train_embedding=True, dtype="float32")


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 10, 1.0, warmup=4, decay="linear") for step in range(10)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[7] == pytest.approx(0.5)
    assert rates[9] == pytest.approx(1 / 6)
    assert learning_rate(9, 10, 1.0, warmup=0, decay="cosine", floor=0.1) == pytest.approx(0.1, abs=0.03)
    assert learning_rate(500, 10, 1.0, warmup=4, decay="linear", floor=0.1) == pytest.approx(0.1)
    assert learning_rate(99, 10, 2.0, warmup=4, decay="constant") == 2.0


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.5), (0.7, 0.2, 0.1), (0.97, 0.03)])
def test_shares_hold_and_no_example_is_left_out_or_comes_twice(shares: tuple[float, ...]) -> None:
    ends = [0] * len(shares)
    for step in range(50):
        found = counts_of(step, 7, shares)
        assert [start for start, _ in found] == ends
        assert sum(count for _, count in found) == 7
        ends = [start + count for start, count in found]
    assert all(abs(end - 350 * share) < 4 for end, share in zip(ends, shares, strict=True))


def test_a_file_is_gone_through_whole_before_it_begins_again() -> None:
    traces = [Trace(str(number), None, "1") for number in range(5)]
    whole = from_file(traces, 0, 10, 7, "x")
    assert sorted(t.prompt for t in whole[:5]) == sorted(t.prompt for t in whole[5:]) == list("01234")
    assert [t.prompt for t in whole[:5]] != [t.prompt for t in whole[5:]]
    assert from_file(traces, 3, 4, 7, "x") == whole[3:7]


def test_a_tiny_model_learns_from_worked_solutions(tmp_path: Path) -> None:
    entries: list[Draft] = []
    stage = open_stage(
        SftSettings(steps=60, examples=16, lr=1e-2, thinking_off=0.0),
        stage_context(tmp_path, [copying()], open_learner(tiny(), FULL), entries=entries),
    )
    reports = [stage.step(number) for number in range(60)]
    assert reports[-1].numbers["loss"] < reports[0].numbers["loss"] / 5
    assert reports[0].numbers["tokens_trained"] == 16 * 4
    assert reports[0].samples[0]["text"].endswith("<end>")
    assert {draft.kind for draft in entries} == {"update"}
    assert entries[0].quantities["flops"].value > 0
    assert entries[0].quantities["prompt_tokens"].value == 16 * 6


def test_a_step_depends_on_its_number_alone(tmp_path: Path) -> None:
    settings = SftSettings(steps=9, examples=4, sources=("solutions", "old"), thinking_off=0.5)
    write_traces(tmp_path / "data" / "old.jsonl", [Trace(str(n), None, "3") for n in range(20)])
    first, second = (open_stage(settings, stage_context(tmp_path, [copying()])) for _ in range(2))
    for number in range(5):
        first.step(number)
    assert first.examples(7) == second.examples(7)
    assert first.examples(7) != second.examples(8)
    other = open_stage(SftSettings(name="second", steps=9, examples=4), stage_context(tmp_path, [copying()]))
    same = open_stage(SftSettings(steps=9, examples=4), stage_context(tmp_path, [copying()]))
    assert other.examples(1) != same.examples(1)


def test_interrupted_equals_uninterrupted(tmp_path: Path) -> None:
    settings = SftSettings(steps=6, examples=4)
    whole = open_stage(settings, stage_context(tmp_path, [copying()], open_learner(tiny(), FULL)))
    losses = [whole.step(number).numbers["loss"] for number in range(6)]
    first = open_stage(settings, stage_context(tmp_path, [copying()], open_learner(tiny(), FULL)))
    for number in range(3):
        first.step(number)
    kept = {name: tensor.clone() for name, tensor in first.stage_context.learner.state().items()}
    state = first.state()
    second = open_stage(settings, stage_context(tmp_path, [copying()], open_learner(tiny(), FULL)))
    second.stage_context.learner.restore(kept)
    second.restore(state)
    assert [second.step(number).numbers["loss"] for number in range(3, 6)] == losses[3:]


def test_thinking_off_is_another_prompt_and_the_answer_alone(tmp_path: Path) -> None:
    stage = open_stage(SftSettings(steps=1, examples=64, thinking_off=0.5), stage_context(tmp_path, [copying()]))
    examples, _ = stage.examples(0)
    on = [e for e in examples if e.group.prompt[-1] == OPEN]
    off = [e for e in examples if e.group.prompt[-1] == SKIP]
    assert len(on) + len(off) == 64
    assert len(off) > 16 < len(on)
    assert all(CLOSE in e.group.completions[0] for e in on)
    assert all(len(e.group.completions[0]) == 2 and e.group.completions[0][-1] == END for e in off)


def test_a_glance_names_the_answer_and_works_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("products")
    glances = from_tasks([task], [1.0], 30, frozenset(), 1, "x", glances=True)
    assert {g.thinking for g in glances} <= {form.format(g.answer) for form in AT_A_GLANCE for g in glances}
    assert all(g.answer in str(g.thinking) and len(str(g.thinking)) < 40 for g in glances)
    assert {str(g.thinking).split()[0] for g in glances} == {form.split()[0] for form in AT_A_GLANCE}
    worked = from_tasks([task], [1.0], 30, frozenset(), 1, "x")
    assert [(w.prompt, w.answer) for w in worked] == [(g.prompt, g.answer) for g in glances]
    assert min(len(str(w.thinking)) for w in worked) > 40

    monkeypatch.setattr("clearseek.training.data.examples.AT_A_GLANCE", ("{}",))  # the tiny chat knows numbers alone
    both = SftSettings(steps=3, examples=16, sources=("solutions", "glances"), thinking_off=0.0)
    stage = open_stage(both, stage_context(tmp_path, [copying()]))
    examples, _ = stage.examples(1)
    worked_out = [example for example in examples if example.source == "solutions"]
    assert 7 <= len(worked_out) <= 9
    assert examples == open_stage(both, stage_context(tmp_path, [copying()])).examples(1)[0]
    alone = SftSettings(steps=3, examples=len(worked_out), thinking_off=0.0)
    assert open_stage(alone, stage_context(tmp_path, [copying()])).examples(1)[0] == worked_out
    with pytest.raises(UserError, match="never end"):
        open_stage(SftSettings(sources=("glances",)), stage_context(tmp_path, [copying()]))


def test_epochs_of_files_make_steps(tmp_path: Path) -> None:
    write_traces(tmp_path / "data" / "a.jsonl", [Trace("1", "2", "3")] * 30)
    write_traces(tmp_path / "data" / "b.jsonl", [Trace("1", None, "3")] * 10)
    stage = open_stage(
        SftSettings(epochs=2.0, examples=8, sources=("a", "b"), thinking_off=0.0), stage_context(tmp_path, [copying()])
    )
    assert stage.steps == 10
    sources = [example.source for number in range(10) for example in stage.examples(number)[0]]
    assert abs(sources.count("b") - 20) <= 2


def test_what_is_missing_or_wrong_is_said_in_a_sentence(tmp_path: Path) -> None:
    here = stage_context(tmp_path, [copying()])
    with pytest.raises(UserError, match="never end"):
        open_stage(SftSettings(), here)
    with pytest.raises(UserError, match=r"no worked examples in .*none\.jsonl"):
        open_stage(SftSettings(sources=("none",)), here)
    with pytest.raises(UserError, match="share for each"):
        SftSettings(sources=("a", "b"), shares=(1.0,))
    write_traces(tmp_path / "data" / "long.jsonl", [Trace("1 2 3 4 5 6 7 8", None, "3")])
    with pytest.raises(UserError, match=r"longer than the 8 tokens .*nothing to learn from: line 1 \(11 tokens\)"):
        open_stage(SftSettings(sources=("long",), steps=1, max_tokens=8), here)


@pytest.mark.parametrize(("max_tokens", "said"), [(16, "16 tokens that `max_tokens` allows"), (512, "64 tokens that")])
def test_examples_that_are_too_long_are_left_out_at_once_by_line_and_no_step_stops_at_them(
    tmp_path: Path, max_tokens: int, said: str
) -> None:
    """Ten examples, one a step: the run used to die at the long one, and again with every --resume."""
    short, long = Trace("1", "2", "3"), Trace("1", " ".join(["2"] * 70), "3")
    write_traces(tmp_path / "data" / "mixed.jsonl", [*[short] * 6, long, *[short] * 3])
    settings = SftSettings(sources=("mixed",), steps=12, examples=1, max_tokens=max_tokens)
    stage = open_stage(settings, stage_context(tmp_path, [copying()], open_learner(tiny(), FULL)))
    reports = [stage.step(number) for number in range(12)]
    assert all(report.numbers["examples"] == 1 for report in reports)
    (warning,) = reports[0].warnings
    assert f"1 of 10 examples in data/mixed.jsonl are longer than the {said}" in warning
    assert "line 7 (75 tokens)" in warning
    assert not any(report.warnings for report in reports[1:])


def test_a_step_whose_worked_solutions_are_all_too_long_is_skipped_with_a_word(tmp_path: Path) -> None:
    task = copying()
    wordy = type(task)(
        task.name, task.make, task.check, task.card, lambda p, r: Solution("1 " * r.choice([1, 40]), p.answer)
    )
    settings = SftSettings(steps=12, examples=1, max_tokens=20, thinking_off=0.0)
    stage = open_stage(settings, stage_context(tmp_path, [wordy], open_learner(tiny(), FULL)))
    updates = []
    for number in range(12):
        report = stage.step(number)
        assert bool(report.numbers.get("skipped")) == any("this step taught nothing" in one for one in report.warnings)
        updates.append(stage.stage_context.learner.updates)
    assert 0 < updates[-1] < 12


def test_a_solver_that_knows_few_kinds_of_problems_does_not_end_a_run(tmp_path: Path) -> None:
    task = copying()

    def solve(problem: Problem, rng: random.Random) -> Solution:
        if problem.index % 8:
            raise ValueError("another kind")
        return Solution(problem.answer, problem.answer)

    some = type(task)(task.name, task.make, task.check, task.card, solve)
    stage = open_stage(SftSettings(steps=40, examples=1), stage_context(tmp_path, [some]))
    assert all(len(stage.examples(number)[0]) == 1 for number in range(40))


def test_a_solver_whose_answers_are_wrong_is_caught(tmp_path: Path) -> None:
    task = copying()
    wrong = type(task)(
        task.name, task.make, lambda p, a: Score(0.0, "wrong"), task.card, lambda p, r: Solution("1", "2")
    )
    with pytest.raises(UserError, match="rejects most of its own worked solutions"):
        open_stage(SftSettings(steps=1), stage_context(tmp_path, [wrong])).step(0)
    without = type(task)(task.name, task.make, task.check, task.card)
    with pytest.raises(UserError, match="no worked solutions"):
        open_stage(SftSettings(steps=1), stage_context(tmp_path, [without])).step(0)
