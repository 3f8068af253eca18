"""Every model has a receipt or an origin card, in the terminal and over HTTP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from clearseek.cli.main import run as clearseek
from clearseek.hub.model import Model
from clearseek.hub.store import Store
from clearseek.ledger.canonical import canonical
from clearseek.receipts.envelope import read_envelope
from clearseek.receipts.gather import sha256_of
from clearseek.receipts.origin import OriginCard, ReceiptCard, proof_of, receipt_digest, remote_card
from clearseek.receipts.signing import SigningKey
from clearseek.receipts.statement import write_receipt


def give_receipt(model: Model, trained: Path, key: SigningKey) -> Path:
    """The small run's receipt, as if it had made this model."""
    statement = read_envelope((trained / "receipt.json").read_bytes()).statement
    digest = {"sha256": model.sha256}
    statement["subject"].append({"name": "model.gguf", "digest": digest, "annotations": {"bytes": model.bytes}})
    return write_receipt(model.path.parent / "receipt.json", canonical(statement), key)


def test_the_default_model_has_an_origin_card(real_model: Model) -> None:
    card = proof_of(real_model)
    assert isinstance(card, OriginCard)
    assert card.licence == "Apache-2.0"
    assert card.revision == "0.1.2"
    assert card.served == real_model.sha256 != card.fetched
    assert "from Q4_1 to Q8_0" in card.changes[0]
    assert {"training data", "cost"} <= {what for what, _ in card.unknown}
    assert "who made it" not in {what for what, _ in card.unknown}
    assert receipt_digest(real_model) is None
    assert json.loads(json.dumps(card.as_json()))["kind"] == "origin"


def test_an_imported_file_says_that_nobody_knows_who_made_it(real_model: Model, tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    card = proof_of(store.import_file(real_model.path, "mine"), store.entries)
    assert isinstance(card, OriginCard)
    assert card.changes == ()
    assert card.fetched == card.served
    assert card.unknown[0][0] == "who made it"
    assert "imported by hand" in card.source_words


def test_a_remote_model_proves_nothing() -> None:
    card = remote_card("gpt", "http://127.0.0.1:9/v1")
    assert card.as_json()["sha256"] == {"fetched": None, "served": None}
    assert card.unknown[0][0] == "weights"


def test_a_model_with_a_receipt_shows_that(real_home: Path, trained: Path, key: SigningKey) -> None:
    model = Store(real_home / "models").find("smollm2")
    path = give_receipt(model, trained, key)
    card = proof_of(model)
    assert isinstance(card, ReceiptCard)
    assert card.problems == ()
    assert receipt_digest(model) == card.sha256 == sha256_of(path)
    told = card.as_json()
    assert told["ok"] is True
    assert told["totals"]["prompt_tokens"]["value"] == 768
    assert told["cannot_prove"]
    # another model's receipt, and one that was changed
    shutil.copy(trained / "receipt.json", path)
    problems = proof_of(model).as_json()["problems"]
    assert problems == ["The receipt beside this model is about other weights."]
    path.write_bytes(path.read_bytes()[:-1])
    broken = proof_of(model).as_json()
    assert broken["ok"] is False
    assert broken["totals"] == {}


@pytest.fixture
def http(real_home: Path) -> Iterator[TestClient]:
    from clearseek.server.app import create_app
    from clearseek.settings import load_settings

    with TestClient(create_app(load_settings()), base_url="http://127.0.0.1:8420") as client:
        yield client


def test_proof_over_http(http: TestClient, real_home: Path, trained: Path, key: SigningKey) -> None:
    told = http.get("/api/models/smollm2-135m-instruct/proof").json()
    assert told["kind"] == "origin"
    assert http.get("/api/models/smollm2/proof").json() == told  # an alias
    assert http.get("/api/models/smolm2/proof").status_code == 404
    give_receipt(Store(real_home / "models").find("smollm2"), trained, key)
    assert http.get("/api/models/smollm2/proof").json()["kind"] == "receipt"


def test_models_show_and_receipt_show(
    real_home: Path, trained: Path, key: SigningKey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clearseek(["models", "show", "smollm2"]) == 0
    assert "made by others" in capsys.readouterr().out
    assert clearseek(["models", "show", "smollm2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proof"]["kind"] == "origin"
    assert clearseek(["receipt", "show", "smollm2", "--html", str(tmp_path / "card.html")]) == 0
    assert "What is unknown" in (tmp_path / "card.html").read_text()
    assert clearseek(["receipt", "show", "smollm2", "--json"]) == 0
    capsys.readouterr()
    assert clearseek(["receipt", "verify", "smollm2"]) == 1
    assert "no receipt, because others made it" in capsys.readouterr().err
    assert clearseek(["receipt", "verify", "no-such-model"]) == 1
    assert "no model `no-such-model`" in capsys.readouterr().err
    give_receipt(Store(real_home / "models").find("smollm2"), trained, key)
    capsys.readouterr()
    assert clearseek(["models", "show", "smollm2"]) == 0
    out = capsys.readouterr().out
    assert "signed by" in out
    assert "768 tokens" in out
    assert clearseek(["receipt", "show", "smollm2-135m-instruct"]) == 0
    assert "Stages" in capsys.readouterr().out
    assert clearseek(["receipt", "show", "no-such-model"]) == 1
