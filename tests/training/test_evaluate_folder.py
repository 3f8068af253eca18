"""Folders of weights are evaluated by rollouts: a Hugging Face folder, a run's, and one that is not finished."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

sys.path.append(str(Path(__file__).parent.parent / "modeling"))

from small_context import tiny  # noqa: E402
from trained_words import train_tokenizer  # noqa: E402

from clearseek.cli.main import run  # noqa: E402
from clearseek.modeling.export_hf import export_hf  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = train_tokenizer("smollm")
    return export_hf(
        tiny(3, vocab=words.size, max_positions=512), tmp_path_factory.mktemp("hf") / "small", tokenizer=words
    )


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.jsonl"
    lines = [{"prompt": f"Dogs {n}?", "answer": str(n), "verifier": "integer", "split": "test"} for n in range(5)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_folder_the_same_numbers_from_the_same_seed(
    weights: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for out in ("one", "two"):
        line = ["eval", str(weights), "--task", str(mine), "--n", "5", "--samples", "4", "--budget", "6"]
        assert run([*line, "--max-answer", "6", "--out", str(tmp_path / out), "--json"]) == 0
        streams = capsys.readouterr()
        assert "ClearSeek's own is used" in streams.err
        (found,) = json.loads(streams.out)["evaluations"]
        lines = (tmp_path / out / "think-6.jsonl").read_text().splitlines()[1:]
        rows = sorted((row["problem"], row["sample"], row["thinking"], row["answer"]) for row in map(json.loads, lines))
        said.append((rows, found["tasks"], found["means"]))
    assert said[0] == said[1]
    assert len(said[0][0]) == 20
    assert found["conditions"]["by"] == "torch"
    assert found["conditions"]["temperature"] == 0.6
    assert list(found["tasks"][0]["pass_at"]) == ["1", "2", "4"]


def test_a_run_by_its_name_and_one_that_is_not_finished(
    weights: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "home" / "runs"
    (runs / "mine").mkdir(parents=True)
    (runs / "mine" / "recipe.toml").write_text("")
    line = ["--task", str(mine), "--n", "2", "--thinking", "off", "--max-answer", "4"]
    assert run(["eval", "mine", *line]) == 1
    assert "has no model yet" in capsys.readouterr().err
    (runs / "mine" / "model").symlink_to(weights)
    assert run(["eval", "mine", *line]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "mine, no-think" in out
    assert "answered by torch, as in training" in out  # a run is not asked as it is served, and it says so
