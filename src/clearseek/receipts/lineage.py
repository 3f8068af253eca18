"""A run and all that it builds on: which receipts those are, who signed them, and what all of them took together.

What a model cost is what every run took that led to it, and not what the last of them did. A sum is as good as its
worst term: one run whose money is unknown makes the money of all unknown, and then what the others come to is said
beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearseek.ledger.entry import UNITS
from clearseek.ledger.quantity import Quantity, unknown
from clearseek.receipts import arithmetic
from clearseek.receipts.check_files import MOST_FILES, RECORD, Places, listed
from clearseek.receipts.envelope import BadReceipt, read_envelope, read_file
from clearseek.receipts.form import schema_error
from clearseek.receipts.gather import sha256_of
from clearseek.receipts.known_keys import Signer, signer_of
from clearseek.receipts.predicate import Predicate, Statement
from clearseek.receipts.signing import signature_fits
from clearseek.receipts.statement import PREDICATE_TYPE, RECEIPT
from clearseek.settings import model_data

MOST_RECEIPTS = 64
PARENTS = "parents"
EVERYWHERE = ("wall", "cpu", "energy", "money", "flops")
"""What every run takes some of: where none is booked it is unknown, and not nothing."""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A receipt that others build on. `statement` is None where it is not within reach or not in order (`wrong`);
    `child` is the name of the one that builds on it, `place` where that one names it (`predicate.parents[0]`)."""

    name: str
    digest: str
    child: str
    place: str
    path: Path | None = None
    statement: Statement | None = None
    signer: Signer | None = None
    wrong: bool = False

    @property
    def run(self) -> str:
        """The run's own name, which tells more than the model's: a model goes on under one name."""
        return str(self.statement["predicate"]["run"]["name"]) if self.statement else self.name


@dataclass(frozen=True, slots=True)
class Lineage:
    """A receipt (`statement`, signed by `signer`) and its ancestors, the nearest first."""

    statement: Statement
    ancestors: tuple[Ancestor, ...]
    signer: Signer | None = None

    @property
    def missing(self) -> list[str]:
        return [ancestor.name for ancestor in self.ancestors if ancestor.statement is None]

    @property
    def runs(self) -> list[tuple[str, Predicate]]:
        """Names and predicates of the runs within reach, this one first."""
        predicate = self.statement["predicate"]
        rest = [
            (ancestor.run, ancestor.statement["predicate"])
            for ancestor in self.ancestors
            if ancestor.statement is not None
        ]
        return [(str(predicate["run"]["name"]), predicate), *rest]

    def totals(self) -> dict[str, Quantity]:
        """What all runs took together; unknown where one is out of reach."""
        each = self._each()
        if self.missing:
            why = f"the receipt of {', '.join(self.missing)[:100]} is not within reach"
            return {name: unknown(UNITS[name], why) for name in UNITS if any(name in one for one in each)}
        return {
            name: arithmetic.add_up([one[name] for one in each if name in one], unit, "runs")
            for name, unit in UNITS.items()
            if any(name in one for one in each)
        }

    def known(self) -> dict[str, tuple[Quantity, int]]:
        """Of what is not known of all runs, what those come to of which it is, and how many they are."""
        each, result = self._each(), {}
        for name, whole in self.totals().items():
            parts = [one[name] for one in each if name in one and one[name].known]
            if not whole.known and parts:
                result[name] = arithmetic.add_up(parts, UNITS[name], "runs"), len(parts)
        return result

    def signed_by(self) -> dict[str, list[str]]:
        """Which runs each key signed."""
        results: dict[str, list[str]] = {}
        if self.signer is not None:
            results[self.signer.keyid] = [self.runs[0][0]]
        for ancestor in self.ancestors:
            if ancestor.signer is not None:
                results.setdefault(ancestor.signer.keyid, []).append(ancestor.run)
        return results

    def as_json(self) -> dict[str, Any]:
        """What all views tell of it."""
        predicate = self.statement["predicate"]
        first = {"name": predicate["run"]["name"], "receipt_sha256": None, **_told(predicate, self.signer)}
        rest = [
            {
                "name": ancestor.run,
                "receipt_sha256": ancestor.digest,
                **_told(ancestor.statement["predicate"], ancestor.signer),
            }
            for ancestor in self.ancestors
            if ancestor.statement is not None
        ]
        return {
            "runs": [first, *rest],
            "missing": self.missing,
            "totals": arithmetic.as_json(self.totals()),
            "known_part": {name: {**q.as_json(), "runs": count} for name, (q, count) in self.known().items()},
        }

    def _each(self) -> list[dict[str, Quantity]]:
        results = []
        for _, predicate in self.runs:
            totals = arithmetic.from_json(predicate["totals"])
            for name in EVERYWHERE:
                totals.setdefault(name, unknown(UNITS[name], "it was not booked"))
            results.append(totals)
        return results


def lineage_of(statement: Statement, path: Path, signer: bytes | None = None) -> Lineage:
    """Of a receipt's statement; `path` is where it lies. Only what lies near it is looked at."""
    places = Places(path, None)
    return Lineage(statement, tuple(ancestors(statement["predicate"], places)), (signer and signer_of(signer)) or None)


def ancestors(predicate: Mapping[str, Any], places: Places) -> Iterator[Ancestor]:
    """Every receipt that this one builds on, and those that they build on in turn, each once."""
    near = list(_receipts_near(places)) if predicate["parents"] else []
    line: list[tuple[Mapping[str, Any], str, str]] = [(predicate, "predicate", "")]
    met: set[str] = set()
    for child, place, of in line:  # which grows while it is gone along
        for index, parent in enumerate(child["parents"]):
            wanted = parent["digest"]["sha256"]
            ancestor = _ancestor(parent["name"], wanted, of, f"{place}.parents[{index}]", near, places)
            if wanted in met or len(line) >= MOST_RECEIPTS:
                continue
            met.add(wanted)
            yield ancestor
            if ancestor.statement is not None:
                line.append((ancestor.statement["predicate"], ancestor.place, parent["name"]))


def _ancestor(name: str, wanted: str, of: str, place: str, near: Sequence[Path], places: Places) -> Ancestor:
    path = next((path for path in near if places.sha256(path) == wanted), None)
    if path is None:
        return Ancestor(name, wanted, of, place)
    try:
        envelope = read_envelope(read_file(path))
        statement = envelope.statement
        public = bytes.fromhex(statement["predicate"]["signer"]["public_key"])
        whole = signature_fits(envelope, public) and statement.get("predicateType") == PREDICATE_TYPE
        whole = whole and schema_error(statement, newer=True) is None
    except (BadReceipt, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        return Ancestor(name, wanted, of, place, path, wrong=True)
    return Ancestor(name, wanted, of, place, path, statement, signer_of(public))


def ancestor_folder(ancestor: Ancestor) -> Path | None:
    """Where the files that an ancestor's receipt names lie: beside it in its own run folder, or, where receipts are
    handed on, in a folder of the receipt's name; for runs whose receipt ships with ClearSeek also in the package, so
    that a model which was installed by an earlier version has them too."""
    if ancestor.path is None:
        return None
    folder = ancestor.path.parent if ancestor.path.name == RECEIPT else ancestor.path.with_suffix("")
    if folder.is_dir():
        return folder
    for receipt in sorted(model_data().glob(f"*/{PARENTS}/*.json")):
        if receipt.with_suffix("").is_dir() and sha256_of(receipt) == ancestor.digest:
            return receipt.with_suffix("")
    return None


def _receipts_near(places: Places) -> Iterator[Path]:
    for folder in (places.run, places.run / PARENTS, places.run.parent, places.models):
        if folder is None or not folder.is_dir():
            continue
        candidates = [path for path in listed(folder) if path.suffix == ".json" and path.name != RECORD]
        candidates += [path / RECEIPT for path in sorted(folder.iterdir())[:MOST_FILES] if path.is_dir()]
        for path in candidates:
            if path.is_file() and path != places.receipt:
                yield path


def _told(predicate: Predicate, signer: Signer | None) -> dict[str, Any]:
    return {
        "started_at": predicate["run"]["started_at"],
        "finished_at": predicate["run"]["finished_at"],
        "keyid": signer.keyid if signer else predicate["signer"]["keyid"],
        "signer": signer.whose if signer else None,
        "totals": predicate["totals"],
    }
