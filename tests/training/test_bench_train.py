"""`clearseek bench train`, through the command line, on a model that is made in a moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clearseek.cli.main", "bench", "train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    sys.path.insert(0, str(Path(__file__).parent.parent / "modeling"))
    from small_context import tiny
    from trained_words import train_tokenizer

    from clearseek.modeling.export_hf import export_hf

    model = tiny(vocab=320, max_positions=512, tie_embeddings=True)
    return export_hf(model, tmp_path_factory.mktemp("models") / "tiny", tokenizer=train_tokenizer("smollm"))


def test_what_cannot_be_compared_is_a_usage_error() -> None:
    done = run("--method", "lora", "--against", "trl")
    assert done.returncode == 2
    assert "compared with in full" in done.stderr


@pytest.mark.slow
def test_our_own_figures_need_no_peer(folder: Path) -> None:
    done = run(
        *("--rounds", "1", "--prompts", "2", "--group", "2", "--tokens", "4", "--examples", "2"), "-m", str(folder)
    )
    assert done.returncode == 0, done.stderr
    assert "4 rollouts of at most 4 tokens" in done.stdout
    assert "clearseek" in done.stdout


@pytest.mark.slow
def test_lora_is_measured_alone(folder: Path) -> None:
    arguments = ("--method", "lora", "--rounds", "1", "--prompts", "1", "--group", "2", "--tokens", "3")
    done = run(*arguments, "--examples", "2", "--model", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["method"] == "lora"
    assert set(found["grpo"]["seconds"]) == set(found["sft"]["tokens_per_second"]) == {"clearseek"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trl_and_transformers_are_measured_in_the_same_run(folder: Path) -> None:
    for module in ("trl", "datasets", "transformers"):
        pytest.importorskip(module)
    arguments = ("--against", "trl", "--rounds", "2", "--prompts", "2", "--group", "2", "--tokens", "6")
    done = run(*arguments, "--examples", "3", "--model", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["grpo"]["rounds"]) == {"clearseek", "trl"}
    assert all(len(each) == 2 for each in found["grpo"]["rounds"].values())
    assert found["grpo"]["ratio"]["trl"] > 0
    assert 0 < found["grpo"]["trl_tokens"] <= 4 * 6
    assert set(found["sft"]["tokens_per_second"]) == {"clearseek", "transformers"}
    assert found["grpo"]["share_of_matmul"]["update"] > 0
