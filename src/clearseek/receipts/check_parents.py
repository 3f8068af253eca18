"""The receipts that a receipt builds on, and those that they build on in turn, wherever they are within reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearseek.receipts import check_books, check_files, check_times
from clearseek.receipts.check_files import Places
from clearseek.receipts.lineage import Ancestor, ancestors, papers_folder
from clearseek.receipts.outcome import Found


def parents(predicate: dict[str, Any], places: Places, found: Found) -> None:
    """Each must be the one meant, have the form of a receipt, and be signed; its own sums must fit, and the ledger and
    the recipe that were handed on with it must be its own; and what training began as must have come out of one of
    them. The same is asked of every parent that was reached, as far as there are more."""
    line = list(ancestors(predicate, places))
    for one in line:
        _one(one, places, found)
    for child, place, of in _children(predicate, line):
        reached = [
            next((one for one in line if one.digest == parent["digest"]["sha256"]), None) for parent in child["parents"]
        ]
        made = [one.statement for one in reached if one is not None and one.statement is not None]
        if made and len(made) == len(child["parents"]):
            _came_out(child["base"], made, place, of, found)
    _keys(predicate, line, found)


def _children(predicate: dict[str, Any], line: Sequence[Ancestor]) -> list[tuple[dict[str, Any], str, str]]:
    below = [
        (one.statement["predicate"], one.place, f", on which {one.name} builds,")
        for one in line
        if one.statement is not None
    ]
    return [(predicate, "predicate", ""), *below]


def _one(one: Ancestor, places: Places, found: Found) -> None:
    of = f", on which {one.child} builds," if one.child else ""
    field, name = f"{one.place}.digest.sha256", one.name
    if one.path is None:
        found.skipped("parents", field, f"The receipt of {name} ({one.digest[:16]}...){of} is not within reach.")
        return
    if one.statement is None or one.signer is None:
        found.failed("parents", field, f"The receipt of {name}{of} is the one meant, and is not in order.")
        return
    # Several runs may have made models of one name: then the run tells them apart.
    run = f" (run {one.run})" if one.run != name else ""
    said = f"The receipt of {name}{run}{of} is the one meant, and its signature fits."
    found.ok("parents", field, said, (one.path.name,))
    predicate = one.statement["predicate"]
    own = Found()
    check_books.sums(predicate, own)
    check_times.machine(predicate, own)
    folder = papers_folder(one)
    if folder is not None:
        there = Places(folder / one.path.name, None)
        entries = check_books.ledger(predicate, there, own)
        if entries is not None:
            check_times.times(predicate, entries, own)
        check_files.recipe_beside(predicate["recipe"], there, own)
        check_files.evaluations_beside(predicate["evaluations"], there, own)
    else:
        for what in ("ledger", "recipe"):
            own.skipped(what, f"predicate.{what}", "", (predicate[what]["path"],))
    for check in own.failed_ones():
        where = f"{one.place}: {check.field}"
        found.failed("parents", where, f"Of the run {one.run}: {check.said}", check.files)
    good = [check for check in own.checks if check.state == "ok" and check.files]
    if good:
        files = [f"{one.run}/{name}" for check in good for name in check.files]
        where = f"in {folder}" if folder != one.path.with_suffix("") else "here"
        said = f"Of the run {one.run} are {where}, as they should be: {', '.join(files)}."
        found.ok("parents", one.place, said, files)
    gone = [f"{one.run}/{name}" for check in own.checks if check.state == "not checked" for name in check.files]
    if gone:
        found.skipped("parents", one.place, f"Of the run {one.run} are not here: {', '.join(gone)}.", gone)


def _keys(predicate: dict[str, Any], line: Sequence[Ancestor], found: Found) -> None:
    """Runs of one model may be signed by several keys: that is said, and whose they are."""
    own = predicate["signer"]["keyid"]
    others = {one.signer.keyid: one.signer for one in line if one.signer is not None and one.signer.keyid != own}
    whose = {"project": "a key of the project", "own": "this machine's own", "trusted": "a key that you trust"}
    for keyid, signer in others.items():
        runs = ", ".join(one.run for one in line if one.signer is not None and one.signer.keyid == keyid)
        told = whose.get(signer.whose, "a key that is not known here; the receipt that builds on it names it by digest")
        found.ok("parents", "predicate.parents", f"Another key signed {runs}: {keyid[:16]}..., {told}.")


def _came_out(
    base: dict[str, Any] | None, reached: Sequence[dict[str, Any]], place: str, of: str, found: Found
) -> None:
    """What training began as is among the files that the receipts are about."""
    if base is None:
        return
    made = {file["digest"]["sha256"] for statement in reached for file in statement["subject"]}
    began, field = (base["adapter"], "base.adapter") if "adapter" in base else (base, "base")
    if began["digest"]["sha256"] not in made:
        what = "The adapter that training began as," if "adapter" in base else "The base model"
        said = f"{what} {began['name']}{of} is none of the files that the parents' receipts are about."
        found.failed("parents", f"{place}.{field}.digest.sha256", said)
