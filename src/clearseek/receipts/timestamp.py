"""RFC 3161: an authority confirms that a receipt existed at a moment, and anybody can check it later.

What a signature cannot say is when: whoever holds the key can date a receipt as they like. A timestamp authority signs
the receipt's SHA-256 together with its own clock. Only that hash leaves the machine. The token lies beside the receipt
as `receipt.json.tsr`, and `openssl ts -verify` checks it too. Needs the extra `proof`.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clearseek.errors import UsageError, UserError
from clearseek.receipts.envelope import read_file
from clearseek.receipts.outcome import Check

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SECONDS = 30
_MOST = 1 << 20
SUFFIX = ".tsr"


def request_timestamp(receipt: Path, url: str) -> tuple[Path, str]:
    """Have the authority at `url` stamp a receipt; returns where the token is, and the moment in it (ISO 8601).

    Raises UserError where the authority does not answer, refuses, or answers about something else. Its signature is
    not checked here: `check_timestamp` does that, against certificates that came some other way.
    """
    rfc3161 = _library()
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UsageError(f"`{url}` is no address of a timestamp authority; it begins with https:// or http://.")
    content = read_file(receipt)
    request = rfc3161.TimestampRequestBuilder().data(content).hash_algorithm(rfc3161.HashAlgorithm.SHA256).build()
    answer = _post(url, request.as_bytes())
    try:
        response = rfc3161.decode_timestamp_response(answer)
        granted = int(response.status) in (0, 1)
    except Exception as error:  # the decoder is another language's: its errors are not promised
        raise UserError(f"The authority at {url} did not answer as RFC 3161 says: {error}.") from None
    if not granted:
        said = "; ".join(str(part) for part in response.status_string or ()) or f"status {int(response.status)}"
        raise UserError(f"The authority at {url} refused: {said[:200]}.")
    stamped = response.tst_info
    if stamped.message_imprint.message != hashlib.sha256(content).digest() or stamped.nonce != request.nonce:
        raise UserError(f"The authority at {url} answered about something else; nothing was kept.")
    from clearseek.hub.files import write_aside

    path = receipt.with_name(receipt.name + SUFFIX)
    try:
        write_aside(path, answer)
    except OSError as error:
        raise UserError(f"{path} could not be written: {(error.strerror or str(error)).lower()}.") from None
    return path, stamped.gen_time.isoformat()


def check_timestamp(receipt: Path, token: Path, authority: Path) -> Check:
    """Check a token against a receipt and the authority's certificates (PEM: roots, and what lies between).

    Raises UserError for files that cannot be read, UsageError for certificates that are none.
    """
    rfc3161 = _library()
    content, answer = read_file(receipt), _read(token)
    builder = rfc3161.VerifierBuilder()
    for certificate in _certificates(authority):
        if certificate.issuer == certificate.subject:
            builder = builder.add_root_certificate(certificate)
        else:
            builder = builder.add_intermediate_certificate(certificate)
    try:
        verifier = builder.build()
    except ValueError:
        raise UsageError(f"{authority} holds no root certificate (one that is signed by itself).") from None
    name = token.name
    try:
        response = rfc3161.decode_timestamp_response(answer)
        verifier.verify_message(response, content)
    except (rfc3161.VerificationError, ValueError) as error:
        message = f"{name} does not show that this receipt existed: {str(error).rstrip('.')}."
        return Check("timestamp", "failed", name, message.replace("\n", " ")[:300])
    return Check("timestamp", "ok", name, f"The receipt existed at {response.tst_info.gen_time.isoformat()}.")


def _library() -> Any:
    try:
        import rfc3161_client
    except ImportError:
        raise UserError("Timestamps need an extra: run `pip install 'clearseek[proof]'`.") from None
    return rfc3161_client


def _post(url: str, body: bytes) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/timestamp-query"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            answer = bytes(response.read(_MOST + 1))
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"The timestamp authority at {url} could not be asked: {reason}.") from None
    if len(answer) > _MOST:
        raise UserError(f"The answer of {url} is larger than any timestamp.")
    return answer


def _certificates(path: Path) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_read(path))
    except ValueError:
        raise UsageError(f"{path} holds no certificate in PEM.") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
