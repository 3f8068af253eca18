"""What a machine's time costs: the user's own declared rates, and dated rents of chips. Nothing has a default price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from clearseek.ledger.grid import carbon_intensity
from clearseek.ledger.hosted import Offer, hosted_offers
from clearseek.ledger.quantity import Quantity, declared, modelled, unknown
from clearseek.ledger.tables import moment, read_table

if TYPE_CHECKING:
    from clearseek.settings import Settings

__all__ = ["HOW_TO_DECLARE", "Offer", "Rates", "cost", "energy_of", "hosted_offers", "power", "rates_from", "rent"]

HOW_TO_DECLARE = "no price is declared: set `machine_usd_per_hour` under [prices] in config.toml"
_J_PER_KWH = 3.6e6
_NO_PRICE = unknown("USD/h", HOW_TO_DECLARE)
_NO_ELECTRICITY = unknown("USD/kWh", "no price of electricity is declared")
_NO_WATTS = unknown("W", "no power is declared: set `watts` under [machine] in config.toml")
_NO_IDLE_WATTS = unknown("W", "no idle power is declared")


@dataclass(frozen=True, slots=True)
class Rates:
    """What the user declared about this machine; what they did not is unknown.

    `machine_usd_per_hour` in USD/h, `electricity_usd_per_kwh` in USD/kWh, `watts` (at full load) and `watts_idle` in W.
    """

    machine_usd_per_hour: Quantity = _NO_PRICE
    electricity_usd_per_kwh: Quantity = _NO_ELECTRICITY
    watts: Quantity = _NO_WATTS
    watts_idle: Quantity = _NO_IDLE_WATTS
    grid_region: str | None = None


def rates_from(settings: Settings) -> Rates:
    """The rates in the user's settings."""
    prices, machine = settings.prices, settings.machine
    return Rates(
        _declared(prices.machine_usd_per_hour, _NO_PRICE, "declared price of the machine"),
        _declared(prices.electricity_usd_per_kwh, _NO_ELECTRICITY, "declared price of electricity"),
        _declared(machine.watts, _NO_WATTS, "declared power"),
        _declared(machine.watts_idle, _NO_IDLE_WATTS, "declared idle power"),
        prices.grid_region,
    )


def power(rates: Rates, utilisation: float) -> Quantity:
    """What the machine draws at this utilisation (0 to 1), in W: idle + (full - idle) x utilisation.

    Where the idle power is not declared it is anything from nothing to full. Modelled: the formula's utilisation is
    measured, its watts are the user's. Unknown without declared watts.
    """
    used = min(max(utilisation, 0.0), 1.0)
    if not rates.watts.known:
        return rates.watts
    low, high = rates.watts.bounds
    full, how = _value(rates.watts), f"idle + (full - idle) x {used:.0%} in use, of declared watts"
    if not rates.watts_idle.known:
        return modelled(full * (1 + used) / 2, "W", f"{how}; idle ones not declared", low * used, high)
    idle_low, idle_high = (min(idle, full) for idle, full in zip(rates.watts_idle.bounds, (low, high), strict=True))
    idle = min(_value(rates.watts_idle), full)
    value = idle + (full - idle) * used
    if rates.watts.exact and rates.watts_idle.exact:
        return modelled(value, "W", how)
    ends = idle_low + (low - idle_low) * used, idle_high + (high - idle_high) * used
    return modelled(value, "W", how, min(*ends, value), max(*ends, value))


def energy_of(rates: Rates, *, wall_s: float, cpu_s: float, cores: int) -> Quantity:
    """What the machine drew in `wall_s` seconds, in which `cpu_s` CPU seconds were used, in J; see `power`."""
    drawn = power(rates, cpu_s / (wall_s * cores) if wall_s > 0 else 0.0)
    return _times(drawn, wall_s, "J")  # a watt for a second is a joule


def cost(rates: Rates, *, wall_s: float, cpu_s: float, cores: int) -> tuple[Quantity, Quantity, Quantity]:
    """Energy (J), money (USD) and carbon (g CO2 equivalent) of `wall_s` seconds in which `cpu_s` CPU seconds were used.

    See `power` for the energy, and `money` for the money.
    """
    energy = energy_of(rates, wall_s=wall_s, cpu_s=cpu_s, cores=cores)
    return energy, money(rates, wall_s=wall_s, energy=energy), carbon(rates, energy)


def money(rates: Rates, *, wall_s: float, energy: Quantity) -> Quantity:
    """USD for `wall_s` seconds of the machine, and for `energy` (J) where a price of electricity is declared.

    Without one, electricity counts as part of the machine's price, as it is in a rent. Without a price of the machine
    the whole is unknown, whatever electricity costs: who counts electricity only declares a machine at 0.
    """
    if not rates.machine_usd_per_hour.known:
        return unknown("USD", rates.machine_usd_per_hour.how)
    if not rates.electricity_usd_per_kwh.known:
        return _times(rates.machine_usd_per_hour, wall_s / 3600, "USD").because("declared USD/h x hours")
    if not energy.known:
        return unknown("USD", energy.how)
    # by hand, because metering must cost next to nothing: `+` and `*` of quantities take ten times as long
    drawn, kwh_price = energy.bounds, rates.electricity_usd_per_kwh.bounds
    used = [joules / _J_PER_KWH * price for joules in drawn for price in kwh_price]
    low, high = (price * wall_s / 3600 for price in rates.machine_usd_per_hour.bounds)
    value = _value(rates.machine_usd_per_hour) * wall_s / 3600
    value += _value(energy) / _J_PER_KWH * _value(rates.electricity_usd_per_kwh)
    how = "declared USD/h x hours + energy x declared USD/kWh"
    low, high = min(low + min(used), value), max(high + max(used), value)
    return declared(value, "USD", how) if low == high else declared(value, "USD", how, low, high)


def carbon(rates: Rates, energy: Quantity) -> Quantity:
    """Grams of CO2 equivalent for `energy` from the declared region's grid."""
    return (energy * carbon_intensity(rates.grid_region)).to("g")


def rent(chip: str, at: date | datetime) -> Quantity:
    """What an hour of one chip (its name in the hardware table) was rented for on that day, in USD per chip and hour.

    An interval over the sources that say something about that day; unknown where none does.
    """
    when = moment(at)
    assert when is not None
    rows = []
    for row in read_table("prices")["rent"]:
        start, end = moment(row["from"]), moment(row.get("to"))
        if row["chip"] == chip and start is not None and start <= when and (end is None or when < end):
            rows.append(row)
    if not rows:
        return unknown("USD/(chip*h)", f"no source for the rent of {chip} on {when:%Y-%m-%d}")
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    sources = "; ".join(dict.fromkeys(f"{row['source']} [{row['provenance']}]" for row in rows))
    return declared((low + high) / 2, "USD/(chip*h)", f"rent of {chip}: {sources}", low, high)


def _declared(amount: float | tuple[float, float] | None, otherwise: Quantity, how: str) -> Quantity:
    if amount is None:
        return otherwise
    if isinstance(amount, tuple):
        low, high = amount
        return declared((low + high) / 2, otherwise.unit, how, low, high)
    return declared(amount, otherwise.unit, how)


def _times(quantity: Quantity, factor: float, unit: str) -> Quantity:
    """`quantity * factor`, which is in `unit`; for factors that are not negative."""
    if quantity.value is None:
        return unknown(unit, quantity.how)
    low, high = (None, None) if quantity.low is None else (quantity.bounds[0] * factor, quantity.bounds[1] * factor)
    return Quantity(quantity.value * factor, unit, quantity.basis, quantity.how, low, high)


def _value(quantity: Quantity) -> float:
    assert quantity.value is not None
    return quantity.value
