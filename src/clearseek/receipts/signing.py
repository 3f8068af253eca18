"""The key that signs receipts: Ed25519, made on first use, kept where only its owner can read it.

A signature says that whoever holds the key bound these bytes together, and that nothing changed since. It does not say
who that is: the public key stands in the receipt, so that a stranger can check that it is whole, but trust needs a key
that came some other way (`--key`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clearseek.errors import UsageError, UserError
from clearseek.receipts.envelope import Envelope, pae
from clearseek.settings import home

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MOST_KEYS = 64 * 1024
_HEX = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})\Z")


@dataclass(frozen=True)
class SigningKey:
    """A private key. `public` is the raw public key (32 bytes), `keyid` the SHA-256 of that in hex."""

    private: Ed25519PrivateKey
    public: bytes

    @property
    def keyid(self) -> str:
        return keyid_of(self.public)

    def sign(self, payload: bytes) -> bytes:
        """The 64-byte Ed25519 signature of a DSSE payload."""
        return self.private.sign(pae(payload))


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key that somebody said to trust: known by itself, or by its keyid only."""

    keyid: str
    public: bytes | None = None

    def is_key(self, public: bytes) -> bool:
        # 64 hexadecimal digits may be a raw public key as well as a keyid
        return self.keyid == keyid_of(public) or self.keyid == public.hex()


def keyid_of(public: bytes) -> str:
    """SHA-256 of a raw public key, in hex."""
    return hashlib.sha256(public).hexdigest()


def key_folder() -> Path:
    return home() / "keys"


def signing_key(folder: Path | None = None) -> SigningKey:
    """The key in `folder` (the home's by default), made when there is none.

    Raises UserError for one that others can read, that is damaged, or that cannot be written.
    """
    folder = folder or key_folder()
    path = folder / "signing.pem"
    try:
        if not path.exists():
            _make(folder)
        if os.name == "posix":
            mode = path.stat().st_mode & 0o777
            if mode & 0o077:
                raise UserError(
                    f"Others can read the signing key {path} (mode {mode:o}): if nobody has copied it, run "
                    f"`chmod 600 {path}`; if somebody may have, delete it and a new one is made."
                )
        return _load(path)
    except OSError as error:
        raise UserError(f"The signing key {path} cannot be used: {(error.strerror or str(error)).lower()}.") from None


def own_public_key(folder: Path | None = None) -> bytes | None:
    """This home's public key as 32 raw bytes, where there is one. Makes none."""
    path = (folder or key_folder()) / "signing.pub"
    with contextlib.suppress(OSError, UsageError):
        return _public_from_pem(path.read_bytes())
    return None


def public_pem(public: bytes) -> str:
    """A raw public key as PEM (SubjectPublicKeyInfo), which openssl reads."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def trusted_keys(message: str) -> list[TrustedKey]:
    """What somebody gave as `--key`: a file of keys, a PEM text, or 64 hexadecimal digits of a public key or its keyid.

    A file may hold several: PEM texts, or lines of 64 digits. Raises UsageError for anything else.
    """
    if match := _HEX.match(message.strip()):
        return [TrustedKey(match[1].lower())]
    if "-----BEGIN" in message:
        return keys_in(message.encode(), "the key")
    path = Path(message).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_KEYS)
    except (OSError, ValueError):
        raise UsageError(
            f"`{message}` is neither a key file nor 64 hexadecimal digits of a public key or keyid."
        ) from None
    return keys_in(content, str(path))


def keys_in(content: bytes, where: str) -> list[TrustedKey]:
    """Every key in a text: PEM, or lines of 64 hexadecimal digits; lines that begin with `#` are passed over.

    Raises UsageError for a line that is no key, or a text without any.
    """
    if b"PRIVATE KEY" in content:
        raise UsageError("That is a private key: keep it to yourself, and give the public one (signing.pub).")
    result, pem = [], b""
    for line in content.replace(b"\r", b"").split(b"\n"):
        text = line.decode("ascii", "replace").strip()
        if pem or text.startswith("-----BEGIN"):
            pem += line + b"\n"
            if text.startswith("-----END"):
                public = _public_from_pem(pem)
                result.append(TrustedKey(keyid_of(public), public))
                pem = b""
        elif match := _HEX.match(text):
            result.append(TrustedKey(match[1].lower()))
        elif text and not text.startswith("#"):
            raise UsageError(f"{where} holds a line that is no key: a PEM text or 64 hexadecimal digits are.")
    if pem or not result:
        raise UsageError(f"{where} holds no whole public key.")
    return result


def signature_fits(envelope: Envelope, public: bytes) -> bool:
    """Whether the envelope was signed with the private half of `public`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(envelope.signature, pae(envelope.payload))
    except (InvalidSignature, ValueError):
        return False
    return True


def _public_from_pem(content: bytes) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in content:
        raise UsageError("That is a private key: keep it to yourself, and give the public one (signing.pub).")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(
            "That is no public key in PEM; a receipt's key begins with -----BEGIN PUBLIC KEY-----."
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError("That is a public key, but not an Ed25519 one, which receipts are signed with.")
    return key.public_bytes_raw()


def _load(path: Path) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise UserError(f"{path} is no Ed25519 key in PEM; move it away and a new one is made.")
    key = SigningKey(private, private.public_key().public_bytes_raw())
    beside = path.with_suffix(".pub")
    if own_public_key(path.parent) != key.public:  # lost, or a crash came between the two files
        _put(beside, public_pem(key.public).encode(), 0o644, replace=True)
    return key


def _make(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_key(folder / "signing.pem", pem)


def write_key(path: Path, content: bytes) -> None:
    """Write a private key that only its owner can read, unless there is one already. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    _put(path, content, 0o600, replace=False)


def _put(path: Path, content: bytes, mode: int, *, replace: bool) -> None:
    """Write aside, sync, then into place. Without `replace`, one that another process made meanwhile stays."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.chmod(aside, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(aside, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
