"""The receipts that a receipt builds on, and those that they build on in turn, wherever they are within reach."""

from __future__ import annotations

from collections.abc import Sequence

from clearseek.receipts import check_books, check_files, check_times
from clearseek.receipts.check_files import Places
from clearseek.receipts.lineage import Ancestor, ancestor_folder, ancestors
from clearseek.receipts.outcome import CheckLog
from clearseek.receipts.predicate import Base, Predicate, Statement


def parents(predicate: Predicate, places: Places, checks: CheckLog) -> None:
    """Each must be the one meant, have the form of a receipt, and be signed; its own sums must fit, and the ledger and
    the recipe that were handed on with it must be its own; and what training began as must have come out of one of
    them. The same is asked of every parent that was reached, as far as there are more."""
    line = list(ancestors(predicate, places))
    for one in line:
        _one(one, places, checks)
    for child, place, of in _children(predicate, line):
        reached = [
            next((one for one in line if one.digest == parent["digest"]["sha256"]), None) for parent in child["parents"]
        ]
        made = [one.statement for one in reached if one is not None and one.statement is not None]
        if made and len(made) == len(child["parents"]):
            _came_out(child["base"], made, place, of, checks)
    _keys(predicate, line, checks)


def _children(predicate: Predicate, line: Sequence[Ancestor]) -> list[tuple[Predicate, str, str]]:
    below = [
        (one.statement["predicate"], one.place, f", on which {one.name} builds,")
        for one in line
        if one.statement is not None
    ]
    return [(predicate, "predicate", ""), *below]


def _one(ancestor: Ancestor, places: Places, checks: CheckLog) -> None:
    of = f", on which {ancestor.child} builds," if ancestor.child else ""
    field, name = f"{ancestor.place}.digest.sha256", ancestor.name
    if ancestor.path is None:
        checks.skipped("parents", field, f"The receipt of {name} ({ancestor.digest[:16]}...){of} is not within reach.")
        return
    if ancestor.statement is None or ancestor.signer is None:
        checks.failed("parents", field, f"The receipt of {name}{of} is the one meant, and is not in order.")
        return
    # Several runs may have made models of one name: then the run tells them apart.
    run = f" (run {ancestor.run})" if ancestor.run != name else ""
    message = f"The receipt of {name}{run}{of} is the one meant, and its signature fits."
    checks.ok("parents", field, message, (ancestor.path.name,))
    predicate = ancestor.statement["predicate"]
    own = CheckLog()
    check_books.sums(predicate, own)
    check_times.machine(predicate, own)
    folder = ancestor_folder(ancestor)
    if folder is not None:
        there = Places(folder / ancestor.path.name, None)
        entries = check_books.ledger(predicate, there, own)
        if entries is not None:
            check_times.times(predicate, entries, own)
        check_files.recipe_beside(predicate["recipe"], there, own)
        check_files.evaluations_beside(predicate["evaluations"], there, own)
    else:
        for what in ("ledger", "recipe"):
            own.skipped(what, f"predicate.{what}", "", (predicate[what]["path"],))
    for check in own.failed_ones():
        where = f"{ancestor.place}: {check.field}"
        checks.failed("parents", where, f"Of the run {ancestor.run}: {check.said}", check.files)
    good = [check for check in own.checks if check.state == "ok" and check.files]
    if good:
        files = [f"{ancestor.run}/{name}" for check in good for name in check.files]
        where = f"in {folder}" if folder != ancestor.path.with_suffix("") else "here"
        message = f"Of the run {ancestor.run} are {where}, as they should be: {', '.join(files)}."
        checks.ok("parents", ancestor.place, message, files)
    gone = [f"{ancestor.run}/{name}" for check in own.checks if check.state == "not checked" for name in check.files]
    if gone:
        checks.skipped("parents", ancestor.place, f"Of the run {ancestor.run} are not here: {', '.join(gone)}.", gone)


def _keys(predicate: Predicate, line: Sequence[Ancestor], checks: CheckLog) -> None:
    """Runs of one model may be signed by several keys: that is said, and whose they are."""
    own = predicate["signer"]["keyid"]
    others = {one.signer.keyid: one.signer for one in line if one.signer is not None and one.signer.keyid != own}
    whose = {"project": "a key of the project", "own": "this machine's own", "trusted": "a key that you trust"}
    for keyid, signer in others.items():
        runs = ", ".join(one.run for one in line if one.signer is not None and one.signer.keyid == keyid)
        value = whose.get(
            signer.whose, "a key that is not known here; the receipt that builds on it names it by digest"
        )
        checks.ok("parents", "predicate.parents", f"Another key signed {runs}: {keyid[:16]}..., {value}.")


def _came_out(base: Base | None, reached: Sequence[Statement], place: str, of: str, checks: CheckLog) -> None:
    """What training began as is among the files that the receipts are about."""
    if base is None:
        return
    made = {file["digest"]["sha256"] for statement in reached for file in statement["subject"]}
    began, field = (base["adapter"], "base.adapter") if "adapter" in base else (base, "base")
    if began["digest"]["sha256"] not in made:
        what = "The adapter that training began as," if "adapter" in base else "The base model"
        message = f"{what} {began['name']}{of} is none of the files that the parents' receipts are about."
        checks.failed("parents", f"{place}.{field}.digest.sha256", message)
