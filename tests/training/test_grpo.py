"""Reinforcement learning: it learns, its control does not, and an interrupted run goes on as if it had not been."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from small_context import copying, stage_context, tiny  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.ledger.entry import Draft  # noqa: E402
from clearseek.tasks.task import Problem, Score, Task  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.rollout.slots import Sample  # noqa: E402
from clearseek.training.score.rewards import RewardRule, ScoredGroup, score_samples  # noqa: E402
from clearseek.training.stages import sft  # noqa: E402
from clearseek.training.stages.base import StageState  # noqa: E402
from clearseek.training.stages.curriculum import remember, spread_draws, weigh  # noqa: E402
from clearseek.training.stages.grpo import GrpoSettings, GrpoStage, open_stage  # noqa: E402
from clearseek.training.stages.health import warnings_of  # noqa: E402
from clearseek.training.update.learner import Learner, open_learner  # noqa: E402
from clearseek.training.update.losses import GrpoTokens  # noqa: E402

FULL = LearnerSettings(train_embedding=True, dtype="float32", clip=1.0)
SMALL: dict[str, Any] = {"prompts": 8, "samples": 4, "max_new": 6, "length_constant": 4.0, "lr": 1e-3, "min_groups": 1}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A model that has the form, and is right now and then: where reinforcement learning begins."""
    learner = open_learner(tiny(), FULL)
    stage = sft.open_stage(
        sft.SftSettings(steps=24, lr=1e-2, thinking_off=0.0),
        stage_context(tmp_path_factory.mktemp("sft"), [copying(), copying("far", 50, 55)], learner),
    )
    for number in range(stage.steps):
        stage.step(number)
    return {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}


def fresh(started: dict[str, Any]) -> Learner:
    model = tiny()
    model.load_state_dict(started)
    return open_learner(model, FULL)


def stage_of(started: dict[str, Any], folder: Path, run: list[Task] | None = None, **settings: Any) -> GrpoStage:
    return open_stage(GrpoSettings(**{**SMALL, **settings}), stage_context(folder, run or [copying()], fresh(started)))


def test_it_gets_better_at_what_is_rewarded(started: dict[str, Any], tmp_path: Path) -> None:
    stage = stage_of(started, tmp_path, steps=40, lr=3e-3)
    numbers = [stage.step(number).numbers for number in range(40)]
    first, last = (sum(n["accuracy"] for n in part) / 8 for part in (numbers[:8], numbers[-8:]))
    assert first < 0.75
    assert last > first + 0.2
    assert max(n["mismatch"] for n in numbers) < 1e-4
    assert all(n["accuracy/copy"] == n["accuracy"] for n in numbers)


def test_every_number_and_span_is_there(started: dict[str, Any], tmp_path: Path) -> None:
    entries: list[Draft] = []
    here = stage_context(tmp_path, [copying()], fresh(started), entries=entries)
    report = open_stage(GrpoSettings(**SMALL, kl=0.01), here).step(0)
    for name in (
        *("loss", "lr", "grad_norm", "tokens_trained", "tokens_generated"),
        *("reward", "accuracy", "format", "length", "truncated", "groups_that_teach", "entropy"),
        *("mismatch", "second_verifier", "accuracy/copy", "k3", "loss/policy", "loss/kl", "clipped"),
    ):
        assert isinstance(report.numbers[name], float), name
    assert [draft.kind for draft in entries] == ["rollout", "verify", "update"]
    rolled, _, updated = entries
    assert rolled.quantities["completion_tokens"].value == report.numbers["tokens_generated"]
    assert updated.quantities["flops"].value > rolled.quantities["flops"].value > 0
    assert any("</think>" in sample["text"] for sample in report.samples), "as it was written, tags too"
    assert report.samples[0]["reference"]


@pytest.mark.parametrize("settings", [{}, {"kl": 0.05, "updates": 2, "rounds": 2}])
def test_interrupted_equals_uninterrupted(started: dict[str, Any], tmp_path: Path, settings: dict[str, Any]) -> None:
    tasks = [copying(), copying("far", 50, 55)]
    whole = stage_of(started, tmp_path, tasks, **settings)
    reports = [whole.step(number) for number in range(5)]
    first = stage_of(started, tmp_path, tasks, **settings)
    for number in range(3):
        first.step(number)
    weights = {name: tensor.clone() for name, tensor in first.context.learner.state().items()}
    state = first.state()
    second = stage_of(started, tmp_path, tasks, **settings)
    second.context.learner.restore(weights)
    second.restore(state)
    for number in (3, 4):
        assert second.step(number).numbers == reports[number].numbers
    wanted, found = whole.context.learner.state(), second.context.learner.state()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert second.history == whole.history


def judged(accuracy: Any) -> Task:
    base = copying()
    return Task("judged", base.make, accuracy, {}, base.solve)


def test_rewards_that_are_all_equal_teach_nothing_and_change_nothing(started: dict[str, Any], tmp_path: Path) -> None:
    for accuracy, words in ((0.0, "no sample was right"), (1.0, "too easy")):
        task = judged(lambda problem, answer, accuracy=accuracy: Score(accuracy, "fixed"))
        stage = stage_of(started, tmp_path, [task], format_reward=0.0, max_new=48)  # no sample is cut off
        before = {name: tensor.clone() for name, tensor in stage.context.learner.state().items()}
        report = stage.step(0)
        assert report.numbers["skipped"] == 1.0
        assert report.numbers["groups_that_teach"] == report.numbers["loss"] == report.numbers["lr"] == 0.0
        assert any(words in warning for warning in report.warnings)
        after = stage.context.learner.state()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert not stage.step(1).warnings  # said once, and again only after a while


def test_a_model_without_the_form_is_told_so(tmp_path: Path) -> None:
    stage = open_stage(GrpoSettings(**SMALL), stage_context(tmp_path, [copying()], open_learner(tiny(), FULL)))
    (flat,) = [warning for warning in stage.step(0).warnings if "all equal" in warning]
    assert "teach the form first" in flat


def test_more_problems_are_drawn_until_enough_groups_teach(started: dict[str, Any], tmp_path: Path) -> None:
    rare = judged(lambda problem, answer: Score(float(problem.answer == "3" and answer == "3"), "rare"))
    stage = stage_of(started, tmp_path, [rare], rounds=3, enough_groups=100, format_reward=0.0)
    assert stage.step(0).numbers["groups"] == 24
    once = stage_of(started, tmp_path, [rare], rounds=3, enough_groups=1)
    assert once.step(0).numbers["groups"] == 8


def test_the_control_arm_is_rewarded_by_a_coin_and_still_measures(started: dict[str, Any], tmp_path: Path) -> None:
    task = judged(lambda problem, answer: Score(0.0, "never"))
    stage = stage_of(started, tmp_path, [task], reward="random", samples=8)
    report = stage.step(0)
    assert report.numbers["accuracy"] == 0.0
    assert 0.3 < report.numbers["reward"] - 0.1 * report.numbers["format"] < 0.7
    assert report.numbers["groups_that_teach"] > 0.9
    assert any("control" in warning for warning in report.warnings)


def test_the_second_verifier_is_watched_and_never_learned_from(started: dict[str, Any], tmp_path: Path) -> None:
    task = judged(lambda problem, answer: Score(1.0, "lax", 0.0))
    report = stage_of(started, tmp_path, [task], max_new=48).step(0)  # no sample is cut off
    assert report.numbers["second_verifier"] == 0.0
    assert report.numbers["accuracy"] == 1.0
    assert any("please the verifier" in warning for warning in report.warnings)


def test_what_was_cut_off_can_be_left_out(started: dict[str, Any], tmp_path: Path) -> None:
    for overlong in ("wrong", "mask"):
        stage = stage_of(started, tmp_path, max_new=4, samples=8, overlong=overlong, length_reward=0.5, length_margin=1)
        drawn = drawn_of(stage, 0)
        cut = [graded.truncated for one in drawn for graded in one.scores]
        assert True in cut
        assert False in cut
        drawn = [one for one in drawn if one.informative]
        groups, tokens = stage.advantages(drawn, 64, False)
        pairs = [pair for one in drawn for pair in zip(one.samples, one.scores, strict=True)]
        trained = [sample.ids for sample, graded in pairs if overlong == "wrong" or not graded.truncated]
        assert (len(trained) == len(pairs)) == (overlong == "wrong")
        assert [ids for group in groups for ids in group.completions] == trained
        assert len(tokens.weights_A) == len(tokens.advantages_A) == len(tokens.sampled_A) == sum(map(len, trained))


def test_rewards_are_kept_apart() -> None:
    from small_context import CLOSE, END, Numbers

    problem = Problem("copy", "train", 0, "4 11", "4")
    samples = [
        Sample(0, 0, 1, (4, CLOSE, 4, END), (0.0,) * 4, "stop_id"),
        Sample(0, 1, 1, (4, CLOSE, 5, END), (0.0,) * 4, "stop_id"),
        Sample(0, 2, 1, (4, 4, 4, 4, 4, 4, 4, 4), (0.0,) * 8, "length"),
        Sample(0, 3, 1, (4, 4, 4, 4, 4, CLOSE, 4, END), (0.0,) * 8, "stop_id"),
        Sample(0, 4, 1, (4, 4, 4, 4, 4, 4, CLOSE, 4), (0.0,) * 8, "length"),  # the right number, and no end
    ]
    rule = RewardRule(format=0.1, length=0.5, max_new=8, length_margin=4)
    found = score_samples(copying(), problem, samples, Numbers(), rule)  # type: ignore[arg-type]
    assert [one.accuracy for one in found] == [1.0, 0.0, 0.0, 1.0, 0.0]
    assert [one.form for one in found] == [1.0, 1.0, 0.0, 1.0, 0.0]
    assert [one.length for one in found] == [0.0, 0.0, -1.0, -1.0, -1.0]
    assert [one.reward for one in found] == pytest.approx([1.1, 0.1, -0.5, 0.6, -0.5])
    assert [one.truncated for one in found] == [False, False, True, False, True]
    assert found[4].written.answer == "4"
    assert found[4].why.startswith("cut off")


def test_a_scorer_that_goes_wrong_is_told_by_name_with_its_count_and_once(
    started: dict[str, Any], tmp_path: Path
) -> None:
    wrong = Score(0.0, "score() of it.py failed: KeyError: '7'", fault="score() of it.py raised KeyError")
    task = judged(lambda problem, answer: Score(1.0, "right") if answer == problem.answer else wrong)
    stage = stage_of(started, tmp_path, [task])
    report = stage.step(0)
    (told,) = [warning for warning in report.warnings if "could not be scored" in warning]
    failed = round(report.numbers["not_scored"] * 32)
    assert 0 < failed < 32
    assert told.startswith(
        f"{failed} of 32 answers of the task judged could not be scored: score() of it.py raised KeyError"
    )
    assert "(last: score() of it.py failed: KeyError: '7')" in told
    assert not [warning for warning in stage.step(1).warnings if "could not be scored" in warning]


def test_the_curriculum_asks_more_often_for_what_teaches() -> None:
    taught: dict[str, float] = {}
    for _ in range(12):
        taught = remember(taught, {"easy": [False, False], "half": [True, True], "unasked": []})
    assert taught["easy"] < 0.1 < 0.99 < taught["half"]
    weights = weigh([0.25, 0.25, 0.5], ["easy", "half", "new"], taught)
    assert sum(weights) == pytest.approx(1.0)
    assert weights[1] > 6 * weights[0] > 0
    counts = [spread_draws([0.1, 0.25, 0.65], 20, random.Random(n)) for n in range(50)]
    assert all(sum(count) == 20 and count[0] == 2 and count[1] == 5 and count[2] == 13 for count in counts)
    assert {spread_draws([0.5, 0.5], 1, random.Random(n))[0] for n in range(20)} == {0, 1}


STEADY = {
    "groups_that_teach": 0.5,
    "truncated": 0.0,
    "mismatch": 0.0,
    "accuracy": 0.5,
    "format": 1.0,
    "length": 50.0,
    "entropy": 0.3,
    "second_judged": 1.0,
    "second_verifier": 0.5,
}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("entropy", {"entropy": 0.05}, "Entropy fell from 0.300 to 0.050"),
        ("length", {"length": 80.0}, "grew from 50 to 80 tokens"),
        ("truncated", {"truncated": 0.6}, "60% of the samples were cut off at 160"),
        ("mismatch", {"mismatch": 0.2}, "disagree by 0.200 nats"),
        ("second", {"second_verifier": 0.2}, "accepts 50%"),
        ("flat", {"groups_that_teach": 0.0}, "by all of its samples or by none"),
        ("damaged", {"accuracy": 0.02, "second_verifier": 0.02}, "were right 50% of the time in the first steps"),
        ("damaged", {"format": 0.1, "groups_that_teach": 0.0}, "of the right form 100% of the time in the first"),
        ("skipped", {"skipped": 1.0, "groups": 4.0}, "Only 2 of 4 groups taught, fewer than `min_groups` = 3"),
    ],
)
def test_signs_of_trouble_are_said_in_words(name: str, change: dict[str, float], words: str) -> None:
    how: dict[str, Any] = {"max_new": 160, "random_reward": False, "min_groups": 3}
    assert warnings_of([STEADY] * 20, **how) == {}
    found = warnings_of([*[STEADY] * 10, *[{**STEADY, **change}] * 10], **how)
    assert list(found) == [name]
    assert words in found[name]


def test_settings_that_make_no_sense_are_refused(started: dict[str, Any], tmp_path: Path) -> None:
    for settings in ({"samples": 1}, {"temperature": 0.0}, {"clip_low": 1.5}, {"updates": 0}, {"length_constant": 0.0}):
        with pytest.raises(UserError):
            GrpoSettings(**settings)
    with pytest.raises(UserError, match="asks for the task none"):
        stage_of(started, tmp_path, tasks=("none",))
    stage = stage_of(started, tmp_path)
    with pytest.raises(UserError, match="another kind of stage"):
        stage.restore(StageState())


def drawn_of(stage: GrpoStage, round_: int) -> list[ScoredGroup]:
    seeds = (stage.context.seed, stage.settings.name, 0, round_)
    drawn, _ = stage.draw(seeds)
    return stage.score(drawn, stage.roll_out(drawn, seeds), seeds)


def tokens_of(stage: GrpoStage, number: int = 0) -> list[GrpoTokens]:
    """What each update of a step was told of its tokens."""
    seen: list[GrpoTokens] = []
    learner = stage.context.learner
    update = learner.update

    def watching(groups: Any, loss: Any, lr: float, **more: Any) -> Any:
        seen.append(loss.keywords["tokens"])
        return update(groups, loss, lr, **more)

    learner.update = watching  # type: ignore[method-assign]
    stage.step(number)
    return seen


@pytest.mark.parametrize(("rounds", "groups"), [(1, 8), (3, 24)])
def test_the_constant_normaliser_counts_every_sample_that_was_drawn(
    started: dict[str, Any], tmp_path: Path, rounds: int, groups: int
) -> None:
    """By hand: 8 prompts x 4 samples x 4 tokens a round, whatever was trained on."""
    rare = judged(lambda problem, answer: Score(float(problem.answer == "3" and answer == "3"), "rare"))
    stage = stage_of(started, tmp_path, [rare], rounds=rounds, enough_groups=100, samples=4, length_constant=4.0)
    (tokens,) = tokens_of(stage)
    assert torch.equal(tokens.weights_A, torch.full_like(tokens.weights_A, 1.0 / (groups * 4 * 4.0)))
    assert 0 < len(tokens.weights_A) < groups * 4 * 6


def test_a_task_with_fewer_problems_than_a_step_asks_for_counts_those_there_are(
    started: dict[str, Any], tmp_path: Path
) -> None:
    few = Task("few", lambda split, index: copying().make(split, index % 3), copying().check, {}, copying().solve)
    (tokens,) = tokens_of(stage_of(started, tmp_path, [few], prompts=8))
    assert torch.equal(tokens.weights_A, torch.full_like(tokens.weights_A, 1.0 / (3 * 4 * 4.0)))


def test_samples_that_are_left_out_count_in_no_mean_and_are_not_held_to_the_reference(
    started: dict[str, Any], tmp_path: Path
) -> None:
    how: dict[str, Any] = {"max_new": 4, "samples": 8, "overlong": "mask", "kl": 0.1, "normalise": "tokens"}
    stage = stage_of(started, tmp_path, **how)
    drawn = drawn_of(stage, 0)
    kept = sum(
        len(sample.ids)
        for one in drawn
        if one.informative
        for sample, graded in zip(one.samples, one.scores, strict=True)
        if not graded.truncated
    )
    assert kept < sum(len(sample.ids) for one in drawn if one.informative for sample in one.samples)
    (tokens,) = tokens_of(stage)
    assert tokens.reference_A is not None
    assert tokens.weights_A.tolist() == pytest.approx([1.0 / kept] * kept)
    assert len(tokens.reference_A) == kept


def test_a_group_that_was_cut_off_as_a_whole_teaches_nothing_where_such_samples_are_left_out(
    started: dict[str, Any], tmp_path: Path
) -> None:
    stage = stage_of(started, tmp_path, max_new=1, overlong="mask", length_reward=0.5)
    report = stage.step(0)
    assert report.numbers["truncated"] == 1.0
    assert report.numbers["groups_that_teach"] == 0.0
    assert report.numbers["skipped"] == 1.0


def wordy(every: int) -> Task:
    """Numbers to say again, of which some come with more words than the tiny model can hold."""
    base = copying()

    def make(split: Any, index: int) -> Problem:
        short = base.make(split, index)
        if index % every:
            return short
        return Problem(short.task, split, index, short.prompt + " 7" * 70, short.answer)

    return Task("wordy", make, base.check, {}, base.solve)


def test_a_problem_longer_than_the_context_is_left_out_by_name_and_no_step_dies_of_it(
    started: dict[str, Any], tmp_path: Path
) -> None:
    stage = stage_of(started, tmp_path, [wordy(3)], prompts=8)
    reports = [stage.step(number) for number in range(4)]
    (said, *_) = [warning for report in reports for warning in report.warnings if "tokens" in warning]
    assert "of the task wordy" in said
    assert "max_new = 6" in said
    assert "64" in said
    assert "left out" in said
    assert all(0 < report.numbers["groups"] <= 8 for report in reports)
    nothing = stage_of(started, tmp_path, [wordy(1)], prompts=8).step(0)
    assert nothing.numbers["skipped"] == 1.0
    assert any("and 7 more like it" in warning for warning in nothing.warnings)


def test_the_kl_term_is_held_to_the_weights_before_the_first_step_and_so_after_a_resume(
    started: dict[str, Any], tmp_path: Path
) -> None:
    """By hand: 0.2 x sum of weight x (exp(d) - d - 1), with d from a learner that never took a step."""
    before = fresh(started)
    stage = stage_of(started, tmp_path, kl=0.2, lr=3e-3)
    apart = []
    for number in range(4):
        if number == 2:
            weights = {name: tensor.clone() for name, tensor in stage.context.learner.state().items()}
            state = stage.state()
            stage = stage_of(started, tmp_path, kl=0.2, lr=3e-3)
            stage.context.learner.restore(weights)
            stage.restore(StageState(state.values, {name: tensor.clone() for name, tensor in state.tensors.items()}))
        learner = stage.context.learner
        seen: list[tuple[Any, GrpoTokens, Any]] = []

        def watching(groups: Any, loss: Any, *more: Any, now: Any = learner, seen: Any = seen, **k: Any) -> Any:
            seen.append((groups, loss.keywords["tokens"], now.log_probs(groups).log_probs_A))
            return type(now).update(now, groups, loss, *more, **k)

        learner.update = watching  # type: ignore[method-assign]
        numbers = stage.step(number).numbers
        ((groups, tokens, present_A),) = seen
        first_A = before.log_probs(groups).log_probs_A
        assert tokens.reference_A is not None
        assert torch.allclose(tokens.reference_A, first_A, atol=1e-5)
        d_A = first_A - present_A
        term = 0.2 * float((tokens.weights_A * (d_A.exp() - d_A - 1.0)).sum())
        assert numbers["loss/kl"] == pytest.approx(term, rel=1e-3, abs=1e-7)
        apart.append(term)
    assert apart[0] == pytest.approx(0.0, abs=1e-7)
    assert min(apart[1:]) > 1e-4


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("normalise", ["constant", "sequence", "tokens"])
def test_the_normaliser_counts_the_samples_of_all_rounds_those_that_are_left_out_too(
    started: dict[str, Any], tmp_path: Path, normalise: str, updates: int
) -> None:
    """By hand: 2 rounds x 8 prompts x 8 samples are drawn, of which some were cut off and some groups teach nothing."""
    how: dict[str, Any] = {"max_new": 4, "samples": 8, "overlong": "mask", "rounds": 2, "enough_groups": 100}
    some = judged(lambda problem, answer: Score(float(problem.answer < "5" and answer == problem.answer), "some"))
    how |= {"format_reward": 0.0, "normalise": normalise, "updates": updates}
    stage = stage_of(started, tmp_path, [some], **how)
    drawn = [*drawn_of(stage, 0), *drawn_of(stage, 1)]
    assert sum(len(one.samples) for one in drawn) == 128
    assert 0 < sum(one.informative for one in drawn) < 16
    lengths = [
        len(sample.ids)
        for one in drawn
        if one.informative
        for sample, graded in zip(one.samples, one.scores, strict=True)
        if not graded.truncated
    ]
    assert len(lengths) < sum(len(one.samples) for one in drawn if one.informative)
    seen = tokens_of(stage)
    assert len(seen) == updates
    found = sorted(weight for tokens in seen for weight in tokens.weights_A.tolist())
    if normalise == "constant":
        assert found == pytest.approx([1.0 / (128 * 4.0)] * sum(lengths))
    elif normalise == "sequence":
        assert found == pytest.approx(sorted(1.0 / (128 * own) for own in lengths for _ in range(own)))
    else:  # a mean over the tokens of each update
        assert [float(tokens.weights_A.sum()) for tokens in seen] == pytest.approx([1.0] * updates)
        assert len(found) == sum(lengths)


def test_each_of_several_updates_sees_groups_of_every_task_and_one_sees_them_as_drawn(
    started: dict[str, Any], tmp_path: Path
) -> None:
    """Problems are drawn task by task; cut in two as they are, one update would learn one task and one the other."""

    def tasks_of(updates: int) -> list[list[bool]]:
        tasks = [copying(), copying("far", 50, 55)]
        stage = stage_of(started, tmp_path, tasks, prompts=16, updates=updates, reward="random", samples=8)
        seen: list[list[bool]] = []
        update = stage.context.learner.update

        def watching(groups: Any, *more: Any, **named: Any) -> Any:
            seen.append([group.prompt[0] >= 50 for group in groups])
            return update(groups, *more, **named)

        stage.context.learner.update = watching  # type: ignore[method-assign]
        stage.step(0)
        return seen

    (whole,) = tasks_of(1)
    assert whole == sorted(whole)
    several = tasks_of(2)
    assert len(several) == 2
    assert all(set(kinds) == {True, False} for kinds in several)
    assert sorted([*several[0], *several[1]]) == whole
