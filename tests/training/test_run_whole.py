"""A run from its recipe to its receipt, cut short in every way and gone on with: tiny model, real parts."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("reasoning_gym")

import filelock  # noqa: E402
from tiny_run import GRPO, REJECT, SFT, steps_of, tiny_base, write_recipe_file  # noqa: E402

from clearseek.cli.main import run  # noqa: E402
from clearseek.errors import UserError  # noqa: E402
from clearseek.receipts import verify  # noqa: E402
from clearseek.training.publish.replay import replay, same_bits  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.report.console import Screen  # noqa: E402
from clearseek.training.run import checkpoint, run_folder  # noqa: E402
from clearseek.training.stages import grpo, rejection, sft  # noqa: E402
from clearseek.training.train import Outcome, train  # noqa: E402
from clearseek.training.update.learner import Learner, NotFinite  # noqa: E402

pytestmark = pytest.mark.slow  # whole runs

AGAIN = """
[[stage]]
kind = "sft"
name = "again"
start = "base"
steps = 3
examples = 3
sources = ["kept", "solutions"]
"""
ALL = SFT + GRPO + REJECT + AGAIN
STEPS = 5 + 4 + 4 + 3


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tiny_base(tmp_path_factory.mktemp("base") / "tiny", taught=80)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def recipe_file(base: Path, tmp_path: Path) -> Path:
    return write_recipe_file(tmp_path, base, ALL)


def go(recipe: Path, folder: Path, **more: Any) -> Outcome:
    done = train(read_recipe(recipe), folder, Screen(quiet=True), **more)
    assert isinstance(done, Outcome)
    return done


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run that others are compared with."""
    place = tmp_path_factory.mktemp("whole")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSEEK_HOME", str(place / "home"))
        done = go(write_recipe_file(place, base, ALL), place / "run")
    torch.set_num_threads(threads)
    assert (done.ended, done.done, done.steps) == ("completed", STEPS, STEPS)
    return place / "run"


def same_run(one: Path, other: Path) -> None:
    """Metrics, samples, data and every checkpoint's tensors."""
    assert steps_of(one) == steps_of(other)
    assert (one / "samples.jsonl").read_bytes() == (other / "samples.jsonl").read_bytes()
    assert (one / "data" / "kept.jsonl").read_bytes() == (other / "data" / "kept.jsonl").read_bytes()
    numbers = checkpoint.numbers(one / "checkpoints")
    assert numbers[-1] == STEPS
    for number in set(numbers) & set(checkpoint.numbers(other / "checkpoints")):
        mine, yours = (checkpoint.load(run / "checkpoints" / f"step-{number:06d}") for run in (one, other))
        assert same_bits(mine.learner, yours.learner), number
        assert mine.stage.values == yours.stage.values


def test_a_run_ends_with_models_a_report_and_a_receipt_that_verifies(whole: Path) -> None:
    verification = verify(whole / "receipt.json")
    assert verification.ok, verification.failed
    notes = json.loads((whole / "run.json").read_text())
    assert [one["state"] for one in notes["attempts"]] == ["completed"]
    assert {name: told["kind"] for name, told in notes["stages"].items() if name != "evaluation"} == {
        "start": "sft", "rl": "grpo", "kept": "reject", "again": "sft",
    }  # fmt: skip
    assert {path.name for path in (whole / "evaluations").glob("*.json")} == {
        "test-before.json", "test-1-start.json", "test-2-rl.json", "test-after.json",
    }  # fmt: skip
    for name in ("model/model.safetensors", "model.gguf", "adapter.gguf", "card.md", "recipe.toml"):
        assert (whole / name).exists(), name
    page = (whole / "report.html").read_text()
    assert "<script" not in page
    assert "Groups that teach" in page
    assert "Accuracy on dev" in page


def test_every_moment_is_booked_and_stages_bear_their_names(whole: Path) -> None:
    entries = [json.loads(line) for line in (whole / "ledger.jsonl").read_text().splitlines()]
    outer = [entry for entry in entries if "parent" not in entry["labels"]]
    assert {entry["labels"]["stage"] for entry in outer} >= {
        "setup", "evaluation", "start", "rl", "kept", "again", "publish",
    }  # fmt: skip
    assert {entry["labels"]["attempt"] for entry in outer} == {"1"}
    assert sum(entry["labels"].get("step") is not None for entry in outer) == STEPS
    booked = sum(entry["quantities"]["wall"]["value"] for entry in outer)
    status = run_folder.read_status(whole)
    assert status is not None
    assert status.finished
    assert booked > 0.6 * status.seconds


def test_the_resolved_recipe_reads_back_as_the_same_and_stands_on_its_own(whole: Path) -> None:
    original, resolved = read_recipe(whole.parent / "recipe.toml"), read_recipe(whole)
    assert original.fingerprint == resolved.fingerprint
    assert resolved.stages == original.stages
    assert (whole / "tasks" / "own.py").exists()


def test_what_was_kept_is_right_and_the_base_has_answered_everyday_prompts_or_was_cut(whole: Path) -> None:
    rows = [json.loads(line) for line in (whole / "data" / "kept.jsonl").read_text().splitlines()]
    assert rows
    assert all(row["answer"] == "1" and row["thinking"] for row in rows if row["source"] == "reject:kept")


@pytest.mark.slow
def test_a_checkpoint_becomes_the_model_that_the_run_would_have_ended_with(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last, start = (whole / "checkpoints" / f"step-{number:06d}" for number in (STEPS, 0))
    assert run(["models", "export", str(last), str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["file"]).read_bytes() == (whole / "model.gguf").read_bytes()
    assert told["bytes"] == (whole / "model.gguf").stat().st_size
    assert run(["models", "export", str(start), str(tmp_path / "hf"), "--as", "hf"]) == 0
    assert (tmp_path / "hf" / "model.safetensors").stat().st_size > 0
    assert run(["models", "export", str(last), str(tmp_path / "hf"), "--as", "hf"]) == 1
    assert "exists already" in capsys.readouterr().err
    shutil.copytree(last, tmp_path / "elsewhere")
    assert run(["models", "export", str(tmp_path / "elsewhere"), str(tmp_path / "x.gguf")]) == 1
    assert "not a checkpoint in the folder of a run" in capsys.readouterr().err
    assert not list(tmp_path.glob(".export-*"))


def test_segments_replay_bit_for_bit(whole: Path) -> None:
    done = replay(whole, 4, 0, lambda line: None)
    assert done.ok
    assert done.possible == 9
    assert all(one.same_bits and one.metrics and one.data for one in done.results)
    assert len({one.segment.start for one in done.results}) == 4


@pytest.mark.slow
def test_a_run_that_is_not_what_it_says_does_not_replay(whole: Path, tmp_path: Path) -> None:
    """A checkpoint with other weights, well formed: without a receipt only replaying shows it."""
    forged = tmp_path / "forged"
    shutil.copytree(whole, forged)
    found = checkpoint.load(forged / "checkpoints" / "step-000004")
    changed = {
        name: value + 1e-3 if name.startswith("weights/") else value.clone() for name, value in found.learner.items()
    }
    checkpoint.save(forged / "checkpoints", found.position, changed, found.stage)
    with pytest.raises(UserError, match="not the file that the receipt names"):
        replay(forged, 99, 0, lambda line: None)
    (forged / "receipt.json").unlink()
    done = replay(forged, 99, 0, lambda line: None)
    assert not done.ok
    assert {one.segment.start for one in done.results if not one.same_bits} == {2, 4}


class Crash(BaseException):
    """What no `except Exception` sees: as good as a kill for what is on the disk."""


@pytest.mark.parametrize("at", [6, *(pytest.param(at, marks=pytest.mark.slow) for at in (1, 10, 12, 14))])
def test_a_crash_anywhere_and_a_resumed_run_is_the_uninterrupted_one(
    whole: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    count = 0

    def crashing(step: Any) -> Any:
        def wrapped(self: Any, number: int) -> Any:
            nonlocal count
            count += 1
            report = step(self, number)
            if count == at:
                raise Crash  # after the weights have changed, before anything was written down
            return report

        return wrapped

    with monkeypatch.context() as patch:
        for kind in (sft.SftStage, grpo.GrpoStage, rejection.RejectStage):
            patch.setattr(kind, "step", crashing(kind.step))
        with pytest.raises(Crash):
            go(recipe_file, tmp_path / "run")
    done = go(recipe_file, tmp_path / "run", resume=True)
    assert done.ended == "completed"
    same_run(whole, tmp_path / "run")
    assert verify(tmp_path / "run" / "receipt.json").ok
    attempts = json.loads((tmp_path / "run" / "run.json").read_text())["attempts"]
    assert [one["state"] for one in attempts] == ["failed", "completed"]
    booked = (tmp_path / "run" / "ledger.jsonl").read_text()
    assert '"attempt":"1"' in booked
    assert '"attempt":"2"' in booked


@pytest.mark.slow
@pytest.mark.parametrize("where", ["rollout", "update", "evaluation"])
def test_a_signal_stops_at_once_or_after_the_update_and_everything_is_saved(
    whole: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    sent = False

    def once(*_: Any) -> None:
        nonlocal sent
        if not sent:
            sent = True
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        if where == "rollout":
            own = grpo.rollout
            patch.setattr(grpo, "rollout", lambda *args, **more: (own(*args, **more), once())[0])
        elif where == "update":
            clip = Learner._clip
            patch.setattr(Learner, "_clip", lambda self: (clip(self), self.updates == 3 and once())[0])
        else:
            from clearseek.training.rollout import torch_backend

            answers = torch_backend.TorchBackend.answer

            def answering(self: Any, asks: Any, how: Any, took: Any) -> None:
                if how.split == "dev":
                    once()
                answers(self, asks, how, took)

            patch.setattr(torch_backend.TorchBackend, "answer", answering)
        with pytest.raises(UserError, match=r"Stopped by SIGTERM. Everything up to step \d+ is saved; .*--resume"):
            go(recipe_file, tmp_path / "run")
    status = run_folder.read_status(tmp_path / "run")
    assert status is not None
    assert status.attempts[-1].state == "stopped"
    saved = checkpoint.numbers(tmp_path / "run" / "checkpoints")[-1]
    assert saved == {"rollout": 5, "update": 4, "evaluation": 3}[where]
    go(recipe_file, tmp_path / "run", resume=True)
    same_run(whole, tmp_path / "run")
    attempts = json.loads((tmp_path / "run" / "run.json").read_text())["attempts"]
    assert [one["state"] for one in attempts] == ["resumed", "completed"]


def test_a_number_that_is_none_stops_at_the_last_good_checkpoint_and_says_where(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Learner.update

    def bad(self: Learner, *args: Any, **more: Any) -> Any:
        if self.updates == 3:
            raise NotFinite("The loss is not a number in micro-batch 1 of 1 of update 4.")
        return update(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update", bad)
        with pytest.raises(UserError, match=r"Step 4 of the stage start went wrong.*checkpoint, step-000002"):
            go(recipe_file, tmp_path / "run")
    assert checkpoint.numbers(tmp_path / "run" / "checkpoints")[-1] == 2
    assert go(recipe_file, tmp_path / "run", resume=True).ended == "completed"


@pytest.mark.slow
def test_a_disk_that_fills_at_a_checkpoint_leaves_the_last_good_one(
    whole: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint._write_tensors

    def full(path: Path, tensors: Any) -> None:
        if path.parent.name == ".new-step-000004":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_tensors", full)
        with pytest.raises(UserError, match=r"disk is full; the last good one is step-000002.*--resume"):
            go(recipe_file, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir() if "4" in path.name] == []
    go(recipe_file, tmp_path / "run", resume=True)
    same_run(whole, tmp_path / "run")


@pytest.mark.slow
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(
    whole: Path, recipe_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    status = run_folder.read_status(run)
    assert status is not None
    run_folder.write_status(run, run_folder.Status(status.name, status.fingerprint, attempts=status.attempts))
    for path in sorted((run / "checkpoints").iterdir())[-2:]:
        with (path / "learner.safetensors").open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\xff")
    told: list[str] = []
    screen = Screen(quiet=True)
    screen.tell = told.append  # type: ignore[method-assign]
    train(read_recipe(recipe_file), run, screen, resume=True)
    assert sum("damaged" in line for line in told) == 2
    same_run(whole, run)


def test_folders_that_cannot_be_used_are_told_in_a_sentence(
    whole: Path, base: Path, recipe_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match=r"There is no run in .* to resume"):
        go(recipe_file, run, resume=True)
    with pytest.raises(UserError, match=r"is finished"):
        go(recipe_file, whole, resume=True)
    shutil.copytree(whole, run)
    with pytest.raises(UserError, match=r"holds a run already; go on with --resume"):
        go(recipe_file, run)
    other = tmp_path / "other"
    other.mkdir()
    changed = write_recipe_file(other, base, ALL.replace("steps = 5", "steps = 6"))
    with pytest.raises(UserError, match=r"is finished.*`steps` of the stage start \(there 5, now 6\).*adapter = "):
        go(changed, run, resume=True)
    told = json.loads((run / "status.json").read_text()) | {"finished": False}
    (run / "status.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match=r"begun with another recipe: `steps` of the stage start \(there 5, now 6\)"):
        go(changed, run, resume=True)
    with filelock.FileLock(run / ".lock"), pytest.raises(UserError, match="Another process is training"):
        go(recipe_file, run, resume=True)
    (run / "status.json").write_text(json.dumps(told | {"version": "9.9"}))
    with pytest.raises(UserError, match=r"begun by ClearSeek 9\.9"):
        go(recipe_file, run, resume=True)


def test_a_task_that_rejects_its_own_answers_is_caught_before_anything_is_trained(
    recipe_file: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text(own.read_text().replace('answer.strip() == problem["answer"]', 'answer == "never"'))
    with pytest.raises(UserError, match="rejects the reference answer"):
        go(recipe_file, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "run" / "status.json").exists()


def test_a_missing_base_and_an_unknown_model_are_told(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe_file(tmp_path, tmp_path / "gone", ALL)
    with pytest.raises(UserError, match=r"The base .*gone is not there"):
        go(recipe, tmp_path / "run")
    recipe.write_text(recipe.read_text().replace(str(tmp_path / "gone"), "smollm2-135m-instruct"))
    with pytest.raises(UserError, match="clearseek models pull smollm2-135m-instruct"):
        go(recipe, tmp_path / "run")


def test_looking_ahead_writes_nothing(recipe_file: Path, tmp_path: Path) -> None:
    from clearseek.training.run.forecast import RunForecast

    seen = train(read_recipe(recipe_file), tmp_path / "run", Screen(quiet=True), dry_run=True)
    assert isinstance(seen, RunForecast)
    assert not (tmp_path / "run").exists()
    assert seen.generate_rate > 0
    assert seen.train_rate > 0
    assert [stage.steps for stage in seen.stages] == [5, 4, 4, 3]
    assert RunForecast.from_json(json.loads(json.dumps(seen.as_json()))) == seen
    assert any("Forecast" in line for line in seen.words())


@pytest.mark.parametrize("cut", [False, True], ids=["at once", "in two sessions"])
def test_files_of_ones_own_are_carried_into_the_run(base: Path, tmp_path: Path, cut: bool) -> None:
    """One is changed while a sitting is under way, both are gone afterwards, and the run replays all the same."""
    lines = [{"prompt": f"{n}+1=", "thinking": "so", "answer": "1"} for n in range(8)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "a").mkdir()
    outside = [tmp_path / "mine.jsonl", tmp_path / "a" / "mine.jsonl"]
    outside[0].write_text(text)
    outside[1].write_text(text.replace("so", "now"))
    stage = '[[stage]]\nkind = "sft"\nname = "{}"\nsteps = 2\nexamples = 3\nsources = ["{}"]\n'
    recipe = write_recipe_file(tmp_path, base, stage.format("one", "mine.jsonl") + stage.format("two", "a/mine.jsonl"))

    class Crash(Exception):
        pass

    class Crashing(Screen):
        def tell(self, text: str) -> None:
            if text.startswith("Stage two"):
                raise Crash

    class Meddling(Screen):
        def tell(self, text: str) -> None:
            if text.startswith("Going on" if cut else "Stage one"):
                outside[1].write_text(lines[0]["answer"])

    if cut:
        with pytest.raises(Crash):
            train(read_recipe(recipe), tmp_path / "run", Crashing(quiet=True))
    done = train(read_recipe(recipe), tmp_path / "run", Meddling(quiet=True), resume=cut)
    assert isinstance(done, Outcome)
    assert done.ended == "completed"
    assert outside[1].read_text() == "1"
    for file in outside:
        file.unlink()
    carried = sorted(path.read_text() for path in (tmp_path / "run" / "files").iterdir())
    assert carried == sorted([text, text.replace("so", "now")])
    told = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    noted = sorted(one["name"][-10:] for one in told if one["description"].startswith("A file"))
    assert noted == ["mine.jsonl"] * 2
    assert verify(tmp_path / "run" / "receipt.json").ok
    again = replay(tmp_path / "run", 2, 0, print)
    assert again.ok
