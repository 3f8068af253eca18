"""Evaluations as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from clearseek.evaluation.comparison import Comparison
from clearseek.evaluation.results import MEMBERSHIPS, Evaluation
from clearseek.evaluation.results_page import ANSWERED_BY, ends, percent, points

MEANS = {"trained": "mean, trained tasks", "unseen": "mean, never trained", "other": "mean"}


def show(evaluations: Sequence[Evaluation], comparison: Comparison | None, folder: Path | None) -> None:
    """The first evaluation whole, the others by their means, then the comparison, then where everything is."""
    console = Console(highlight=False)
    first = evaluations[0]
    how = first.conditions
    if folder is not None:
        drawn = f"{how.samples} samples at temperature {how.temperature:g}" if how.temperature else "greedy"
        console.print(
            f"{how.model}, {how.arm}: {how.split}, {how.n} problems a task, seed {how.seed}, {drawn}; "
            f"answered by {ANSWERED_BY.get(how.by, how.by)}; {first.tokens:,} tokens, {first.rate:.0f} tokens/s",
            markup=False,
        )
        console.print(_tasks(first))
        if len(evaluations) > 1:
            console.print(_arms(evaluations))
    for note in first.notes:
        console.print(note, markup=False)
    if comparison is not None:
        console.print(f"{comparison.after} against {comparison.before}, paired problem by problem", markup=False)
        console.print(_compared(comparison))
        console.print("+/-: problems right only after, and only before; p: McNemar's, exact and two-sided.")
        for remark in comparison.remarks:
            console.print(remark, markup=False)
    if folder is not None:
        what = "Transcripts, figures and report.html are" if first.rows else "report.html is"
        console.print(f"{what} in {folder}", markup=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    """Narrow enough for 80 columns, and no number broken over lines."""
    return Table(*(Column(name, no_wrap=True) for name in columns), box=box.SIMPLE, pad_edge=False, padding=(0, 0))


def _tasks(one: Evaluation) -> Table:
    table = _table("task", "n", "accuracy (95%)", "well formed", "cut", "tokens")
    k = one.conditions.samples
    if k > 1:
        table.add_column(f"pass@{k}")
    for kind in MEMBERSHIPS:
        mine = [task for task in one.tasks if task.membership == kind]
        for task in mine:
            cells = [task.task, str(task.n), ends(task.accuracy), percent(task.well_formed), percent(task.truncated)]
            table.add_row(*cells, f"{task.tokens:.0f}", *([percent(task.pass_at[k])] if k > 1 else []))
        if mine:
            table.add_row(MEANS[kind], "", ends(one.means[kind]), style="bold", end_section=True)
    return table


def _arms(evaluations: Sequence[Evaluation]) -> Table:
    kinds = [kind for kind in MEMBERSHIPS if kind in evaluations[0].means]
    table = _table("asked", *(MEANS[kind] for kind in kinds), "tokens/s")
    for evaluation in evaluations:
        table.add_row(
            evaluation.conditions.arm, *(ends(evaluation.means[kind]) for kind in kinds), f"{evaluation.rate:.0f}"
        )
    return table


def _compared(comparison: Comparison) -> Table:
    table = _table("task", "n", "before", "after", "points (95%)", "+/-", "p")
    for kind in MEMBERSHIPS:
        mine = [task for task in comparison.tasks if task.membership == kind]
        for task in mine:
            table.add_row(
                task.task,
                str(task.n),
                percent(task.before.value),
                percent(task.after.value),
                points(task.difference),
                f"{task.won}/{task.lost}",
                f"{task.p:.2g}",
            )
        if mine:
            table.add_row(MEANS[kind], "", "", "", points(comparison.means[kind]), style="bold", end_section=True)
    return table


def show_chat(report: Mapping[str, Any], folder: Path) -> None:
    """What `chat_check` found."""
    console = Console(highlight=False)
    table = _table("everyday chat", "base", "new")
    for name in report["measures"]["base"]:
        base, new = (report["measures"][side][name] for side in ("base", "new"))
        table.add_row(name.replace("_", " "), f"{base:.3g}", f"{new:.3g}")
    console.print(table)
    console.print(report["says"], markup=False)
    console.print(f"The answers side by side, blinded, and their key are in {folder}", markup=False, soft_wrap=True)
