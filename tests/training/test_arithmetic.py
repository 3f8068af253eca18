"""Replay knows what bits depend on, and calls no honest run false that was made with another compiler or none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from clearseek.cli.main import run as command
from clearseek.receipts import verify
from clearseek.training.kernels import compiler
from clearseek.training.publish.replay import Replay, Segment, SegmentResult, arithmetic_differences, replay
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.recipe.parsing import read_recipe
from clearseek.training.report.console import Screen
from clearseek.training.run.determinism import arithmetic
from clearseek.training.train import train
from clearseek.training.update.learner import open_learner
from tests.training.small_context import tiny
from tests.training.tiny_run import GRPO, SFT, tiny_base, write_recipe_file

needs_compiler = pytest.mark.skipif(compiler.compiled_with() is None, reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def fresh_libraries() -> Iterator[None]:
    """What was compiled is looked for again, before and after."""
    compiler._library.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    compiler._library.cache_clear()


def other_compiler(folder: Path, *, says: str) -> Path:
    """A compiler with another name and other optimisations: `c++` on a path of its own."""
    real = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    folder.mkdir()
    script = folder / "c++"
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{says}" && exit 0\nexec {real} "$@" -O1\n')
    script.chmod(0o755)
    return folder


def noted() -> dict[str, Any]:
    return arithmetic(open_learner(tiny(), LearnerSettings(dtype="float32")))


@needs_compiler
def test_the_compiler_and_its_absence_are_part_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path / "home"))
    with_one = noted()
    assert with_one["compiled"] == "update rollout"
    assert "-march=native" in with_one["compiler_flags"]
    assert {"mkl", "onednn", "cpu_capability", "instruction_sets", "libc", "threads", "dtype"} <= set(with_one)
    assert all(isinstance(value, str | int) for value in with_one.values())
    path = other_compiler(tmp_path / "other", says="a compiler 99.1")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{path}:{os.environ['PATH']}")
        compiler._library.cache_clear()
        other = noted()
        assert other["compiler"] == "a compiler 99.1"
        assert {key for key in other if other[key] != with_one[key]} == {"compiler"}
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "_compiler", lambda: None)
        compiler._library.cache_clear()
        none = noted()
        assert {key for key in none if none[key] != with_one[key]} == {"compiled", "compiler", "compiler_flags"}
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    compiler._library.cache_clear()
    assert noted()["settings"] == "MKL_CBWR=COMPATIBLE"


def test_what_was_not_noted_is_unknown_and_not_the_same() -> None:
    here = {"processor": "x", "compiler": "g++ 12", "threads": 2}
    assert arithmetic_differences(here, [here, here]) == ((), ())
    assert arithmetic_differences(here, [{"processor": "x", "threads": 2}]) == ((), ("compiler",))
    assert arithmetic_differences(here, [here, {**here, "threads": 4}]) == (("threads",), ())  # went on elsewhere
    assert arithmetic_differences(here, [{}]) == ((), ("processor", "compiler", "threads"))


@pytest.mark.parametrize(
    ("differs", "unknown", "bits", "apart", "refuted", "inconclusive"),
    [
        ((), (), True, 0.0, 0, 0),
        ((), (), False, 1e-9, 1, 0),
        (("compiler",), (), False, 0.05, 0, 0),
        (("compiler",), (), False, 0.5, 0, 1),
        ((), ("compiler",), False, 0.5, 0, 1),
        ((), ("compiler",), False, float("nan"), 0, 1),
        ((), ("compiler",), True, 0.0, 0, 0),
    ],
)
def test_only_the_same_arithmetic_refutes(
    differs: tuple[str, ...], unknown: tuple[str, ...], bits: bool, apart: float, refuted: int, inconclusive: int
) -> None:
    result = SegmentResult(Segment(0, 2, "x"), bits, apart, True, True, 1.0)
    done = Replay("run", differs, unknown, 1, (result,))
    assert (len(done.refuted), len(done.open_ones)) == (refuted, inconclusive)
    assert done.ok == (not refuted and not inconclusive)
    assert bool(done.words()) == bool(differs or unknown)
    assert done.as_json()["inconclusive"] == inconclusive


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path / "home"))
    base = tiny_base(tmp_path / "base", taught=30)
    recipe = write_recipe_file(tmp_path, base, SFT + GRPO)
    train(read_recipe(recipe), tmp_path / "run", Screen(quiet=True))
    return tmp_path / "run"


@needs_compiler
@pytest.mark.slow
def test_an_honest_run_is_not_accused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made with compiled functions; done again with them, with torch's, with another compiler's, and as an old run."""
    assert "not the same" not in replay(run, 99, 0, lambda line: None).words().lower()
    assert command(["receipt", "replay", str(run), "--segments", "99"]) == 0
    assert "the same bits" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "_compiler", lambda: None)
        compiler._library.cache_clear()
        done = replay(run, 99, 0, lambda line: None)
        assert set(done.differs) == {"compiled", "compiler", "compiler_flags"}
        assert not done.refuted
        assert not all(one.same_bits for one in done.results)  # which is why it must not be held against them
        code = command(["receipt", "replay", str(run), "--segments", "99"])
        captured = capsys.readouterr()
        assert code in (0, 4)
        assert "Not the same arithmetic, so bits may differ: compiled, compiler, compiler flags." in captured.out
        assert "do not give the weights" not in captured.err
    path = other_compiler(tmp_path / "other", says="g++ (another) 99.1")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{path}:{os.environ['PATH']}")
        compiler._library.cache_clear()
        done = replay(run, 99, 0, lambda line: None)
        assert done.differs == ("compiler",)
        assert not done.refuted
    compiler._library.cache_clear()
    (run / "receipt.json").unlink()  # it names the checkpoints as they are
    for file in (run / "checkpoints").glob("step-*/position.json"):
        position = json.loads(file.read_bytes())
        position["noted"]["arithmetic"].pop("compiler")
        file.write_text(json.dumps(position))
        digests = file.with_name("digests.json")
        from clearseek.receipts.gather import sha256_of

        told = json.loads(digests.read_bytes())
        digests.write_text(json.dumps({**told, "position.json": sha256_of(file)}))
    done = replay(run, 2, 0, lambda line: None)
    assert done.unknown == ("compiler",)
    assert not done.same_arithmetic
    assert done.ok


@pytest.mark.slow
def test_the_receipt_tells_the_arithmetic_and_the_flops_of_a_token(run: Path) -> None:
    """Of the trainer's own run: FLOPs are held against the weights, times against the machine, and nothing is open."""
    verification = verify(run)
    assert verification.ok, verification.failed
    assert verification.statement is not None
    predicate = verification.statement["predicate"]
    assert predicate["version"] == "1.1"
    assert predicate["machine"]["arithmetic"]["dtype"] == "float32"
    required = ["weights", "all-weights", "ledger", "signer", "flops", "times", "machine", "data", "checkpoints"]
    assert verification.missing(required) == []
    said = next(check.said for check in verification.checks if check.name == "FLOPs" and "weights" not in check.field)
    for stage in ("start", "rl", "evaluation"):
        assert stage in " ".join(check.said for check in verification.checks if check.name == "FLOPs"), said


def test_a_shipped_model_says_why_it_cannot_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from clearseek.settings import model_data

    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path))
    shutil.copytree(model_data() / "clearseek-r1-135m", tmp_path / "models" / "clearseek-r1-135m")
    assert command(["receipt", "replay", "clearseek-r1-135m"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the 6 checkpoints that its receipt names by their digests were not kept" in err
