"""`clearseek train` and `receipt replay` as people run them: processes that are killed, machines without torch."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("reasoning_gym")

from test_run_whole import ALL, same_run  # noqa: E402
from tiny_run import SFT, clearseek, command, environment, tiny_base, write_recipe_file  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny", taught=80)


def rows(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_and_resumed_until_done_is_the_uninterrupted_run(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe_file(tmp_path, base, ALL)
    home = tmp_path / "home"
    whole = clearseek(home, "train", recipe, "--out", tmp_path / "whole", "--json")
    assert whole.returncode == 0, whole.stderr
    assert json.loads(whole.stdout)["ended"] == "completed"
    run, rng = tmp_path / "run", random.Random(5)
    for number, at in enumerate((3, 11)):
        args = ["train", recipe, "--out", run, *(["--resume"] if number else [])]
        child = subprocess.Popen(command(*args), env=environment(home), stderr=subprocess.PIPE, text=True)
        while rows(run) < at and child.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.communicate()
    last = clearseek(home, "train", run, "--resume")
    assert last.returncode == 0, last.stderr
    same_run(tmp_path / "whole", run)
    verified = clearseek(home, "receipt", "verify", run)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    replayed = clearseek(home, "receipt", "replay", run, "--segments", "3", "--seed", "1", "--json")
    assert replayed.returncode == 0, replayed.stderr
    told = json.loads(replayed.stdout)
    assert told["ok"]
    assert all(one["same_bits"] for one in told["results"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_one_sentence_and_exit_code_1(
    base: Path, tmp_path: Path, number: signal.Signals
) -> None:
    recipe = write_recipe_file(tmp_path, base, SFT.replace("steps = 5", "steps = 3000"))
    run = tmp_path / "run"
    child = subprocess.Popen(
        command("train", recipe, "--out", run),
        env=environment(tmp_path / "home"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while rows(run) < 8 and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1, err
    assert out == ""
    assert err.rstrip().splitlines()[-1].endswith(f"go on with `clearseek train {run} --resume`.")
    assert "Traceback" not in err


@pytest.mark.slow
def test_looking_ahead_prints_a_forecast_and_mistakes_are_sentences(base: Path, tmp_path: Path) -> None:
    recipe = write_recipe_file(tmp_path, base, SFT)
    home = tmp_path / "home"
    ahead = clearseek(home, "train", recipe, "--dry-run", "--json", "--out", tmp_path / "run")
    assert ahead.returncode == 0, ahead.stderr
    assert json.loads(ahead.stdout)["forecast_seconds"] > 0
    assert not (tmp_path / "run").exists()
    recipe.write_text(recipe.read_text().replace("examples", "exampels"))
    wrong = clearseek(home, "train", recipe)
    assert wrong.returncode == 2
    assert "did you mean `examples`" in wrong.stderr
    none = clearseek(home, "receipt", "replay", tmp_path)
    assert none.returncode == 1
    assert "holds no run" in none.stderr


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "tokenizers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
from clearseek.cli.main import run
sys.exit(run(sys.argv[1:]))
"""
    for args in (["train", "recipes/r1-smollm2.toml"], ["receipt", "replay", str(tmp_path)]):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False,
            env=environment(tmp_path),
        )  # fmt: skip
        assert done.returncode == 1
        assert "pip install 'clearseek[train]'" in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
