"""An examination on a terminal: every line of arithmetic with its basis, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from clearseek.audit.bands import BANDS
from clearseek.audit.claim import Claim
from clearseek.audit.compare import Comparison
from clearseek.audit.examine import Examination, Solution
from clearseek.audit.lines import Line
from clearseek.audit.summary import Summary
from clearseek.audit.verdict import STATUS_TITLES
from clearseek.audit.words import amount, between, say, show, within
from clearseek.report.figures import MARKS

STYLES = {
    "impossible": "bold red",
    "inconsistent": "bold red",
    "extraordinary": "bold yellow",
    "incomplete": "bold yellow",
    "scope-mismatch": "bold yellow",
    "underdetermined": "bold",
    "plausible": "bold green",
    "consistent": "bold green",
}
STATES = {"agrees": "green", "differs": "yellow", "contradicts": "red"}
_PROVENANCE = {
    "primary": "",
    "copy": "a copy of it",
    "press": "second hand",
    "estimate": "an estimate",
    "derived": "reckoned",
    "recalled": "from memory",
    "assumed": "assumed",
}
_FRACTIONS = "▏▎▍▌▋▊▉█"


class Report:
    """What `rich` prints for one examination."""

    def __init__(self, examination: Examination) -> None:
        self.examination = examination

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        e = self.examination
        yield from _head(e)
        yield from _verdict(e, options.max_width)
        yield from _arithmetic(e)
        yield from _checks(e)
        yield from _conventions(e)
        yield from _solved(e)
        yield from _binds(e)
        yield from _scope(e)
        yield from _scenarios(e)
        yield from _costs(e)
        yield from _legality(e)
        yield from _swings(e, options.max_width)
        yield from _foot(e)


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _says(lines: Iterable[str], style: str = "") -> Iterable[RenderableType]:
    for line in lines:
        yield Padding(Text(line, style=style), (0, 0, 0, 2), expand=False)


def _grid(rows: Iterable[Sequence[Text | str]], right: Sequence[int] = (), fixed: Sequence[int] = ()) -> Padding:
    rows = list(rows)
    table = Table.grid(padding=(0, 2, 0, 0))
    for index in range(max((len(row) for row in rows), default=0)):
        table.add_column(
            justify="right" if index in right else "left", no_wrap=index in fixed, overflow="fold", vertical="top"
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _mark(basis: object) -> Text:
    return Text(MARKS.get(str(basis), "?"), style="dim")


def _head(e: Examination) -> Iterable[RenderableType]:
    claim = e.claim
    yield Text(claim.title, style="bold")
    facts = [claim.date.isoformat() if claim.date else "undated", f"scope: {claim.scope}", claim.name]
    yield Text("  ".join(facts), style="dim")
    if claim.summary:
        yield Text(claim.summary)


def _verdict(e: Examination, width: int) -> Iterable[RenderableType]:
    verdict = e.verdict
    title, _, rest = verdict.headline.partition(": ")
    yield Text()
    yield Padding(Text.assemble((title.upper(), STYLES[verdict.status]), f"  {rest}"), (0, 0, 0, 2), expand=False)
    yield from _says([verdict.why] if verdict.why else [])
    if verdict.goodput.value is not None:
        yield Padding(_scale(verdict.goodput.value, min(width, 80) - 4), (1, 0, 0, 2), expand=False)
    if verdict.shares:
        shares = [f"{STATUS_TITLES[s].lower()} {share:.0%}" for s, share in verdict.shares.items() if share >= 0.005]
        yield from _says([f"The goodput in {e.draws:,} draws from the stated intervals: {', '.join(shares)}."], "dim")
    for warning in e.warnings:
        yield Padding(Text.assemble(("! ", "yellow"), warning), (0, 0, 0, 2), expand=False)


def _scale(goodput: float, width: int) -> Text:
    """The bands as a ruler from 0 to 100%, and where the claim lies on it."""

    def at(share: float) -> int:
        return min(round(share * (width - 1)), width - 1)

    ruler, labels = ["─"] * width, [" "] * (width + 4)
    for share in [band.low for band in BANDS] + [1.0]:
        ruler[at(share)] = "┬"
        text = f"{share:.0%}"
        start = min(max(at(share) - len(text) // 2, 0), width - len(text))
        labels[start : start + len(text)] = text
    pointer = f"▲ {show('mfu', goodput, 3)}"
    start = min(at(min(goodput, 1.0)), width - len(pointer))
    return Text.assemble("".join(labels).rstrip(), "\n", "".join(ruler), "\n", " " * start, (pointer, "bold"))


def _arithmetic(e: Examination) -> Iterable[RenderableType]:
    notes = sources_of(e)
    groups = (
        ("What is stated", [line for line in e.lines if line.kind in ("stated", "data sheet", "assumed")]),
        ("What follows", [line for line in e.lines if line.kind == "computed"]),
    )
    for title, lines in groups:
        rows = []
        for line in lines:
            message = note_of(line, notes) if line.kind == "stated" else f"= {line.sum}" if line.sum else line.formula
            rows.append((_mark(line.quantity.basis), line.label, Text(line.shown), _dim(message)))
        if rows:
            yield _title(title)
            yield _grid(rows, fixed=(0, 1, 2))


def note_of(line: Line, notes: list[str]) -> str:
    """The number of a stated line's source, and what kind of source it is where that is not the original."""
    message = f"[{notes.index(line.source) + 1}]" if line.source in notes else "no source given"
    more = _PROVENANCE.get(line.provenance, "")
    return f"{message} {more}" if more else message


def sources_of(e: Examination) -> list[str]:
    """Where the stated numbers come from, each once: what the numbers in brackets mean."""
    return list(dict.fromkeys(line.source for line in e.lines if line.kind == "stated" and line.source))


def _checks(e: Examination) -> Iterable[RenderableType]:
    if not e.checks:
        return
    yield _title("What can be worked out a second way")
    rows = []
    for check in e.checks:
        state = Text(check.state, style=STATES[check.state])
        off = "" if check.off == "nothing" else check.off
        rows.append((check.label, check.stated, check.follows, off, state))
    head = tuple(_dim(text) for text in ("", "given", "follows", "off", ""))
    yield _grid([head, *rows], right=(3,), fixed=(1, 2, 3, 4))
    yield from _says((f"{check.label}: {check.how}" for check in e.checks if check.how), "dim")


def _conventions(e: Examination) -> Iterable[RenderableType]:
    if not e.conventions:
        return
    yield _title("One claim, several ways to count")
    countings = list(dict.fromkeys(c.counting for c in e.conventions))
    rows: list[tuple[Text | str, ...]] = [(_dim("FLOP counted"), *(_dim(text) for text in countings))]
    for peak in dict.fromkeys(c.peak for c in e.conventions):
        cells: list[Text | str] = []
        for counting in countings:
            match = next((c for c in e.conventions if c.peak == peak and c.counting == counting), None)
            if match is None:
                cells.append("")
                continue
            text = Text(f"{match.goodput:.1%}", style=STYLES[match.status].replace("bold ", ""))
            text.append("*" if match.published else "", style="dim")
            cells.append(text)
        value = next(c.peak_value for c in e.conventions if c.peak == peak)
        words = peak if amount(value, "FLOP/s", 4) in peak else f"{peak} ({amount(value, 'FLOP/s', 4)})"
        rows.append((words, *cells))
    yield _grid(rows, right=range(1, len(countings) + 1), fixed=range(1, len(countings) + 1))
    if any(c.published for c in e.conventions):
        yield from _says(["* within 2% of the published MFU; the first figure is the one the verdict names"], "dim")


def solution_rows(solutions: Iterable[Solution]) -> Iterable[tuple[Text | str, ...]]:
    """One row each: what, how much, and from what."""
    for solution in solutions:
        message = f"= {solution.sum}" if solution.sum else solution.formula
        cell = _dim(message)
        for assumed in solution.assumed:
            cell.append(f"\n{assumed}", style="yellow")
        yield _mark(solution.quantity.basis), solution.label, solution.shown, cell


def _solved(e: Examination) -> Iterable[RenderableType]:
    open_ones = [s for s in e.solved if s.quantity.value is not None]
    if open_ones:
        yield _title("Solved for each, the rest as given")
        yield _grid(solution_rows(open_ones), fixed=(0, 1, 2))


def _binds(e: Examination) -> Iterable[RenderableType]:
    shares = [bind for bind in e.binds if bind.says]
    if not shares and not e.deadlines:
        return
    yield _title("What binds")
    rows = []
    for bind in shares:
        days = say(bind.days, 3) if bind.days.value is not None else ""
        rows.append((Text(bind.resource, style="bold" if bind.binds else ""), days, _dim(bind.words)))
    yield _grid(rows, fixed=(0, 1))
    if e.deadlines:
        parts = [f"{d.chips.value:,.0f} for {d.days:,.4g}" for d in e.deadlines]
        yield from _says([f"Chips for days, at these chip-hours: {', '.join(parts)}."])


def _scope(e: Examination) -> Iterable[RenderableType]:
    yield _title("Scope")
    yield from _says([f"{e.claim.scope}: {e.scope}."])
    fleet = e.fleet
    if fleet is None:
        return
    rows = [
        ("claimed", say(fleet.claimed), _dim(fleet.claimed.how)),
        ("at least", say(fleet.floor), _dim(fleet.floor.how)),
        ("at most", say(fleet.ceiling), _dim(fleet.ceiling.how)),
    ]
    yield _grid(rows if e.claim.fleet else rows[1:], fixed=(0, 1))
    kinds = (f"{p.count.quantity.value:,.0f} {p.chip.name} ({p.count.source})" for p in e.claim.fleet)
    yield from _says((f"claimed: {kind}" for kind in kinds), "dim")
    yield from _says((f"in evidence: {line}" for line in fleet.lines), "dim")


def _scenarios(e: Examination) -> Iterable[RenderableType]:
    if not e.scenarios:
        return
    yield _title("What if")
    rows = [(Text(s.what, style="bold" if s.own else ""), say(s.amount, 3), _dim(s.words)) for s in e.scenarios]
    yield _grid(rows, fixed=(1,))


def _costs(e: Examination) -> Iterable[RenderableType]:
    if not e.costs:
        return
    yield _title("Money")
    rows = []
    for cost in e.costs:
        each = say(cost.each) if cost.each.known else ""
        rows.append((_mark(cost.whole.basis), cost.what, each, say(cost.whole), _dim(cost.whole.how)))
    yield _grid([row[:4] for row in rows], fixed=(0, 2, 3))
    yield from _says((f"{c.what}: {c.each.how or c.whole.how}" for c in e.costs if c.each.how or c.whole.how), "dim")


def _legality(e: Examination) -> Iterable[RenderableType]:
    if e.legality:
        yield _title("What could be bought there, as context")
        yield from _says(e.legality, "dim")


def _swings(e: Examination, width: int) -> Iterable[RenderableType]:
    if not e.swings:
        return
    name = "the goodput" if e.swing_target == "mfu" else within(e.swing_target)
    yield _title(f"What moves {name} most")
    shown = [
        between(*(show(e.swing_target, end, 3) for end in sorted((swing.at_low, swing.at_high)))) for swing in e.swings
    ]
    top = max(max(s.at_low, s.at_high) for s in e.swings[:8])
    bar = min(width, 80) - 8 - max(map(len, shown)) - max(len(s.label) for s in e.swings)
    rows = []
    for swing, told in list(zip(e.swings, shown, strict=True))[:8]:
        low, high = sorted((swing.at_low, swing.at_high))
        start, end = round(low / top * bar), max(round(high / top * bar), round(low / top * bar) + 1)
        line = Text(" " * start + "█" * (end - start), style="yellow" if swing.crosses else "")
        rows.append((swing.label, told, line if bar >= 10 else ""))
    yield _grid(rows, fixed=(0, 1, 2))
    if any(s.crosses for s in e.swings):
        yield from _says(["coloured: the verdict changes between its ends"], "dim")


def _foot(e: Examination) -> Iterable[RenderableType]:
    if e.claim.notes:
        yield _title("Notes")
        yield from _says(e.claim.notes)
    notes = sources_of(e)
    if notes or e.claim.sources:
        yield _title("Sources")
        yield _grid([(_dim(f"[{index}]"), _dim(note)) for index, note in enumerate(notes, 1)], fixed=(0,))
        yield from _says((source for source in e.claim.sources if source not in notes), "dim")
    words = "  ".join(f"{mark} {basis}" for basis, mark in MARKS.items())
    yield Text(f"\n{words}", style="dim")


def listing(summaries: Iterable[Summary]) -> RenderableType:
    """Every claim in a line: its name, its verdict, its goodput, and what it is about."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for justify, fixed in (("left", True), ("left", True), ("right", True), ("left", False)):
        table.add_column(justify=justify, no_wrap=fixed)  # type: ignore[arg-type]
    for summary in summaries:
        goodput = "" if summary.goodput is None else show("mfu", summary.goodput, 3)
        status = Text(STATUS_TITLES[summary.status], style=STYLES[summary.status])
        table.add_row(Text(summary.name, style="bold"), status, Text(goodput), Text(summary.title))
    return table


def solution_report(claim: Claim, solution: Solution) -> Group:
    """One number, what it must be, and from what."""
    return Group(*_solution(claim, solution))


def _solution(claim: Claim, solution: Solution) -> Iterable[RenderableType]:
    yield Text(claim.title, style="bold")
    if solution.quantity.value is None:
        yield from _says([f"{solution.label}: unknown; {solution.formula}."])
        return
    yield _grid(solution_rows([solution]), fixed=(0, 1, 2))
    yield from _says([solution.formula], "dim")
    yield from _says(f"another way: {other}" for other in solution.others)
    if solution.stated:
        yield from _says([f"The claim says {solution.stated}; that was set aside."])


def comparison_report(comparison: Comparison) -> Group:
    """Two claims side by side."""
    return Group(*_comparison(comparison))


def _comparison(comparison: Comparison) -> Iterable[RenderableType]:
    head = tuple(Text(text, style="bold") for text in ("", comparison.one, comparison.other))
    rows = [(row.label, row.one, row.other, row.ratio) for row in comparison.rows]
    yield _grid([(*head, _dim("ratio")), *rows], right=(3,), fixed=(3,))
    for warning in comparison.warnings:
        yield Padding(Text.assemble(("! ", "yellow"), warning), (0, 0, 0, 2), expand=False)
