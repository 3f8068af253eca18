"""The DSSE envelope of a receipt: what is signed, how it is written, and how a stranger's file is read with care.

https://github.com/secure-systems-lab/dsse: the signature is over `DSSEv1 LEN(type) type LEN(body) body`, so that what
is signed is bytes and their type, never a re-serialisation. A receipt file goes one step further: envelope and payload
are both RFC 8785 canonical JSON, and the base64 is strict, so that there is exactly one file for one receipt and any
changed byte shows, even one that JSON would ignore.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from clearseek.errors import CheckFailed, UsageError, UserError
from clearseek.ledger.canonical import canonical
from clearseek.receipts.predicate import Statement

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 16 * 1024 * 1024
"""A receipt of a run with thousands of checkpoints has a few megabytes."""
MAX_DEPTH = 64

_KEYS = {"payload", "payloadType", "signatures"}


class BadReceipt(CheckFailed):
    """A file that is no receipt, or no longer one. `field` is where in it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope with one signature. `statement` is the payload as JSON, `payload` its bytes."""

    payload: bytes
    keyid: str
    signature: bytes
    statement: Statement


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def write_envelope(payload: bytes, keyid: str, signature: bytes) -> bytes:
    """The whole file."""
    return canonical({
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    })  # fmt: skip


def read_file(path: Path) -> bytes:
    """A receipt's bytes. Raises UserError where there is no such file, BadReceipt where it is far too large."""
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist" if not path.exists() else "is no plain file"
            raise UserError(f"{path} {what}; name a receipt file, such as runs/NAME/receipt.json.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    if len(content) > MAX_BYTES:
        raise BadReceipt(f"{path.name} has more than {MAX_BYTES // 1024**2} MB, which no receipt has.", "file")
    return content


def read_envelope(content: bytes) -> Envelope:
    """The envelope in a file's bytes. Raises BadReceipt, in one sentence, for anything else.

    The signature is not checked here: see `signing.signature_fits`.
    """
    document = _json(content, "the receipt", "file")
    if not isinstance(document, dict) or set(document) != _KEYS:
        raise BadReceipt("This is no receipt: a DSSE envelope has payload, payloadType and signatures.", "file")
    if document["payloadType"] != PAYLOAD_TYPE:
        raise BadReceipt(f"The payload of this envelope is no in-toto statement ({PAYLOAD_TYPE}).", "payloadType")
    signatures = document["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise BadReceipt("A receipt has exactly one signature.", "signatures")
    signed = signatures[0]
    if not isinstance(signed, dict) or set(signed) != {"keyid", "sig"} or not isinstance(signed["keyid"], str):
        raise BadReceipt("A receipt's signature has a keyid and a sig.", "signatures[0]")
    payload = _base64(document["payload"], "payload")
    signature = _base64(signed["sig"], "signatures[0].sig")
    statement = _json(payload, "the receipt's payload", "payload")
    if not isinstance(statement, dict):
        raise BadReceipt("The receipt's payload is no in-toto statement.", "payload")
    return Envelope(payload, signed["keyid"], signature, cast(Statement, statement))


def _base64(text: Any, field: str) -> bytes:
    try:
        decoded = base64.b64decode(text.encode("ascii"), validate=True)
        if base64.b64encode(decoded).decode() == text:
            return decoded
    except (AttributeError, UnicodeError, binascii.Error, ValueError):
        pass
    raise BadReceipt(f"`{field}` is not base64 as RFC 4648 writes it.", field)


def _json(content: bytes, what: str, field: str) -> Any:
    """Canonical JSON only: no NaN, no key twice, no depth, no other way to write the same."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadReceipt(f"There is no whole JSON document in {what}: {error.msg} (byte {error.pos}).", field) from None
    if _depth(document) > MAX_DEPTH:
        raise BadReceipt(f"The JSON of {what} is nested more than {MAX_DEPTH} levels deep.", field)
    try:
        written = canonical(document)
    except UsageError:
        raise BadReceipt(f"A number in {what} is larger than JSON can say.", field) from None
    if written != content:
        at = next((i for i, (a, b) in enumerate(zip(written, content, strict=False)) if a != b), len(written))
        raise BadReceipt(f"The bytes of {what} are not canonical JSON (RFC 8785), from byte {at} on.", field)
    return document


def _depth(document: Any) -> int:
    """How deep the nesting goes, at least as far as is allowed. orjson itself ends at 1,024 levels."""
    level, depth = [document], 0
    while level and depth <= MAX_DEPTH:
        inner = [part for part in level if isinstance(part, (dict, list))]
        level = [value for part in inner for value in (part.values() if isinstance(part, dict) else part)]
        depth += bool(inner)
        if not inner:
            break
    return depth
