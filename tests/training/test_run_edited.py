"""A recipe that was changed under a run: what differs is said, what is exact is taken, and the rest is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_run import GRPO, REJECT, SFT, steps_of, tiny_base, write_recipe_file  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.receipts import verify  # noqa: E402
from clearseek.training.loop.session import Session  # noqa: E402
from clearseek.training.publish.replay import replay, same_bits  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.report.console import Screen  # noqa: E402
from clearseek.training.run import checkpoint, run_folder  # noqa: E402
from clearseek.training.train import Outcome, train  # noqa: E402

pytestmark = pytest.mark.slow  # whole runs

STEADY = SFT.replace("steps = 5", 'steps = 5\ndecay = "constant"')
NO_TEST = "every = 0\ndev = 0\ntest = 0\nserved = false\n"


class Crash(BaseException):
    """As good as a kill for what is on the disk."""


class Watching(Screen):
    """Keeps what is said; crashes where it is told to."""

    def __init__(self, crash: str = "") -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []
        self.crash = crash

    def tell(self, sentence: str) -> None:
        self.said.append(sentence)
        if self.crash and self.crash in sentence:
            raise Crash


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tiny_base(tmp_path_factory.mktemp("base") / "tiny", taught=80)
    finally:
        torch.set_num_threads(threads)


def recipe_of(folder: Path, base: Path, stages: str, **more: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write_recipe_file(folder, base, stages, evaluate=NO_TEST, **more)


def crash_in(folder: Path, recipe: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed in the step after `step`."""
    write_step: Callable[..., None] = Session.write_step

    def writing(self: Any, *args: Any) -> None:
        if self.place.done > step:
            raise Crash
        write_step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "write_step", writing)
        with pytest.raises(Crash):
            train(read_recipe(recipe), folder, Screen(quiet=True))


def finished(recipe: Path, folder: Path, *, resume: bool = False) -> list[str]:
    screen = Watching()
    done = train(read_recipe(recipe), folder, screen, resume=resume)
    assert isinstance(done, Outcome)
    assert done.ended == "completed"
    return screen.said


def same(one: Path, other: Path) -> None:
    assert steps_of(one) == steps_of(other)
    last = [checkpoint.load_latest(run / "checkpoints")[0] for run in (one, other)]
    assert last[0].position.done == last[1].position.done
    assert same_bits(last[0].learner, last[1].learner)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (STEADY, STEADY.replace("steps = 5", "steps = 8")),
        (SFT + GRPO, SFT + GRPO.replace("steps = 4", "steps = 6").replace("max_new = 20", "max_new = 12")),
        (SFT + GRPO, SFT),
        (SFT, SFT + GRPO),
        (SFT + GRPO, SFT + REJECT + GRPO),
    ],
    ids=["longer at a constant rate", "a stage to come", "a stage less", "a stage more", "a stage between"],
)
def test_what_is_still_to_come_may_be_changed_and_is_as_if_it_had_always_been_so(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    crash_in(tmp_path / "run", recipe_of(tmp_path / "a", base, before), 3, monkeypatch)
    changed = recipe_of(tmp_path / "b", base, after)
    said = finished(changed, tmp_path / "run", resume=True)
    assert any("The recipe has changed where that is exact" in line for line in said)
    finished(changed, tmp_path / "whole")
    same(tmp_path / "run", tmp_path / "whole")
    assert read_recipe(tmp_path / "run").fingerprint == read_recipe(changed).fingerprint
    assert verify(tmp_path / "run" / "receipt.json").ok
    assert replay(tmp_path / "run", 9, 0, lambda line: None).ok


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("steps = 5", "steps = 8"), r"`steps` of the stage start \(there 5, now 8\)"),  # its rate falls by them
        (("examples = 3", "examples = 4"), r"`examples` of the stage start \(there 3, now 4\)"),
        (("steps = 5", "steps = 5\nlr = 0.01"), r"`lr` of the stage start \(there 0, now 0\.01\)"),
        (('name = "start"', 'name = "begin"'), r"the stage start is gone; the stage begin is new"),
        (("rank = 2", "rank = 4"), r"`rank` of \[lora\] \(there 2, now 4\)"),
        (("seed = 3", "seed = 4"), r"`seed` \(there 3, now 4\)"),
        (
            ("score(problem, answer):", "score(problem, answer):\n    answer = answer"),
            r"what is in the file of `python`",
        ),
    ],
)
def test_what_would_have_made_other_weights_is_refused_by_name(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], said: str
) -> None:
    crash_in(tmp_path / "run", recipe_of(tmp_path / "a", base, SFT + GRPO), 3, monkeypatch)
    path = recipe_of(tmp_path / "b", base, SFT + GRPO)
    for file in (path, path.with_name("own.py")):
        file.write_text(file.read_text().replace(*change))
    with pytest.raises(UserError, match=f"begun with another recipe: .*{said}.*begun: start"):
        train(read_recipe(path), tmp_path / "run", Screen(quiet=True), resume=True)
    finished(tmp_path / "a" / "recipe.toml", tmp_path / "run", resume=True)


def test_comments_do_not_matter_and_a_budget_is_taken_as_it_is_given(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_in(tmp_path / "run", recipe_of(tmp_path / "a", base, SFT), 3, monkeypatch)
    path = recipe_of(tmp_path / "b", base, SFT)
    path.write_text("# mine\n" + path.read_text() + '[budget]\nminutes = 30\n[publish]\nmodel = "other"\n')
    path.with_name("own.py").write_text("# a remark\n" + path.with_name("own.py").read_text())
    finished(path, tmp_path / "run", resume=True)
    own = read_recipe(tmp_path / "run")
    assert (own.budget.minutes, own.publish.model) == (30.0, "other")
    assert [file.name for file in (tmp_path / "run" / "tasks").iterdir()] == ["own.py"]
    assert verify(tmp_path / "run" / "receipt.json").ok


def test_a_run_that_ends_while_another_waits_is_seen_as_it_is_then(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is read under the lock: what was read before it may be of an earlier time."""
    recipe = recipe_of(tmp_path / "a", base, SFT)
    crash_in(tmp_path / "run", recipe, 3, monkeypatch)
    locked = run_folder.locked

    def late(folder: Path) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(run_folder, "locked", locked)
            finished(recipe, folder, resume=True)
        return locked(folder)

    monkeypatch.setattr(run_folder, "locked", late)
    with pytest.raises(UserError, match="is finished"):
        train(read_recipe(recipe), tmp_path / "run", Screen(quiet=True), resume=True)
    told = json.loads((tmp_path / "run" / "status.json").read_text())
    assert len(told["sittings"]) == 2
    assert told["finished"]
