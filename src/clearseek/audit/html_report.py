"""An examination as one self-contained page, with charts."""

from __future__ import annotations

from collections.abc import Iterable

from clearseek.audit.bands import BANDS, NO
from clearseek.audit.examine import Examination
from clearseek.audit.known import PLAUSIBLE_MFU
from clearseek.audit.text_report import STATES, note_of, sources_of
from clearseek.audit.verdict import STATUS_TITLES
from clearseek.audit.words import amount, between, say, show, within
from clearseek.audit.words import peak as told_peak
from clearseek.ledger.quantity import Quantity
from clearseek.report import svg
from clearseek.report.page import (
    Html,
    basis_legend,
    basis_mark,
    definitions,
    element,
    items,
    join,
    page,
    paragraph,
    section,
    table,
)

_TONES = {"plausible": "good", "impossible": "bad", "inconsistent": "bad"}
_MARKS = 9


def html_page(e: Examination) -> str:
    """The whole document."""
    return page(e.claim.title, body(e))


def body(e: Examination) -> Html:
    """What stands in the page's main part."""
    return join(
        _head(e),
        _bands(e),
        _lines(e),
        _checks(e),
        _conventions(e),
        _swings(e),
        _solved(e),
        _binds(e),
        _scenarios(e),
        _scope(e),
        _costs(e),
        section("What could be bought there, as context", items(e.legality)) if e.legality else None,
        section("Notes", items(e.claim.notes)) if e.claim.notes else None,
        _sources(e),
        basis_legend(),
    )


def _said(shown: str, quantity: Quantity) -> Html:
    return element("span", element("span", shown), basis_mark(quantity), class_="q")


def _quantity(quantity: Quantity, digits: int = 3) -> Html:
    return _said(say(quantity, digits), quantity)


def _figure(chart: Html, caption: str = "") -> Html | None:
    return element("figure", chart, element("figcaption", caption) if caption else None) if chart else None


def _head(e: Examination) -> Html:
    claim, verdict = e.claim, e.verdict
    title, _, rest = verdict.headline.partition(": ")
    tone = "bad" if verdict.status in NO else "good" if verdict.status in ("plausible", "consistent") else None
    shares = [f"{STATUS_TITLES[s].lower()} {share:.0%}" for s, share in verdict.shares.items() if share >= 0.005]
    drawn = f"The goodput in {e.draws:,} draws from the stated intervals: {', '.join(shares)}." if shares else None
    facts = ", ".join(part for part in (claim.date.isoformat() if claim.date else "", f"scope: {claim.scope}") if part)
    return join(
        paragraph(claim.summary, class_="lead") if claim.summary else None,
        paragraph(facts, class_="quiet"),
        paragraph(element("strong", f"{title}. ", class_=tone), rest[:1].upper() + rest[1:], " ", verdict.why),
        paragraph(drawn, class_="quiet") if drawn else None,
        element("ul", *(element("li", warning) for warning in e.warnings)) if e.warnings else None,
    )


def _bands(e: Examination) -> Html | None:
    if not e.conventions:
        return None
    stretches = [svg.Band(STATUS_TITLES[b.status], b.low, min(b.high, 1.0), _TONES.get(b.status, "")) for b in BANDS]
    # the named peak first, in every way of counting, then the other peaks by the named way
    named = e.conventions[0]
    rows = [c for c in e.conventions if c.peak == named.peak]
    rows += [c for c in e.conventions if c.peak != named.peak and c.counting == named.counting]
    marks = [
        svg.Mark(
            c.counting if c.peak == named.peak else told_peak(c.peak_value),
            c.goodput,
            f"{c.goodput:.1%}",
            c.named,
        )
        for c in rows[:_MARKS]
    ]
    message = "; ".join(f"{mark.label}: {mark.text}" for mark in marks)
    scale = ", ".join(f"{b.status} from {b.low:.0%}" for b in BANDS)
    chart = svg.bands("Goodput and the verdict's bands", f"{message}. Bands: {scale}.", stretches, marks)
    caption = (
        f"Goodput over {named.peak}, by each way of counting FLOP; below it over other peaks that are taken for it. "
        "Below 5% is inconsistent, 5 to 20% incomplete, 55 to 75% extraordinary, more impossible."
    )
    return _figure(chart, caption)


def _lines(e: Examination) -> Html | None:
    notes = sources_of(e)

    def rows(kinds: tuple[str, ...]) -> Iterable[list[object]]:
        for line in e.lines:
            if line.kind in kinds:
                message = (
                    note_of(line, notes) if line.kind == "stated" else f"= {line.sum}" if line.sum else line.formula
                )
                yield [line.label, _said(line.shown, line.quantity), message]

    if not e.lines:
        return None
    stated, computed = list(rows(("stated", "data sheet", "assumed"))), list(rows(("computed",)))
    return section(
        "The arithmetic",
        table(["What is stated", "", "where"], stated, numeric=[1]) if stated else None,
        table(["What follows", "", "from"], computed, numeric=[1]) if computed else None,
    )


def _checks(e: Examination) -> Html | None:
    if not e.checks:
        return None
    tones = {"agrees": "good", "contradicts": "bad"}
    rows = [
        [
            check.label,
            check.stated,
            check.follows,
            "" if check.off == "nothing" else check.off,
            element("span", check.state, class_=tones.get(check.state)),
            check.how,
        ]
        for check in e.checks
    ]
    assert all(check.state in STATES for check in e.checks)
    return section(
        "What can be worked out a second way",
        table(["", "given", "follows", "off", "", "how"], rows, numeric=[1, 2, 3]),
    )


def _conventions(e: Examination) -> Html | None:
    if not e.conventions:
        return None
    countings = list(dict.fromkeys(c.counting for c in e.conventions))
    rows = []
    for peak in dict.fromkeys(c.peak for c in e.conventions):
        value = next(c.peak_value for c in e.conventions if c.peak == peak)
        amount_text = amount(value, "FLOP/s")
        row: list[object] = [peak if amount_text in peak else f"{peak} ({amount_text})"]
        for counting in countings:
            c = next((c for c in e.conventions if c.peak == peak and c.counting == counting), None)
            if c is None:
                row.append("")
                continue
            text = f"{c.goodput:.1%}{'*' if c.published else ''}"
            row.append(join(element("strong", text) if c.named else text, " ", element("small", c.status)))
        rows.append(row)
    star = paragraph("* within 2% of the published MFU; the bold one is what the verdict names.", class_="quiet")
    return section(
        "One claim, several ways to count",
        table(["FLOP counted", *countings], rows, numeric=range(1, len(countings) + 1)),
        star if any(c.published for c in e.conventions) else None,
    )


def _swings(e: Examination) -> Html | None:
    if not e.swings:
        return None
    lines = []
    for swing in e.swings[:10]:
        low, high = sorted((swing.at_low, swing.at_high))
        text = between(show(e.swing_target, low, 3), show(e.swing_target, high, 3))
        lines.append(svg.Bar(swing.label, low, high, text, warn=swing.crosses))
    name = within(e.swing_target)
    description = "; ".join(f"{bar.label}: {bar.text}" for bar in lines)
    if e.swing_target == "mfu":
        middle = e.verdict.goodput.value or 0.0
        chart = svg.tornado(f"What moves the {name} most", description, lines, middle=middle)
        caption = "From one end of each input to the other, the rest as given. Red: the verdict changes on the way."
    else:
        chart = svg.bars(f"What moves the {name} most", description, lines, unit="", log=True)
        caption = "From one end of each input to the other, the rest as given."
    return section(f"What moves the {name} most", _figure(chart, caption))


def _solved(e: Examination) -> Html | None:
    rows = [
        [
            s.label,
            _said(s.shown, s.quantity),
            join(f"= {s.sum}", *(join(element("br"), element("small", text)) for text in s.assumed)),
        ]
        for s in e.solved
        if s.quantity.value is not None
    ]
    return (
        section("Solved for each, the rest as given", table(["", "must be", "from"], rows, numeric=[1]))
        if rows
        else None
    )


def _binds(e: Examination) -> Html | None:
    known = [b for b in e.binds if b.days.value is not None]
    if not any(b.says for b in e.binds) and not e.deadlines:
        return None
    bars = [
        svg.Bar(b.resource, *b.days.bounds, say(b.days), b.days.value, strong=b.binds)
        for b in known
        if b.days.bounds[0] > 0.01
    ]
    message = "; ".join(f"{bar.label}: {bar.text}" for bar in bars)
    chart = (
        svg.bars("Days each resource alone would take", message, bars, unit="days", log=True) if len(bars) > 1 else None
    )
    return section(
        "What binds",
        _figure(chart, "Days that each resource alone would take; the black one binds.") if chart else None,
        definitions(
            (b.resource, join(f"{say(b.days)}: " if b.days.known else None, b.words)) for b in e.binds if b.says
        ),
        _hours(e),
    )


def _hours(e: Examination) -> Html | None:
    """Days against chips, for the work at several utilisations, and where the claim lies."""
    known = {line.name: line.quantity.value for line in e.lines if line.quantity.value}
    if not {"flops", "peak", "count"} <= set(known):
        return None
    work, peak, count = known["flops"] or 0, known["peak"] or 1, known["count"] or 1
    goodput = e.verdict.goodput.value
    shares = sorted({*PLAUSIBLE_MFU, *([goodput] if goodput else [])})
    chips = [count * factor for factor in (0.25, 0.5, 1, 2, 4, 8)]
    curves = [
        svg.Line(f"at {share:.0%}", [(n, work / (n * peak * share) / 86400) for n in chips], share == goodput)
        for share in shares
    ]
    days = known.get("wall_time", 0) or 0
    point = (count, days / 24, f"{count:,.0f} chips, {days / 24:,.3g} days") if days else None
    description = f"Days to do {show('flops', work)} on so many chips, {', '.join(c.label for c in curves)} of the peak"
    chart = svg.lines(
        "Days against chips", description, curves, x_label="chips", y_label="days", point=point
    )  # fmt: skip
    rows = [[f"{d.days:,.4g}", f"{d.chips.value:,.0f}", "the claim's own" if d.own else ""] for d in e.deadlines]
    return join(
        _figure(chart, f"{description}."),
        table(["days", "chips", ""], rows, numeric=[0, 1], caption="Chips that end in so many days") if rows else None,
    )


def _scenarios(e: Examination) -> Html | None:
    if not e.scenarios:
        return None
    rows = [[s.what, _quantity(s.amount), s.words] for s in e.scenarios]
    days = [
        svg.Bar(s.what, *s.amount.bounds, say(s.amount), s.amount.value, strong=s.own)
        for s in e.scenarios
        if s.amount.unit == "d" and s.amount.value
    ]
    message = "; ".join(f"{bar.label}: {bar.text}" for bar in days)
    chart = (
        svg.bars("The same work elsewhere, in days", message, days, unit="days", log=True) if len(days) > 1 else None
    )
    return section("What if", _figure(chart) if chart else None, table(["", "", ""], rows, numeric=[1]))


def _scope(e: Examination) -> Html:
    fleet = e.fleet
    message = None
    if fleet:
        pairs = [("at least", fleet.floor), ("at most", fleet.ceiling)]
        pairs = [("claimed", fleet.claimed), *pairs] if e.claim.fleet else pairs
        kinds = [f"claimed: {p.count.quantity.value:,.0f} {p.chip.name} ({p.count.source})" for p in e.claim.fleet]
        message = join(
            definitions((name, join(_quantity(q), element("br"), element("small", q.how))) for name, q in pairs),
            items([*kinds, *(f"in evidence: {line}" for line in fleet.lines)]),
        )
    return section("Scope", paragraph(f"{e.claim.scope}: {e.scope}."), message)


def _costs(e: Examination) -> Html | None:
    if not e.costs:
        return None
    rows = [
        [
            join(cost.what, element("br"), element("small", cost.each.how or cost.whole.how)),
            _quantity(cost.each) if cost.each.known else "",
            _quantity(cost.whole),
        ]
        for cost in e.costs
    ]
    return section("Money", table(["", "a chip-hour", "in all"], rows, numeric=[1, 2]))


def _sources(e: Examination) -> Html:
    notes = sources_of(e)
    listed = [f"[{index}] {note}" for index, note in enumerate(notes, 1)]
    rest = [source for source in e.claim.sources if source not in notes]
    return section("Sources", items([*listed, *rest]) if listed or rest else paragraph("None are given."))
