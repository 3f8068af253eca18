"""A real, very small run: softmax regression on made data in two stages, metered, written as a run folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clearseek.ledger.book import Book
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import declared, measured, modelled
from clearseek.receipts.signing import SigningKey, signing_key
from clearseek.receipts.statement import make_receipt

FEATURES, CLASSES = 16, 4
# forward and backward of one matrix: 6 FLOPs for each parameter and example, which count as tokens here
FLOPS_PER_TOKEN = 6 * FEATURES * CLASSES
USD_PER_HOUR, WATTS = 0.10, 40.0


def train(folder: Path) -> None:
    """Two stages and two attempts, of which the first failed; the second goes on where it stopped."""
    rng = np.random.default_rng(7)
    truth = rng.normal(size=(FEATURES, CLASSES))
    data = rng.normal(size=(512, FEATURES))
    labels = (data @ truth).argmax(1)
    (folder / "model").mkdir(parents=True)
    np.savetxt(folder / "data.csv", data, delimiter=",")
    (folder / "recipe.toml").write_text(
        'name = "small"\n[[stage]]\nkind = "sft"\nsteps = 6\n[[stage]]\nkind = "grpo"\n'
    )
    book = Book(folder / "ledger.jsonl")
    rates = Rates(declared(USD_PER_HOUR, "USD/h", "declared price of the machine"), watts=declared(WATTS, "W"))
    meter = Meter(lambda draft: book.append(draft, sync=False), machine=rates, rapl=False, gpus=False)
    weights = np.zeros((FEATURES, CLASSES))
    for step, (stage, attempt) in enumerate([("warm-up", "1")] * 2 + [("warm-up", "2")] * 4 + [("main", "2")] * 6):
        try:
            with meter.span("train", run="small", stage=stage, attempt=attempt, step=str(step)) as span:
                batch = rng.integers(0, len(data), 64)
                with meter.span("forward", run="small", stage=stage):  # within the other: counted there, not twice
                    scores = data[batch] @ weights
                    chances = np.exp(scores - scores.max(1, keepdims=True))
                    chances /= chances.sum(1, keepdims=True)
                chances[np.arange(64), labels[batch]] -= 1
                weights -= 0.5 * data[batch].T @ chances / 64
                span.count(prompt_tokens=64, flops=modelled(64 * FLOPS_PER_TOKEN, "FLOP", "6 N per token"))
                if step == 1:
                    raise InterruptedError  # the first attempt dies here
        except InterruptedError:
            pass
        if step % 6 == 5:
            checkpoint = folder / "checkpoints" / f"step-{step + 1:06d}"
            checkpoint.mkdir(parents=True)
            (checkpoint / "weights.bin").write_bytes(weights.astype("<f4").tobytes())
    (folder / "model" / "weights.bin").write_bytes(weights.astype("<f4").tobytes())
    (folder / "model" / "config.json").write_text(json.dumps({"features": FEATURES, "classes": CLASSES}))
    accuracy = float(((data @ weights).argmax(1) == labels).mean())
    (folder / "evaluations").mkdir()
    result = {"name": "train accuracy", "results": {"accuracy": measured(accuracy, "", "512 examples").as_json()}}
    (folder / "evaluations" / "accuracy.json").write_text(json.dumps(result))
    book.close()
    write_notes(folder)


def write_notes(folder: Path, **more: object) -> None:
    from clearseek.receipts.gather import machine, sha256_of

    stage = {"flops_per_token": {"prompt_tokens": modelled(FLOPS_PER_TOKEN, "FLOP/token", "6 N").as_json()}}
    notes = {
        "name": "small",
        "machine": machine(),
        "data": [{
            "name": "made", "description": "normal numbers from a seed", "license": "CC0-1.0",
            "distribution": [{"contentUrl": "data.csv", "encodingFormat": "text/csv",
                              "sha256": sha256_of(folder / "data.csv")}],
        }],
        "stages": {"warm-up": {"kind": "sft", **stage}, "main": {"kind": "grpo", **stage}},
        "attempts": [{"attempt": "1", "state": "failed", "why": "killed"}, {"attempt": "2", "state": "resumed"}],
        "prices": {"machine_usd_per_hour": declared(USD_PER_HOUR, "USD/h", "declared price of the machine").as_json()},
        **more,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(notes))


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return signing_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """The run folder with its receipt; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    train(folder)
    make_receipt(folder, key=key)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / "small"))


@pytest.fixture
def forge(key: SigningKey) -> Callable[..., Path]:
    """Change the statement of a run's receipt and sign it again: a liar with a key."""
    from clearseek.ledger.canonical import canonical
    from clearseek.receipts.envelope import read_envelope
    from clearseek.receipts.statement import write_receipt

    def change(folder: Path, how: Callable[[dict], object]) -> Path:
        path = folder / "receipt.json"
        statement = read_envelope(path.read_bytes()).statement
        how(statement)
        return write_receipt(path, canonical(statement), key)

    return change
