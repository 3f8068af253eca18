"""What the same tokens would have cost on a hosted API at that hour: published prices, dated, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from clearseek.errors import UsageError
from clearseek.ledger.quantity import Quantity, declared
from clearseek.ledger.tables import moment, read_table

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens: of a prompt that was not in the cache, of one that was, and of what was written."""

    input_miss: float
    input_hit: float
    output: float


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day (UTC, from `start` up to `end`, past midnight where that is earlier) with a price of their own.

    `days` are the weekdays, 0 is Monday, on which the window begins.
    """

    name: str
    start: time
    end: time
    days: frozenset[int]
    price: Price

    def holds(self, at: datetime) -> bool:
        """Whether the moment, which has a zone, lies in the window."""
        here = at.astimezone(UTC)
        clock, day = here.time(), here.weekday()
        if self.start < self.end:
            return self.start <= clock < self.end and day in self.days
        return (clock >= self.start and day in self.days) or (clock < self.end and (day - 1) % 7 in self.days)


@dataclass(frozen=True, slots=True)
class Offer:
    """A vendor's published price of a model from `start` until `end` (None: not known to have ended).

    `read` is the day on which the source was read, `provenance` a letter of `tables.PROVENANCE`.
    """

    vendor: str
    model: str
    start: datetime
    end: datetime | None
    price: Price
    windows: tuple[Window, ...]
    source: str
    read: str
    provenance: str
    note: str

    def price_at(self, at: datetime) -> tuple[Price, str]:
        """The price at that moment, and the name of the window that it falls in ("" outside of all)."""
        _needs_zone(at)
        for window in self.windows:
            if window.holds(at):
                return window.price, window.name
        return self.price, ""

    def cost(self, prompt_miss: int, prompt_hit: int, completion: int, at: datetime) -> Quantity:
        """USD for these numbers of tokens at that moment. `completion` includes the thinking, as vendors count it.

        Raises UsageError for a time without a zone, or one at which the offer did not hold.
        """
        price, window = self.price_at(at)
        if at < self.start or (self.end is not None and at >= self.end):
            raise UsageError(f"The price of {self.vendor} {self.model} did not hold at {at:%Y-%m-%d %H:%M}.")
        usd = (prompt_miss * price.input_miss + prompt_hit * price.input_hit + completion * price.output) / 1e6
        hours = f", {window} hours" if window else ""
        return declared(usd, "USD", f"{self.vendor} {self.model}{hours}: {self.source}, read {self.read}")


def hosted_offers(at: datetime) -> list[Offer]:
    """The published prices that held at that moment, in the table's order. Raises UsageError without a zone."""
    _needs_zone(at)
    offers = (_offer(row) for row in read_table("hosted_api")["offer"])
    return [offer for offer in offers if offer.start <= at and (offer.end is None or at < offer.end)]


def all_offers() -> list[Offer]:
    """Every row of the table."""
    return [_offer(row) for row in read_table("hosted_api")["offer"]]


def _needs_zone(at: datetime) -> None:
    if at.tzinfo is None:
        raise UsageError("The time of a price needs a time zone: prices change with the hour.")


def _offer(row: dict[str, Any]) -> Offer:
    start = moment(row["from"])
    assert start is not None
    windows = tuple(_window(window) for window in row.get("window", ()))
    return Offer(
        row["vendor"],
        row["model"],
        start,
        moment(row.get("to")),
        _price(row),
        windows,
        row["source"],
        f"{row['read']:%Y-%m-%d}",
        row["provenance"],
        row.get("note", ""),
    )


def _window(row: dict[str, Any]) -> Window:
    days = frozenset(_DAYS.index(day) for day in row.get("days", _DAYS))
    return Window(row["name"], row["utc"][0], row["utc"][1], days, _price(row))


def _price(row: dict[str, Any]) -> Price:
    return Price(float(row["input_miss"]), float(row["input_hit"]), float(row["output"]))
