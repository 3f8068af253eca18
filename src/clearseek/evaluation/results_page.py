"""Evaluations as one page that stands alone: bars with their intervals, budgets, before and after, some transcripts."""

from __future__ import annotations

from collections.abc import Sequence

from clearseek.evaluation.comparison import Comparison
from clearseek.evaluation.results import MEMBERSHIPS, Evaluation, Row
from clearseek.evaluation.statistics import Interval
from clearseek.report.interval_plot import Point, Series, Share, ShareRow, interval_plot, share_bars
from clearseek.report.page import Html, definitions, element, items, join, page, paragraph, section, table

ANSWERED_BY = {"llama.cpp": "llama.cpp, as served", "torch": "torch, as in training"}
TITLES = {"trained": "Tasks it was trained on, unseen problems", "unseen": "Tasks never trained on", "other": "Tasks"}
SHOWN = 2
"""Transcripts shown of each task, of right and of wrong ones."""
MAX_SHOWN = 4000
"""Characters of a thinking or an answer."""


def results_page(evaluations: Sequence[Evaluation], comparison: Comparison | None = None) -> str:
    """The whole document; the first evaluation is the one that is meant."""
    first = evaluations[0]
    return page(
        f"Evaluation of {first.conditions.model}",
        join(
            _head(first),
            _bars(first),
            _compared(comparison) if comparison is not None else None,
            _arms(evaluations) if len(evaluations) > 1 else None,
            _table(first),
            _pass_at(first) if first.conditions.samples > 1 else None,
            _transcripts(first.rows) if first.rows else None,
            _about(first),
        ),
    )


def percent(share: float) -> str:
    """`43.5%`."""
    return f"{share * 100:.1f}%"


def ends(interval: Interval) -> str:
    """`43.5% (36.8 to 50.4)`."""
    return f"{percent(interval.value)} ({interval.low * 100:.1f} to {interval.high * 100:.1f})"


def points(interval: Interval) -> str:
    """A difference in percentage points: `+12.0 (+8.5 to +15.5)`."""
    return f"{interval.value * 100:+.1f} ({interval.low * 100:+.1f} to {interval.high * 100:+.1f})"


def _head(evaluation: Evaluation) -> Html:
    how = evaluation.conditions
    means = [
        f"{TITLES[kind].lower()}: {ends(evaluation.means[kind])}" for kind in MEMBERSHIPS if kind in evaluation.means
    ]
    drawn = f"{how.samples} samples at temperature {how.temperature:g}" if how.temperature else "greedy"
    facts = {
        "Model": how.model,
        "SHA-256 of its weights": how.digest or "not known here",
        "Answered by": ANSWERED_BY.get(how.by, how.by),
        "Asked": f"{how.n} problems a task from the split {how.split}, seed {how.seed}, {drawn}",
        "Thinking": _thinking(evaluation),
        "Instructions": how.system or "none",
        "Took": f"{evaluation.tokens:,} tokens in {evaluation.seconds:,.0f} s, {evaluation.rate:.0f} tokens/s",
    }
    return join(
        paragraph(f"Mean accuracy over {'; '.join(means)}.", class_="lead"),
        definitions(facts),
        items(evaluation.notes) if evaluation.notes else None,
    )


def _thinking(evaluation: Evaluation) -> str:
    how = evaluation.conditions
    if not how.thinking:
        return f"off; at most {how.max_new} tokens"
    led = " (not taught: led to it by words)" if how.style == "prompted" else ""
    closed = "not closed for it" if how.budget is None else f"closed after {how.budget} tokens"
    return f"on{led}, {closed}; at most {how.max_new} tokens in all"


def _bars(evaluation: Evaluation) -> Html:
    parts = []
    for kind in MEMBERSHIPS:
        tasks = [task for task in evaluation.tasks if task.membership == kind]
        if not tasks:
            continue
        rows = [ShareRow(task.task, [_share(task.accuracy)]) for task in tasks]
        rows.append(ShareRow("mean", [_share(evaluation.means[kind], strong=True)]))
        message = "; ".join(f"{row.label}: {row.bars[0].text}" for row in rows)
        chart = share_bars(TITLES[kind], message, rows)
        parts.append(section(TITLES[kind], element("figure", chart, element("figcaption", _CAPTION))))
    return join(*parts)


_CAPTION = "The bar ends at what was measured, the whisker is its 95% interval."


def _share(interval: Interval, *, strong: bool = False) -> Share:
    return Share(interval.value, interval.low, interval.high, percent(interval.value), strong)


def _compared(comparison: Comparison) -> Html:
    parts: list[object] = [paragraph(f"{comparison.after} against {comparison.before}, paired problem by problem.")]
    for kind in MEMBERSHIPS:
        tasks = [task for task in comparison.tasks if task.membership == kind]
        if not tasks:
            continue
        pairs = [ShareRow(task.task, [_share(task.before), _share(task.after, strong=True)]) for task in tasks]
        rows = [
            [
                task.task,
                str(task.n),
                percent(task.before.value),
                percent(task.after.value),
                points(task.difference),
                f"{task.won} / {task.lost}",
                f"{task.p:.2g}",
            ]
            for task in tasks
        ]
        mean = comparison.means[kind]
        foot = ["mean", str(sum(task.n for task in tasks)), "", "", points(mean), "", ""]
        message = "; ".join(f"{row.label}: {row.bars[0].text} before, {row.bars[1].text} after" for row in pairs)
        chart = share_bars(f"Before and after: {TITLES[kind]}", message, pairs)
        columns = ["task", "problems", "before", "after", "difference (points, 95%)", "won / lost", "McNemar p"]
        parts.append(element("figure", chart, element("figcaption", "Light: before. Dark: after. " + _CAPTION)))
        parts.append(table(columns, rows, caption=TITLES[kind], numeric=range(1, 7), foot=foot))
    parts.append(items(comparison.remarks) if comparison.remarks else None)
    parts.append(
        paragraph(
            "Differences are in percentage points, their intervals from a paired bootstrap. Won: right only after; "
            "lost: right only before; p is McNemar's, exact and two-sided.",
            class_="quiet",
        )
    )
    return section("Before and after", *parts)


def _arms(evaluations: Sequence[Evaluation]) -> Html:
    """Accuracy against the budget of thinking; off stands at the left as no tokens at all."""
    series: list[Series] = []
    for kind in MEMBERSHIPS:
        results = []
        for one in evaluations:
            how, mean = one.conditions, one.means.get(kind)
            if mean is None:
                continue
            budget = 0.0 if not how.thinking else float(how.budget if how.budget is not None else how.max_new)
            label = "off" if not how.thinking else f"{budget:.0f}"
            results.append(Point(budget if how.thinking else -1.0, label, mean.value, mean.low, mean.high))
        if results:
            results.sort(key=lambda point: point.x)
            series.append(Series(kind, results, strong=not series))
    message = "; ".join(f"{one.label}, {p.label}: {percent(p.y)}" for one in series for p in one.points)
    chart = interval_plot(
        "Accuracy against thinking", message, series, x_label="tokens of thinking after which it is closed"
    )
    columns = ["asked", *(kind for kind in MEMBERSHIPS if kind in evaluations[0].means), "thinking, mean tokens"]
    rows = [
        [
            evaluation.conditions.arm,
            *(ends(evaluation.means[kind]) for kind in MEMBERSHIPS if kind in evaluation.means),
            f"{sum(task.thinking_tokens for task in evaluation.tasks) / len(evaluation.tasks):.0f}",
        ]
        for evaluation in evaluations
    ]
    caption = "Mean accuracy with its 95% interval; the same problems every time."
    return section(
        "Thinking on and off, and how long",
        element("figure", chart, element("figcaption", caption)),
        table(columns, rows, numeric=range(1, len(columns))),
    )


def _table(evaluation: Evaluation) -> Html:
    columns = [
        "task",
        "problems",
        "accuracy (95%)",
        "or ends in it",
        "well formed",
        "cut or closed",
        "tokens",
        "of thinking",
    ]
    second = any(task.second is not None for task in evaluation.tasks)
    rows = [
        [
            f"{task.task} ({task.membership})",
            str(task.n),
            ends(task.accuracy),
            percent(task.loosely),
            percent(task.well_formed),
            percent(task.truncated),
            f"{task.tokens:.0f}",
            f"{task.thinking_tokens:.0f}",
            *([percent(task.second) if task.second is not None else ""] if second else []),
        ]
        for task in evaluation.tasks
    ]
    columns += ["second verifier"] if second else []
    return section("Every task", table(columns, rows, numeric=range(1, len(columns))))


def _pass_at(evaluation: Evaluation) -> Html:
    ks = sorted(evaluation.tasks[0].pass_at)
    rows = [[task.task, *(percent(task.pass_at[k]) for k in ks)] for task in evaluation.tasks]
    return section(
        "One of k samples is right",
        table(["task", *(f"pass@{k}" for k in ks)], rows, numeric=range(1, len(ks) + 1)),
        paragraph("The unbiased estimator of arXiv:2107.03374, mean over problems.", class_="quiet"),
    )


def _transcripts(rows: Sequence[Row]) -> Html:
    parts = []
    for name in dict.fromkeys(row.task for row in rows):
        mine = [row for row in rows if row.task == name]
        right = [row for row in mine if row.accuracy >= 1][:SHOWN]
        wrong = [row for row in mine if row.accuracy < 1][:SHOWN]
        parts += [_transcript(row) for row in (*right, *wrong)]
    return section(
        "Transcripts", paragraph("The first ones of each task, right and wrong; all are in the file beside."), *parts
    )


def _transcript(row: Row) -> Html:
    verdict = "right" if row.accuracy >= 1 else f"{row.why}; the reference is {row.reference}"
    return element(
        "details",
        element("summary", f"{row.problem}: {verdict}"),
        element("pre", row.prompt[:MAX_SHOWN]),
        element("pre", row.thinking[:MAX_SHOWN], class_="quiet") if row.thinking else None,
        element("pre", row.answer[:MAX_SHOWN] or "(no answer)"),
    )


def _about(evaluation: Evaluation) -> Html:
    lines = [
        "Accuracies of a task are shares with Wilson's interval; where several samples were drawn of a problem, its "
        "mean counts, and the interval is a bootstrap over problems.",
        "Means count each task the same; their intervals are stratified bootstraps, seeded, and nowhere narrower than "
        "what the tasks' own intervals make together.",
        'What is judged is what was written after the thinking. "Or ends in it" also counts answers that end in the '
        "reference: what the asked form costs a model that was never taught it.",
    ]
    if evaluation.conditions.by == "llama.cpp":
        lines.append(
            "Answers were generated side by side. llama.cpp rounds differently when more or fewer rows are computed "
            "together, so a second run can differ in a few transcripts; one at a time it does not."
        )
    return section("How this was counted", items(lines))
