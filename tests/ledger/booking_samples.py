"""Drafts such as chat books them, for the tests of this room."""

from __future__ import annotations

from clearseek.ledger.entry import Draft
from clearseek.ledger.quantity import Quantity, declared, measured, modelled, unknown


def sample(number: int = 0, *, at: float | None = None, kind: str = "chat", **labels: str) -> Draft:
    """The draft with this number; every third has a price."""
    money: Quantity = declared(0.001, "USD", "declared") if number % 3 == 0 else unknown("USD", "no price is declared")
    return Draft(
        kind,
        at,
        {"model": "tiny", "owner": "tests", **labels},
        {
            "wall": measured(1.5 + number, "s", "perf_counter"),
            "energy": modelled(20.0, "J", "idle + (full - idle) x utilisation", 10.0, 30.0),
            "prompt_tokens": measured(number, "token", "counted"),
            "money": money,
        },
    )
