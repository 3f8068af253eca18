"""The signing key: made once, readable by its owner only, and whose it is can be told."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from clearseek.errors import UserError
from clearseek.receipts.envelope import pae, read_envelope
from clearseek.receipts.signing import SigningKey, own_public_key, public_pem, signing_key


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_on_first_use_and_then_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    key = signing_key(folder)
    assert (mode(folder), mode(folder / "signing.pem"), mode(folder / "signing.pub")) == (0o700, 0o600, 0o644)
    assert signing_key(folder).public == key.public == own_public_key(folder)
    assert key.keyid == hashlib.sha256(key.public).hexdigest()
    (folder / "signing.pub").unlink()
    assert own_public_key(folder) is None
    signing_key(folder)
    assert own_public_key(folder) == key.public


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, bits: int) -> None:
    signing_key(tmp_path)
    (tmp_path / "signing.pem").chmod(bits)
    with pytest.raises(UserError, match="chmod 600"):
        signing_key(tmp_path)


def test_what_is_no_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    path.write_text("hello")
    path.chmod(0o600)
    with pytest.raises(UserError, match="no Ed25519 key"):
        signing_key(tmp_path)
    assert path.read_text() == "hello"


def test_two_processes_make_one_key(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from clearseek.receipts.signing import signing_key as k\n"
    program += "print(k(Path(sys.argv[1])).keyid)"
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "keys")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=60)[0] for process in running}) == 1
    assert all(process.returncode == 0 for process in running)


def test_openssl_agrees(trained: Path, key: SigningKey, tmp_path: Path) -> None:
    """A stranger needs no ClearSeek to check a signature."""
    envelope = read_envelope((trained / "receipt.json").read_bytes())
    for name, content in (
        ("signed", pae(envelope.payload)),
        ("sig", envelope.signature),
        ("pub", public_pem(key.public).encode()),
    ):
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-rawin", "-in", "signed", "-sigfile", "sig"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "signed").write_bytes(pae(envelope.payload + b" "))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0
