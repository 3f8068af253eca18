"""The ledger behind a receipt and the arithmetic in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.ledger.book import Book
from clearseek.ledger.check import check
from clearseek.ledger.entry import Entry
from clearseek.ledger.quantity import Quantity
from clearseek.receipts import arithmetic
from clearseek.receipts.check_files import Places
from clearseek.receipts.outcome import CheckLog
from clearseek.receipts.predicate import Ledger, Predicate, Stage

_ROUNDING = 1e-6
"""Relative: a formula over sums against the sum over a formula."""


def ledger(predicate: Predicate, places: Places, checks: CheckLog) -> list[Entry] | None:
    """The chain, its head, the file's digest; then every sum again from the entries, which are given back where the
    ledger is the receipt's."""
    data = predicate["ledger"]
    files = (data["path"],)
    path = places.beside(data["path"])
    if path is None:
        message = f"{data['path']} is not beside the receipt: its sums are not redone."
        checks.skipped("ledger", "predicate.ledger", message, files)
        return None
    wrong = ledger_error(data, path, places)
    if wrong is not None:
        checks.failed("ledger", *wrong, files)
        return None
    message = f"The chain of {data['entries']:,} entries is whole and ends as the receipt says."
    checks.ok("ledger", "predicate.ledger", message, files)
    entries = list(Book(path).read())
    _from_entries(predicate, arithmetic.add_books(entries), checks)
    return entries


def ledger_error(ledger: Ledger, path: Path, places: Places) -> tuple[str, str] | None:
    """What is wrong with the ledger that a receipt tells of: a field and a sentence."""
    field, name = "predicate.ledger", ledger["path"]
    try:
        state = check(path)
    except UserError as error:
        return field, str(error)
    if state.state != "intact":
        where = f"{name} line {state.line} (entry {state.seq})"
        return where, f"The ledger is {state.state} at line {state.line}: {state.problem}."
    if state.entries != ledger["entries"]:
        more = state.entries - ledger["entries"]
        message = f"{abs(more)} entries {'were added since' if more > 0 else 'are missing from its end'}"
        return f"{field}.entries", f"The ledger is not the one of the receipt: {message}."
    if state.healed != ledger["healed"]:
        return (
            f"{field}.healed",
            f"The ledger was healed {state.healed} times, and the receipt says {ledger['healed']}.",
        )
    if state.head != ledger["head"]:
        return f"{field}.head", "The ledger's last entry is not the one in the receipt."
    if path.stat().st_size != ledger["annotations"]["bytes"] or places.sha256(path) != ledger["digest"]["sha256"]:
        return f"{field}.digest.sha256", f"{name} is not the file of the receipt."
    return None


def _from_entries(predicate: Predicate, books: arithmetic.LedgerSums, checks: CheckLog) -> None:
    before = len(checks.failed_ones())
    stated: Mapping[str, Sequence[Any]] = {"stages": predicate["stages"], "attempts": predicate["attempts"]}
    for name, key, sums in (("stages", "name", books.stages), ("attempts", "attempt", books.attempts)):
        listed = stated[name]
        if [part[key] for part in listed] != [one.name for one in sums]:
            there = ", ".join(one.name or "(none)" for one in sums)
            checks.failed("sums", f"predicate.{name}", f"The ledger has other {name} than the receipt: {there[:200]}.")
            continue
        for index, (part, one) in enumerate(zip(listed, sums, strict=True)):
            where = f"predicate.{name}[{index}]"
            for field, value in (("entries", one.entries), ("entry_kinds", one.kinds)):
                if part.get(field, value) != value:
                    checks.failed(
                        "sums", f"{where}.{field}", f"`{where}.{field}` is not what the ledger's entries give."
                    )
            for field, moment in (("first_entry_at", one.first_at), ("last_entry_at", one.last_at)):
                if part[field] != moment:
                    checks.failed(
                        "sums", f"{where}.{field}", f"`{where}.{field}` is {part[field]}, the ledger: {moment}."
                    )
            _compare(where, arithmetic.from_json(part["quantities"]), one.quantities(), "its entries give", checks)
    if len(checks.failed_ones()) == before:
        checks.ok("sums", "predicate.stages", "Every sum of stages and attempts is the sum of its ledger entries.")


def sums(predicate: Predicate, checks: CheckLog) -> None:
    """What can be checked without the ledger: totals, FLOPs and money."""
    before = len(checks.failed_ones())
    try:
        stages = [arithmetic.from_json(stage["quantities"]) for stage in predicate["stages"]]
        attempts = [arithmetic.from_json(attempt["quantities"]) for attempt in predicate["attempts"]]
        totals = arithmetic.from_json(predicate["totals"])
        prices = arithmetic.from_json(predicate["prices"])
        fits = [
            _flops(f"predicate.stages[{index}]", stage, stages[index], checks)
            for index, stage in enumerate(predicate["stages"])
        ]
        if any(fits):
            message = f"FLOPs are what the tokens take by what is told of each, in {sum(fits)} of {len(fits)} stages."
            checks.ok("FLOPs", "predicate.stages", message)
        _compare("predicate", totals, arithmetic.totals(stages), "the stages add up to", checks, part="totals")
        if attempts:
            _compare("predicate", totals, arithmetic.totals(attempts), "the attempts add up to", checks, part="totals")
        _money([*stages, totals], prices, checks)
    except UserError as error:
        checks.failed("arithmetic", "predicate", f"A quantity is not in order: {error}")
        return
    if len(checks.failed_ones()) == before:
        checks.ok("arithmetic", "predicate.totals", "Totals are the sum of the stages, and of the attempts.")


def _compare(
    where: str,
    totals: dict[str, Quantity],
    made: dict[str, Quantity],
    what: str,
    checks: CheckLog,
    part: str = "quantities",
) -> None:
    for name in sorted({*totals, *made}):
        field = f"{where}.{part}.{name}"
        if name not in totals or name not in made:
            message = "is missing" if name not in totals else "stands there though nothing was booked of it"
            checks.failed("arithmetic", field, f"`{field}` {message}.")
        elif (wrong := arithmetic.same(totals[name], made[name])) is not None:
            checks.failed("arithmetic", field, f"`{field}` is not what {what}: {wrong}.")


def _flops(where: str, stage: Stage, quantities: dict[str, Quantity], checks: CheckLog) -> bool:
    """Tokens times FLOPs per token are FLOPs, or the FLOPs lie within what is told of a token; whether this could be
    seen. What the weights say is another check: see `check_flops`."""
    field, flops = f"{where}.quantities.flops", quantities.get("flops")
    per_token = arithmetic.from_json(stage["flops_per_token"])
    bounds = arithmetic.from_json(stage.get("flops_per_token_bounds", {}))
    if not per_token:
        return bool(bounds) and _within(where, quantities, bounds, checks)
    made = arithmetic.flops_of(quantities, per_token)
    if flops is None or made is None or made.known != flops.known:
        message = "needs FLOPs, and the tokens they were spent on"
        checks.failed("FLOPs", field, f"`{where}` tells FLOPs per token, so it {message}.")
    elif made.known and not _near(flops, made):
        message = f"tokens times FLOPs per token are {made.value:.9g}, and `{field}` is {flops.value:.9g}"
        checks.failed("FLOPs", field, f"{message[0].upper()}{message[1:]}.")
    else:
        return True
    return False


def _within(where: str, quantities: dict[str, Quantity], bounds: dict[str, Quantity], checks: CheckLog) -> bool:
    """Whether booked FLOPs lie between the least and the most that is told of a token of each kind."""
    flops, field = quantities.get("flops"), f"{where}.quantities.flops"
    if flops is None or flops.value is None:
        return False
    tokens = {name: quantities[name] for name in bounds if name in quantities}
    if not tokens or any(not token.known for token in (*tokens.values(), *bounds.values())):
        checks.failed("FLOPs", field, f"`{where}` tells FLOPs per token, so it needs the tokens they were spent on.")
        return False
    low, high = (math.fsum((tokens[name].value or 0.0) * bounds[name].bounds[end] for name in tokens) for end in (0, 1))
    if not low * (1 - _ROUNDING) <= flops.value <= high * (1 + _ROUNDING):
        message = (
            f"The tokens take {low:.6g} to {high:.6g} FLOP by what is told of each, and `{field}` is {flops.value:.6g}."
        )
        checks.failed("FLOPs", field, message)
        return False
    return True


def _money(parts: list[dict[str, Quantity]], prices: dict[str, Quantity], checks: CheckLog) -> None:
    """Money is hours times the machine's price, and energy times the price of electricity."""
    rate, electricity = prices.get("machine_usd_per_hour"), prices.get("electricity_usd_per_kwh")
    before, checked = len(checks.failed_ones()), False
    for index, quantities in enumerate(parts):
        money = quantities.get("money")
        if money is None or not money.known:
            continue
        field = "predicate.totals.money" if index == len(parts) - 1 else f"predicate.stages[{index}].quantities.money"
        if rate is None or not rate.known:
            checks.failed(
                "money", field, f"`{field}` is told, but `predicate.prices` declares no price of the machine."
            )
            continue
        terms = [(quantities["wall"] * rate).to("USD")] if "wall" in quantities else []
        if electricity is not None and electricity.known and "energy" in quantities:
            terms.append((quantities["energy"] * electricity).to("USD"))
        made = arithmetic.add_up(terms, "USD", "prices")
        if not terms or not made.known or not _near(money, made):
            message = "unknown" if not terms or made.value is None else f"${made.value:.9g}"
            checks.failed(
                "money",
                field,
                f"Hours and energy at the declared prices are {message}, and `{field}` is ${money.value:.9g}.",
            )
        checked = True
    if checked and len(checks.failed_ones()) == before:
        checks.ok("money", "predicate.totals.money", "Money is time and energy at the declared prices.")


def _near(one: Quantity, other: Quantity) -> bool:
    pairs = zip((one.value or 0.0, *one.bounds), (other.value or 0.0, *other.bounds), strict=True)
    return all(math.isclose(a, b, rel_tol=_ROUNDING, abs_tol=1e-9) for a, b in pairs)
