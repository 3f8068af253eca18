"""Times held against each other, and computation against the machine: what was booked must have been possible.

An entry's `at` is when its work began, by the wall clock; its `wall` is how long it took, by another clock. So the two
contradict each other where somebody changed one. Clocks may be set while a run goes on (SLACK), and a machine may
sleep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from clearseek.ledger.entry import Entry, unix
from clearseek.ledger.processors import most_flops
from clearseek.ledger.quantity import Quantity
from clearseek.receipts.arithmetic import counts
from clearseek.receipts.outcome import CheckLog
from clearseek.receipts.predicate import Machine, Predicate, value_of

SLACK = 5.0
"""Seconds that a clock may be set by, in the whole of a run."""
_SHARE = 0.02
_UNBOOKED = 0.5
"""Where less than this share of an attempt's time is booked, that is told."""


def times(predicate: Predicate, entries: Sequence[Entry] | None, checks: CheckLog) -> None:
    """The entries' own times against the run's dates and against what they say they took."""
    field = "predicate.ledger"
    if entries is None:
        checks.skipped("times", field, "Without the ledger, when each entry's work began is not known.")
        return
    before = len(checks.failed_ones())
    worked = [entry for entry in entries if counts(entry)]
    _within(predicate, worked, checks)
    # ClearSeek's trainer does one thing at a time; who books stages of their own may have several under way
    _apart(worked, checks, whole="arithmetic" in predicate["machine"])
    _cpu(predicate["machine"], worked, checks)
    _rates(predicate, entries, checks)
    if len(checks.failed_ones()) != before:
        return
    message = f"The {len(worked):,} entries lie within the run, one after another, and took no longer than there was."
    checks.ok("times", field, message)
    for name, span, booked in _thin(worked):
        message = (
            f"The entries of attempt {name or '-'} lie over {span / 60:,.1f} minutes and hold {booked / 60:,.1f} of "
            "work: what the machine did in between was not booked (it may have slept)."
        )
        checks.skipped("times", field, message)


def _within(predicate: Predicate, worked: Sequence[Entry], checks: CheckLog) -> None:
    """Nothing began before the run, nor ended after it; a receipt of version 1.0 noted the end of the run before its
    last test, so there it is the receipt's own date that nothing may come after."""
    run = predicate["run"]
    last = predicate["made"]["at"] if predicate["version"] == "1.0" else run["finished_at"]
    try:
        first_s, last_s = unix(run["started_at"]), unix(last)
    except ValueError:
        return  # told with the dates
    for entry in worked:
        begun = unix(entry.at)
        ended = begun + wall_of(entry)
        if begun < first_s - SLACK:
            message = f"Entry {entry.seq} began at {entry.at}, before the run did ({run['started_at']})."
            checks.failed("times", f"ledger entry {entry.seq}", message)
            return
        if ended > last_s + SLACK:
            what = "receipt was made" if predicate["version"] == "1.0" else "run ended"
            message = (
                f"Entry {entry.seq} began at {entry.at} and took {wall_of(entry):,.1f} s: the {what} before ({last})."
            )
            checks.failed("times", f"ledger entry {entry.seq}", message)
            return


def _apart(worked: Iterable[Entry], checks: CheckLog, *, whole: bool) -> None:
    """Within one stage of one attempt (`whole`: within an attempt), work is done one after the other: together it
    cannot take longer than from the first beginning to the last end, and no entry ends after the next began."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in worked:
        stage = "any" if whole else entry.labels.get("stage", "")
        groups.setdefault((entry.labels.get("attempt", ""), stage), []).append(entry)
    for (_, stage), group in groups.items():
        in_order = sorted(group, key=lambda entry: (unix(entry.at), entry.seq))
        for one, other in pairwise(in_order):
            over = unix(one.at) + wall_of(one) - unix(other.at)
            if over > SLACK + _SHARE * wall_of(one):
                message = (
                    f"Entry {one.seq} of the stage {stage or '-'} took {wall_of(one):,.1f} s, and entry {other.seq} "
                    f"began {over:,.1f} s before that was over."
                )
                checks.failed("times", f"ledger entry {one.seq}", message)
                return
        span = max(unix(entry.at) + wall_of(entry) for entry in in_order) - unix(in_order[0].at)
        booked = sum(map(wall_of, in_order))
        if booked > span * (1 + _SHARE) + SLACK:
            message = f"The entries of the stage {stage or '-'} say {booked:,.1f} s, and lie within {span:,.1f} s."
            checks.failed("times", "predicate.stages", message)
            return


def _thin(worked: Iterable[Entry]) -> list[tuple[str, float, float]]:
    """Attempts of which most is not booked: the name, seconds from first to last, seconds booked."""
    groups: dict[str, list[Entry]] = {}
    for entry in worked:
        groups.setdefault(entry.labels.get("attempt", ""), []).append(entry)
    results = []
    for name, group in groups.items():
        span = max(unix(entry.at) + wall_of(entry) for entry in group) - min(unix(entry.at) for entry in group)
        booked = sum(map(wall_of, group))
        if span > 60 and booked < _UNBOOKED * span:
            results.append((name, span, booked))
    return results


def _cpu(machine: Machine, worked: Iterable[Entry], checks: CheckLog) -> None:
    """No process uses more processor seconds than there are cores and seconds."""
    if "seen" in machine or machine.get("accelerators"):
        return
    cores = machine["cores"]
    for entry in worked:
        cpu, wall = entry.quantities.get("cpu"), wall_of(entry)
        if cpu is not None and cpu.value is not None and cpu.value > cores * wall * (1 + _SHARE) + 1.0:
            message = f"Entry {entry.seq} used {cpu.value:,.1f} processor seconds in {wall:,.1f} s on {cores} cores."
            checks.failed("times", f"ledger entry {entry.seq}", message)
            return


def _rates(predicate: Predicate, entries: Iterable[Entry], checks: CheckLog) -> None:
    """No entry computed more in a second than the machine can; those within others are looked at too."""
    most = bound_of(predicate)
    if most.value is None:
        return
    for entry in entries:
        flops, wall = entry.quantities.get("flops"), wall_of(entry)
        if flops is None or flops.value is None or "wall" not in entry.quantities:
            continue
        if flops.value > most.value * (wall + 1e-3):
            message = f"Entry {entry.seq} computed {_rate(flops.value, wall)} by its own account: {_told(most)}."
            checks.failed("machine", f"ledger entry {entry.seq}", message)
            return


def machine(predicate: Predicate, checks: CheckLog) -> None:
    """The stages' computation in their time, which needs no ledger."""
    field = "predicate.machine"
    most = bound_of(predicate)
    if most.value is None:
        checks.skipped("machine", field, f"How much can have been computed is not bounded here: {most.how}.")
        return
    looked = 0
    for index, stage in enumerate(predicate["stages"]):
        flops, wall = (value_of(stage["quantities"], name) for name in ("flops", "wall"))
        if not flops or wall is None:
            continue
        looked += 1
        if flops > most.value * (wall + 1e-3):
            where = f"predicate.stages[{index}].quantities.wall"
            message = f"The stage {stage['name'] or '-'} computed {_rate(flops, wall)}: {_told(most)}."
            checks.failed("machine", where, message)
            return
    if looked:
        checks.ok("machine", field, f"No stage computed more than the machine can: {_told(most)}.")


def bound_of(predicate: Predicate) -> Quantity:
    """FLOP/s that the machine of a receipt cannot exceed; unknown where it was not noted by the run itself."""
    described = predicate["machine"]
    if "seen" in described:
        return Quantity.from_json({"value": None, "unit": "FLOP/s", "basis": "unknown", "how":
                                   f"the machine was looked at {described['seen'][:80]}"})  # fmt: skip
    return most_flops(described, dtype_of(predicate))


def dtype_of(predicate: Predicate) -> str | None:
    """What was computed in: "float32" only where the run says so of all its parts."""
    value = predicate["machine"].get("arithmetic")
    if not isinstance(value, dict):
        return None
    kinds = {value.get("dtype"), value.get("rollout_dtype")}
    return "float32" if kinds == {"float32"} else None


def wall_of(entry: Entry) -> float:
    wall = entry.quantities.get("wall")
    return wall.value if wall is not None and wall.value is not None else 0.0


def _rate(flops: float, wall: float) -> str:
    if wall <= 0:
        return f"{flops:.3g} FLOP in no time"
    return f"{flops / 1e12:,.3g} TFLOP in {wall:,.3g} s, {flops / wall / 1e12:,.3g} TFLOP/s"


def _told(most: Quantity) -> str:
    return f"the most it can is {(most.value or 0.0) / 1e12:,.3g} TFLOP/s ({most.how.removeprefix('at most: ')})"
