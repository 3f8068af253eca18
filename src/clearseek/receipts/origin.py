"""Where a model comes from: the receipt of the run that made it, or a card that says what is known and what is not.

Every model has one or the other. A receipt lies in the store as `models/<name>/receipt.json`; a model without one was
made by others, and its card says where its file came from, what was done to it here, and what nobody here can know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clearseek.errors import UserError
from clearseek.hub.weights import known_digest
from clearseek.receipts import gather
from clearseek.receipts.lineage import Lineage, lineage_of
from clearseek.receipts.predicate import Statement
from clearseek.receipts.statement import CANNOT_PROVE, RECEIPT
from clearseek.receipts.verify import glance

if TYPE_CHECKING:
    from clearseek.hub.catalogue import Entry
    from clearseek.hub.model import Model

_QUANT = re.compile(r"(?i)(?<![A-Z0-9])(I?Q\d(?:_[A-Z0-9]+)*|B?F16|F32)(?![A-Z0-9])")

UNKNOWN = (
    ("training data", "the file does not say what the model was trained on"),
    ("hardware and hours", "nothing here was metered: others trained it"),
    ("energy and carbon", "nothing here was metered: others trained it"),
    ("cost", "no price and no hours are known"),
    ("failed and discarded runs", "only those who made it know"),
)
"""What cannot be known about weights that came from elsewhere."""


@dataclass(frozen=True, slots=True)
class OriginCard:
    """A model that others made. Digests are SHA-256 in hex: `fetched` of the file as its source holds it, `served` of
    the file that answers here; None where it is not known. `unknown` pairs what is not known with why."""

    name: str
    description: str
    source: str
    source_words: str
    revision: str | None
    licence: str | None
    architecture: str | None
    parameters: int | None
    quantisation: str | None
    fetched: str | None
    served: str | None
    bytes: int | None
    changes: tuple[str, ...] = ()
    unknown: tuple[tuple[str, str], ...] = UNKNOWN

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "origin",
            "name": self.name,
            "description": self.description,
            "source": self.source,
            "source_words": self.source_words,
            "revision": self.revision,
            "licence": self.licence,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "quantisation": self.quantisation,
            "sha256": {"fetched": self.fetched, "served": self.served},
            "bytes": self.bytes,
            "changes": list(self.changes),
            "unknown": [{"what": what, "why": why} for what, why in self.unknown],
        }


@dataclass(frozen=True, slots=True)
class ReceiptCard:
    """A model with a receipt, in short. `problems` are sentences; empty where the receipt is in order and these weights
    are its subject (by their recorded digest: `clearseek receipt verify` hashes them again)."""

    name: str
    sha256: str
    keyid: str | None
    problems: tuple[str, ...]
    statement: Statement | None = field(repr=False)
    signer: str = "nobody"
    signed: str = "No key that is in it signed it."
    lineage: Lineage | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        predicate: Mapping[str, Any] = self.statement["predicate"] if self.statement else {}
        return {
            "kind": "receipt",
            "name": self.name,
            "receipt_sha256": self.sha256,
            "keyid": self.keyid,
            "signer": self.signer,
            "signed": self.signed,
            "ok": not self.problems,
            "problems": list(self.problems),
            "made": predicate.get("made"),
            "run": predicate.get("run"),
            "base": predicate.get("base"),
            "stages": [
                {"name": stage["name"], "kind": stage["kind"], "quantities": stage["quantities"]}
                for stage in predicate.get("stages", [])
            ],
            "totals": predicate.get("totals", {}),
            "parents": predicate.get("parents", []),
            "all_runs": self.lineage.as_json() if self.lineage and self.lineage.ancestors else None,
            "evaluations": [
                {"name": one["name"], "results": one["results"]} for one in predicate.get("evaluations", [])
            ],
            "cannot_prove": [limit["what"] for limit in CANNOT_PROVE],
        }


def proof_of(model: Model, entries: tuple[Entry, ...] | None = None) -> ReceiptCard | OriginCard:
    """The receipt of an installed model in short, or its origin card. `entries` is the catalogue it may be from."""
    path = model.path.parent / RECEIPT
    if path.is_file():
        return _receipt_card(model)
    from clearseek.hub.catalogue import catalogue

    known = catalogue() if entries is None else entries
    entry = next((entry for entry in known if entry.name == model.name and _is_from(entry, model)), None)
    return OriginCard(
        name=model.name,
        description=model.description,
        source=model.source,
        source_words=_source_words(model.source),
        revision=entry.revision if entry else None,
        licence=model.licence,
        architecture=model.architecture,
        parameters=model.parameters,
        quantisation=model.quant,
        fetched=model.original_sha256,
        served=_held(model),
        bytes=model.bytes,
        changes=_changes(model),
        unknown=UNKNOWN if entry else (("who made it", "the file was brought here by hand"), *UNKNOWN),
    )


def remote_card(name: str, url: str | None) -> OriginCard:
    """The card of a model that another server runs: not even its weights are known here."""
    return OriginCard(
        name=name,
        description="Answers come from another server.",
        source="remote",
        source_words=f"whatever the server at {url} runs under this name" if url else "whatever another server runs",
        revision=None,
        licence=None,
        architecture=None,
        parameters=None,
        quantisation=None,
        fetched=None,
        served=None,
        bytes=None,
        unknown=(("weights", "they are on another machine, and it does not prove which they are"), *UNKNOWN),
    )


def receipt_digest(model: Model) -> str | None:
    """SHA-256 of the receipt that belongs to an installed model; None where it has an origin card."""
    path = model.path.parent / RECEIPT
    return gather.sha256_of(path) if path.is_file() else None


def _receipt_card(model: Model) -> ReceiptCard:
    path = model.path.parent / RECEIPT
    verification = glance(path)
    problems = [check.said for check in verification.failed]
    statement = verification.statement
    if statement is not None:
        about = {file["digest"]["sha256"] for file in statement["subject"]}
        if not about & {model.sha256, model.original_sha256}:
            problems.append("The receipt beside this model is about other weights.")
        elif _held(model) != model.sha256:
            problems.append("The weights on this disk are not those that the receipt is about: they were changed.")
    signed = next((check.said for check in verification.checks if check.name == "signer"), None)
    return ReceiptCard(
        model.name,
        gather.sha256_of(path),
        verification.keyid,
        tuple(problems),
        statement,
        verification.signer,
        signed or "No key that is in it signed it.",
        lineage_of(statement, path, verification.public) if statement is not None else None,
    )


def _held(model: Model) -> str:
    """The SHA-256 of the weights as they lie there, where it is known by now; as recorded until then."""
    return known_digest(model.path) or model.sha256


def _is_from(entry: Entry, model: Model) -> bool:
    """Whether the model's file is the catalogue's, not one that somebody imported under its name."""
    if entry.sha256 is not None:
        return entry.sha256 == model.original_sha256
    return model.source.startswith(entry.source.split("==")[0])


def _source_words(source: str) -> str:
    source, _, adapter = source.partition("+adapter:")
    if adapter:
        return f"{_source_words(source)}, with ClearSeek's adapter {adapter.partition('@')[0]} laid over it"
    kind, _, where = source.partition(":")
    if kind == "run":
        return f"the training run {where} on this machine"
    if kind == "pypi":
        package, _, file = where.partition("/")
        return f"the Python package {package.replace('==', ' ')}, file {file}" if file else f"the package {where}"
    if kind == "hf":
        return f"Hugging Face, {where}"
    return f"the file {where}, imported by hand" if kind == "file" else source


def _changes(model: Model) -> tuple[str, ...]:
    if model.sha256 == model.original_sha256:
        return ()
    results = _QUANT.findall(model.source.rsplit("/", 1)[-1])
    before = results[-1].upper() if results else None
    what = f"Requantised here from {before} to {model.quant}" if before else f"Requantised here to {model.quant}"
    by = model.requantised_by or "ClearSeek; with which version was not recorded"
    return (f"{what} when it was pulled, by {by}.",)


def installed_proof(name: str) -> ReceiptCard | OriginCard:
    """The proof of the installed model of that name or alias. Raises UserError where there is none."""
    from clearseek.hub.store import Store
    from clearseek.settings import home

    store = Store(home() / "models")
    try:
        model = store.find(name)
    except OSError as error:
        raise UserError(f"The models cannot be read: {(error.strerror or str(error)).lower()}.") from None
    return proof_of(model, store.entries)
