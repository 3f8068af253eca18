"""What a training receipt states, made from a run folder: an in-toto Statement v1.

    RUN/recipe.toml          the resolved recipe
    RUN/ledger.jsonl         every entry, chained
    RUN/run.json             what the run noted that no other file holds (see `docs/receipts.md`); may be absent
    RUN/model/, RUN/adapter/, RUN/*.gguf   what came out: the subject
    RUN/checkpoints/step-*/  on the way
    RUN/evaluations/*.json   results

The predicate's type is a URN. in-toto asks for a URI; an https one needs a domain that stays ours for as long as a
receipt is to mean something, and whoever buys a lapsed one could say what old receipts mean.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from clearseek import __version__
from clearseek.errors import CheckFailed, UsageError, UserError
from clearseek.ledger.book import Book
from clearseek.ledger.canonical import canonical
from clearseek.ledger.check import check
from clearseek.ledger.entry import iso as ledger_time
from clearseek.receipts import arithmetic, gather
from clearseek.receipts.envelope import write_envelope
from clearseek.receipts.predicate import (
    CannotProve,
    Checkpoint,
    EvaluationFile,
    Ledger,
    Machine,
    Quantities,
    QuantityJson,
    RecipeFile,
    Run,
    Signer,
    Statement,
)
from clearseek.receipts.recipe_json import plain
from clearseek.receipts.signing import SigningKey, signing_key
from clearseek.toml_tables import parse_toml

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_FAMILY = "urn:clearseek:training-receipt:v"
PREDICATE_TYPE = PREDICATE_FAMILY + "1"
PREDICATE_VERSION = "1.1"
PREDICATE_VERSIONS = ("1.0", "1.1")
"""Those that are checked in full; what 1.1 added is optional."""
RECEIPT = "receipt.json"

_MAX_TEXT = 8 * 1024 * 1024
_NOTES = {
    "name", "started_at", "finished_at", "base", "data", "machine", "environment", "code", "stages", "attempts",
    "parents", "prices", "notes",
}  # fmt: skip

CANNOT_PROVE: tuple[CannotProve, ...] = (
    {
        "what": "That no other run happened, or that this ledger is complete.",
        "why": "Whoever makes a receipt can leave out the runs that failed, and a run that was never booked leaves no "
        "gap. A published head or a timestamp bounds when a ledger was written, not what is missing from it.",
        "references": ["arXiv:2303.11341"],
    },
    {
        "what": "That training really took this path from the first checkpoint to the last.",
        "why": "Logs of training can be forged for less than the training costs. Replaying sampled segments bit by bit "
        "on the same kind of machine shows that those segments are real, and no others.",
        "references": ["arXiv:2108.09454", "arXiv:2208.03567"],
    },
    {
        "what": "What the hardware was.",
        "why": "The machine is what its operating system said it was. Without attestation by the hardware itself, "
        "anybody can say anything.",
        "references": ["arXiv:2303.11341"],
    },
    {
        "what": "How much energy was used, beyond the trust in the sensor.",
        "why": "A measured joule is what a counter in the chip said; a modelled one is a formula over declared power.",
        "references": [],
    },
    {
        "what": "The price that was really paid.",
        "why": "Money is time and energy multiplied by prices that were declared. An invoice would show what was paid.",
        "references": [],
    },
    {
        "what": "That only the data listed here was used.",
        "why": "Digests bind the data that is named. They cannot show that nothing else was read.",
        "references": [],
    },
)
"""What no receipt can prove, with the papers that show why. It stands in every receipt, and every check prints it."""


def make_receipt(run: Path | str, *, key: SigningKey | None = None) -> Path:
    """Make the receipt of a run folder and write it to RUN/receipt.json; returns where it is.

    `key` is the home's own by default. Raises UserError, in one sentence, for a folder that holds no run, a ledger
    that is not intact, or notes that are not in order; CheckFailed where its own sums contradict each other.
    """
    folder = Path(run).expanduser()
    key = key or signing_key()
    statement = build_statement(folder, key.public)
    _fits(statement)
    payload = canonical(statement)
    return write_receipt(folder / RECEIPT, payload, key)


def _fits(statement: Statement) -> None:
    """No receipt is signed that would not verify."""
    from clearseek.receipts.check_books import sums
    from clearseek.receipts.form import quantity_error, schema_error
    from clearseek.receipts.outcome import CheckLog

    wrong = schema_error(statement) or quantity_error(statement["predicate"])
    if wrong is not None:
        raise UserError(f"No receipt can be made of this run: {wrong[1]}")
    result = CheckLog()
    sums(statement["predicate"], result)
    if failed := result.failed_ones():
        raise CheckFailed(f"No receipt is made of sums that do not fit, at `{failed[0].field}`: {failed[0].said}")


def write_receipt(path: Path, payload: bytes, key: SigningKey) -> Path:
    """Sign a payload and write the envelope: aside, synced, then in the place of an older one."""
    from clearseek.hub.files import write_aside

    try:
        write_aside(path, write_envelope(payload, key.keyid, key.sign(payload)))
    except OSError as error:
        raise UserError(f"{path} could not be written: {(error.strerror or str(error)).lower()}.") from None
    return path


def build_statement(folder: Path, public_key: bytes, *, now: datetime | None = None) -> Statement:
    """The statement as plain data. `public_key` is the signer's, 32 raw bytes. Raises UserError as `make_receipt`."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name a run folder, such as runs/NAME.")
    subject = [one for part in ("model", "adapter") for one in gather.files_under(folder / part, folder)]
    subject += [gather.describe(path, path.name) for path in sorted(folder.glob("*.gguf")) if path.is_file()]
    if not subject:
        raise UserError(f"{folder} holds no weights: a finished run has model/ or a .gguf file.")
    notes = _notes(folder / "run.json")
    ledger = _ledger(folder / "ledger.jsonl")
    books = arithmetic.add_books(Book(folder / "ledger.jsonl").read())
    if not books.stages:
        raise UserError(f"The ledger of {folder} holds no work: there is nothing to give a receipt for.")
    moment, sums = now or datetime.now(UTC), _sums(books, notes)
    run: Run = {
        "name": notes.get("name") or folder.resolve().name,
        "started_at": notes.get("started_at") or min(s.first_at for s in books.stages),
        "finished_at": notes.get("finished_at") or ledger_time(max(s.ended for s in books.stages)),
    }
    if "notes" in notes:
        run["notes"] = notes["notes"]
    machine = notes.get("machine") or {**gather.machine(), "seen": "when the receipt was made"}
    return {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "version": PREDICATE_VERSION,
            "made": {"at": iso(moment), "by": f"clearseek {__version__}"},
            "signer": _signer(public_key),
            "run": run,
            "recipe": _recipe(folder / "recipe.toml"),
            "base": notes.get("base"),
            "data": notes.get("data", []),
            "code": notes.get("code") or gather.code(),
            "machine": cast(Machine, machine),
            "environment": notes.get("environment") or gather.environment(),
            "prices": notes["prices"] if "prices" in notes else _prices(books),
            "stages": sums["stages"],
            "totals": sums["totals"],
            "attempts": sums["attempts"],
            "evaluations": _evaluations(folder),
            "checkpoints": _checkpoints(folder),
            "parents": notes.get("parents", []),
            "ledger": ledger,
            "cannot_prove": list(CANNOT_PROVE),
        },
    }


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _signer(public_key: bytes) -> Signer:
    from clearseek.receipts.signing import keyid_of

    return {"algorithm": "ed25519", "keyid": keyid_of(public_key), "public_key": public_key.hex()}


def _sums(books: arithmetic.LedgerSums, notes: dict[str, Any]) -> dict[str, Any]:
    value = notes.get("stages", {})
    stages, sums = [], []
    for stage in books.stages:
        more = value.get(stage.name, {})
        quantities = stage.quantities()
        sums.append(quantities)
        stages.append({
            "name": stage.name,
            "kind": more.get("kind"),
            "entries": stage.entries,
            "entry_kinds": stage.kinds,
            "first_entry_at": stage.first_at,
            "last_entry_at": stage.last_at,
            "quantities": arithmetic.as_json(quantities),
            "flops_per_token": more.get("flops_per_token", {}),
            **{name: more[name] for name in ("flops_per_token_bounds",) if name in more},
        })  # fmt: skip
    attempts = {str(one.get("attempt", "")): one for one in notes.get("attempts", [])}
    tried = [
        {
            "attempt": attempt.name,
            "state": attempts.get(attempt.name, {}).get("state", "completed"),
            "why": attempts.get(attempt.name, {}).get("why", ""),
            "entries": attempt.entries,
            "first_entry_at": attempt.first_at,
            "last_entry_at": attempt.last_at,
            "quantities": arithmetic.as_json(attempt.quantities()),
        }
        for attempt in books.attempts
    ]
    return {"stages": stages, "totals": arithmetic.as_json(arithmetic.totals(sums)), "attempts": tried}


def _prices(books: arithmetic.LedgerSums) -> Quantities:
    """Today's declared prices, where the ledger has money in it and the run did not note with which it was computed."""
    from clearseek.ledger.prices import rates_from
    from clearseek.settings import load_settings

    if not any(part.known for stage in books.stages for part in stage.parts.get("money", ())):
        return {}
    rates = rates_from(load_settings())
    fields = {
        "machine_usd_per_hour": rates.machine_usd_per_hour,
        "electricity_usd_per_kwh": rates.electricity_usd_per_kwh,
    }
    return {name: cast(QuantityJson, price.as_json()) for name, price in fields.items() if price.known}


def _ledger(path: Path) -> Ledger:
    if not path.is_file():
        raise UserError(f"{path} does not exist: a receipt is made from a run's ledger.")
    state = check(path)
    if state.state != "intact":
        where = f" at line {state.line}" if state.line else ""
        raise UserError(f"The ledger {path} is {state.state}{where}: {state.problem}; no receipt is made from it.")
    return {
        "path": path.name,
        "entries": state.entries,
        "healed": state.healed,
        "head": state.head,
        "digest": {"sha256": gather.sha256_of(path)},
        "annotations": {"bytes": path.stat().st_size},
    }


def _recipe(path: Path) -> RecipeFile:
    try:
        content = path.read_bytes()[:_MAX_TEXT]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    resolved = parse_toml(content, str(path))
    return {"path": path.name, "digest": {"sha256": gather.sha256_of(path)}, "resolved": plain(resolved)}


def _notes(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        notes = json.loads(path.read_bytes()[: _MAX_TEXT + 1])
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}.") from None
    if not isinstance(notes, dict):
        raise UserError(f"{path} must be a JSON object.")
    for name, kind in (("stages", dict), ("attempts", list)):
        inner = notes.get(name, kind())
        parts = inner.values() if isinstance(inner, dict) else inner
        if not isinstance(inner, kind) or not all(isinstance(part, dict) for part in parts):
            raise UsageError(f"`{name}` in {path} does not have its form; see docs/receipts.md.")
    if strange := sorted(set(notes) - _NOTES):
        raise UsageError(f"{path} has an unknown key `{strange[0]}`; known ones are {', '.join(sorted(_NOTES))}.")
    return notes


def _evaluations(folder: Path) -> list[EvaluationFile]:
    evaluations: list[EvaluationFile] = []
    for path in sorted((folder / "evaluations").glob("*.json")):
        try:
            result = json.loads(path.read_bytes()[: _MAX_TEXT + 1])
            results = dict(result["results"])
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            raise UserError(f"{path} is no evaluation: it needs `name` and `results`, a table of quantities.") from None
        described = gather.describe(path, path.relative_to(folder).as_posix())
        evaluations.append({"name": str(result.get("name", path.stem)), "file": described, "results": results})
    return evaluations


def _checkpoints(folder: Path) -> list[Checkpoint]:
    return [
        {"name": step.name, "files": gather.files_under(step, folder)}
        for step in sorted((folder / "checkpoints").glob("step-*"))
        if step.is_dir()
    ]
