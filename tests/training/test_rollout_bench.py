"""`clearseek bench rollout`, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from clearseek.hub.model import Model


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clearseek.cli.main", "bench", "rollout", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rows_that_make_no_sense_are_a_usage_error() -> None:
    done = run("--rows", "0")
    assert done.returncode == 2
    assert "1 to 1024" in done.stderr


@pytest.mark.slow
def test_both_peers_are_measured_on_the_same_weights(real_model: Model) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    done = run(
        "--against", "all", "--rows", "2", "--rounds", "1", "--tokens", "3", "--model", str(real_model.path), "--json"
    )
    assert done.returncode == 0, done.stderr
    (level,) = json.loads(done.stdout)["levels"]
    assert set(level["tokens_per_second"]) == {"clearseek", "transformers", "plain"}
    assert set(level["ratio"]) == {"transformers", "plain"}
    assert level["share_of_matmul"] > 0
