"""Checking a receipt, as a stranger would: its bytes, its signature, every digest within reach, and its arithmetic.

verification = verify("runs/first/receipt.json", models="models/", key="signing.pub")
verification.ok, verification.failed, verification.missing(["weights", "ledger", "signer"])
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from clearseek.errors import UserError
from clearseek.receipts import check_books, check_files, check_flops, check_parents, check_times, check_weights
from clearseek.receipts.envelope import BadReceipt, Envelope, read_envelope, read_file
from clearseek.receipts.form import quantity_error, schema_error
from clearseek.receipts.known_keys import signer_of
from clearseek.receipts.outcome import Check, CheckLog, Verification
from clearseek.receipts.predicate import Predicate, Statement
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
    result = CheckLog()
    try:
        content = read_file(path)
        envelope = read_envelope(content)
    except BadReceipt as bad:
        result.failed("envelope", bad.field, str(bad))
        return Verification(result.checks, limits)
    result.ok("envelope", "file", f"The {len(content):,} bytes are the one way to write this receipt (RFC 8785).")
    whole = _form(envelope.statement, result)
    public, signer = _signature(envelope, trusted, result)
    keyid = None if public is None else keyid_of(public)
    if whole:
        predicate: Predicate = envelope.statement["predicate"]
        _dates(predicate, result)
        if places is not None:
            check_weights.weights(envelope.statement["subject"], places, result)
            check_files.rest(predicate, places, result)
            entries = check_books.ledger(predicate, places, result)
            check_times.times(predicate, entries, result)
        check_books.sums(predicate, result)
        if places is not None:
            check_flops.flops(envelope.statement, places, result)
        check_times.machine(predicate, result)
        if places is not None:
            check_parents.parents(predicate, places, result)
    statement = envelope.statement if whole else None
    return Verification(result.checks, limits, statement, keyid, signer, public, tuple(result.whole_models))


def _form(statement: Statement, checks: CheckLog) -> bool:
    """Whether this is a statement that the checks below understand."""
    if statement.get("_type") != STATEMENT_TYPE:
        checks.failed("form", "_type", f"This is no in-toto statement of version 1 ({STATEMENT_TYPE}).")
        return False
    kind = statement.get("predicateType")
    if kind != PREDICATE_TYPE:
        if isinstance(kind, str) and kind.startswith(PREDICATE_FAMILY):
            message = (
                f"This receipt is of version {kind.removeprefix(PREDICATE_FAMILY)[:20]} and this ClearSeek knows "
                "version 1: only its bytes and its signature could be checked; update ClearSeek for the rest."
            )
        else:
            message = "This statement is signed, but it is no training receipt."
        checks.failed("form", "predicateType", message)
        return False
    predicate = statement.get("predicate")
    version = predicate.get("version") if isinstance(predicate, dict) else None
    newer = isinstance(version, str) and version.startswith("1.") and version not in PREDICATE_VERSIONS
    wrong = schema_error(statement, newer=newer)
    if wrong is not None:
        checks.failed("form", *wrong)
        return False
    wrong = quantity_error(statement["predicate"])
    if wrong is not None:
        checks.failed("form", *wrong)
        return False
    if newer:
        checks.skipped(
            "form",
            "predicate.version",
            f"This receipt is of version {version}: what {PREDICATE_VERSION} has is checked, and nothing added since.",
        )
    else:
        checks.ok("form", "predicateType", f"It has the form of a training receipt, version {version}.")
    return True


def _signature(envelope: Envelope, trusted: list[TrustedKey] | None, checks: CheckLog) -> tuple[bytes | None, str]:
    """Check the signature and whose it is; returns the public key that really signed, and whose that is."""
    stated = _stated_key(envelope.statement)
    candidates = [key for key in (stated, *(one.public for one in trusted or ())) if key is not None]
    signer = next((key for key in candidates if signature_fits(envelope, key)), None)
    field = "signatures[0].sig"
    if signer is None:
        if candidates:
            checks.failed(
                "signature", field, "The signature does not fit: the receipt was changed after it was signed."
            )
        else:
            checks.failed(
                "signature", "predicate.signer.public_key", "The receipt does not hold the key it is signed by."
            )
        return None, "nobody"
    keyid = keyid_of(signer)
    if envelope.keyid != keyid:
        checks.failed("signature", "signatures[0].keyid", "The keyid is not that of the key which signed.")
    elif stated is not None and signer != stated:
        checks.failed(
            "signature", "predicate.signer.public_key", "Another key signed than the one that the receipt names."
        )
    elif stated is not None and envelope.statement["predicate"]["signer"].get("keyid") != keyid:
        checks.failed(
            "signature", "predicate.signer.keyid", "The keyid in the predicate is not that of its public key."
        )
    else:
        checks.ok("signature", field, "Nothing has changed since it was signed.")
    return signer, _whose(signer, trusted, checks)


def _whose(signer: bytes, trusted: list[TrustedKey] | None, checks: CheckLog) -> str:
    """Whether the key is the one that was named; without one, whether it is known here."""
    field, known = "signatures[0].keyid", signer_of(signer)
    if trusted is None:
        (checks.ok if known.known else checks.skipped)("signer", field, known.said)
        return known.whose
    if any(key.is_key(signer) for key in trusted):
        also = {"project": ", a key of the ClearSeek project", "own": ", this machine's own"}.get(known.whose, "")
        checks.ok("signer", field, f"It was signed by the key that you named ({known.keyid[:16]}...{also}).")
        return known.whose if known.known else "trusted"
    named = trusted[0].keyid[:16] + "..." + (f" and {len(trusted) - 1} more" if len(trusted) > 1 else "")
    message = f"It was signed by another key ({known.keyid[:16]}...) than the one you named ({named})."
    checks.failed("signer", field, message)
    return "unknown"


def _stated_key(statement: Statement) -> bytes | None:
    try:
        public = bytes.fromhex(statement["predicate"]["signer"]["public_key"])
    except (KeyError, TypeError, ValueError):
        return None
    return public if len(public) == 32 else None


def _dates(predicate: Predicate, checks: CheckLog) -> None:
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
    before = len(checks.checks)
    seen: dict[str, datetime] = {}
    for field, text in {side for earlier, later, _ in pairs for side in (earlier, later)}:
        moment = _moment(text)
        if moment is None:
            checks.failed("dates", field, f"`{field}` is no date: {text}.")
        elif moment > now:
            checks.failed("dates", field, f"`{field}` lies in the future: {text}.")
        else:
            seen[field] = moment
    for earlier, later, wrong in pairs:
        if earlier[0] in seen and later[0] in seen and seen[later[0]] < seen[earlier[0]]:
            checks.failed("dates", later[0], f"`{later[0]}` is {later[1]}: {wrong} ({earlier[1]}).")
    if len(checks.checks) == before:
        checks.ok("dates", "predicate.run", "No date lies in the future, and nothing ended before it began.")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
