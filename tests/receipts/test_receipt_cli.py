"""`clearseek receipt`, as a person and as a program use it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from clearseek.cli.main import run as clearseek
from clearseek.errors import UserError
from clearseek.receipts import verify
from clearseek.receipts.signing import SigningKey
from clearseek.receipts.statement import make_receipt

Capture = pytest.CaptureFixture[str]
Forge = Callable[..., Path]


def test_make_then_verify_then_change(run: Path, capsys: Capture) -> None:
    (run / "receipt.json").unlink()
    assert clearseek(["receipt", "make", str(run)]) == 0
    assert clearseek(["receipt", "verify", str(run)]) == 0
    out = capsys.readouterr().out
    assert "this machine's own key" in out
    assert "What a receipt cannot prove" in out
    assert "in order" in out
    weights = run / "model" / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert clearseek(["receipt", "verify", str(run / "receipt.json")]) == 3
    captured = capsys.readouterr()
    assert "subject[1].digest.sha256" in captured.err
    assert captured.err.count("\n") == 1
    assert "What a receipt cannot prove" in captured.out  # told whatever the outcome


def test_json_is_one_document(run: Path, key: SigningKey, capsys: Capture) -> None:
    assert clearseek(["receipt", "verify", str(run), "--key", key.keyid, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["keyid"] == key.keyid
    assert {check["state"] for check in told["checks"] if check["name"] != "code"} == {"ok"}
    assert clearseek(["receipt", "verify", str(run), "--key", "0" * 64, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert clearseek(["receipt", "show", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["statement"]["predicate"]["run"]["name"] == "small"
    assert clearseek(["receipt", "key", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["public_key"]) == 64
    assert clearseek(["receipt", "make", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"].endswith("receipt.json")


def test_show_in_a_terminal_and_as_a_page(run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert clearseek(["receipt", "show", str(run)]) == 0
    out = capsys.readouterr().out
    for word in ("warm-up", "main", "768 tokens", "294,912 FLOP", "train accuracy", "weights.bin", "cannot prove"):
        assert word in out
    page = tmp_path / "receipt.html"
    assert clearseek(["receipt", "show", str(run), "--html", str(page)]) == 0
    text = page.read_text()
    HTMLParser().feed(text)
    for word in ("warm-up", "294,912 FLOP", "weights.bin", "What a receipt cannot prove", "arXiv:2108.09454"):
        assert word in text
    assert "<script" not in text
    assert clearseek(["receipt", "show", str(run), "--html", str(page)]) == 1  # never over another file


def test_a_run_is_found_by_its_name(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("CLEARSEEK_HOME", str(run.parent.parent))  # .../runs/small
    monkeypatch.chdir("/")
    assert clearseek(["receipt", "show", "small"]) == 0
    assert clearseek(["receipt", "verify", "small", "--require", "weights,ledger"]) == 0


def test_a_forged_receipt_is_shown_as_such(run: Path, tmp_path: Path, forge: Forge, capsys: Capture) -> None:
    def lie(statement: dict[str, Any]) -> None:
        statement["predicate"]["totals"]["flops"]["value"] = 1
        statement["predicate"]["run"]["name"] = "<script>alert(1)</script>\x1b[31m[bold]x"

    forge(run, lie)
    page = tmp_path / "forged.html"
    assert clearseek(["receipt", "show", str(run), "--html", str(page)]) == 3
    assert "not in order" in page.read_text()
    assert "<script" not in page.read_text()
    capsys.readouterr()
    assert clearseek(["receipt", "show", str(run)]) == 3
    captured = capsys.readouterr()
    assert "\x1b[31m" not in captured.out
    assert "[bold]x" in captured.out
    assert "predicate.totals.flops" in captured.err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["verify", "no/such/receipt.json"], 1, "does not exist"),
        (["show", "no/such/receipt.json"], 1, "does not exist"),
        (["verify", "RUN", "--key", "zz"], 2, "neither a key file"),
        (["verify", "RUN", "--models", "/no/such"], 1, "not a folder"),
        (["verify", "RUN", "--timestamp", "x"], 2, "give both"),
        (["make", "/no/such"], 1, "not a folder"),
        (["export", "RUN", "--as", "pdf", "--out", "x"], 2, "no export `pdf`"),
        (["timestamp", "RUN", "--url", "ftp://x"], 2, "no address"),
    ],
)
def test_wrong_usage_gets_one_sentence(run: Path, args: list[str], code: int, said: str, capsys: Capture) -> None:
    assert clearseek(["receipt", *(str(run) if arg == "RUN" else arg for arg in args)]) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


WRONG_FLOPS = {"prompt_tokens": {"value": 1, "unit": "FLOP/token", "basis": "modelled", "how": "a guess"}}


def write_notes(run: Path, **more: object) -> None:
    notes = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**notes, **more}))


def spoil_ledger(run: Path) -> None:
    path = run / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"step":"3"', b'"step":"4"', 1))


def remove_weights(run: Path) -> None:
    shutil.rmtree(run / "model")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove_weights, "holds no weights"),
        (spoil_ledger, "broken at line"),
        (lambda run: (run / "ledger.jsonl").unlink(), "made from a run's ledger"),
        (lambda run: (run / "ledger.jsonl").write_bytes(b""), "holds no work"),
        (lambda run: (run / "recipe.toml").write_text("= ="), "not valid TOML"),
        (lambda run: (run / "run.json").write_text("{"), "not JSON"),
        (lambda run: (run / "run.json").write_text('{"stagse": {}}'), "unknown key `stagse`"),
        (lambda run: (run / "run.json").write_text('{"parents": [{"name": "x"}]}'), "predicate.parents"),
        (lambda run: (run / "run.json").write_text('{"stages": [1]}'), "`stages`"),
        (lambda run: (run / "run.json").write_text('{"attempts": [1]}'), "`attempts`"),
        (lambda run: (run / "run.json").write_text("{}"), "declares no price"),
        (lambda run: write_notes(run, stages={"main": {"flops_per_token": WRONG_FLOPS}}), "FLOPs per token"),
        (lambda run: (run / "evaluations" / "accuracy.json").write_text("[]"), "no evaluation"),
    ],
)
def test_no_receipt_is_made_of_what_is_not_in_order(
    run: Path, key: SigningKey, spoil: Callable[[Path], object], said: str
) -> None:
    before = (run / "receipt.json").read_bytes()
    spoil(run)
    with pytest.raises(UserError, match=said):
        make_receipt(run, key=key)
    assert (run / "receipt.json").read_bytes() == before


def test_a_run_without_notes_has_a_receipt_too(run: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "run.json").unlink()
    monkeypatch.setenv("CLEARSEEK_PRICES__MACHINE_USD_PER_HOUR", "0.10")
    make_receipt(run, key=key)
    verification = verify(run)
    assert verification.ok, verification.failed
    assert verification.statement is not None
    assert verification.statement["predicate"]["run"]["name"] == "small"


def test_a_ledger_that_was_healed_says_so(run: Path, key: SigningKey) -> None:
    from clearseek.ledger.book import Book
    from clearseek.ledger.entry import Draft

    with (run / "ledger.jsonl").open("ab") as file:
        file.write(b'{"at":"2026-')
    with pytest.raises(UserError, match="torn"):
        make_receipt(run, key=key)
    book = Book(run / "ledger.jsonl")
    book.append(Draft("train", labels={"stage": "main", "attempt": "2"}))
    book.close()
    make_receipt(run, key=key)
    verification = verify(run)
    assert verification.ok, verification.failed
    assert verification.statement is not None
    assert verification.statement["predicate"]["ledger"]["healed"] == 1
