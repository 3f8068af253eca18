"""A check that could not be made is no check: what is missing is told first, and `verify && deploy` stops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clearseek.cli.main import run as clearseek
from clearseek.ledger.canonical import canonical
from clearseek.receipts import verify
from clearseek.receipts.check_weights import whole_forms
from clearseek.receipts.envelope import read_envelope
from clearseek.receipts.outcome import Verification
from clearseek.receipts.requirements import REQUIREMENTS
from clearseek.receipts.signing import SigningKey, public_pem, signing_key
from clearseek.receipts.statement import write_receipt
from clearseek.settings import model_data

Capture = pytest.CaptureFixture[str]
SHIPPED = model_data() / "clearseek-r1-135m"


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped model's papers in a folder of their own, and an empty home."""
    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(SHIPPED, tmp_path / "copied"))


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def failed(verification: Verification) -> set[str]:
    return {check.name for check in verification.failed}


def test_the_shipped_receipt_verifies_and_its_signer_is_known(shipped: Path, capsys: Capture) -> None:
    assert clearseek(["receipt", "verify", str(shipped)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("What was asked for was checked and is in order (weights, ledger, signer).")
    assert "a key of the ClearSeek project" in out
    assert f"({shipped / 'adapter.safetensors'})" in "".join(out.split())  # the table may break the path


@pytest.mark.parametrize("at", [0, 9_000_000, -1])
def test_one_byte_of_the_adapter(shipped: Path, at: int) -> None:
    flip(shipped / "adapter.safetensors", at)
    verification = verify(shipped)
    assert failed(verification) == {"weights"}
    assert "adapter/adapter.safetensors is not the file" in verification.failed[0].said
    assert verification.failed[0].files == ("adapter/adapter.safetensors",)


@pytest.mark.parametrize("name", ["adapter.json", "ledger.jsonl", "recipe.toml", "evaluations/test-after.json"])
def test_one_byte_of_any_other_paper(shipped: Path, name: str) -> None:
    flip(shipped / name, 400)
    assert not verify(shipped).ok


def test_a_good_copy_elsewhere_does_not_speak_for_a_bad_one_here(shipped: Path, tmp_path: Path) -> None:
    store = tmp_path / "home" / "models" / "clearseek-r1-135m"
    shutil.copytree(SHIPPED, store)
    (shipped / "adapter.safetensors").write_bytes(b"garbage")
    assert failed(verify(shipped)) == {"weights"}
    (shipped / "adapter.safetensors").unlink()  # not here at all: the one in the store is told with its path
    verification = verify(shipped)
    assert verification.ok
    said = next(check.said for check in verification.checks if check.name == "weights" and check.state == "ok")
    assert f"adapter/adapter.safetensors ({store / 'adapter.safetensors'})" in said


@pytest.mark.parametrize(
    "place", ["adapter/adapter.safetensors", "415959d2160d15c6.gguf", "model.gguf", "adapter.gguf"]
)
def test_garbage_under_any_name_that_clearseek_writes(shipped: Path, place: str) -> None:
    (shipped / place).parent.mkdir(exist_ok=True)
    (shipped / place).write_bytes(b"GGUF garbage")
    assert failed(verify(shipped)) == {"weights"}


def test_a_store_folder_that_was_copied_elsewhere(shipped: Path) -> None:
    (shipped / "model.json").write_text(json.dumps({"file": "weights.gguf"}))
    (shipped / "weights.gguf").write_bytes(b"GGUF garbage")
    assert failed(verify(shipped)) == {"weights"}
    (shipped / "model.json").unlink()  # nobody says now that these are the model's: they are told as not covered
    verification = verify(shipped)
    assert verification.ok
    told = [check.said for check in verification.skipped if check.name == "weights"]
    assert "weights.gguf beside this receipt is not what it is about." in told


def remove_ledger(run: Path) -> None:
    (run / "ledger.jsonl").unlink()


def remove_weights(run: Path) -> None:
    shutil.rmtree(run / "model")


@pytest.mark.parametrize(
    ("spoil", "missing"),
    [
        (remove_ledger, ["ledger"]),
        (remove_weights, ["weights"]),
        (lambda run: [remove_weights(run), remove_ledger(run)], ["weights", "ledger"]),
        (lambda run: (run / "model" / "config.json").unlink(), []),
        (lambda run: (run / "model" / "weights.bin").unlink(), ["weights"]),
    ],
)
def test_what_is_gone_is_said_first_and_is_exit_code_4(
    run: Path, key: SigningKey, spoil: Callable[[Path], object], missing: list[str], capsys: Capture
) -> None:
    spoil(run)
    code = clearseek(["receipt", "verify", str(run), "--key", key.keyid])
    captured = capsys.readouterr()
    assert code == (4 if missing else 0)
    first = captured.out.splitlines()[0]
    assert first.endswith(f"{', '.join(missing)}." if missing else "(weights, ledger, signer).")
    assert ("in order" in first) == (not missing)
    assert captured.err.count("\n") == bool(missing)
    assert clearseek(["receipt", "verify", str(run), "--key", key.keyid, "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["missing"], told["failed"]) == (not missing, missing, [])
    assert clearseek(["receipt", "verify", str(run), "--key", key.keyid, "--require", "none"]) == 0


def test_everything_and_one_thing_of_it(run: Path, key: SigningKey, capsys: Capture, monkeypatch) -> None:
    code = read_envelope((run / "receipt.json").read_bytes()).statement["predicate"]["code"]
    monkeypatch.setattr("clearseek.receipts.gather.code", lambda: code)
    command = ["receipt", "verify", str(run), "--key", key.keyid]
    assert clearseek([*command, "--strict"]) == 0
    for required, gone in (
        ("checkpoints", "checkpoints/step-000006/weights.bin"),
        ("evaluations", "evaluations/accuracy.json"),
        ("recipe", "recipe.toml"),
        ("data", "data.csv"),
        ("all-weights", "model/config.json"),
    ):
        kept = (run / gone).read_bytes()
        (run / gone).unlink()
        assert clearseek([*command, "--require", required]) == 4
        assert clearseek([*command, "--strict"]) == 4
        assert clearseek(command) == 0, gone
        (run / gone).write_bytes(kept)
    capsys.readouterr()


@pytest.mark.parametrize("said", ["wieghts", "weights,,leger", "", ",", "weights ledger"])
def test_what_nobody_could_require_is_refused_in_words(run: Path, said: str, capsys: Capture) -> None:
    assert clearseek(["receipt", "verify", str(run), "--require", said]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(name in err for name in REQUIREMENTS)


def test_anybodys_receipt_is_not_accepted(run: Path, tmp_path: Path, key: SigningKey, monkeypatch, capsys) -> None:
    """The shipped receipt, or one's own, signed again by somebody else: whole, and by nobody that is known."""
    stranger = signing_key(tmp_path / "stranger")
    statement = read_envelope((run / "receipt.json").read_bytes()).statement
    statement["predicate"]["signer"] |= {"public_key": stranger.public.hex(), "keyid": stranger.keyid}
    write_receipt(run / "receipt.json", canonical(statement), stranger)
    assert clearseek(["receipt", "verify", str(run)]) == 4
    captured = capsys.readouterr()
    assert "anybody can have signed it" in " ".join(captured.out.split())
    assert captured.err.endswith("could be checked: signer.\n")
    assert clearseek(["receipt", "verify", str(run), "--require", "signer"]) == 4
    assert clearseek(["receipt", "verify", str(run), "--key", key.keyid]) == 3
    both = tmp_path / "keys.pub"  # several keys in a file: one of them is enough
    both.write_text(f"# two friends\n{key.keyid}\n{public_pem(stranger.public)}")
    assert clearseek(["receipt", "verify", str(run), "--key", str(both)]) == 0
    home = tmp_path / "home"
    monkeypatch.setenv("CLEARSEEK_HOME", str(home))
    (home / "keys").mkdir(parents=True)
    shutil.copy(both, home / "keys" / "trusted.pub")
    assert clearseek(["receipt", "verify", str(run)]) == 0
    assert "a key that you trust" in capsys.readouterr().out
    (home / "keys" / "trusted.pub").write_text("nonsense\n")
    assert clearseek(["receipt", "verify", str(run)]) == 2
    assert verify(SHIPPED, key=str(both)).signer == "unknown"


def test_links_are_followed_and_told(run: Path, tmp_path: Path, key: SigningKey) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(run / "model", elsewhere)
    (run / "model").symlink_to(elsewhere)
    verification = verify(run, key=key.keyid)
    assert verification.ok
    assert verification.missing(["all-weights"]) == []
    said = next(check.said for check in verification.checks if check.name == "weights")
    assert f"model/weights.bin (a link to {elsewhere / 'weights.bin'})" in said
    flip(elsewhere / "weights.bin")
    assert failed(verify(run, key=key.keyid)) == {"weights"}
    (elsewhere / "weights.bin").unlink()
    (elsewhere / "weights.bin").symlink_to(tmp_path / "nowhere")  # leads nowhere: not here
    assert verify(run, key=key.keyid).missing(["weights"]) == ["weights"]


def test_files_are_counted_and_not_lines(run: Path, capsys: Capture, key: SigningKey) -> None:
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "model")
    clearseek(["receipt", "verify", str(run), "--key", key.keyid])
    assert "Could not be checked: 4 files" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("names", "good", "whole"),
    [
        (["model.gguf", "model/model.safetensors"], ["model.gguf"], ["model.gguf"]),
        (["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"], ["m-00001-of-00002.safetensors"], []),
        (["a/m-00001-of-00001.gguf", "README.md"], ["README.md"], []),
        (["weights", "config"], ["weights"], []),
        (["weights", "config"], ["weights", "config"], ["weights", "config"]),
    ],
)
def test_a_part_of_a_model_is_not_a_model(names: list[str], good: list[str], whole: list[str]) -> None:
    assert whole_forms(names, good) == whole
