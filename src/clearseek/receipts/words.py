"""How a receipt is told, wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clearseek.ledger.quantity import Quantity
from clearseek.receipts.arithmetic import from_json
from clearseek.receipts.outcome import Check
from clearseek.receipts.predicate import Predicate, Stage

if TYPE_CHECKING:
    from clearseek.receipts.lineage import Lineage

NAMES = {
    "wall": "Time",
    "cpu": "Processor time",
    "gpu": "GPU time",
    "energy": "Energy",
    "money": "Money",
    "prompt_tokens": "Tokens in",
    "cached_tokens": "of them cached",
    "completion_tokens": "Tokens out",
    "reasoning_tokens": "of them reasoning",
    "flops": "Computation",
    "bytes": "Bytes",
}
"""What each booked quantity is called."""


def cost_rows(predicate: Predicate) -> list[tuple[str, Quantity]]:
    """The totals, named. What matters most stands there even where nothing was booked of it."""
    totals = from_json(predicate["totals"])
    from clearseek.ledger.quantity import unknown

    for name, unit, why in (("energy", "J", "no energy was booked"), ("money", "USD", "no price was declared")):
        totals.setdefault(name, unknown(unit, why))
    return [(NAMES[name], totals[name]) for name in NAMES if name in totals]


def all_runs_rows(lineage: Lineage) -> list[tuple[str, Quantity]]:
    """What all runs took together, named as in `cost_rows`; beside what is unknown, what the rest come to."""
    totals, known = lineage.totals(), lineage.known()
    rows = []
    for name in NAMES:
        if name not in totals:
            continue
        rows.append((NAMES[name], totals[name]))
        if name in known:
            part, count = known[name]
            rows.append((f"of it, {count} of {len(lineage.runs) + len(lineage.missing)} runs", part))
    return rows


def lineage_words(lineage: Lineage) -> str:
    """Which runs there are, in the order in which they were made, and whose keys signed them."""
    runs = [f"{name} ({day(predicate['run']['started_at'])[:10]})" for name, predicate in reversed(lineage.runs)]
    message = f"{len(runs) + len(lineage.missing)} runs made this model, one after the other: {', '.join(runs)}"
    if lineage.missing:
        message += f"; of {', '.join(lineage.missing)} the receipt is not within reach"
    keys = lineage.signed_by()
    if len(keys) > 1:
        text = "; ".join(f"{keyid[:16]}... signed {', '.join(names)}" for keyid, names in keys.items())
        message += f". {len(keys)} keys signed them: {text}"
    return f"{message}."


def made_words(predicate: Predicate) -> str:
    """When the run was, in a sentence."""
    run, made = predicate["run"], predicate["made"]
    began, ended = day(run["started_at"]), day(run["finished_at"])
    when = f"of {began}" if began == ended else f"from {began} to {ended}"
    return f"A training run {when}; its receipt was made by {made['by']} on {day(made['at'])}."


def day(text: str) -> str:
    """`2026-11-23T17:02:03.123Z` as `2026-11-23 17:02 UTC`."""
    return f"{text[:10]} {text[11:16]} UTC"


def stage_name(stage: Stage) -> str:
    return str(stage["name"]) or "(outside the stages)"


def share(part: Quantity | None, whole: Quantity | None) -> float | None:
    """Which part of the whole; None where it cannot be told."""
    if part is None or whole is None or part.value is None or not whole.value:
        return None
    return min(max(part.value / whole.value, 0.0), 1.0)


def counted(checks: Iterable[Check], state: str) -> str:
    """What checks of one state speak of, in figures: "9 files and the signer, code"; files are counted, not lines."""
    of_it = [check for check in checks if check.state == state]
    files = {(check.name, file) for check in of_it for file in check.files}
    others = dict.fromkeys(check.name for check in of_it if not check.files)
    parts = [f"{len(files)} {'file' if len(files) == 1 else 'files'}"] if files else []
    return " and ".join([*parts, *([", ".join(others)] if others else [])]) or "nothing"
