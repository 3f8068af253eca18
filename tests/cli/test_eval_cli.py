"""`clearseek eval` as people type it: a tiny GGUF through the real engine, and mistakes told in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import clearseek, environment

pytestmark = pytest.mark.slow  # starts programs

LINES = [
    {"prompt": f"What is {number} + {number}?", "answer": str(2 * number), "verifier": "integer", "split": "test"}
    for number in range(12)
]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return file


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "inference")
    from tiny_llama import write_tiny

    return write_tiny(tmp_path / "tiny.gguf")


def args(tiny: Path, mine: Path, *more: str) -> list[str]:
    return ["eval", str(tiny), "--task", str(mine), "--n", "3", "--budget", "8", "--max-answer", "8", *more]


@pytest.mark.slow
def test_a_file_of_weights_and_a_file_of_problems(tiny: Path, mine: Path, tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    done = clearseek(*args(tiny, mine, "--out", str(out), "--json"), home=home)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (found,) = told["evaluations"]
    assert found["conditions"]["arm" if "arm" in found["conditions"] else "budget"] == 8
    assert found["tasks"][0]["n"] == 3
    assert found["tasks"][0]["membership"] == "other"
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "report.html",
        "think-8.json",
        "think-8.jsonl",
    ]
    entries = [json.loads(line) for line in (home / "ledger.jsonl").read_text().splitlines()]
    assert [entry["kind"] for entry in entries] == ["eval"]
    again = clearseek(*args(tiny, mine, "--out", str(out)), home=home)
    assert again.returncode == 0, again.stderr
    assert "mine" in again.stdout
    assert len((home / "ledger.jsonl").read_text().splitlines()) == 1  # nothing was asked twice
    changed = clearseek(*args(tiny, mine, "--out", str(out), "--seed", "4"), home=home)
    assert changed.returncode == 1
    assert "made under other conditions: `seed` was 0 and is 4 now" in changed.stderr
    afresh = clearseek(*args(tiny, mine, "--out", str(out), "--seed", "4", "--again"), home=home)
    assert afresh.returncode == 0, afresh.stderr
    compared = clearseek("eval", str(out / "think-8.json"), "--compare", str(out / "think-8.json"), home=home)
    assert compared.returncode == 0, compared.stderr
    assert "+0.0 (+0.0 to +0.0)" in compared.stdout


def test_budgets_and_no_thinking_are_one_report(tiny: Path, mine: Path, tmp_path: Path) -> None:
    done = clearseek(
        *args(tiny, mine, "--budget", "4,8", "--thinking", "both", "--out", str(tmp_path / "out"), "--json"),
        home=tmp_path / "home",
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["evaluations"]
    assert [(one["conditions"]["thinking"], one["conditions"]["budget"]) for one in found] == [
        (True, 8),
        (True, 4),
        (False, None),
    ]
    assert "Accuracy against thinking" in (tmp_path / "out" / "report.html").read_text()


def test_it_works_where_torch_cannot_be_imported(tiny: Path, mine: Path, tmp_path: Path) -> None:
    code = f"""
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "tokenizers", "transformers", "reasoning_gym"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, NoTorch())
from clearseek.cli.main import run
assert run({args(tiny, mine, "--json")!r}) == 0
folder = {str(tmp_path)!r}
open(folder + "/config.json", "w").write("{{}}")
assert run(["eval", folder, "--task", {str(mine)!r}]) == 1
assert run(["eval", "x", "--chat-against", "y"]) == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(tmp_path / "home"),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a GGUF needs neither") == 2
    assert json.loads(done.stdout)["evaluations"]


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_answered_and_the_same_command_goes_on(tiny: Path, mine: Path, tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    command = args(tiny, mine, "--n", "12", "--budget", "300", "--at-once", "1", "--out", str(out))
    process = subprocess.Popen(
        [sys.executable, "-m", "clearseek.cli.main", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home),
    )
    file = out / "think-300.jsonl"
    deadline = time.monotonic() + 60
    while not file.exists() or len(file.read_bytes().splitlines()) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    kept = len(file.read_bytes().splitlines()) - 1
    assert f"Stopped; {kept} of 12 transcripts are kept" in told
    assert 2 <= kept < 12
    done = clearseek(*command, home=home)
    assert done.returncode == 0, done.stderr
    problems = [json.loads(line)["problem"] for line in file.read_text().splitlines()[1:]]
    assert len(problems) == len(set(problems)) == 12


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--samples", "0"), 2, "samples"),
        (("--samples", "3", "--temperature", "0"), 2, "all the same"),
        (("--budget", "many"), 2, "numbers of tokens"),
        (("--thinking", "off"), 2, "nothing to budget"),
        (("--compare", "nowhere.json"), 1, "nowhere.json cannot be read"),
        (("--engine-url", "http://127.0.0.1:9/v1"), 1, "cannot be reached"),
    ],
)
def test_mistakes_are_told(tiny: Path, mine: Path, tmp_path: Path, more: tuple[str, ...], code: int, said: str) -> None:
    done = clearseek(*args(tiny, mine, *more), home=tmp_path / "home")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_names_that_do_not_exist_are_answered_with_the_nearest(tmp_path: Path, mine: Path, tiny: Path) -> None:
    home = tmp_path / "home"
    for command, said in (
        (("eval", str(tiny), "--suite", "r9"), "did you mean `r1`?"),
        (("eval", "smollm2-135m-instrukt", "--task", str(mine)), "did you mean"),
        (("eval", str(tmp_path), "--task", str(mine)), "neither a run nor a Hugging Face folder"),
        (("eval", str(mine), "--task", str(mine)), "GGUF"),
    ):
        done = clearseek(*command, home=home)
        assert done.returncode == 1, command
        assert said in done.stderr


def test_more_problems_than_there_are(tiny: Path, mine: Path, tmp_path: Path) -> None:
    done = clearseek(*args(tiny, mine, "--n", "500"), home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert "mine has only 12 different problems in test: all of them were asked." in done.stdout


@pytest.mark.slow
def test_the_real_model_on_the_suite(real_home: Path, tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    named = ["--task", "chain_sum", "--task", "lcm"]
    done = clearseek("eval", "smollm2-135m-instruct", *named, "--n", "2", "--json", home=real_home)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["evaluations"]
    assert found["conditions"]["style"] == "prompted"
    assert [task["membership"] for task in found["tasks"]] == ["trained", "unseen"]
    assert all(task["tokens"] > 0 for task in found["tasks"])
