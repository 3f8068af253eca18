"""The tutorial's commands, on the real model, at a size that ends in minutes: everything but the waiting."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parent.parent.parent
SMALLER = (
    (r"^dev = \d+", "dev = 2"), (r"^test = \d+", "test = 4"), (r"^max_new = \d+", "max_new = 40"),
    (r"^examples = \d+", "examples = 4"), (r"^prompts = \d+", "prompts = 2"), (r"^samples = \d+", "samples = 2"),
)  # fmt: skip


def block(page: str, kind: str, containing: str) -> str:
    found = [text for text in re.findall(rf"^```{kind}\n(.*?)^```$", page, re.M | re.S) if containing in text]
    assert len(found) == 1
    return str(found[0])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_makes_a_model_with_a_receipt(real_home: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "train-your-own.md").read_text("utf-8")
    env = {**os.environ, "CLEARSEEK_HOME": str(real_home), "OMP_WAIT_POLICY": "passive"}

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "clearseek.cli.main", *args]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        return done

    subprocess.run(["bash", "-e", "-c", block(page, "sh", "my_task.py")], check=True, cwd=tmp_path)
    assert (tmp_path / "my_task.py").read_text() in (ROOT / "recipes" / "my_task.py").read_text().replace(
        "\n\n\n", "\n\n"
    )
    recipe = (ROOT / "recipes" / "my-task.toml").read_text("utf-8")
    for pattern, smaller in SMALLER:
        recipe = re.sub(pattern, smaller, recipe, flags=re.M)
    (tmp_path / "my-task.toml").write_text(recipe)
    commands = block(page, "text", "--dry-run").split("\n")
    assert commands[:2] == ["clearseek train my-task.toml --dry-run", "clearseek train my-task.toml"]
    assert "Forecast" in run("train", "my-task.toml", "--dry-run", "--scale", "0.05").stdout
    done = run("train", "my-task.toml", "--scale", "0.05", "--json")
    told = json.loads(done.stdout)
    assert told["ended"] == "completed"
    assert {"test-before", "test-after", "test-served"} <= set(told["evaluations"])
    assert told["published"]["registered"] == "my-task"
    answer = run("chat", "--model", "my-task", "What is the sum of the digits of 58213?")
    assert answer.stdout.strip()
    run("receipt", "verify", "my-task")
    replayed = json.loads(run("receipt", "replay", "my-task", "--json").stdout)
    assert replayed["results"]
    assert all(one["same_bits"] and one["metrics"] for one in replayed["results"])
