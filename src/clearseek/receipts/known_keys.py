"""Whose key signed a receipt: the project's, this machine's own, one that somebody trusts, or nobody's that is known.

The project's keys come with the package (`data/keys.toml`) and are published in README.md and docs/receipts.md: a
package that was tampered with would name other ones. Yours are added to `keys/trusted.pub` in ClearSeek's home: PEM
texts, or lines of 64 hexadecimal digits.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal

from clearseek.errors import UserError
from clearseek.ledger.tables import read_table
from clearseek.receipts.signing import TrustedKey, key_folder, keyid_of, keys_in, own_public_key

Whose = Literal["project", "own", "trusted", "unknown"]
TRUSTED = "trusted.pub"
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signed, and whose it is. `said` is a sentence about it."""

    whose: Whose
    keyid: str
    said: str

    @property
    def known(self) -> bool:
        return self.whose != "unknown"


def project_keys() -> tuple[str, ...]:
    """The keyids of the project's keys."""
    return tuple(row["keyid"] for row in read_table("keys")["key"])


def trusted_here() -> list[TrustedKey]:
    """Keys in the home's `trusted.pub`; none where there is no such file. Raises UserError for one that is none."""
    path = key_folder() / TRUSTED
    content = b""
    with contextlib.suppress(FileNotFoundError):
        try:
            with path.open("rb") as file:
                content = file.read(_MOST)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    return keys_in(content, str(path)) if content.strip() else []


def signer_of(public: bytes) -> Signer:
    """Whose this raw public key is."""
    keyid = keyid_of(public)
    short = f"{keyid[:16]}..."
    if own_public_key() == public:
        return Signer("own", keyid, f"It was signed here, by this machine's own key ({short}).")
    if keyid in project_keys():
        return Signer("project", keyid, f"It was signed by a key of the ClearSeek project ({short}).")
    if any(key.is_key(public) for key in trusted_here()):
        return Signer("trusted", keyid, f"It was signed by a key that you trust ({short}, in {TRUSTED}).")
    message = (
        f"It was signed by the key {short}, which is not the project's, not yours, and none that you trust: anybody "
        "can have signed it. Name the key you trust with --key."
    )
    return Signer("unknown", keyid, message)
