"""The model that the package ships: assembled on this machine to the promised bytes, with a receipt that verifies."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from clearseek.hub.catalogue import catalogue
from clearseek.hub.files import hash_file
from clearseek.hub.store import Store
from clearseek.receipts.verify import verify
from clearseek.settings import OWN_MODEL, default_model, model_data

SHIPPED = model_data() / OWN_MODEL


def test_it_is_the_default_and_its_papers_verify_as_they_lie_in_the_package() -> None:
    assert default_model() == OWN_MODEL
    verification = verify(SHIPPED)
    assert verification.ok, verification.failed
    assert verification.statement is not None
    told = verification.statement["predicate"]
    record = json.loads((SHIPPED / "adapter.json").read_text())
    about = {one["digest"]["sha256"] for one in verification.statement["subject"]}
    assert {record["weights"]["sha256"], record["result"]["sha256"]} <= about
    assert told["base"]["digest"]["sha256"] == record["base"]["sha256"]
    assert {stage["kind"] for stage in told["stages"]} & {"sft", "grpo"}
    assert told["evaluations"]
    assert told["checkpoints"]


def test_what_was_tested_was_never_trained_on() -> None:
    """A trained task's card compares its test problems with a thousand that may be trained on: none is the same."""
    recipe = tomllib.loads((SHIPPED / "recipe.toml").read_text())
    assert recipe["suite"] == "r1"
    cards = [path for path in sorted((SHIPPED / "data" / "cards").glob("*.json")) if "croissant" not in path.name]
    compared = {card.stem: near for card in cards if (near := json.loads(card.read_text()).get("near"))}
    assert len(compared) == 9  # those never trained on have nothing to be compared with
    assert {near["exact"] for near in compared.values()} == {0}


@pytest.mark.slow
def test_a_pull_assembles_the_file_that_the_receipt_is_about(model_store: Store) -> None:
    model = model_store.find(OWN_MODEL)
    record = json.loads((SHIPPED / "adapter.json").read_text())
    assert hash_file(model.path) == record["result"]["sha256"] == model.sha256
    assert model.thinking == "native"
    assert verify(Path(model.path).parent).ok
    entry = next(one for one in catalogue() if one.name == OWN_MODEL)
    assert entry.adapter == OWN_MODEL
