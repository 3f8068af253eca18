"""One sitting of a run: stages one after the other, metered, evaluated, saved, inside a budget, ended in order.

At the top of every step stands the same question: what is due here? An evaluation on dev, a checkpoint, the end of the
budget. So a run that goes on from a checkpoint finds due what the run that was cut short had still to do.
"""

from __future__ import annotations

import importlib
import json
import math
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.hub.files import write_aside
from clearseek.ledger.book import Book
from clearseek.ledger.check import check
from clearseek.ledger.entry import Draft
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.training import checkpoint, runfolder
from clearseek.training.answer_engine import Books
from clearseek.training.arithmetic import arithmetic
from clearseek.training.budget import Limits, Pace, fits, reserve
from clearseek.training.checkpoint import Position
from clearseek.training.evaluation import Evaluation
from clearseek.training.flops import stage_notes
from clearseek.training.guard import Guard, Interrupted, WatchedLearner
from clearseek.training.learner import NotFinite
from clearseek.training.live import Screen, View
from clearseek.training.preflight import Preflight, preflight
from clearseek.training.recipe import KINDS, Recipe, StagePlan, read_recipe
from clearseek.training.run_evaluations import ask_learner, ask_served, keep, row_of
from clearseek.training.runfolder import Lines, Notes, Outcome, Status
from clearseek.training.stage import Stage, StageState, StepReport
from clearseek.training.stage_checks import check_stages
from clearseek.training.workbench import Bench, data_notes, open_bench, settled, starting_weights

REPORT_SECONDS = 20.0
"""report.html is written again after so many seconds, and after every evaluation."""


@dataclass
class _Place:
    """Where the loop is."""

    done: int = 0
    stage: int = 0
    step: int = 0
    noted: dict[str, Any] = field(default_factory=lambda: {"evaluated": []})


class Run:
    """One sitting."""

    def __init__(
        self, recipe: Recipe, folder: Path, screen: Screen, guard: Guard, limits: Limits, rates: Rates,
        status: Status | None, started: float,
    ) -> None:  # fmt: skip
        self.recipe, self.folder, self.screen, self.guard = recipe, folder, screen, guard
        self.limits, self.started = limits, started
        self.fresh = status is None
        self.status = (status or Status(recipe.name, recipe.fingerprint)).begun()
        self.attempt = self.status.sittings[-1].attempt
        self.checkpoints = folder / "checkpoints"
        self.metrics, self.samples = Lines(folder / runfolder.METRICS), Lines(folder / runfolder.SAMPLES)
        self.book = Book(folder / runfolder.LEDGER)
        self.status = runfolder.counted(self.status, self.book)
        self.earlier = self.status.seconds
        self.speeds: dict[str, float] = {}
        self.meter = Meter(self.sink, machine=rates)
        self.rates = rates
        self.place = _Place()
        self.pace = Pace()
        self.evaluation_seconds: dict[str, float] = {}
        self.outlook: Preflight | None = None
        self.saved = -1
        self.reported = 0.0
        self.view = View(recipe, limits)
        self.bench: Bench
        self.opened = False
        self.stage: Stage | None = None
        self.boundary: StageState = StageState()

    # --- the whole

    def whole(self) -> Outcome:
        runfolder.write_status(self.folder, self.status)
        try:
            with self.span("setup", "setup"), self.guard.interruptible():
                self.bench = open_bench(self.recipe, self.folder, self.meter, self.screen.tell)
            if self.fresh or not checkpoint.numbers(self.checkpoints):
                self.begin()  # a run that was killed before its first checkpoint has nothing to go on from
            else:
                self.go_on()
            self.opened = True
            ended = self.stages()
            published = self.finish(ended)
        except Interrupted:
            raise self.interrupted() from None
        except UserError as error:
            self.end("failed", str(error))
            if self.fresh and self.saved < 0:
                (self.folder / runfolder.STATUS).unlink(missing_ok=True)  # nothing was begun that could be resumed
            else:
                self.report(force=True)
            raise
        except BaseException as error:
            self.end("failed", f"{type(error).__name__}: {error}"[:400])
            raise
        finally:
            self.book.close()
            self.screen.close()
        return Outcome(self.folder, ended, self.place.done, self.planned(), self.spent(), self.view.tests, published)

    def begin(self) -> None:
        """A new run: notes, a look ahead, where it starts from."""
        from clearseek.receipts import gather

        with self.span("setup", "setup"), self.guard.interruptible():
            check_stages(self.recipe, self.bench.workshop.tasks)
            self.recipe = settled(self.recipe, self.folder)
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
            self.outlook = preflight(self.recipe, self.bench, self.limits, self.rates, self.folder)
        self.screen.outlook(self.outlook)
        self.outlook.refuse()
        self.save(milestone=True)

    def go_on(self) -> None:
        """Put everything back to where the last whole checkpoint was. Stages read the files that the run carries."""
        self.recipe = replace(self.recipe, stages=read_recipe(self.folder).stages)
        found, said = checkpoint.load_latest(self.checkpoints)
        for sentence in said:
            self.screen.tell(sentence)
        at = found.position
        self.bench.workshop.learner.restore(found.learner)
        runfolder.cut_back(self.folder, at.sizes)
        self.place = _Place(at.done, at.stage, at.step, {**at.noted, "evaluated": list(at.noted["evaluated"])})
        self.boundary, self.saved = found.stage, at.done
        if at.stage < len(self.recipe.stages) and "test-after" in self.place.noted["evaluated"]:
            self.place.noted["evaluated"].remove("test-after")  # the budget had ended the run, and now it goes on
        self.evaluation_seconds = dict(at.noted.get("seconds", {}))
        if at.noted.get("outlook"):
            self.outlook = Preflight.from_json(at.noted["outlook"])
        self.view.read(self.metrics.read())
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
            notes.add(notes=f"Attempt {self.attempt} ran with other code, {now['digest']['sha256'][:16]}.")

    def finish(self, ended: str) -> dict[str, Any]:
        """Test, export, receipt."""
        if self.place.done:
            self.test("after", unseen=self.recipe.evaluate.unseen)
        self.save(milestone=True)
        self.screen.tell("Writing the model.")
        sitting = self.status.ended("completed", "the budget was used" if ended == "budget" else "", self.sat())
        self.status = replace(sitting, finished=ended == "completed")
        self.note_attempts(finished=True)
        published = self.publish()
        self.end("completed", "the budget was used" if ended == "budget" else "", finished=ended == "completed")
        self.report(force=True, ended=ended)
        return published

    def publish(self) -> dict[str, Any]:
        """Files, a test of the model as it is served, the receipt, the store."""
        from clearseek.training.publish import export_run, seal

        shop = self.bench.workshop
        with self.span("publish", "publish"), self.guard.interruptible():
            done = export_run(self.folder, shop, base=self.bench.base.path if self.bench.base else None)
        if done.gguf is not None and self.recipe.evaluate.served and self.recipe.evaluate.test and self.place.done:
            self.test_served(done.gguf)
        with self.guard.interruptible():
            sealed = seal(self.folder, done, register=self.recipe.publish.register, tell=self.screen.tell)
        return sealed.as_json()

    def test_served(self, gguf: Path) -> None:
        """The same problems as the last test, put to llama.cpp; time for them was kept."""
        if not fits(self.limits, self.spent(), self.evaluation_guess("test", self.recipe.evaluate.unseen), 0.0):
            self.screen.tell("No time is left to test the model as it is served.")
            return
        began = time.perf_counter()
        with self.span("eval", "evaluation", evaluation="test-served"), self.guard.interruptible():
            result = ask_served(self.recipe, self.bench, gguf, Books(self.sink, self.rates))
        self.wrote("test-served", result, time.perf_counter() - began)

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
        self.stage, self.pace = stage, Pace()
        self.view.open_stage(plan.name, plan.kind, stage.steps)
        self.screen.tell(f"Stage {plan.name} ({plan.kind}), {stage.steps} steps.")

    def steps_of(self, plan: StagePlan) -> str:
        stage = self.stage
        assert stage is not None
        while self.place.step < stage.steps:
            self.boundary = snapshot(stage)
            if self.place.step and learns(plan) and self.due(self.recipe.evaluate.every):
                self.dev()
            if self.place.done != self.saved and self.due(self.recipe.checkpoints.every):
                self.save()
            if not self.room_for(self.pace.next(self.guess(plan))):
                if self.place.done == 0:
                    raise UserError(
                        f"{self.limits.why.capitalize()} is too small for one step: a step takes about "
                        f"{self.guess(plan):.0f} s, and {self.kept():.0f} s are kept for the end of the run."
                    )
                self.screen.tell(f"{self.limits.why.capitalize()} is used up: the run ends here, in order.")
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
            raise UserError(self.not_a_number(plan, number, str(error))) from None
        seconds = time.perf_counter() - began
        wrong = [name for name in ("loss", "grad_norm") if not math.isfinite(report.numbers.get(name, 0.0))]
        if wrong:
            raise UserError(self.not_a_number(plan, number, f"`{wrong[0]}` is not a number."))
        self.pace.add(seconds)
        self.place = replace(self.place, done=self.place.done + 1, step=number + 1)
        self.write_down(plan, number, report, seconds)

    def write_down(self, plan: StagePlan, number: int, report: StepReport, seconds: float) -> None:
        numbers = {name: float(value) for name, value in report.numbers.items()}
        time_of = {name: numbers.pop(name) for name in list(numbers) if "second" in name and "verifier" not in name}
        time_of |= self.speeds
        self.speeds = {}
        row = {
            "kind": "step", "done": self.place.done, "stage": plan.name, "step": number, "numbers": numbers,
            "warnings": list(report.warnings), "time": {**time_of, "seconds": seconds, "at": runfolder.now()},
        }  # fmt: skip
        self.metrics.append([row])
        self.samples.append([{"done": self.place.done, **sample} for sample in report.samples])
        self.view.add(row)
        for warning in report.warnings:
            self.screen.tell(warning)
        self.show()

    def not_a_number(self, plan: StagePlan, number: int, what: str) -> str:
        good = checkpoint.latest(self.checkpoints)
        return (
            f"Step {number + 1} of the stage {plan.name} went wrong: {what.rstrip('.')}. The run stopped at its last "
            f"good checkpoint, {good.name if good else 'none'}; a lower learning rate in a new run may help, and "
            "--resume tries again from there."
        )

    # --- evaluations

    def due(self, every: int) -> bool:
        return every > 0 and self.place.step % every == 0

    def dev(self) -> None:
        plan = self.recipe.evaluate
        if plan.dev:
            self.evaluate(f"dev-{self.place.done:06d}", "dev", plan.dev, unseen=False)

    def test(self, name: str, *, unseen: bool = False) -> None:
        if self.recipe.evaluate.test:
            self.evaluate(f"test-{name}", "test", self.recipe.evaluate.test, unseen=unseen)

    def evaluate(self, name: str, split: str, n: int, *, unseen: bool) -> None:
        """Once, unless the rest of the budget is needed for the end of the run."""
        last = name == "test-after"
        guess = self.evaluation_guess(split, unseen)
        if name in self.place.noted["evaluated"]:
            return
        if not last and not self.room_for(guess):
            self.screen.tell(f"No time is left for the evaluation {name}.")
            return
        labels = {"run": self.recipe.name, "stage": "evaluation", "attempt": self.attempt, "evaluation": name}
        began = time.perf_counter()
        with self.guard.interruptible():
            result = ask_learner(
                self.recipe, self.bench, split, n, unseen=unseen, progress=self.screen.evaluating(name), labels=labels
            )
        seconds = time.perf_counter() - began
        self.evaluation_seconds[f"{split}{'+' if unseen else ''}"] = seconds
        self.place.noted["evaluated"].append(name)
        self.wrote(name, result, seconds)

    def wrote(self, name: str, result: Evaluation, seconds: float) -> None:
        """An evaluation into metrics.jsonl, on the screen, and of test into evaluations/."""
        row = row_of(name, self.place.done, result, seconds)
        self.metrics.append([row])
        if row["split"] == "test":
            keep(self.folder, name, result)
        self.view.add(row)
        self.show()
        mean = result.mean
        self.screen.tell(
            f"{name}: {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}), {result.conditions.n} problems a task."
        )
        self.report(force=True)

    def evaluation_guess(self, split: str, unseen: bool) -> float:
        known = self.evaluation_seconds
        key = f"{split}{'+' if unseen else ''}"
        if key in known:
            return known[key]
        return self.outlook.evaluation_seconds(split, unseen) if self.outlook is not None else 0.0

    # --- budget

    def sat(self) -> float:
        return time.perf_counter() - self.started

    def spent(self) -> float:
        return self.earlier + self.sat()

    def kept(self) -> float:
        """Seconds that the end of the run takes."""
        last = self.evaluation_guess("test", self.recipe.evaluate.unseen) if self.recipe.evaluate.test else 0.0
        last *= 2.0 if self.recipe.evaluate.served else 1.0
        return reserve(last, self.outlook.export_seconds if self.outlook is not None else 0.0)

    def room_for(self, seconds: float) -> bool:
        return fits(self.limits, self.spent(), seconds, self.kept())

    def guess(self, plan: StagePlan) -> float:
        """Seconds of the first step of a stage, by the probe."""
        return self.outlook.step_seconds(plan.name) if self.outlook is not None else 0.0

    def planned(self) -> int:
        return max(self.view.planned(), self.place.done)

    # --- writing

    def save(self, *, milestone: bool = False) -> None:
        """A checkpoint of the state at the last boundary between steps."""
        sizes = runfolder.sizes_of(self.folder)
        book = check(self.book.path) if milestone and self.book.path.exists() else None
        ledger = {"entries": book.entries, "head": book.head} if book else {"bytes": _bytes(self.book.path)}
        noted = {
            **self.place.noted, "seconds": dict(self.evaluation_seconds), "outlook": self._outlook_json(),
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
        self.status = self.status.ended("failed", runfolder.Sitting("", "").why, self.sat())
        runfolder.write_status(self.folder, self.status)

    @cached_property
    def arithmetic(self) -> dict[str, Any]:
        return arithmetic(self.bench.workshop.learner)

    def _outlook_json(self) -> Any:
        return None if self.outlook is None else self.outlook.as_json()

    def name_of_stage(self) -> str:
        stages = self.recipe.stages
        return stages[min(self.place.stage, len(stages) - 1)].name

    def span(self, kind: str, stage: str, **more: str) -> Any:
        return self.meter.span(kind, run=self.recipe.name, stage=stage, attempt=self.attempt, **more)

    def show(self) -> None:
        self.view.at(self.place.done, self.spent(), self.pace, self.rates, self.outlook)
        self.screen.show(self.view)
        self.report()

    def report(self, *, force: bool = False, ended: str = "") -> None:
        """Write report.html again, when it is time."""
        if not force and time.perf_counter() - self.reported < REPORT_SECONDS:
            return
        from clearseek.training.report import report_page

        self.view.at(self.place.done, self.spent(), self.pace, self.rates, self.outlook)
        write_aside(self.folder / runfolder.REPORT, report_page(self.view, ended=ended).encode())
        self.reported = time.perf_counter()

    def interrupted(self) -> UserError:
        """Save where the run is, and say how to go on."""
        safe = self.saved >= 0 or not self.fresh
        try:
            if self.opened and self.saved != self.place.done:
                self.save()
        finally:
            self.end("stopped", f"{self.guard.stopping} after step {self.place.done}")
        done = self.place.done if self.opened else (checkpoint.numbers(self.checkpoints) or [0])[-1]
        where = f"Everything up to step {done} is saved" if safe else "Nothing had been trained yet"
        again = f"go on with `clearseek train {self.folder} --resume`" if safe else "begin again"
        if not safe:
            (self.folder / runfolder.STATUS).unlink(missing_ok=True)
        return UserError(f"Stopped by {self.guard.stopping}. {where}; {again}.")

    def end(self, state: str, why: str, *, finished: bool = False) -> None:
        self.status = replace(self.status.ended(state, why, self.sat()), finished=finished)
        runfolder.write_status(self.folder, self.status)
        self.note_attempts(finished=finished)

    def note_attempts(self, *, finished: bool) -> None:
        told = [{"attempt": one.attempt, "state": one.state, "why": one.why} for one in self.status.sittings]
        more = {"finished_at": runfolder.now()} if finished else {}
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
