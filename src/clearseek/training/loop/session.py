"""One attempt at a run, from its start to its end, a signal or a crash: where it is, and what it writes down.

The loop itself is in `training_loop.py`; here are the clocks, the ledger, the lines of metrics, the evaluations and the
checkpoints that it calls for.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from clearseek.evaluation.results import Evaluation
from clearseek.hub.files import write_aside
from clearseek.ledger.book import Book
from clearseek.ledger.check import check
from clearseek.ledger.entry import Draft
from clearseek.ledger.meter import Meter, Span
from clearseek.ledger.prices import Rates
from clearseek.training.loop.early_stopping import dev_evaluations, regression_warning
from clearseek.training.loop.run_evaluations import evaluate_current, metrics_row, write_results
from clearseek.training.loop.time_budget import TimeBudget
from clearseek.training.recipe.schema import Recipe, StagePlan
from clearseek.training.report.console import Screen
from clearseek.training.report.page import report_page
from clearseek.training.report.view import View
from clearseek.training.run import checkpoint, run_folder
from clearseek.training.run.budget import Limits
from clearseek.training.run.checkpoint import Position
from clearseek.training.run.context import RunContext
from clearseek.training.run.determinism import arithmetic
from clearseek.training.run.interrupts import Interrupts
from clearseek.training.run.run_folder import Lines, Notes, Status
from clearseek.training.stages.base import Stage, StageState, StepReport

TRANSCRIPTS = 40
"""The report chooses from so many of the last samples."""
REPORT_SECONDS = 20.0
"""report.html is written again after so many seconds, and after every evaluation."""


@dataclass
class Place:
    """Where the loop is: steps `done` in all, and the next `step` of which `stage`."""

    done: int = 0
    stage: int = 0
    step: int = 0
    noted: dict[str, Any] = field(default_factory=lambda: {"evaluated": [], "early": {}})
    """`early`: stages that ended before their last step, and after how many."""


class Session:
    """One attempt. `context` is there once the weights are read, `opened` true once it stands where it goes on."""

    context: RunContext

    def __init__(
        self, recipe: Recipe, folder: Path, screen: Screen, interrupts: Interrupts, limits: Limits, rates: Rates,
        status: Status | None, started: float,
    ) -> None:  # fmt: skip
        self.recipe, self.folder, self.screen, self.interrupts = recipe, folder, screen, interrupts
        self.fresh = status is None
        self.status = (status or Status(recipe.name, recipe.fingerprint)).begun()
        self.attempt = self.status.attempts[-1].attempt
        self.checkpoints = folder / "checkpoints"
        self.metrics, self.samples = Lines(folder / run_folder.METRICS), Lines(folder / run_folder.SAMPLES)
        self.book = Book(folder / run_folder.LEDGER)
        self.status = run_folder.with_ledger_seconds(self.status, self.book)
        self.budget = TimeBudget(recipe.evaluate, limits, started, self.status.seconds)
        self.speeds: dict[str, float] = {}
        self.meter = Meter(self.sink, machine=rates)
        self.rates = rates
        self.place = Place()
        self.saved = -1
        """Steps done at the last checkpoint."""
        self.reported = 0.0
        self.last_samples: deque[dict[str, Any]] = deque(maxlen=TRANSCRIPTS)
        self.view = View(recipe, limits)
        self.opened = False
        self.stage_state: StageState = StageState()
        """The stage under way, as it was between its last two steps."""

    # --- the ledger

    def sink(self, draft: Draft) -> None:
        """Into the ledger; and how many GFLOP/s a step's phases came to is remembered for its line."""
        if draft.kind in ("rollout", "update") and "flops" in draft.quantities:
            flops, wall = draft.quantities["flops"].value, draft.quantities["wall"].value
            if flops and wall:
                self.speeds[f"gflops_per_second_{draft.kind}"] = flops / wall / 1e9
        self.book.append(draft)

    def span(self, kind: str, stage: str, **more: str) -> Span:
        return self.meter.span(kind, run=self.recipe.name, stage=stage, attempt=self.attempt, **more)

    @cached_property
    def arithmetic(self) -> dict[str, Any]:
        return arithmetic(self.context.stage_context.learner)

    # --- evaluations

    def due(self, every: int) -> bool:
        return every > 0 and self.place.step % every == 0

    def dev(self) -> None:
        plan = self.recipe.evaluate
        if plan.dev:
            self.evaluate(f"dev-{self.place.done:06d}", "dev", plan.dev, unseen=False)

    def dev_rows(self) -> list[Any]:
        """The evaluations on dev since the stage under way began."""
        return dev_evaluations(self.view.evaluations, self.place.done - self.place.step)

    def test(self, name: str, *, unseen: bool = False) -> None:
        if self.recipe.evaluate.test:
            self.evaluate(f"test-{name}", "test", self.recipe.evaluate.test, unseen=unseen)

    def evaluate(self, name: str, split: str, n: int, *, unseen: bool) -> None:
        """Once, unless the rest of the budget is needed for the end of the run."""
        last = name == "test-after"
        guess = self.budget.evaluation(split, unseen)
        if name in self.place.noted["evaluated"]:
            return
        if not last and not self.budget.room_for(guess):
            self.screen.tell(f"No time is left for the evaluation {name}.")
            return
        labels = {"run": self.recipe.name, "stage": "evaluation", "attempt": self.attempt, "evaluation": name}
        began = time.perf_counter()
        with self.interrupts.allowed():
            result = evaluate_current(
                self.recipe, self.context, split, n, unseen=unseen, progress=self.screen.evaluating(name), labels=labels
            )
        seconds = time.perf_counter() - began
        self.budget.evaluated(split, unseen, seconds)
        self.place.noted["evaluated"].append(name)
        self.write_evaluation(name, result, seconds)

    # --- writing

    def write_step(self, plan: StagePlan, number: int, report: StepReport, seconds: float) -> None:
        """A step into metrics.jsonl and samples.jsonl, and on the screen."""
        numbers = {name: float(value) for name, value in report.numbers.items()}
        time_of = {f"seconds_{name}": float(value) for name, value in report.seconds.items()} | self.speeds
        self.speeds = {}
        row = {
            "kind": "step", "done": self.place.done, "stage": plan.name, "step": number, "numbers": numbers,
            "warnings": list(report.warnings), "time": {**time_of, "seconds": seconds, "at": run_folder.now()},
        }  # fmt: skip
        self.metrics.append([row])
        samples = [{"done": self.place.done, **sample} for sample in report.samples]
        self.samples.append(samples)
        self.last_samples.extend(samples)
        self.view.add(row)
        for warning in report.warnings:
            self.screen.tell(warning)
        self.show()

    def write_remarks(self, sentences: Sequence[str]) -> None:
        """What was noticed before the first step: said, and kept with the warnings of steps."""
        if not sentences:
            return
        row = {"kind": "remark", "done": self.place.done, "warnings": list(sentences), "time": {"at": run_folder.now()}}
        self.metrics.append([row])
        self.view.add(row)
        for sentence in sentences:
            self.screen.tell(sentence)

    def write_evaluation(self, name: str, result: Evaluation, seconds: float) -> None:
        """An evaluation into metrics.jsonl, on the screen, and of test into evaluations/."""
        row = metrics_row(name, self.place.done, result, seconds)
        if row["split"] == "dev" and (warning := regression_warning([*self.dev_rows(), row])) is not None:
            row["warnings"] = [warning]
            self.screen.tell(warning)
        self.metrics.append([row])
        if row["split"] == "test":
            write_results(self.folder, name, result)
        self.view.add(row)
        self.show()
        for note in result.notes:
            self.screen.tell(note)
        mean, asked = result.mean, sorted({task.n for task in result.tasks})
        many = " to ".join(str(n) for n in (asked[0], *asked[1:][-1:]))
        noun = "problem" if asked == [1] else "problems"
        self.screen.tell(f"{name}: {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}), {many} {noun} a task.")
        self.report(force=True)

    def save(self, *, milestone: bool = False) -> None:
        """A checkpoint of the state at the last boundary between steps."""
        sizes = run_folder.file_sizes(self.folder)
        book = check(self.book.path) if milestone and self.book.path.exists() else None
        ledger = {"entries": book.entries, "head": book.head} if book else {"bytes": _bytes(self.book.path)}
        forecast = self.budget.forecast
        noted = {
            **self.place.noted, "seconds": dict(self.budget.evaluations),
            "outlook": None if forecast is None else forecast.as_json(), "arithmetic": self.arithmetic,
        }  # fmt: skip
        position = Position(
            self.place.done, self.place.stage, self.place.step, sizes=sizes, ledger=ledger, noted=noted,
            milestone=milestone or self.place.step == 0,
        )  # fmt: skip
        stages = self.recipe.stages
        with self.span("checkpoint", stages[min(self.place.stage, len(stages) - 1)].name):
            checkpoint.save(self.checkpoints, position, self.context.stage_context.learner.state(), self.stage_state)
            keep = self.recipe.checkpoints.keep
            checkpoint.prune(self.checkpoints, None if keep == "all" else keep)
        self.saved = self.place.done
        self.status = self.status.ended("failed", run_folder.Attempt("", "").why, self.budget.session_seconds())
        run_folder.write_status(self.folder, self.status)

    def snapshot(self, stage: Stage) -> None:
        """Keep the stage's state as it is now, whatever the stage does to it later: values as JSON gives them back."""
        state = stage.state()
        self.stage_state = StageState(json.loads(json.dumps(dict(state.values))), dict(state.tensors))

    def look(self) -> None:
        """What is shown, as it is now."""
        self.view.at(self.place.done, self.budget.spent(), self.budget.pace, self.rates, self.budget.forecast)

    def show(self) -> None:
        self.look()
        self.screen.show(self.view)
        self.report()

    def report(self, *, force: bool = False, ended: str = "") -> None:
        """Write report.html again, when it is time."""
        if not force and time.perf_counter() - self.reported < REPORT_SECONDS:
            return
        self.look()
        page = report_page(self.view, list(self.last_samples), ended=ended)
        write_aside(self.folder / run_folder.REPORT, page.encode())
        self.reported = time.perf_counter()

    def end(self, state: str, why: str, *, finished: bool = False) -> None:
        self.status = replace(self.status.ended(state, why, self.budget.session_seconds()), finished=finished)
        run_folder.write_status(self.folder, self.status)
        self.note_attempts(finished=finished)

    def note_attempts(self, *, finished: bool) -> None:
        attempts = [{"attempt": each.attempt, "state": each.state, "why": each.why} for each in self.status.attempts]
        more = {"finished_at": run_folder.now()} if finished else {}
        Notes.open(self.folder).add(attempts=attempts, **more)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
