"""What may be spent: the day's budget from the settings, each key's from the keys; opening the books that hold them."""

from __future__ import annotations

from typing import Any

from clearseek.errors import UsageError
from clearseek.inference.accounting import Accounting
from clearseek.inference.budget import Caps, Scope, midnight
from clearseek.inference.machine_share import no_price
from clearseek.ledger.book import home_book
from clearseek.ledger.instruments import Rapl
from clearseek.ledger.prices import rates_from
from clearseek.ledger.quantity import Quantity, declared, measured, modelled, unknown
from clearseek.server.keys import KeyRing, keys_file
from clearseek.settings import Settings


def open_books(settings: Settings, keyring: KeyRing | None = None) -> Accounting | None:
    """The books of this machine; None where nothing is to be booked (`metering = false`).

    Raises UsageError for a budget that cannot be held: in dollars without a price, or without metering.
    """
    keys = keyring or KeyRing(keys_file())
    day = Caps(settings.budget.usd_per_day, settings.budget.tokens_per_day)
    limited = [key for key in keys.all() if key.caps.any]
    require_holdable(settings, day, "the day ([budget] in config.toml)")
    for key in limited:
        require_holdable(settings, key.caps, f"the key {key.name}")
    if not settings.metering:
        return None
    books = Accounting(home_book(), rates_from(settings), day, keys.caps, Rapl.find())
    if day.any or limited:
        books.spending.refresh()
    return books


def require_holdable(settings: Settings, caps: Caps, whose: str) -> None:
    """Raise UsageError, saying what to do, for a budget that cannot be held: without metering, or without a price."""
    if caps.any and not settings.metering:
        raise UsageError(f"The budget of {whose} cannot be held with `metering = false`: take one of the two away.")
    missing = no_price(rates_from(settings)) if caps.usd is not None else None
    if missing is not None:
        raise UsageError(f"The budget of {whose} is in dollars and cannot be held, because {missing}.")


def budget_json(books: Accounting, owner: str) -> dict[str, Any]:
    """The `budget` of the page's API: the day's, and that of the asking key. As of the last refresh.

    Where keys are asked for, the day's is not told: it would say what others spend.
    """
    day = _scope_json(books, books.day) if owner == "local" else None
    key = books.scope_of(owner)
    return {"day": day, "key": None if key is None else _scope_json(books, key)}


def _scope_json(books: Accounting, scope: Scope) -> dict[str, Any] | None:
    if not scope.caps.any:
        return None
    money = tokens = None
    if scope.caps.usd is not None:
        cap = declared(scope.caps.usd, "USD", "the budget of a day")
        money = {"cap": cap.as_json(), "spent": spent_usd(books, scope).as_json()}
    if scope.caps.tokens is not None:
        spent = scope.caps.tokens - scope.tokens_now()
        tokens = {
            "cap": declared(scope.caps.tokens, "token", "the budget of a day").as_json(),
            "spent": measured(spent, "token", "by the ledger since midnight, and what is under way").as_json(),
        }
    return {"money": money, "tokens": tokens, "resets_at": midnight(1)}


def spent_usd(books: Accounting, scope: Scope) -> Quantity:
    """Dollars of today, with what running answers have taken so far; as budgets count: at the upper end."""
    spent = books.spending.of(scope.owner)
    usd = spent.usd + scope.usd + books.running_usd(scope)
    how = "by the ledger since midnight, and what is under way; at the upper end where a price is an interval"
    if spent.unknown and not usd:
        return unknown("USD", f"{spent.unknown} entries of today have no price")
    if spent.unknown:
        how += f"; without {spent.unknown} entries that have no price"
    return modelled(usd, "USD", how) if usd else measured(0, "USD", how)
