"""What a run has to say of itself: steps that changed nothing, weights that blew up, stages that gain nothing."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_run import GRPO, OWN_TASK, SFT, steps_of, tiny_base, write_recipe_file  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.hub.store import Store  # noqa: E402
from clearseek.receipts import verify  # noqa: E402
from clearseek.settings import home  # noqa: E402
from clearseek.training.loop import ending  # noqa: E402
from clearseek.training.loop.early_stopping import IDLE, regression_warning, stop_reason  # noqa: E402
from clearseek.training.loop.session import Session  # noqa: E402
from clearseek.training.publish import publish  # noqa: E402
from clearseek.training.publish.replay import replay, same_bits  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.report.console import Screen  # noqa: E402
from clearseek.training.run import checkpoint  # noqa: E402
from clearseek.training.train import Outcome, train  # noqa: E402

TESTED = "every = 0\ndev = 0\ntest = 24\nmax_new = 24\nserved = false\n"
LOOKED_AT = "every = 2\ndev = 8\ntest = 0\nmax_new = 24\nserved = false\n"
BARE = "every = 0\ndev = 0\ntest = 0\nserved = false\n"


class Watching(Screen):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []

    def tell(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tiny_base(tmp_path_factory.mktemp("base") / "tiny", taught=80)
    finally:
        torch.set_num_threads(threads)


def going(recipe: Path, run: Path, **more: Any) -> tuple[Outcome, list[str]]:
    screen = Watching()
    done = train(read_recipe(recipe), run, screen, **more)
    assert isinstance(done, Outcome)
    return done, screen.said


@pytest.mark.slow
def test_a_stage_whose_steps_all_teach_nothing_says_so_everywhere(base: Path, tmp_path: Path) -> None:
    stage = GRPO.replace("max_new = 20", 'max_new = 1\noverlong = "mask"')  # nothing can be right in one token
    recipe = write_recipe_file(tmp_path, base, stage, evaluate=BARE)
    done, said = going(recipe, tmp_path / "run")
    sentence = "The stage rl changed nothing: in all of its 4 steps too few groups of answers differed."
    assert sentence in done.conclusions
    assert sentence in done.as_json()["conclusions"]
    assert sentence in said
    assert any("taught nothing" in line for line in said)
    assert sentence in (tmp_path / "run" / "report.html").read_text()
    assert sentence in (tmp_path / "run" / "card.md").read_text()
    assert sentence in json.loads((tmp_path / "run" / "run.json").read_text())["notes"]
    rows = steps_of(tmp_path / "run")
    assert any("taught nothing" in warning for row in rows for warning in row.get("warnings", ()))
    assert verify(tmp_path / "run" / "receipt.json").ok


@pytest.mark.slow
def test_steps_with_too_few_groups_that_teach_are_told_with_the_key(base: Path, tmp_path: Path) -> None:
    """Some groups teach, and never as many as are asked for."""
    stage = GRPO.replace("prompts = 2", "prompts = 4").replace("min_groups = 1", "min_groups = 4\nformat_reward = 0.0")
    done, said = going(write_recipe_file(tmp_path, base, stage, evaluate=BARE), tmp_path / "run")
    rows = [row["numbers"] for row in steps_of(tmp_path / "run") if row["kind"] == "step"]
    some = [row for row in rows if row["skipped"] and row["groups_that_teach"] > 0]
    assert some
    assert any("fewer than `min_groups` = 4, so this step changed nothing" in line for line in said)
    assert any("changed nothing" in sentence for sentence in done.conclusions)
    assert all("second_judged" in row and "second_verifier" not in row for row in rows)  # own tasks have none


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["1000.0", "30.0"])
def test_weights_that_blow_up_in_a_supervised_stage_stop_the_run_in_words(
    base: Path, tmp_path: Path, rate: str
) -> None:
    stage = SFT.replace("steps = 5", f"steps = 12\nlr = {rate}\nwarmup = 0")
    with pytest.raises(UserError, match=r"of the stage start went wrong.*(blown up|not a number).*lower"):
        train(read_recipe(write_recipe_file(tmp_path, base, stage, evaluate=BARE)), tmp_path / "run", Watching())
    assert Store(home() / "models").list() == []
    assert "stopped by an error" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_a_model_that_is_worse_than_its_beginning_says_so_and_is_not_put_into_the_store(
    base: Path, tmp_path: Path
) -> None:
    stages = GRPO.replace("steps = 4", "steps = 12\nlr = 1000.0\nwarmup = 0").replace("samples = 3", "samples = 8")
    well = SFT.replace("steps = 5", "steps = 30\nlr = 0.02")
    first, _ = going(write_recipe_file(tmp_path, base, well, evaluate=TESTED), tmp_path / "first")
    assert [model.name for model in Store(home() / "models").list()] == ["tiny"]  # a good one is
    later = tmp_path / "later"
    later.mkdir()
    recipe = write_recipe_file(later, tmp_path / "first" / "model", stages, evaluate=TESTED)
    recipe.write_text(recipe.read_text().replace('name = "tiny"', 'name = "worse"', 1))
    done, said = going(recipe, tmp_path / "run")
    assert first.evaluations["test-after"]["value"] > 0.9
    assert done.evaluations["test-after"]["value"] < 0.1
    (sentence,) = [one for one in done.conclusions if one.startswith("On test")]
    assert "worse than what it began from: 100% before and 0% after, -100.0 points" in sentence
    assert any("damaged" in line for line in said)
    assert [model.name for model in Store(home() / "models").list()] == ["tiny"]
    (told,) = [line for line in said if "not put into the store" in line]
    assert re.search(r"`clearseek models import \S+model\.gguf --name worse`", told)
    assert sentence in (tmp_path / "run" / "report.html").read_text().replace("&#x27;", "'")
    assert verify(tmp_path / "run" / "receipt.json").ok


def look(done: int, *right: int) -> dict[str, Any]:
    return {"split": "dev", "done": done, "right": {"a": [float(one) for one in right]}}


def test_a_stage_has_patience_with_looks_that_gain_nothing() -> None:
    no, yes = [0] * 12, [1] * 12
    flat = [look(0, *no), look(10, *no), look(20, *no)]
    assert stop_reason(2, flat[:2], []) is None  # not yet as many looks as it has patience for
    said = stop_reason(2, flat, [])
    assert said is not None
    assert "in its last 20 steps it gained +0.0 points" in said
    assert "12 problems cannot tell" in said
    assert stop_reason(0, flat, []) is None
    assert stop_reason(2, [look(0, *no), look(10, *yes), look(20, *yes)], []) is None  # gained since two looks ago
    assert stop_reason(1, [look(0, *no), look(10, *yes), look(20, *yes)], []) is not None
    assert stop_reason(2, [look(0, *no), look(10, *no), look(20, *[1, 0] * 6)], []) is None
    assert (
        stop_reason(2, [{"split": "dev", "done": place} for place in (0, 10, 20)], []) is None
    )  # an older run's lines
    idle = [{"numbers": {"skipped": 1.0}}] * IDLE
    assert stop_reason(1, [], idle) == f"its last {IDLE} steps taught nothing"
    assert stop_reason(1, [], [*idle[1:], {"numbers": {"skipped": 0.0}}]) is None
    assert regression_warning(flat) is None
    assert "-100.0 points" in str(regression_warning([look(0, *yes), look(10, *no)]))


@pytest.mark.slow
@pytest.mark.parametrize("crash_at", [None, 2, 4])
def test_a_stage_that_gains_nothing_ends_early_and_so_does_it_after_a_kill(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int | None
) -> None:
    stages = SFT.replace("steps = 5", "steps = 40\npatience = 2") + GRPO.replace("steps = 4", "steps = 2")
    recipe = write_recipe_file(tmp_path, base, stages, evaluate=LOOKED_AT)
    done, said = going(recipe, tmp_path / "whole")
    (ended,) = [line for line in said if line.startswith("Stage start ends after")]
    assert "of 40 steps: in its last 4 steps it gained" in ended
    rows = [row for row in steps_of(tmp_path / "whole") if row["kind"] == "step"]
    assert len([row for row in rows if row["stage"] == "start"]) < 40
    assert len([row for row in rows if row["stage"] == "rl"]) == 2  # and the next one has its turn
    assert done.steps == done.done == len(rows)
    assert replay(tmp_path / "whole", 99, 0, lambda line: None).ok
    if crash_at is None:
        return
    write_step = Session.write_step

    class Crash(BaseException):
        pass

    def crashing(self: Any, *args: Any) -> None:
        if self.place.done > crash_at:
            raise Crash
        write_step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "write_step", crashing)
        with pytest.raises(Crash):
            going(recipe, tmp_path / "run")
    again, _ = going(recipe, tmp_path / "run", resume=True)
    assert (again.done, again.steps) == (done.done, done.steps)
    assert steps_of(tmp_path / "run") == steps_of(tmp_path / "whole")
    mine, theirs = (checkpoint.load_latest(tmp_path / name / "checkpoints")[0] for name in ("run", "whole"))
    assert same_bits(mine.learner, theirs.learner)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["export_run", "seal", "register_model"])
def test_a_signal_while_the_model_is_written_leaves_nothing_half_and_is_gone_on_with(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    recipe = write_recipe_file(tmp_path, base, SFT, evaluate=BARE)
    module = publish if where == "register_model" else ending
    own = getattr(module, where)

    def signalled(*args: Any, **more: Any) -> Any:
        (tmp_path / "run" / "model.gguf").write_bytes(b"half") if where == "export_run" else None
        os.kill(os.getpid(), signal.SIGTERM)
        return own(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, where, signalled)
        with pytest.raises(UserError, match=r"Stopped by SIGTERM\. Everything up to step 5 is saved; .*--resume"):
            going(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "model.gguf").exists() == (where != "export_run")
    assert Store(home() / "models").list() == []
    done, _ = going(recipe, tmp_path / "run", resume=True)
    assert done.ended == "completed"
    assert verify(tmp_path / "run" / "receipt.json").ok
    assert [model.name for model in Store(home() / "models").list()] == ["tiny"]


@pytest.mark.slow
def test_what_the_context_cannot_hold_is_refused_before_anything_is_spent(base: Path, tmp_path: Path) -> None:
    def looked_at(stages: str, **more: str) -> str:
        recipe = write_recipe_file(tmp_path, base, stages, **{"evaluate": BARE, **more})
        with pytest.raises(UserError) as raised:
            train(read_recipe(recipe), tmp_path / "run", Watching(), dry_run=True)
        return str(raised.value)

    said = looked_at(GRPO.replace("max_new = 20", "max_new = 9000"))
    assert "The stage rl can ask nothing of the task own. The problem own/train/" in said
    assert "with max_new = 9000 that is more than the 512 which the model can hold: lower `max_new`" in said
    said = looked_at(SFT, evaluate=LOOKED_AT.replace("max_new = 24", "max_new = 9000"))
    assert "The evaluation on dev can ask nothing of the task own" in said
    said = looked_at(SFT.replace("examples = 3", "examples = 3\nmax_tokens = 8"))
    assert re.search(r"The worked solutions of the task own have \d+ tokens and more, .*at most 8: raise", said)


@pytest.mark.slow
def test_one_example_that_is_too_long_is_told_by_a_dry_run_too(base: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(
        "".join(json.dumps({"prompt": "a", "answer": "b" * count}) + "\n" for count in (1, 4000, 2))
    )
    recipe = write_recipe_file(
        tmp_path, base, SFT.replace("examples = 3", 'examples = 3\nsources = ["mine.jsonl"]'), evaluate=BARE
    )
    looked = Watching()
    train(read_recipe(recipe), tmp_path / "run", looked, dry_run=True)
    (sentence,) = (line for line in looked.said if "are left out" in line)
    assert re.search(r"1 of 3 examples in .*mine\.jsonl are longer .* line 2 \(\d+ tokens\)", sentence)


@pytest.mark.slow
def test_a_task_with_few_problems_is_told_in_the_terminal_and_the_report(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe_file(tmp_path, base, SFT, evaluate=BARE)
    (tmp_path / "own.py").write_text(OWN_TASK.replace("rng.randrange(100), rng.randrange(100)", "1, rng.randrange(3)"))
    _, said = going(recipe, tmp_path / "run")
    sentence = "The task own has only 3 different problems to train on"
    assert sum(sentence in line for line in said) == 1
    assert sentence in (tmp_path / "run" / "report.html").read_text()
    looked = Watching()
    train(read_recipe(recipe), tmp_path / "another", looked, dry_run=True)
    assert sum(sentence in line for line in looked.said) == 1
