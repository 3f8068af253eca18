"""One sitting of a run: stages one after the other, metered, evaluated, saved, inside a budget, ended in order.

At the top of every step stands the same question: what is due here? An evaluation on dev, a checkpoint, the end of the
budget. So a run that goes on from a checkpoint finds due what the run that was cut short had still to do.
"""

from __future__ import annotations

import importlib
import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.evaluation.results import Evaluation
from clearseek.hub.files import write_aside
from clearseek.ledger.book import Book
from clearseek.ledger.check import check
from clearseek.ledger.entry import Draft
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.training.loop.early_stopping import enough, looks_of, worse
from clearseek.training.loop.ending import finish
from clearseek.training.loop.failures import check_step, ended_by, interrupted, not_a_number
from clearseek.training.loop.length_checks import check_lengths
from clearseek.training.loop.preflight import Preflight, preflight
from clearseek.training.loop.run_evaluations import ask_learner, keep, row_of
from clearseek.training.loop.time_left import Purse
from clearseek.training.recipe.recipe import KINDS, Recipe, StagePlan
from clearseek.training.report.console import Screen, View
from clearseek.training.run import checkpoint, run_folder
from clearseek.training.run.budget import Limits, Pace
from clearseek.training.run.checkpoint import Position
from clearseek.training.run.context import Bench, data_notes, open_bench, settled, starting_weights
from clearseek.training.run.determinism import arithmetic
from clearseek.training.run.interrupts import Guard, Interrupted, WatchedLearner
from clearseek.training.run.run_folder import Lines, Notes, Outcome, Status
from clearseek.training.stages.base import Stage, StageState, StepReport
from clearseek.training.stages.checks import check_stages
from clearseek.training.update.flops import stage_notes
from clearseek.training.update.learner import NotFinite

TRANSCRIPTS = 40
"""The report chooses from so many of the last samples."""
REPORT_SECONDS = 20.0
"""report.html is written again after so many seconds, and after every evaluation."""


@dataclass
class _Place:
    """Where the loop is."""

    done: int = 0
    stage: int = 0
    step: int = 0
    noted: dict[str, Any] = field(default_factory=lambda: {"evaluated": [], "early": {}})
    """`early`: stages that ended before their last step, and after how many."""


class Run:
    """One sitting."""

    def __init__(
        self, recipe: Recipe, folder: Path, screen: Screen, guard: Guard, limits: Limits, rates: Rates,
        status: Status | None, started: float,
    ) -> None:  # fmt: skip
        self.recipe, self.folder, self.screen, self.guard = recipe, folder, screen, guard
        self.fresh = status is None
        self.status = (status or Status(recipe.name, recipe.fingerprint)).begun()
        self.attempt = self.status.sittings[-1].attempt
        self.checkpoints = folder / "checkpoints"
        self.metrics, self.samples = Lines(folder / run_folder.METRICS), Lines(folder / run_folder.SAMPLES)
        self.book = Book(folder / run_folder.LEDGER)
        self.status = run_folder.counted(self.status, self.book)
        self.purse = Purse(recipe.evaluate, limits, started, self.status.seconds)
        self.speeds: dict[str, float] = {}
        self.meter = Meter(self.sink, machine=rates)
        self.rates = rates
        self.place = _Place()
        self.saved = -1
        self.reported = 0.0
        self.written: deque[dict[str, Any]] = deque(maxlen=TRANSCRIPTS)
        self.view = View(recipe, limits)
        self.bench: Bench
        self.opened = False
        self.stage: Stage | None = None
        self.boundary: StageState = StageState()

    # --- the whole

    def whole(self) -> Outcome:
        try:
            run_folder.write_status(self.folder, self.status)
            with self.span("setup", "setup"), self.guard.interruptible():
                self.bench = open_bench(self.recipe, self.folder, self.meter, self.screen.tell)
            checkpoint.recover(self.checkpoints)
            if self.fresh or not checkpoint.numbers(self.checkpoints):
                self.begin()  # a run that was killed before its first checkpoint has nothing to go on from
            else:
                self.go_on()
            self.opened = True
            ended = self.stages()
            published = finish(self, ended)
        except Interrupted:
            raise interrupted(self) from None
        except BaseException as error:
            raised = ended_by(self, error)
            if raised is error:
                raise
            raise raised from None
        finally:
            self.book.close()
            self.screen.close()
        return Outcome(
            self.folder,
            ended,
            self.place.done,
            self.planned(),
            self.purse.spent(),
            self.view.tests,
            published,
            self.view.conclusions.sentences,
        )

    def begin(self) -> None:
        """A new run: notes, a look ahead, where it starts from."""
        from clearseek.receipts import gather

        with self.span("setup", "setup"), self.guard.interruptible():
            check_stages(self.recipe, self.bench.workshop.tasks)
            self.recipe = settled(self.recipe, self.folder)
            self.remark(check_lengths(self.recipe, self.bench))
            prices = {
                name: getattr(self.rates, name).as_json()
                for name in ("machine_usd_per_hour", "electricity_usd_per_kwh")
                if getattr(self.rates, name).known
            }
            base = self.bench.base
            Notes.open(self.folder).add(
                name=self.recipe.name,
                started_at=self.status.sittings[0].began,
                base=base.as_json() if base else None,
                parents=base.start.parents() if base and base.start else [],
                code=gather.code(),
                machine={**gather.machine(), "arithmetic": self.arithmetic},
                environment=gather.environment(),
                prices=prices,
                data=data_notes(self.recipe, self.bench),
                stages=stage_notes(self.recipe, self.bench.workshop.learner.model),
            )
        with self.span("probe", "setup"), self.guard.interruptible():
            self.purse.outlook = preflight(self.recipe, self.bench, self.purse.limits, self.rates, self.folder)
        self.screen.outlook(self.purse.outlook)
        self.purse.outlook.refuse()
        self.save(milestone=True)

    def go_on(self) -> None:
        """Put everything back to where the last whole checkpoint was. Stages read the files that the run carries."""
        found, said = checkpoint.load_latest(self.checkpoints)
        for sentence in said:
            self.screen.tell(sentence)
        at = found.position
        self.bench.workshop.learner.restore(found.learner)
        run_folder.cut_back(self.folder, at.sizes)
        noted = {"early": {}, **at.noted, "evaluated": list(at.noted["evaluated"])}
        self.place = _Place(at.done, at.stage, at.step, noted)
        for name, steps in noted["early"].items():
            self.view.end_early(name, steps)
        self.boundary, self.saved = found.stage, at.done
        if at.stage < len(self.recipe.stages) and "test-after" in self.place.noted["evaluated"]:
            self.place.noted["evaluated"].remove("test-after")  # the budget had ended the run, and now it goes on
        self.purse.evaluations = dict(at.noted.get("seconds", {}))
        if at.noted.get("outlook"):
            self.purse.outlook = Preflight.from_json(at.noted["outlook"])
        self.view.read(self.metrics.read())
        self.written.extend(self.samples.read())
        self.code_changed()
        self.screen.tell(f"Going on from step {at.done}, attempt {self.attempt}.")

    def code_changed(self) -> None:
        from clearseek.receipts import gather

        notes = Notes.open(self.folder)
        was, now = notes.told.get("code", {}).get("digest"), gather.code()
        if was is not None and was != now["digest"]:
            self.screen.tell(
                "ClearSeek's code has changed since this run began: the rest may differ from an uninterrupted run, and "
                "the receipt names the code it began with."
            )
            notes.remark(f"Attempt {self.attempt} ran with other code, {now['digest']['sha256'][:16]}.")

    # --- stages

    def sink(self, draft: Draft) -> None:
        """Into the book; and how many GFLOP/s a step's phases came to is remembered for its line."""
        if draft.kind in ("rollout", "update") and "flops" in draft.quantities:
            flops, wall = draft.quantities["flops"].value, draft.quantities["wall"].value
            if flops and wall:
                self.speeds[f"gflops_per_second_{draft.kind}"] = flops / wall / 1e9
        self.book.append(draft)

    def stages(self) -> str:
        """Every stage from where the run is; "budget" where that ended them."""
        while self.place.stage < len(self.recipe.stages):
            plan = self.recipe.stages[self.place.stage]
            if self.place.step == 0:
                if self.place.stage == 0:
                    self.test("before", unseen=self.recipe.evaluate.unseen)
                elif learns(self.recipe.stages[self.place.stage - 1]):
                    self.test(f"{self.place.stage}-{self.recipe.stages[self.place.stage - 1].name}")
                self.save(milestone=True)  # so that what was evaluated is not evaluated again
            self.open_stage(plan)
            if self.steps_of(plan) == "budget":
                return "budget"
            if learns(plan):
                self.dev()
            self.place = replace(self.place, stage=self.place.stage + 1, step=0)
            self.stage, self.boundary = None, StageState()
            if self.place.stage < len(self.recipe.stages):
                self.save(milestone=True)
        return "completed"

    def open_stage(self, plan: StagePlan) -> None:
        module = importlib.import_module(KINDS[plan.kind][0])
        shop = self.bench.workshop
        if self.place.step == 0:
            shop.learner.restore(starting_weights(plan, shop.learner, self.checkpoints))
        watched: Any = WatchedLearner(shop.learner, self.guard)
        stage: Stage = module.open_stage(plan.settings, replace(shop, learner=watched))
        if self.place.step or self.boundary.values or self.boundary.tensors:
            stage.restore(self.boundary)
        self.stage, self.purse.pace = stage, Pace()
        self.view.open_stage(plan.name, plan.kind, stage.steps)
        self.screen.tell(f"Stage {plan.name} ({plan.kind}), {stage.steps} steps.")

    def steps_of(self, plan: StagePlan) -> str:
        stage = self.stage
        assert stage is not None
        while self.place.step < stage.steps:
            self.boundary = snapshot(stage)
            patience = getattr(plan.settings, "patience", 0)
            if learns(plan) and (self.due(self.recipe.evaluate.every) if self.place.step else patience):
                self.dev()
            rows = next(one.rows for one in self.view.stages if one.name == plan.name)
            if (why := enough(patience, self.looks(), rows)) is not None:
                self.screen.tell(
                    f"Stage {plan.name} ends after {self.place.step} of {stage.steps} steps: {why}. What it leaves "
                    "of the budget goes to what comes after it."
                )
                self.place.noted["early"][plan.name] = self.place.step
                self.view.end_early(plan.name, self.place.step)
                break
            if self.place.done != self.saved and self.due(self.recipe.checkpoints.every):
                self.save()
            if not self.purse.room_for(self.purse.step(plan.name)):
                why = self.purse.limits.why.capitalize()
                if self.place.done == 0:
                    raise UserError(
                        f"{why} is too small for one step: a step takes about {self.purse.guess(plan.name):.0f} s, and "
                        f"{self.purse.kept():.0f} s are kept for the end of the run."
                    )
                self.screen.tell(f"{why} is used up: the run ends here, in order.")
                return "budget"
            self.one(plan, stage)
        self.boundary = snapshot(stage)
        return "done"

    def one(self, plan: StagePlan, stage: Stage) -> None:
        """One step, booked and written down."""
        number = self.place.step
        began = time.perf_counter()
        try:
            with self.span(plan.kind, plan.name, step=str(self.place.done)), self.guard.interruptible():
                report = stage.step(number)
        except NotFinite as error:
            raise UserError(not_a_number(self, plan, number, str(error))) from None
        seconds = time.perf_counter() - began
        check_step(self, plan, number, report)
        self.purse.pace.add(seconds)
        self.place = replace(self.place, done=self.place.done + 1, step=number + 1)
        self.write_down(plan, number, report, seconds)

    def write_down(self, plan: StagePlan, number: int, report: StepReport, seconds: float) -> None:
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
        self.written.extend(samples)
        self.view.add(row)
        for warning in report.warnings:
            self.screen.tell(warning)
        self.show()

    def remark(self, sentences: Sequence[str]) -> None:
        """What was noticed before the first step: said, and kept with the warnings of steps."""
        if not sentences:
            return
        row = {"kind": "remark", "done": self.place.done, "warnings": list(sentences), "time": {"at": run_folder.now()}}
        self.metrics.append([row])
        self.view.add(row)
        for sentence in sentences:
            self.screen.tell(sentence)

    # --- evaluations

    def due(self, every: int) -> bool:
        return every > 0 and self.place.step % every == 0

    def dev(self) -> None:
        plan = self.recipe.evaluate
        if plan.dev:
            self.evaluate(f"dev-{self.place.done:06d}", "dev", plan.dev, unseen=False)

    def looks(self) -> list[Any]:
        """At dev, since the stage under way began."""
        return looks_of(self.view.evaluations, self.place.done - self.place.step)

    def test(self, name: str, *, unseen: bool = False) -> None:
        if self.recipe.evaluate.test:
            self.evaluate(f"test-{name}", "test", self.recipe.evaluate.test, unseen=unseen)

    def evaluate(self, name: str, split: str, n: int, *, unseen: bool) -> None:
        """Once, unless the rest of the budget is needed for the end of the run."""
        last = name == "test-after"
        guess = self.purse.evaluation(split, unseen)
        if name in self.place.noted["evaluated"]:
            return
        if not last and not self.purse.room_for(guess):
            self.screen.tell(f"No time is left for the evaluation {name}.")
            return
        labels = {"run": self.recipe.name, "stage": "evaluation", "attempt": self.attempt, "evaluation": name}
        began = time.perf_counter()
        with self.guard.interruptible():
            result = ask_learner(
                self.recipe, self.bench, split, n, unseen=unseen, progress=self.screen.evaluating(name), labels=labels
            )
        seconds = time.perf_counter() - began
        self.purse.evaluated(split, unseen, seconds)
        self.place.noted["evaluated"].append(name)
        self.wrote(name, result, seconds)

    def wrote(self, name: str, result: Evaluation, seconds: float) -> None:
        """An evaluation into metrics.jsonl, on the screen, and of test into evaluations/."""
        row = row_of(name, self.place.done, result, seconds)
        if row["split"] == "dev" and (said := worse([*self.looks(), row])) is not None:
            row["warnings"] = [said]
            self.screen.tell(said)
        self.metrics.append([row])
        if row["split"] == "test":
            keep(self.folder, name, result)
        self.view.add(row)
        self.show()
        for note in result.notes:
            self.screen.tell(note)
        mean, asked = result.mean, sorted({task.n for task in result.tasks})
        many = " to ".join(str(n) for n in (asked[0], *asked[1:][-1:]))
        noun = "problem" if asked == [1] else "problems"
        self.screen.tell(f"{name}: {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}), {many} {noun} a task.")
        self.report(force=True)

    def planned(self) -> int:
        return max(self.view.planned(), self.place.done)

    # --- writing

    def save(self, *, milestone: bool = False) -> None:
        """A checkpoint of the state at the last boundary between steps."""
        sizes = run_folder.sizes_of(self.folder)
        book = check(self.book.path) if milestone and self.book.path.exists() else None
        ledger = {"entries": book.entries, "head": book.head} if book else {"bytes": _bytes(self.book.path)}
        noted = {
            **self.place.noted, "seconds": dict(self.purse.evaluations), "outlook": self._outlook_json(),
            "arithmetic": self.arithmetic,
        }  # fmt: skip
        position = Position(
            self.place.done, self.place.stage, self.place.step, sizes=sizes, ledger=ledger, noted=noted,
            milestone=milestone or self.place.step == 0,
        )  # fmt: skip
        with self.span("checkpoint", self.name_of_stage()):
            checkpoint.save(self.checkpoints, position, self.bench.workshop.learner.state(), self.boundary)
            keep = self.recipe.checkpoints.keep
            checkpoint.prune(self.checkpoints, None if keep == "all" else keep)
        self.saved = self.place.done
        self.status = self.status.ended("failed", run_folder.Sitting("", "").why, self.purse.sat())
        run_folder.write_status(self.folder, self.status)

    @cached_property
    def arithmetic(self) -> dict[str, Any]:
        return arithmetic(self.bench.workshop.learner)

    def _outlook_json(self) -> Any:
        return None if self.purse.outlook is None else self.purse.outlook.as_json()

    def name_of_stage(self) -> str:
        stages = self.recipe.stages
        return stages[min(self.place.stage, len(stages) - 1)].name

    def span(self, kind: str, stage: str, **more: str) -> Any:
        return self.meter.span(kind, run=self.recipe.name, stage=stage, attempt=self.attempt, **more)

    def look(self) -> None:
        """What is shown, as it is now."""
        self.view.at(self.place.done, self.purse.spent(), self.purse.pace, self.rates, self.purse.outlook)

    def show(self) -> None:
        self.look()
        self.screen.show(self.view)
        self.report()

    def report(self, *, force: bool = False, ended: str = "") -> None:
        """Write report.html again, when it is time."""
        if not force and time.perf_counter() - self.reported < REPORT_SECONDS:
            return
        from clearseek.training.report.page import report_page

        self.look()
        page = report_page(self.view, list(self.written), ended=ended)
        write_aside(self.folder / run_folder.REPORT, page.encode())
        self.reported = time.perf_counter()

    def end(self, state: str, why: str, *, finished: bool = False) -> None:
        self.status = replace(self.status.ended(state, why, self.purse.sat()), finished=finished)
        run_folder.write_status(self.folder, self.status)
        self.note_attempts(finished=finished)

    def note_attempts(self, *, finished: bool) -> None:
        told = [{"attempt": one.attempt, "state": one.state, "why": one.why} for one in self.status.sittings]
        more = {"finished_at": run_folder.now()} if finished else {}
        Notes.open(self.folder).add(attempts=told, **more)


def learns(plan: StagePlan) -> bool:
    """Whether a stage changes the weights: after one that only writes data there is nothing new to evaluate."""
    return plan.kind in ("sft", "grpo")


def snapshot(stage: Stage) -> StageState:
    """The stage's state as it is now, whatever the stage does to it later: values as JSON gives them back."""
    state = stage.state()
    return StageState(json.loads(json.dumps(dict(state.values))), dict(state.tensors))


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
