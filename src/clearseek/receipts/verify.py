"""Checking a receipt, as a stranger would: its bytes, its signature, every digest within reach, and its arithmetic.

verification = verify("runs/first/receipt.json", models="models/", key="signing.pub")
verification.ok, verification.failed, verification.missing(["weights", "ledger", "signer"])
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.receipts import check_books, check_files, check_flops, check_parents, check_times, check_weights
from clearseek.receipts.envelope import BadReceipt, Envelope, read_envelope, read_file
from clearseek.receipts.form import quantity_error, schema_error
from clearseek.receipts.known_keys import signer_of
from clearseek.receipts.outcome import Check, Found, Verification
from clearseek.receipts.signing import TrustedKey, keyid_of, signature_fits, trusted_keys
from clearseek.receipts.statement import (
    CANNOT_PROVE,
    PREDICATE_FAMILY,
    PREDICATE_TYPE,
    PREDICATE_VERSION,
    PREDICATE_VERSIONS,
    RECEIPT,
    STATEMENT_TYPE,
)

__all__ = ["Check", "Verification", "glance", "verify"]

_SKEW = timedelta(minutes=5)


def verify(path: Path | str, *, models: Path | str | None = None, key: str | Path | None = None) -> Verification:
    """Check the receipt at `path` (a file, or a run folder that holds `receipt.json`).

    Files that it names are looked for beside it, in the folder `models` and in the home's model store. `key` says whom
    to trust: a file of public keys, or one public key or keyid in hex; without it the signer is known where it is the
    project, this machine, or one in `keys/trusted.pub`. `ok` says that nothing failed; `missing` what nobody looked at.

    Raises UserError where there is no such file, UsageError for a key that is none. Everything that is wrong with the
    receipt itself is a failed check.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / RECEIPT
    folder = None if models is None else Path(models).expanduser()
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that holds the weights.")
    trusted = None if key is None else trusted_keys(str(key))
    return _verify(path, trusted, check_files.Places(path, folder))


def glance(path: Path | str) -> Verification:
    """What the file alone tells, in milliseconds: its bytes, form, signature, dates and sums; no other file is read.

    Raises UserError where there is no such file.
    """
    path = Path(path).expanduser()
    return _verify(path / RECEIPT if path.is_dir() else path, None, None)


def _verify(path: Path, trusted: list[TrustedKey] | None, places: check_files.Places | None) -> Verification:
    limits = [f"{limit['what']} {limit['why']}" for limit in CANNOT_PROVE]
    found = Found()
    try:
        content = read_file(path)
        envelope = read_envelope(content)
    except BadReceipt as bad:
        found.failed("envelope", bad.field, str(bad))
        return Verification(found.checks, limits)
    found.ok("envelope", "file", f"The {len(content):,} bytes are the one way to write this receipt (RFC 8785).")
    whole = _form(envelope.statement, found)
    public, signer = _signature(envelope, trusted, found)
    keyid = None if public is None else keyid_of(public)
    if whole:
        predicate: dict[str, Any] = envelope.statement["predicate"]
        _dates(predicate, found)
        if places is not None:
            check_weights.weights(envelope.statement["subject"], places, found)
            check_files.rest(predicate, places, found)
            entries = check_books.ledger(predicate, places, found)
            check_times.times(predicate, entries, found)
        check_books.sums(predicate, found)
        if places is not None:
            check_flops.flops(envelope.statement, places, found)
        check_times.machine(predicate, found)
        if places is not None:
            check_parents.parents(predicate, places, found)
    statement = envelope.statement if whole else None
    return Verification(found.checks, limits, statement, keyid, signer, public, tuple(found.whole_models))


def _form(statement: dict[str, Any], found: Found) -> bool:
    """Whether this is a statement that the checks below understand."""
    if statement.get("_type") != STATEMENT_TYPE:
        found.failed("form", "_type", f"This is no in-toto statement of version 1 ({STATEMENT_TYPE}).")
        return False
    kind = statement.get("predicateType")
    if kind != PREDICATE_TYPE:
        if isinstance(kind, str) and kind.startswith(PREDICATE_FAMILY):
            said = (
                f"This receipt is of version {kind.removeprefix(PREDICATE_FAMILY)[:20]} and this ClearSeek knows "
                "version 1: only its bytes and its signature could be checked; update ClearSeek for the rest."
            )
        else:
            said = "This statement is signed, but it is no training receipt."
        found.failed("form", "predicateType", said)
        return False
    predicate = statement.get("predicate")
    version = predicate.get("version") if isinstance(predicate, dict) else None
    newer = isinstance(version, str) and version.startswith("1.") and version not in PREDICATE_VERSIONS
    wrong = schema_error(statement, newer=newer)
    if wrong is not None:
        found.failed("form", *wrong)
        return False
    wrong = quantity_error(statement["predicate"])
    if wrong is not None:
        found.failed("form", *wrong)
        return False
    if newer:
        found.skipped(
            "form",
            "predicate.version",
            f"This receipt is of version {version}: what {PREDICATE_VERSION} has is checked, and nothing added since.",
        )
    else:
        found.ok("form", "predicateType", f"It has the form of a training receipt, version {version}.")
    return True


def _signature(envelope: Envelope, trusted: list[TrustedKey] | None, found: Found) -> tuple[bytes | None, str]:
    """Check the signature and whose it is; returns the public key that really signed, and whose that is."""
    stated = _stated_key(envelope.statement)
    candidates = [key for key in (stated, *(one.public for one in trusted or ())) if key is not None]
    signer = next((key for key in candidates if signature_fits(envelope, key)), None)
    field = "signatures[0].sig"
    if signer is None:
        if candidates:
            found.failed("signature", field, "The signature does not fit: the receipt was changed after it was signed.")
        else:
            found.failed(
                "signature", "predicate.signer.public_key", "The receipt does not hold the key it is signed by."
            )
        return None, "nobody"
    keyid = keyid_of(signer)
    if envelope.keyid != keyid:
        found.failed("signature", "signatures[0].keyid", "The keyid is not that of the key which signed.")
    elif stated is not None and signer != stated:
        found.failed(
            "signature", "predicate.signer.public_key", "Another key signed than the one that the receipt names."
        )
    elif stated is not None and envelope.statement["predicate"]["signer"].get("keyid") != keyid:
        found.failed("signature", "predicate.signer.keyid", "The keyid in the predicate is not that of its public key.")
    else:
        found.ok("signature", field, "Nothing has changed since it was signed.")
    return signer, _whose(signer, trusted, found)


def _whose(signer: bytes, trusted: list[TrustedKey] | None, found: Found) -> str:
    """Whether the key is the one that was named; without one, whether it is known here."""
    field, known = "signatures[0].keyid", signer_of(signer)
    if trusted is None:
        (found.ok if known.known else found.skipped)("signer", field, known.said)
        return known.whose
    if any(key.is_key(signer) for key in trusted):
        also = {"project": ", a key of the ClearSeek project", "own": ", this machine's own"}.get(known.whose, "")
        found.ok("signer", field, f"It was signed by the key that you named ({known.keyid[:16]}...{also}).")
        return known.whose if known.known else "trusted"
    named = trusted[0].keyid[:16] + "..." + (f" and {len(trusted) - 1} more" if len(trusted) > 1 else "")
    said = f"It was signed by another key ({known.keyid[:16]}...) than the one you named ({named})."
    found.failed("signer", field, said)
    return "unknown"


def _stated_key(statement: dict[str, Any]) -> bytes | None:
    try:
        public = bytes.fromhex(statement["predicate"]["signer"]["public_key"])
    except (KeyError, TypeError, ValueError):
        return None
    return public if len(public) == 32 else None


def _dates(predicate: dict[str, Any], found: Found) -> None:
    """Nothing lies in the future, and nothing ended before it began."""
    now = datetime.now(UTC) + _SKEW
    run, made = predicate["run"], predicate["made"]["at"]
    ordered = [("predicate.run.started_at", run["started_at"]), ("predicate.run.finished_at", run["finished_at"])]
    pairs = [(*ordered, "the run ended before it began")]
    pairs += [(ordered[1], ("predicate.made.at", made), "the receipt was made before the run ended")]
    for name in ("stages", "attempts"):
        for index, part in enumerate(predicate[name]):
            first = f"predicate.{name}[{index}].first_entry_at", part["first_entry_at"]
            last = f"predicate.{name}[{index}].last_entry_at", part["last_entry_at"]
            pairs += [(first, last, "the last entry was booked before the first")]
            pairs += [(last, ("predicate.made.at", made), "an entry was booked after the receipt was made")]
    before = len(found.checks)
    seen: dict[str, datetime] = {}
    for field, text in {side for earlier, later, _ in pairs for side in (earlier, later)}:
        moment = _moment(text)
        if moment is None:
            found.failed("dates", field, f"`{field}` is no date: {text}.")
        elif moment > now:
            found.failed("dates", field, f"`{field}` lies in the future: {text}.")
        else:
            seen[field] = moment
    for earlier, later, wrong in pairs:
        if earlier[0] in seen and later[0] in seen and seen[later[0]] < seen[earlier[0]]:
            found.failed("dates", later[0], f"`{later[0]}` is {later[1]}: {wrong} ({earlier[1]}).")
    if len(found.checks) == before:
        found.ok("dates", "predicate.run", "No date lies in the future, and nothing ended before it began.")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
