"""Our own receipts, with the same code."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from clearseek.audit import examine
from clearseek.audit.receipt import load
from clearseek.errors import UsageError
from clearseek.ledger.book import Book
from clearseek.ledger.entry import Draft
from clearseek.ledger.quantity import declared, measured, modelled
from clearseek.receipts.signing import SigningKey
from clearseek.receipts.statement import make_receipt


@pytest.fixture
def receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two stages on eight H100: 1e9 tokens in each, of 1e10 FLOP."""
    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights.bin").write_bytes(b"weights")
    (folder / "recipe.toml").write_text('name = "two"\n')
    book = Book(folder / "ledger.jsonl")
    for stage in ("sft", "grpo"):
        quantities = {
            "wall": measured(3600, "s", "clock"),
            "prompt_tokens": measured(1_000_000_000, "token", "counted"),
            "flops": modelled(1e19, "FLOP", "6 N"),
        }
        book.append(Draft("train", None, {"run": "two", "stage": stage, "attempt": "1"}, quantities))
    book.close()
    each = {"flops_per_token": {"prompt_tokens": modelled(1e10, "FLOP/token", "6 N").as_json()}}
    notes = {
        "name": "two",
        "stages": {"sft": each, "grpo": each},
        "machine": {"system": "Linux", "processor": "x", "cores": 8, "memory": measured(1e12, "B").as_json(),
                    "accelerators": ["NVIDIA H100-SXM"] * 8},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(notes))
    return make_receipt(folder)


def changed(receipt: Path, change: Any) -> Path:
    envelope = json.loads(receipt.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    other = receipt.with_name("changed.json")
    other.write_text(json.dumps(envelope))
    return other


def test_a_receipt_is_examined_like_a_claim(receipt: Path) -> None:
    e = examine(load(receipt))
    assert e.verdict.status == "consistent"
    assert "metered" in e.verdict.why
    assert not e.verdict.shares
    # 2e19 FLOP on eight chips of 989 TFLOP/s in two hours
    assert e.verdict.goodput.value == pytest.approx(2e19 / (8 * 7200 * 989e12))
    bases = {line.name: str(line.quantity.basis) for line in e.lines}
    assert (bases["wall_time"], bases["flops"], bases["peak"]) == ("measured", "modelled", "declared")
    assert any("receipt verify" in note for note in e.claim.notes)


def test_flops_that_are_not_tokens_times_flops_per_token(receipt: Path) -> None:
    def double(statement: dict[str, Any]) -> None:
        for stage in statement["predicate"]["stages"]:
            stage["flops_per_token"]["prompt_tokens"]["value"] *= 2

    e = examine(load(changed(receipt, double)))
    assert e.verdict.status == "inconsistent"
    assert "FLOP in all" in e.verdict.headline


def test_more_than_the_chips_can_do(receipt: Path) -> None:
    def speed(statement: dict[str, Any]) -> None:
        statement["predicate"]["totals"]["wall"]["value"] /= 1000
        for stage in statement["predicate"]["stages"]:
            stage["quantities"]["wall"]["value"] /= 1000

    e = examine(load(changed(receipt, speed)))
    assert e.verdict.status == "impossible"
    assert e.says_no


def test_a_machine_that_is_not_in_the_table_can_be_given_a_peak(receipt: Path) -> None:
    def small(statement: dict[str, Any]) -> None:
        statement["predicate"]["machine"]["accelerators"] = ["a card that nobody knows"]

    other = changed(receipt, small)
    assert examine(load(other)).verdict.goodput.value is None
    told = examine(load(other, {"hardware.peak": "5000 TFLOP/s"}))
    assert told.verdict.goodput.value == pytest.approx(2e19 / (7200 * 5e15))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"payload": 3}', b'{"payload": "e30="}', b"\xff", b"[" * 9999]
)
def test_what_is_no_receipt_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is no receipt"):
        load(path)


def test_another_version_is_told(receipt: Path) -> None:
    def newer(statement: dict[str, Any]) -> None:
        statement["predicateType"] = "urn:clearseek:training-receipt:v2"

    with pytest.raises(UsageError, match=r"training-receipt:v2.*known here is"):
        load(changed(receipt, newer))


def test_a_predicate_with_holes_is_told(receipt: Path) -> None:
    for key in ("totals", "stages", "machine", "run"):
        with pytest.raises(UsageError, match="does not hold what a receipt holds"):
            load(changed(receipt, lambda statement, key=key: statement["predicate"].pop(key)))


def test_signing_keys_are_not_needed() -> None:
    assert SigningKey  # the room of receipts is only used to make one here; the audit reads the file by itself
    import ast

    import clearseek.audit.receipt as module

    tree = ast.parse(Path(module.__file__).read_text())
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not any(name and "receipts" in name for name in names)


SHIPPED = Path(__file__).parents[2] / "src" / "clearseek" / "data" / "models" / "clearseek-r1-135m" / "receipt.json"


def test_what_made_the_model_is_all_of_its_runs(tmp_path: Path) -> None:
    """The shipped receipt is about the last of three: the figures are of the three, or say that they are not."""
    e = examine(load(SHIPPED))
    assert "and of the 2 that it builds on" in e.claim.title
    values = {line.name: line.quantity.value for line in e.lines}
    assert values["flops"] == pytest.approx(1.0359e15, rel=1e-4)
    assert values["wall_time"] * 60 == pytest.approx(187.6, abs=0.1)
    assert "usd" not in e.claim.stated  # a sum is as good as its worst term
    assert any("money of 1 of 3 runs is unknown (r1-cold-start)" in note for note in e.claim.notes)
    alone = tmp_path / "receipt.json"
    alone.write_bytes(SHIPPED.read_bytes())
    one = examine(load(alone))
    assert one.claim.scope == "stage"
    assert any("the only one in these figures" in note for note in one.claim.notes)
    (tmp_path / "parents").mkdir()  # the nearer parent alone is not enough
    near = SHIPPED.parent / "parents" / "clearseek-r1-135m.json"
    (tmp_path / "parents" / "x.json").write_bytes(near.read_bytes())
    assert examine(load(alone)).claim.scope == "stage"


def on_a_processor(statement: dict[str, Any], flops: float, seconds: float, **machine: Any) -> None:
    predicate = statement["predicate"]
    predicate["machine"] |= {"accelerators": [], "cores": 2, "processor": "AMD EPYC"} | machine
    for part in (predicate["totals"], *(stage["quantities"] for stage in predicate["stages"])):
        share = 1.0 if part is predicate["totals"] else 0.5
        part["flops"]["value"], part["wall"]["value"] = flops * share, seconds * share
        part["prompt_tokens"]["value"] = flops * share / 1e10


@pytest.mark.parametrize(
    ("seconds", "machine", "status"),
    [
        (200.0, {}, "consistent"),  # 2.26 TFLOP on two cores, as it was
        (0.5, {}, "impossible"),
        (2.1, {"arithmetic": {"dtype": "float32", "rollout_dtype": "float32"}}, "impossible"),  # a hundredth
        (0.5, {"processor": "a processor that nobody knows"}, "consistent"),  # then anything that was ever sold
        (0.02, {"processor": "a processor that nobody knows"}, "impossible"),
    ],
)
def test_what_no_processor_can_do_is_found_without_being_told_a_peak(
    receipt: Path, seconds: float, machine: dict[str, Any], status: str
) -> None:
    e = examine(load(changed(receipt, lambda statement: on_a_processor(statement, 2.26e12, seconds, **machine))))
    assert e.verdict.status == status
    assert any("a bound on what" in note for note in e.claim.notes)


def test_a_small_peak_is_not_shown_as_nothing(receipt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clearseek.cli.main import run as clearseek

    slow = changed(receipt, lambda statement: on_a_processor(statement, 2.26e12, 2.1))
    clearseek(["audit", str(slow), "--set", "hardware.peak=0.15 TFLOP/s", "--set", "run.mfu=0.1"])
    page = slow.with_name("page.html")
    clearseek(["audit", str(slow), "--set", "hardware.peak=0.15 TFLOP/s", "--html", str(page)])
    out = capsys.readouterr().out + page.read_text()
    assert "150 GFLOP/s" in out
    assert "(0 TFLOP/s)" not in out
    assert " 0 TFLOP/s" not in out


def test_money_and_energy_are_examined_where_flops_are_unknown(receipt: Path) -> None:
    def without(statement: dict[str, Any]) -> None:
        totals = statement["predicate"]["totals"]
        totals["flops"]["value"] = None
        totals["money"] = declared(40.0, "USD", "rent").as_json()
        totals["energy"] = measured(3.6e7, "J", "a meter").as_json()

    claim = load(changed(receipt, without))
    assert claim.first("flops") is None
    money, energy = claim.first("usd"), claim.first("energy")
    assert money is not None
    assert energy is not None
    assert money.quantity.value == 40.0
    assert energy.quantity.value == pytest.approx(10.0)  # kWh
