"""The books as the page shows them: sums by day, model, chat or kind; what the same tokens had cost elsewhere."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from clearseek.inference.budget import midnight
from clearseek.ledger.check import BookCheck, check
from clearseek.ledger.hosted import Offer, all_offers
from clearseek.ledger.index import Index, Row
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import Quantity, measured, total, unknown
from clearseek.settings import home

By = Literal["day", "model", "conversation", "kind"]
TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
AMOUNTS = {"wall": "s", "cpu": "s", "energy": "J", "money": "USD", "flops": "FLOP"}
MAX_ROWS = 500
MAX_CHECKED = 64 * 1024 * 1024
"""Bytes of a ledger that is checked because a page is looked at: a few seconds' work, in a thread."""
CHECK_AGAIN = 30.0
"""Seconds for which a check that took long is believed while the ledger grows."""
HOW_TO_DECLARE = """\
# in {file}; two numbers in brackets are an interval
[prices]
machine_usd_per_hour = 0.05      # what this machine costs for an hour: its rent, or what you count for wear
electricity_usd_per_kwh = 0.30   # leave it out where the rent includes it
grid_region = "DEU"              # for CO2

[machine]
watts = 65                       # what it draws at full load, where nothing here can measure it
watts_idle = 20"""


def books_of(book: Path, by: By, days: int, owner: str) -> dict[str, Any]:
    """What was spent in the last `days` days, today included: `rows`, `total`, `hosted`, and the time between.

    "local" (nobody is asked for a key) sees everything; anybody else their own entries. Reads files: not for the
    event loop.
    """
    since, until = midnight(1 - days), time.time()
    where = {} if owner == "local" else {"owner": owner}
    index = Index(book)
    answers = {**where, "kind": "answer"}
    counts = {row.key: row.entries for row in index.spend(by, since, None, answers)}
    rows = [{"key": row.key, "label": row.key, **_row_json(row, counts)} for row in index.spend(by, since, None, where)]
    all_ = index.spend(None, since, None, where)
    count = sum(counts.values())
    return {
        "by": by,
        "since": since,
        "until": until,
        "rows": rows[-MAX_ROWS:] if by == "day" else rows[:MAX_ROWS],
        "total": _row_json(all_[0] if all_ else Row("", 0, {}, {}, {}), {"": count}),
        "hosted": hosted(index.tokens(since, None, answers), until),
    }


def _row_json(row: Row, answers: Mapping[str, int]) -> dict[str, Any]:
    """Tokens as plain counts; of the rest what is known, with the number of entries that have no price."""
    fields: dict[str, Any] = {"answers": answers.get(row.key, 0)}
    for name in TOKENS:
        known = row.known.get(name)
        fields[name] = 0 if known is None or known.value is None else round(known.value)
    for name, unit in AMOUNTS.items():
        amount = row.known.get(name) or row.totals.get(name)
        if amount is None:
            amount = unknown(unit, "no entry says it") if row.entries else measured(0, unit, "nothing was spent")
        fields[name] = amount.as_json()
    fields["unknown_money"] = row.missing.get("money", 0)
    return fields


def hosted(tokens: list[tuple[float, int, int, int]], now: float) -> list[dict[str, Any]]:
    """What these tokens (by quarter of an hour, as `Index.tokens` gives them) would have cost with each hosted offer.

    Each at the price that held then; one whose price is not known for a part of the time is unknown. Offers that do
    not hold any more at the end of the time are left out.
    """
    models: dict[tuple[str, str], list[Offer]] = {}
    for offer in all_offers():
        models.setdefault((offer.vendor, offer.model), []).append(offer)
    lines = []
    for (vendor, model), offers in models.items():
        last = next((offer for offer in offers if _holds(offer, now)), None)
        if last is None:
            continue
        parts: list[Quantity] = []
        for at, miss, hit, completion in tokens:
            then = next((one for one in offers if _holds(one, at)), None)
            if then is None:
                parts.append(unknown("USD", f"no price of {vendor} {model} is known for a part of the time"))
                break
            parts.append(then.cost(miss, hit, completion, datetime.fromtimestamp(at, UTC)))
        money = total(parts, "USD")
        if money.known:
            money = money.because("published prices of each hour x the tokens used in it")
        lines.append(
            {
                "offer": model,
                "provider": vendor,
                "money": money.as_json(),
                "source": last.source,
                "as_of": last.read,
                "note": last.note or None,
                "provenance": last.provenance,
            }
        )
    return lines


def _holds(offer: Offer, at: float) -> bool:
    return offer.start.timestamp() <= at and (offer.end is None or at < offer.end.timestamp())


def rates_json(rates: Rates, owner: str) -> dict[str, Any]:
    """What was declared, and how to. Where the file lies is told to "local" alone, not to those with keys."""
    file = str(home() / "config.toml") if owner == "local" else "config.toml (`clearseek doctor` names its folder)"
    return {
        "machine_usd_per_hour": rates.machine_usd_per_hour.as_json(),
        "electricity_usd_per_kwh": rates.electricity_usd_per_kwh.as_json(),
        "watts": rates.watts.as_json(),
        "grid_region": rates.grid_region,
        "how_to_declare": HOW_TO_DECLARE.format(file=file),
    }


class Chain:
    """Checks the ledger's chain of hashes when it is looked at, but not twice for the same bytes."""

    def __init__(self, book: Path) -> None:
        self._book = book
        self._seen: tuple[int, int, int] | None = None
        self._checked_at = self._took = 0.0
        self._result: BookCheck | None = None

    def state(self) -> dict[str, Any]:
        """`entries`, `head`, `state` ("intact", "torn", "broken", "unchecked": too large to check here), `problem`,
        and `checked_at`. Reads the whole file: not for the event loop."""
        try:
            stat = self._book.stat()
        except OSError:
            return {"entries": 0, "head": None, "state": "intact", "problem": None, "checked_at": time.time()}
        if stat.st_size > MAX_CHECKED:
            large = "The ledger is too large to be checked for every look at it: `clearseek ledger --check` does."
            return {"entries": 0, "head": None, "state": "unchecked", "problem": large, "checked_at": None}
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        rested = time.time() - self._checked_at > (CHECK_AGAIN if self._took > 0.5 else 0.0)
        if self._result is None or (seen != self._seen and rested):
            began = time.monotonic()
            self._result, self._seen, self._checked_at = check(self._book), seen, time.time()
            self._took = time.monotonic() - began
        result = self._result
        problem = result.problem
        if problem is not None and result.line is not None:
            problem = f"Line {result.line} (entry {result.seq}): {problem}."
        head = result.head if result.entries else None
        return {
            "entries": result.entries,
            "head": head,
            "state": result.state,
            "problem": problem,
            "checked_at": self._checked_at,
        }


def as_csv(rows: list[dict[str, Any]], by: By) -> str:
    """The rows of `books_of` for a spreadsheet: every amount with its unit in the heading, and its basis beside it."""
    out = io.StringIO()
    writer = csv.writer(out)
    amounts = [part for name, unit in AMOUNTS.items() for part in (f"{name} ({unit})", f"{name} rests on")]
    writer.writerow([by, "name", "answers", *TOKENS, *amounts, "entries without a price"])
    for row in rows:
        cells = [row["key"], row["label"], row["answers"], *(row[name] for name in TOKENS)]
        for name in AMOUNTS:
            cells += ["" if row[name]["value"] is None else row[name]["value"], row[name]["basis"]]
        writer.writerow([_harmless(cell) for cell in [*cells, row["unknown_money"]]])
    return out.getvalue()


def _harmless(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula is marked as text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
