"""RFC 3161 against a timestamp authority that runs here: OpenSSL's, behind a loopback HTTP server."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from clearseek.cli.main import run as clearseek
from clearseek.errors import UserError
from clearseek.receipts.timestamp import check_timestamp, request_timestamp

pytest.importorskip("rfc3161_client")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")

_CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """A key and a certificate: a root, or one for timestamps signed by `issuer`."""
    key = rsa.generate_private_key(65537, 2048)
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    signer, subject = key, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = subject
    if issuer is not None:
        signer = serialization.load_pem_private_key((folder / f"{issuer}.key").read_bytes(), None)
        by = x509.load_pem_x509_certificate((folder / f"{issuer}.pem").read_bytes()).subject
    now = datetime.now(UTC)
    usage = {"crl_sign": False, "content_commitment": False, "key_encipherment": False, "data_encipherment": False}
    usage |= {"key_agreement": False, "encipher_only": False, "decipher_only": False}
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(issuer is None, None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=issuer is not None, key_cert_sign=issuer is None, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    made = builder.sign(signer, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


class Authority(BaseHTTPRequestHandler):
    folder: Path
    answer: bytes | None = None

    def do_POST(self) -> None:
        query = self.folder / "query"
        query.write_bytes(self.rfile.read(int(self.headers["content-length"])))
        command = ["openssl", "ts", "-reply", "-config", str(self.folder / "ts.cnf")]
        done = subprocess.run([*command, "-queryfile", str(query)], capture_output=True, check=False)
        self.send_response(200)
        self.send_header("content-type", "application/timestamp-reply")
        self.end_headers()
        self.wfile.write(done.stdout if self.answer is None else self.answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    certificate(folder, "root")
    certificate(folder, "tsa", "root")
    certificate(folder, "other")
    (folder / "serial").write_text("01\n")
    (folder / "ts.cnf").write_text(_CONFIG.format(folder=folder))
    return folder


@pytest.fixture
def authority(folder: Path) -> Iterator[tuple[str, type[Authority]]]:
    handler = type("Here", (Authority,), {"folder": folder})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", handler
    server.shutdown()
    server.server_close()


def test_a_receipt_is_stamped_and_the_stamp_checked(
    run: Path, folder: Path, authority: tuple[str, type[Authority]], capsys: pytest.CaptureFixture[str]
) -> None:
    receipt, token = run / "receipt.json", run / "receipt.json.tsr"
    assert clearseek(["receipt", "timestamp", str(run), "--url", authority[0]]) == 0
    assert "existed at" in capsys.readouterr().out
    assert check_timestamp(receipt, token, folder / "root.pem").state == "ok"
    command = ["receipt", "verify", str(run), "--require", "weights", "--timestamp", str(token), "--authority"]
    assert clearseek([*command, str(folder / "root.pem")]) == 0
    assert "The receipt existed at" in capsys.readouterr().out
    # OpenSSL says the same
    openssl = [
        "openssl",
        "ts",
        "-verify",
        "-data",
        str(receipt),
        "-in",
        str(token),
        "-CAfile",
        str(folder / "root.pem"),
    ]
    assert subprocess.run(openssl, capture_output=True, check=False).returncode == 0
    # an authority that is not trusted
    assert clearseek([*command, str(folder / "other.pem")]) == 3
    # another receipt
    receipt.write_bytes(receipt.read_bytes() + b" ")
    assert check_timestamp(receipt, token, folder / "root.pem").state == "failed"


def test_a_changed_token_is_no_token(run: Path, folder: Path, authority: tuple[str, type[Authority]]) -> None:
    token, _ = request_timestamp(run / "receipt.json", authority[0])
    whole, root = token.read_bytes(), folder / "root.pem"
    told = check_timestamp(run / "receipt.json", token, root)
    failed = 0
    for at in range(0, len(whole), 37):
        token.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        check = check_timestamp(run / "receipt.json", token, root)
        failed += check.state == "failed"
        # a few bytes are signed by nobody (a status, an unused copy of a certificate): they may not change the moment
        assert check == told or check.state == "failed"
    assert failed > 20
    token.write_bytes(b"")
    assert check_timestamp(run / "receipt.json", token, folder / "root.pem").state == "failed"


@pytest.mark.parametrize("answer", [b"", b"hello", b"0" * 100_000])
def test_an_authority_that_talks_nonsense(run: Path, authority: tuple[str, type[Authority]], answer: bytes) -> None:
    authority[1].answer = answer
    with pytest.raises(UserError, match="did not answer"):
        request_timestamp(run / "receipt.json", authority[0])
    assert not (run / "receipt.json.tsr").exists()


def test_an_authority_that_answers_an_older_question(run: Path, authority: tuple[str, type[Authority]]) -> None:
    token, _ = request_timestamp(run / "receipt.json", authority[0])
    authority[1].answer = token.read_bytes()
    token.unlink()
    with pytest.raises(UserError, match="something else"):
        request_timestamp(run / "receipt.json", authority[0])
    assert not token.exists()


def test_no_authority(run: Path) -> None:
    with pytest.raises(UserError, match="could not be asked"):
        request_timestamp(run / "receipt.json", "http://127.0.0.1:9/")
