"""Receipts in the forms of other tools. model-signing is run where it is installed; Sigstore needs its network."""

from __future__ import annotations

import importlib.util
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from clearseek.cli.main import run as clearseek
from clearseek.receipts.signing import key_folder

HERE = importlib.util.find_spec("model_signing") is not None


@pytest.mark.skipif(HERE, reason="the extra is installed")
@pytest.mark.parametrize("kind", ["model-signing", "sigstore"])
def test_without_the_extra_it_says_how_to_get_it(run: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert clearseek(["receipt", "export", str(run), "--as", kind, "--out", str(run / "out.sig")]) == 1
    assert "clearseek[proof]" in capsys.readouterr().err
    assert not (run / "out.sig").exists()


@pytest.mark.skipif(not HERE, reason="needs the extra `proof`")
def test_model_signing_checks_what_was_exported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent / "model.sig"
    assert clearseek(["receipt", "export", str(run), "--as", "model-signing", "--out", str(out)]) == 0
    assert stat.S_IMODE((key_folder() / "model-signing.pem").stat().st_mode) == 0o600
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(run / "model"), "--signature", str(out)]
    command += ["--public_key", str(key_folder() / "model-signing.pub")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (run / "model" / "weights.bin").write_bytes(b"other")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert clearseek(["receipt", "export", str(run), "--as", "model-signing", "--out", str(run / "x.sig")]) == 3


@pytest.mark.skipif(importlib.util.find_spec("sigstore") is None, reason="needs the extra `proof`")
def test_sigstore_takes_the_statement_as_it_is(run: Path) -> None:
    from sigstore.dsse import Statement

    from clearseek.receipts.envelope import read_envelope

    Statement(read_envelope((run / "receipt.json").read_bytes()).payload)
