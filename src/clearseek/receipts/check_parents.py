"""The receipts that a receipt builds on, and those that they build on in turn, wherever they are within reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clearseek.receipts.check_files import MOST_FILES, RECORD, Places, listed
from clearseek.receipts.envelope import BadReceipt, read_envelope, read_file
from clearseek.receipts.form import schema_error
from clearseek.receipts.outcome import Found
from clearseek.receipts.signing import signature_fits
from clearseek.receipts.statement import PREDICATE_TYPE, RECEIPT

_MOST_RECEIPTS = 64


def parents(predicate: dict[str, Any], places: Places, found: Found) -> None:
    """Each must be the one meant, have the form of a receipt, and be signed; and what training began as must have come
    out of one of them. The same is asked of every parent that was reached, as far as there are more."""
    near = list(_receipts_near(places)) if predicate["parents"] else []
    line = [(predicate, "predicate", "")]
    met: set[str] = set()
    for child, place, of in line:  # which grows while it is gone along
        reached: list[dict[str, Any]] = []
        for index, parent in enumerate(child["parents"]):
            wanted, field = parent["digest"]["sha256"], f"{place}.parents[{index}]"
            statement = _one(parent["name"], wanted, f"{field}.digest.sha256", of, near, places, found)
            if statement is None:
                continue
            reached.append(statement)
            if wanted not in met and len(line) < _MOST_RECEIPTS:
                met.add(wanted)
                line.append((statement["predicate"], field, f", on which {parent['name']} builds,"))
        if reached and len(reached) == len(child["parents"]):
            _came_out(child["base"], reached, place, of, found)


def _one(
    name: str, wanted: str, field: str, of: str, near: Sequence[Path], places: Places, found: Found
) -> dict[str, Any] | None:
    """The statement of the receipt with that digest, where it is within reach and in order."""
    path = next((path for path in near if places.sha256(path) == wanted), None)
    if path is None:
        found.skipped("parents", field, f"The receipt of {name} ({wanted[:16]}...){of} is not within reach.")
        return None
    try:
        envelope = read_envelope(read_file(path))
        statement = envelope.statement
        public = bytes.fromhex(statement["predicate"]["signer"]["public_key"])
        whole = signature_fits(envelope, public)
        whole = whole and statement.get("predicateType") == PREDICATE_TYPE
        whole = whole and schema_error(statement, newer=True) is None
    except (BadReceipt, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        found.failed("parents", field, f"The receipt of {name}{of} is the one meant, and is not in order.")
        return None
    found.ok("parents", field, f"The receipt of {name}{of} is the one meant, and its signature fits.")
    return statement


def _came_out(
    base: dict[str, Any] | None, reached: Sequence[dict[str, Any]], place: str, of: str, found: Found
) -> None:
    """What training began as is among the files that the receipts are about."""
    if base is None:
        return
    made = {file["digest"]["sha256"] for statement in reached for file in statement["subject"]}
    began, field = (base["adapter"], "base.adapter") if "adapter" in base else (base, "base")
    if began["digest"]["sha256"] not in made:
        what = "The adapter that training began as," if "adapter" in base else "The base model"
        said = f"{what} {began['name']}{of} is none of the files that the parents' receipts are about."
        found.failed("parents", f"{place}.{field}.digest.sha256", said)


def _receipts_near(places: Places) -> Iterator[Path]:
    for folder in (places.run, places.run / "parents", places.run.parent, places.models):
        if folder is None or not folder.is_dir():
            continue
        candidates = [path for path in listed(folder) if path.suffix == ".json" and path.name != RECORD]
        candidates += [path / RECEIPT for path in sorted(folder.iterdir())[:MOST_FILES] if path.is_dir()]
        for path in candidates:
            if path.is_file() and path != places.receipt:
                yield path
