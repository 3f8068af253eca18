"""Rejection sampling and distillation: only what is right is kept, and what was paid for is never asked twice."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_run import GRPO, REJECT, SFT, tiny_base, write_recipe_file  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.evaluation import engine_backend  # noqa: E402
from clearseek.evaluation.runner import Completion  # noqa: E402
from clearseek.ledger.entry import Draft  # noqa: E402
from clearseek.ledger.meter import Meter  # noqa: E402
from clearseek.tasks.task import Problem, Score, Split, Task  # noqa: E402
from clearseek.training.data.everyday_chat import DIRECT, everyday_answer, is_repetitive, read_prompts  # noqa: E402
from clearseek.training.data.examples import encode  # noqa: E402
from clearseek.training.data.traces import Trace, read_traces  # noqa: E402
from clearseek.training.recipe.distillation_settings import DistillSettings  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.recipe.rejection_settings import RejectSettings  # noqa: E402
from clearseek.training.report.console import Screen  # noqa: E402
from clearseek.training.run.context import open_context  # noqa: E402
from clearseek.training.stages.base import StageContext, StageState  # noqa: E402
from clearseek.training.stages.distillation import open_stage as open_distill  # noqa: E402
from clearseek.training.stages.distillation import read_paid  # noqa: E402
from clearseek.training.stages.rejection import jaccard_distance, open_stage, pick_traces  # noqa: E402
from clearseek.training.train import train  # noqa: E402

SETTINGS = RejectSettings(
    name="kept", steps=2, prompts=4, samples=3, max_new=20, general=3, general_max_new=20, rows=8, kv_gigabytes=0.05
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tiny_base(tmp_path_factory.mktemp("base") / "tiny", taught=80)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def drafts() -> list[Draft]:
    return []


@pytest.fixture
def shop(base: Path, tmp_path: Path, drafts: list[Draft]) -> StageContext:
    recipe = read_recipe(write_recipe_file(tmp_path, base, SFT + GRPO + REJECT))
    return open_context(
        recipe, tmp_path / "run", Meter(drafts.append, rapl=False, gpus=False), lambda said: None
    ).stage_context


def trace(thinking: str, answer: str = "1") -> Trace:
    return Trace("p", thinking, answer)


def test_the_shortest_or_the_most_different_right_answers_are_kept() -> None:
    good = [trace("a b c d"), trace("a"), trace("a b"), trace("x y z w v"), trace("a")]
    assert [one.thinking for one in pick_traces(good, 2, "shortest")] == ["a", "a b"]
    assert [one.thinking for one in pick_traces(good, 2, "diverse")] == ["a", "x y z w v"]
    assert [one.thinking for one in pick_traces(good, 2, "first")] == ["a b c d", "a"]
    assert [one.thinking for one in pick_traces(good, 9, "shortest")] == ["a", "a b", "a b c d", "x y z w v"]
    assert pick_traces([], 2, "diverse") == []
    assert jaccard_distance(trace("a b"), trace("b c")) == pytest.approx(2 / 3)


def test_only_right_answers_are_kept_and_the_same_ones_after_a_resume(shop: StageContext, drafts: list[Draft]) -> None:
    stage = open_stage(SETTINGS, shop)
    assert stage.steps == 3
    first = stage.step(0)
    state = StageState(json.loads(json.dumps(dict(stage.state().values))))
    stage.step(1)
    stage.step(2)
    whole = stage.file.read_bytes()
    with stage.file.open("ab") as out:
        out.write(b"half a line of a step that was cut sh")
    again = open_stage(SETTINGS, shop)
    again.restore(state)
    again.step(1)
    again.step(2)
    assert again.file.read_bytes() == whole
    kept = [one for one in read_traces(stage.file) if one.task]
    assert kept
    assert {one.answer for one in kept} == {"1"}
    assert first.numbers["kept"] <= 4
    assert 0 < first.numbers["accuracy"] < 1
    assert len({one.problem for one in kept}) == len(kept)
    assert {draft.kind for draft in drafts} >= {"rollout", "verify"}


def test_everyday_answers_are_the_bases_whatever_was_learned_since(shop: StageContext) -> None:
    def answers() -> list[Trace]:
        stage = open_stage(SETTINGS, shop)
        stage.step(0)
        before = {name: value.detach().clone() for name, value in shop.learner.trainable().items()}
        stage.step(2)
        assert all(bool((before[name] == value).all()) for name, value in shop.learner.trainable().items())
        return [one for one in read_traces(stage.file) if one.source == "base"]

    first = answers()
    (shop.folder / "data" / "kept.jsonl").unlink()
    with torch.no_grad():
        for name, value in shop.learner.trainable().items():
            if name.endswith("lora_B"):
                value.add_(0.3)
    assert answers() == first


def test_a_long_everyday_answer_is_kept_without_an_end_and_one_that_goes_round_is_not(shop: StageContext) -> None:
    chat = shop.chat
    whole = [*chat.tokenizer.encode("1 2 3"), chat.end_id]
    assert everyday_answer(chat, whole) == ("1 2 3", True)
    assert everyday_answer(chat, chat.tokenizer.encode("one two thr")) == ("one two", False)
    assert everyday_answer(chat, chat.tokenizer.encode("one", control=True)) == ("", False)
    assert everyday_answer(chat, chat.tokenizer.encode("a </think> b c", control=True)) == ("", False)
    assert is_repetitive("the same words again " * 5)
    assert not is_repetitive("no four of these words in a row were there before, and so it is kept")
    assert not is_repetitive(" ".join(f"one two {word} four" for word in "abcdefgh")), "no run of four came twice"
    assert not is_repetitive("short")
    assert is_repetitive("1. Lions\n2. Tigers\n3. Frogs\n4. Frogs\n5. **frogs**\n6. Frogs")
    assert not is_repetitive("1. Lions\n2. Tigers\n3. Frogs\n4. Toads\n5. Newts\n\n\n6. Owls")
    assert not is_repetitive("1 2 3 4 1 2 3 4 1 2 3 4"), "no words, no line that says anything"
    ended = encode(Trace("p", None, "1 2"), chat, "everyday")
    cut = encode(Trace("p", None, "1 2", cut=True), chat, "everyday")
    assert ended.group.completions[0] == (*cut.group.completions[0], chat.end_id)
    stage = open_stage(replace(SETTINGS, steps=0, general=20, prompts=20, general_max_new=3), shop)
    assert stage.step(0).numbers["truncated"] > 0


def test_some_everyday_answers_get_a_thought_and_a_stage_may_be_only_those(shop: StageContext) -> None:
    stage = open_stage(replace(SETTINGS, steps=0, general=40, prompts=20), shop)
    assert stage.steps == 2
    thoughts = [stage.thought(prompt) for prompt in stage.general]
    assert 5 < thoughts.count(None) < 35
    assert set(thoughts) - {None} <= set(DIRECT)
    assert thoughts == [stage.thought(prompt) for prompt in stage.general]
    stage.step(0)
    kept = read_traces(stage.file) if stage.file.stat().st_size else []
    assert {one.thinking for one in kept} <= set(thoughts)
    with pytest.raises(UserError, match="no `steps` and no `general` prompts"):
        RejectSettings(steps=0)


def test_settings_that_make_no_sense_and_files_that_are_none_are_told(shop: StageContext, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1"):
        RejectSettings(samples=0)
    with pytest.raises(UserError, match="asks for the task gone; there are own"):
        open_stage(replace(SETTINGS, tasks=("gone",)), shop)
    (tmp_path / "p.jsonl").write_text('{"prompt": "Hi"}\n{"promt": "Hi"}\n')
    with pytest.raises(UserError, match="line 2, holds no `prompt`"):
        read_prompts(str(tmp_path / "p.jsonl"))
    (tmp_path / "p.jsonl").write_text('{"prompt": "Hi"}\n\n  \n{"prompt": "Bye"}\n')
    assert read_prompts(str(tmp_path / "p.jsonl")) == ["Hi", "Bye"]
    with pytest.raises(UserError, match="asks for 9999 everyday prompts"):
        open_stage(replace(SETTINGS, general=9999), shop)
    assert len(read_prompts("")) > 100


def test_nothing_right_is_an_error_and_not_an_empty_file(shop: StageContext) -> None:
    hopeless = replace(shop.tasks[0], check=lambda problem, answer: type(shop.tasks[0].check(problem, ""))(0.0, "no"))
    stage = open_stage(replace(SETTINGS, steps=1, general=0), replace(shop, tasks=[hopeless]))
    with pytest.raises(UserError, match="none of the answers was right"):
        stage.step(0)


def twice_judged(asked: list[int]) -> Task:
    """Every answer is right to the verifier; the hidden one refuses it for each third problem, and says nothing of
    each third."""

    def make(split: Split, index: int) -> Problem:
        return Problem("twice", split, index, f"{index}+1=", "1")

    def check(problem: Problem, answer: str) -> Score:
        asked.append(problem.index)
        return Score(1.0, "right", (1.0, 0.0, None)[problem.index % 3])

    return Task("twice", make, check, {})


def third(problem: str) -> int:
    return int(problem.rsplit("/", 1)[1]) % 3


def test_what_the_hidden_verifier_refuses_is_not_kept(shop: StageContext) -> None:
    asked: list[int] = []
    shop = replace(shop, tasks=[twice_judged(asked)], weights=[1.0])
    stage = open_stage(RejectSettings(name="k", steps=2, prompts=12, samples=3, max_new=20), shop)
    reports = [stage.step(number) for number in range(2)]
    assert {index % 3 for index in asked} == {0, 1, 2}
    kept = [one.problem or "" for one in read_traces(stage.file)]
    assert {third(problem) for problem in kept} == {0, 2}
    assert sum(report.numbers["kept"] for report in reports) == len(kept)
    counted = sum(index % 3 != 1 for index in asked)
    assert sum(report.numbers["accuracy"] for report in reports) == pytest.approx(counted / 36)
    assert reports[1].numbers["accuracy/twice"] == pytest.approx(counted / 72), "of all steps so far"


def test_what_the_hidden_verifier_refuses_of_a_teacher_is_not_kept(shop: StageContext) -> None:
    shop = replace(shop, tasks=[twice_judged([])], weights=[1.0])
    settings = DistillSettings(name="d", steps=1, prompts=12, samples=1, model="x", engine_url="http://127.0.0.1:9/v1")
    stage = open_distill(settings, shop)
    for ask in stage.asks(0):
        stage.known[ask.problem.id, ask.sample] = Completion("so it is", "1", "stop", True, 3, 4, 5, 0.1)
    report = stage.step(0)
    (shop.folder / "data").mkdir(parents=True, exist_ok=True)
    kept = [one.problem or "" for one in read_traces(shop.folder / "data" / "d.jsonl")]
    assert {third(problem) for problem in kept} == {0, 2}
    assert report.numbers["accuracy"] == pytest.approx(len(kept) / 12)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_of_easy_problems_half_are_kept_and_every_other_one(shop: StageContext, share: float) -> None:
    """A problem is easy where more than half of its three answers were right: where the verifier was asked twice."""
    asked: list[int] = []
    task = twice_judged(asked)
    shop = replace(
        shop, tasks=[replace(task, check=lambda problem, answer: Score(task.check(problem, "").accuracy, ""))]
    )
    settings = RejectSettings(name="k", steps=3, prompts=24, samples=3, max_new=20, skip_easy=share)
    stage = open_stage(settings, replace(shop, weights=[1.0]))
    for number in range(3):
        stage.step(number)
    kept = {int((one.problem or "").rsplit("/", 1)[1]) for one in read_traces(stage.file)}
    right = Counter(asked)
    easy, hard = ({index for index, n in right.items() if (n > 1.5) == is_easy} for is_easy in (True, False))
    assert len(easy) > 12
    assert hard
    assert hard <= kept
    if share == 1.0:
        assert kept == easy | hard
    else:
        assert 0.2 * len(easy) < len(kept & easy) < 0.8 * len(easy)


def test_only_what_a_teacher_ended_thought_and_answered_is_kept(shop: StageContext) -> None:
    shop = replace(shop, tasks=[few(40)], weights=[1.0])
    settings = DistillSettings(name="d", steps=1, prompts=12, samples=1, model="x", engine_url="http://127.0.0.1:9/v1")
    stage = open_distill(settings, shop)
    good = Completion("so it is", "1", "stop", True, 3, 4, 5, 0.1)
    answers = [good, replace(good, finish="length"), replace(good, thinking=" "), replace(good, answer="2")]
    wanted = set()
    for place, ask in enumerate(stage.asks(0)):
        stage.known[ask.problem.id, ask.sample] = answers[place % 4]
        if place % 4 == 0:
            wanted.add(ask.problem.id)
    report = stage.step(0)
    assert {one.problem for one in read_traces(shop.folder / "data" / "d.jsonl")} == wanted
    assert report.numbers["accuracy"] == report.numbers["truncated"] == 0.25
    assert report.numbers["length"] == 5.0
    assert stage.conditions().system is None
    assert open_distill(replace(settings, name="e", system="Be brief."), shop).conditions().system == "Be brief."


class Teacher:
    """An OpenAI-compatible server that counts what it is asked, and fails from the `fail_after`-th question on."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fail_after = 10**9
        self.lock = threading.Lock()
        teacher = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with teacher.lock:
                    broken = len(teacher.asked) >= teacher.fail_after
                    if not broken:
                        teacher.asked.append(body["messages"][-1]["content"])
                        wrong = len(teacher.asked) % 4 == 0
                if broken:
                    self.send_response(500)
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for delta in ({"reasoning_content": "so it is one"}, {"content": "2" if wrong else "1"}):
                    self.send(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
                usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14,
                         "completion_tokens_details": {"reasoning_tokens": 4}}  # fmt: skip
                self.send(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=usage)
                self.wfile.write(b"data: [DONE]\n\n")

            def send(self, **chunk: Any) -> None:
                whole = {"id": "x", "object": "chat.completion.chunk", "model": "teacher", **chunk}
                self.wfile.write(b"data: " + json.dumps(whole).encode() + b"\n\n")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Teacher]:
    monkeypatch.setattr(engine_backend, "WAITS", (0.01, 0.01))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Teacher()
    yield made
    made.server.shutdown()


def distill_of(teacher: Teacher) -> DistillSettings:
    return DistillSettings(
        name="taught", steps=2, prompts=6, samples=2, model="teacher", engine_url=teacher.url, at_once=2
    )


@pytest.mark.slow
def test_a_teacher_that_fails_half_way_is_not_paid_twice(shop: StageContext, teacher: Teacher) -> None:
    teacher.fail_after = 7
    with pytest.raises(UserError):
        open_distill(distill_of(teacher), shop).step(0)
    paid = read_paid(shop.folder / "data" / "taught.answers.jsonl")
    assert len(paid) == 7
    teacher.fail_after = 10**9
    with (shop.folder / "data" / "taught.answers.jsonl").open("ab") as out:
        out.write(b'{"problem": "own/train/1", "sam')  # a line that was being written when the power went
    stage = open_distill(distill_of(teacher), shop)
    report = stage.step(0)
    stage.step(1)
    assert len(teacher.asked) == 2 * 6 * 2
    assert report.numbers["accuracy"] == pytest.approx(0.75)
    traces = list(read_traces(shop.folder / "data" / "taught.jsonl"))
    assert {one.answer for one in traces} == {"1"}
    assert {one.thinking for one in traces} == {"so it is one"}
    assert {one.source for one in traces} == {"teacher"}
    assert len(traces) == len({one.problem for one in traces})
    again = open_distill(distill_of(teacher), shop)
    again.step(0)
    assert len(teacher.asked) == 24


def test_a_teacher_without_thinking_or_a_damaged_file_is_told(shop: StageContext, teacher: Teacher) -> None:
    with pytest.raises(UserError, match="needs `model`, the teacher"):
        DistillSettings()
    file = shop.folder / "data" / "taught.answers.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"problem": 1}\n')
    with pytest.raises(UserError, match="line 1, is no answer"):
        open_distill(distill_of(teacher), shop)


@pytest.mark.slow
def test_a_run_with_a_teacher_is_resumed_without_asking_again(base: Path, tmp_path: Path, teacher: Teacher) -> None:
    stages = f"""
[[stage]]
kind = "distill"
name = "taught"
steps = 2
prompts = 4
model = "teacher"
engine_url = "{teacher.url}"
at_once = 2
[[stage]]
kind = "sft"
name = "student"
epochs = 1.0
examples = 2
sources = ["taught"]
"""
    recipe = read_recipe(write_recipe_file(tmp_path, base, stages))
    teacher.fail_after = 5
    with pytest.raises(UserError):
        train(recipe, tmp_path / "run", Screen(quiet=True))
    teacher.fail_after = 10**9
    done = train(recipe, tmp_path / "run", Screen(quiet=True), resume=True)
    assert len(teacher.asked) == 8
    assert done.as_json()["ended"] == "completed"
    assert (tmp_path / "run" / "receipt.json").exists()


def few(count: int) -> Task:
    """A task with so many problems, all of them answered alike."""

    def make(split: Split, index: int) -> Problem:
        return Problem("few", split, index % count, f"{index % count}+1=", "1")

    return Task("few", make, lambda problem, answer: Score(float(answer.strip() == "1"), ""), {})


@pytest.mark.parametrize("kind", ["reject", "distill"])
def test_no_problem_comes_in_two_steps_while_its_task_has_others(shop: StageContext, kind: str) -> None:
    def asked(number: int) -> list[Problem]:
        if kind == "distill":
            settings = DistillSettings(name="d", steps=16, prompts=33, model="x", engine_url="http://127.0.0.1:9/v1")
            return [ask.problem for ask in open_distill(settings, shop).asks(number)]
        stage = open_stage(RejectSettings(name="k", steps=16, prompts=33), shop)
        return [problem for _, problem in stage.problems(number)]

    shop = replace(shop, tasks=[*shop.tasks, few(40)], weights=[0.5, 0.5])
    problems = [problem for number in range(16) for problem in asked(number)]  # each step by a stage of its own
    assert len(problems) == 16 * 33
    many = [problem.digest for problem in problems if problem.task != "few"]
    assert 263 <= len(many) == len(set(many)) <= 265
    again = Counter(problem.digest for problem in problems if problem.task == "few")
    assert len(again) == 40
    assert set(again.values()) <= {6, 7}  # evenly, where there are no more


def test_what_comes_again_is_kept_no_more_often_than_asked_and_never_twice(shop: StageContext) -> None:
    shop = replace(shop, tasks=[few(3)], weights=[1.0])
    settings = RejectSettings(name="small", steps=6, prompts=3, samples=4, keep=2, max_new=20)
    stage = open_stage(settings, shop)
    for number in range(3):
        stage.step(number)
    again = open_stage(settings, shop)
    again.restore(StageState(json.loads(json.dumps(dict(stage.state().values)))))
    for number in range(3, 6):
        again.step(number)
    kept = list(read_traces(stage.file))
    assert kept
    assert len({(one.problem, one.thinking) for one in kept}) == len(kept)
    assert max(Counter(one.problem for one in kept).values()) <= 2


def test_a_problem_longer_than_the_context_is_left_out_by_name(shop: StageContext) -> None:
    def make(split: Split, index: int) -> Problem:
        return Problem("long", split, index, f"{index}+" + "1" * (600 if index % 2 else 1), "1")

    task = Task("long", make, few(1).check, {})
    shop = replace(shop, tasks=[task], weights=[1.0])
    stage = open_stage(RejectSettings(name="k", steps=4, prompts=4, samples=2, max_new=20), shop)
    said = [warning for number in range(3) for warning in stage.step(number).warnings]
    assert any("of the task long" in warning and "512" in warning and "left out" in warning for warning in said)
