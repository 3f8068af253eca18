"""What a model cost is what all runs took that led to it, in every view; each is checked by its own books."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clearseek.cli.main import run as clearseek
from clearseek.hub.receipt_files import copy_receipt_files, receipt_files_of
from clearseek.ledger.quantity import declared
from clearseek.receipts import verify
from clearseek.receipts.gather import sha256_of
from clearseek.receipts.lineage import Lineage, lineage_of
from clearseek.receipts.signing import SigningKey, signing_key
from clearseek.receipts.statement import make_receipt
from clearseek.receipts.verify import glance
from clearseek.settings import model_data

SHIPPED = model_data() / "clearseek-r1-135m"


@pytest.fixture
def three(trained: Path, tmp_path: Path, key: SigningKey) -> list[Path]:
    """Three runs, each the next one's base; the first was signed by another key."""
    folders = [Path(shutil.copytree(trained, tmp_path / "runs" / name)) for name in ("first", "second", "third")]
    earlier = None
    for folder in folders:
        notes = json.loads((folder / "run.json").read_text()) | {"name": folder.name}
        if earlier is not None:
            notes["parents"] = [{"name": earlier.name, "digest": {"sha256": sha256_of(earlier / "receipt.json")}}]
            notes["base"] = {"name": "it", "digest": {"sha256": sha256_of(earlier / "model" / "weights.bin")}}
        (folder / "run.json").write_text(json.dumps(notes))
        make_receipt(folder, key=key if earlier else signing_key(tmp_path / "other-keys"))
        earlier = folder
    return folders


def lineage(path: Path) -> Lineage:
    verification = glance(path)
    assert verification.statement is not None
    return lineage_of(verification.statement, path / "receipt.json", verification.public)


def test_all_runs_of_the_shipped_model() -> None:
    """The figures of docs/lab/r1-135m.md from three receipts: 187.7 minutes, 1,036 TFLOP, money unknown in one."""
    found = lineage(SHIPPED)
    totals = found.totals()
    assert [name for name, _ in found.runs] == ["r1-everyday", "r1-practice", "r1-cold-start"]
    assert totals["wall"].value == pytest.approx(11257.5, abs=0.1)
    assert totals["flops"].value == pytest.approx(1.0359e15, rel=1e-4)
    assert totals["money"].value is None
    part, count = found.known()["money"]
    assert (part.value, count) == (pytest.approx(0.12527, abs=1e-5), 2)
    assert [key[:8] for key in found.signed_by()] == ["3b717b46", "c8f03074"]
    assert all(one.signer is not None and one.signer.whose == "project" for one in found.ancestors)


def test_every_view_tells_it(three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    third = str(three[2])
    assert clearseek(["receipt", "show", third]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "What this run took, the last of several" in out
    assert "3 runs made this model, one after the other: first" in out
    assert "2,304 tokens" in out  # three times 768
    assert "2 keys signed them" in out
    assert clearseek(["receipt", "show", third, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["all_runs"]
    assert [run["name"] for run in told["runs"]] == ["third", "second", "first"]
    assert told["totals"]["prompt_tokens"]["value"] == 2304
    assert told["totals"]["flops"]["value"] == 3 * 294912
    page = tmp_path / "page.html"
    assert clearseek(["receipt", "show", third, "--html", str(page)]) == 0
    text = page.read_text()
    assert "What all runs took together" in text
    assert "2,304 tokens" in text
    assert clearseek(["receipt", "show", str(three[0]), "--json"]) == 0
    assert "last of several" not in capsys.readouterr().out


def test_a_sum_is_as_good_as_its_worst_term(three: list[Path], tmp_path: Path) -> None:
    shutil.rmtree(three[0])
    found = lineage(three[2])
    assert found.missing == ["first"]
    assert {quantity.value for quantity in found.totals().values()} == {None}
    part, count = found.known()["prompt_tokens"]
    assert (part.value, count) == (1536, 2)


def test_money_of_one_that_was_not_priced(three: list[Path], key: SigningKey) -> None:
    """A run that books no money at all does not count as free."""
    statement = glance(three[2]).statement
    assert statement is not None
    own = lineage(three[2])
    ancestor = own.ancestors[0]
    assert ancestor.statement is not None
    del ancestor.statement["predicate"]["totals"]["money"]
    assert own.totals()["money"].value is None
    assert own.known()["money"][1] == 2
    assert declared(1, "USD").known


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "ledger.jsonl").write_bytes((run / "ledger.jsonl").read_bytes()[:-2]), "torn"),
        (lambda run: (run / "recipe.toml").write_text("x = 1"), "recipe.toml was changed"),
        (lambda run: (run / "evaluations" / "accuracy.json").write_text("{}"), "accuracy.json was changed"),
    ],
)
def test_a_parents_books_are_checked(three: list[Path], spoil: Spoil, said: str) -> None:
    assert verify(three[2]).ok
    spoil(three[0])
    (check,) = verify(three[2]).failed
    assert check.name == "parents"
    assert check.said.startswith("Of the run first: ")
    assert said in check.said


def test_a_parents_books_that_are_not_here_are_named(three: list[Path]) -> None:
    (three[0] / "ledger.jsonl").unlink()
    verification = verify(three[2])
    assert verification.ok
    assert verification.missing(["parents"]) == ["parents"]
    assert "first/ledger.jsonl" in {file for check in verification.skipped for file in check.files}


def test_the_shipped_parents_have_their_books(tmp_path: Path) -> None:
    verification = verify(SHIPPED)
    assert verification.missing(["parents"]) == []
    told = " ".join(check.said for check in verification.checks if check.name == "parents")
    for run in ("r1-practice", "r1-cold-start"):  # three runs under one name, told apart
        assert f"The receipt of clearseek-r1-135m (run {run})" in told
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "parents" / "gone").mkdir(parents=True)
    (copy / "parents" / "gone" / "ledger.jsonl").write_text("")
    copy_receipt_files(receipt_files_of(SHIPPED), copy)  # what a store does
    assert verify(copy).missing(["parents", "ledger"]) == []
    assert not (copy / "parents" / "gone").exists()
    kept = tmp_path / "kept"  # installed by an earlier version: the books are in the package
    shutil.move(copy / "parents" / "clearseek-r1-135m", kept)
    found = verify(copy)
    assert found.missing(["parents"]) == []
    assert any(str(SHIPPED) in check.said for check in found.checks if check.name == "parents")
    shutil.move(kept, copy / "parents" / "clearseek-r1-135m")
    ledger = copy / "parents" / "clearseek-r1-135m-1fc13c03" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"step":"7"', b'"step":"8"', 1))
    assert [check.name for check in verify(copy).failed] == ["parents"]
