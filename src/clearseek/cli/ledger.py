"""`clearseek ledger`: what was spent here, and whether the book is what was booked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from clearseek.ledger.check import BookCheck
    from clearseek.ledger.index import Index, Row

_CHECKED_UNASKED = 16 * 1024 * 1024
"""Bytes of a book up to which its chain is checked whenever it is shown: a second's work."""


class By(StrEnum):
    """What `--by` takes."""

    DAY = "day"
    MODEL = "model"
    KIND = "kind"
    CONVERSATION = "conversation"
    OWNER = "owner"


def ledger(
    book: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Another ledger, such as a run's ledger.jsonl.")
    ] = None,
    by: Annotated[By, typer.Option(help="What to sum by.")] = By.DAY,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="From this day on, as 2026-01-31.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Up to this day, which is included.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet, with every basis.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Recompute every hash; exit with 3 if one is wrong.")] = False,
) -> None:
    """What was spent here: tokens, seconds, joules and money, each with what it rests on."""
    from clearseek.errors import UsageError
    from clearseek.ledger.book import home_book

    if as_csv and (as_json or check):
        raise UsageError("--csv goes with neither --json nor --check.")
    path = book or home_book()
    if book is not None and not book.is_file():
        raise UsageError(f"There is no ledger {book}.")
    if check:
        _check(path, as_json, own=book is None)
        return
    start, end = _day(since, "--since"), _day(until, "--until")
    if end is not None:
        end += timedelta(days=1)
    if start is not None and end is not None and start >= end:
        raise UsageError("--since must not be after --until.")
    first, last = _unix(start), _unix(end)
    with _index(path, own=book is None) as index:
        rows, total = index.spend(by.value, first, last), index.spend(None, first, last)
        lost = index.lost()
    if as_csv:
        _print_csv(by.value, rows)
        return
    state = _state(path)
    if as_json:
        _print_json(
            {
                "by": by.value,
                "since": start and start.isoformat(),
                "until": end and end.isoformat(),
                "rows": [row.as_json(by.value) for row in rows],
                "total": total[0].as_json("all") if total else None,
                "book": {"path": str(path), "lost": lost, **state},
            }
        )
        return
    _show(by.value, rows, total, path, state, lost)


@contextmanager
def _index(path: Path, own: bool) -> Iterator[Index]:
    """The index beside this machine's own book; for another one, one that is thrown away."""
    import tempfile

    from clearseek.ledger.index import Index

    if own:
        yield Index()
        return
    with tempfile.TemporaryDirectory(prefix="clearseek-") as folder:
        yield Index(path, Path(folder) / "index.sqlite")


def _day(given: str | None, option: str) -> datetime | None:
    """The first moment of a day here, with its zone."""
    from clearseek.errors import UsageError

    if given is None:
        return None
    try:
        return datetime.combine(datetime.strptime(given, "%Y-%m-%d"), time()).astimezone()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{option} takes a day as 2026-01-31, not {given}.") from None


def _unix(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _check(path: Path, as_json: bool, own: bool) -> None:
    from clearseek.errors import CheckFailed
    from clearseek.ledger.check import check

    result = check(path)
    with _index(path, own) as index:
        lost = index.lost()
    problem = _problem(result) or lost
    if as_json:
        _print_json({"path": str(path), "lost": lost, **_check_json(result)})
    elif problem is None:
        print(f"{path} is intact: {_entries(result.entries)}, every hash and every link right.{_healed(result)}")
        print(f"The last hash is {result.head}")
        print(
            "That nothing was taken off its end, only a hash that was kept elsewhere can tell: "
            "note this one down, or make a receipt."
        )
    if problem is not None:
        raise CheckFailed(f"{path}: {problem}")


def _problem(result: BookCheck) -> str | None:
    if result.state == "torn":
        return f"line {result.line} (entry {result.seq}): {result.problem}; the next entry booked will cut it off."
    if result.state == "broken":
        more = f" {result.wrong} lines are wrong in all." if result.wrong > 1 else ""
        return f"line {result.line} (entry {result.seq}): {result.problem}.{more}"
    return None


def _check_json(result: BookCheck) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(result)


def _state(path: Path) -> dict[str, Any]:
    """The chain's state as JSON; not looked at where that would take long."""
    from clearseek.ledger.check import check

    if not path.exists():
        return {"entries": 0, "state": "empty"}
    if path.stat().st_size > _CHECKED_UNASKED:
        return {"state": "not checked"}
    return _check_json(check(path))


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _healed(result: BookCheck) -> str:
    if not result.healed:
        return ""
    times = "once" if result.healed == 1 else f"{result.healed} times"
    return f" A line that was cut short was healed {times}."


def _print_json(document: dict[str, Any]) -> None:
    import json

    print(json.dumps(document, indent=2, ensure_ascii=False))


def _print_csv(by: str, rows: list[Row]) -> None:
    """One line per row; of each quantity the known sum, its ends, its basis, and how many entries do not know it."""
    import csv
    import sys

    from clearseek.ledger.entry import UNITS

    writer = csv.writer(sys.stdout, lineterminator="\n")
    head = [by, "entries"]
    for name, unit in UNITS.items():
        head += [f"{name}_{unit}", f"{name}_low", f"{name}_high", f"{name}_basis", f"{name}_unknown_entries"]
    writer.writerow(head)
    for row in rows:
        line: list[Any] = [_cell(row.key), row.entries]
        for name in UNITS:
            known, missing = row.known.get(name), row.missing.get(name, 0)
            if known is None:
                line += ["", "", "", "unknown" if missing else "", missing if missing else ""]
            else:
                low, high = known.bounds
                line += [known.value, low, high, known.basis, missing]
        writer.writerow(line)


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    flat = "".join(" " if ord(letter) < 32 else letter for letter in text)
    return f"'{flat}" if flat.lstrip().startswith(("=", "+", "-", "@")) else flat


_COLUMNS = (
    ("prompt_tokens", "tokens read"),
    ("cached_tokens", "of them cached"),
    ("completion_tokens", "tokens written"),
    ("wall", "time"),
    ("energy", "energy"),
    ("money", "money"),
)
_LESSER = ("cached_tokens", "prompt_tokens", "energy", "completion_tokens", "wall")
"""What is left out first where there is no room."""


def _show(by: str, rows: list[Row], total: list[Row], path: Path, state: dict[str, Any], lost: str | None) -> None:
    import sys

    if not rows:
        print(_nothing(path, state))
    else:
        from rich.console import Console

        # a pipe has no width of its own: nothing is cut off there
        console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
        console.print(_fitting(console, by, rows, total[0]))
        console.print(_legend(total[0]))
        hint = _about_unknown(total[0])
        if hint:
            print(f"\n{hint}")
    for line in (_about_chain(path, state), lost):
        if line:
            print(f"\n{line}")


def _fitting(console: Console, by: str, rows: list[Row], total: Row) -> Table:
    """The table, without its lesser columns where the terminal is too narrow for all."""
    shown = [name for name, _ in _COLUMNS if name in total.totals]
    lesser = [name for name in _LESSER if name in shown]
    endless = console.options.update(max_width=1000)
    while console.measure(_table(by, rows, total, shown), options=endless).maximum > console.width and lesser:
        shown.remove(lesser.pop(0))
    return _table(by, rows, total, shown)


def _table(by: str, rows: list[Row], total: Row, shown: list[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from clearseek.cli.render import plain

    used = [(name, title) for name, title in _COLUMNS if name in shown]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_footer=True)
    table.add_column(by, footer="in all", overflow="fold")
    table.add_column("entries", footer=f"{total.entries:,}", justify="right")
    for name, title in used:
        table.add_column(title, footer=_said(total, name), justify="right", no_wrap=True)
    for row in rows:
        key = plain(row.key) or "(none)"
        table.add_row(Text(key), f"{row.entries:,}", *(_said(row, name) for name, _ in used))
    return table


def _said(row: Row, name: str) -> str:
    """A sum with the mark of its basis; where parts are unknown, the rest and how many they are."""
    from clearseek.report.figures import MARKS, figure

    known, missing = row.known.get(name), row.missing.get(name, 0)
    if known is None:
        return MARKS["unknown"] if missing else ""
    assert known.value is not None
    text = f"{figure(known.value, known.unit).removesuffix(' tokens').removesuffix(' token')} {MARKS[str(known.basis)]}"
    return f"{text} + {missing:,} {MARKS['unknown']}" if missing else text


def _legend(total: Row) -> str:
    from clearseek.report.figures import MARKS, say

    shown = [name for name, _ in _COLUMNS if name in total.totals]
    bases = {str(total.known[name].basis) for name in shown if name in total.known}
    if any(total.missing.get(name) for name in shown):
        bases.add("unknown")
    legend = "   ".join(f"{mark} {basis}" for basis, mark in MARKS.items() if basis in bases)
    if any(0 < total.missing.get(name, 0) < total.entries for name in shown):
        legend += f"   (+ 2 {MARKS['unknown']}: and 2 more entries, unknown)"
    wide = [f"{title} {say(total.known[name])}" for name, title in _COLUMNS if name in total.known]
    spans = [text for text in wide if " to " in text]
    return f"\n{legend}" + "".join(f"\nIn all: {text}" for text in spans)


def _about_unknown(total: Row) -> str | None:
    """How to declare what would make money, and energy, known."""
    from clearseek.settings import home

    lacking = {name: total.missing.get(name, 0) for name in ("money", "energy")}
    if not any(lacking.values()):
        return None
    words = {"money": "what it cost", "energy": "what it drew"}
    parts = [
        f"{words[name]}{'' if count == total.entries else f' in {count:,} of {total.entries:,} entries'}"
        for name, count in lacking.items()
        if count
    ]
    lines = [
        f"Unknown: {', and '.join(parts)}. What is booked from now on will be known, with this in",
        f"{home() / 'config.toml'}, each figure by your own reckoning:",
        "",
    ]
    if lacking["money"]:
        lines += ["    [prices]", "    machine_usd_per_hour = ...   # what an hour of this machine costs you"]
    if lacking["energy"]:
        lines += ["    [machine]", "    watts = ...                  # what it draws at full load"]
    return "\n".join(lines)


def _about_chain(path: Path, state: dict[str, Any]) -> str | None:
    match state["state"]:
        case "empty":
            return None
        case "not checked":
            return f"{path} is too long to be checked in passing; `clearseek ledger --check` does it."
        case "intact":
            return f"The chain of {_entries(state['entries'])} is intact ({path})."
        case _:
            return f"The book is {state['state']}: line {state['line']}, {state['problem']} ({path})."


def _nothing(path: Path, state: dict[str, Any]) -> str:
    if state["state"] == "empty":
        return "Nothing has been booked here yet. Ask something with `clearseek chat`, and look again."
    return "Nothing was booked in that time."
