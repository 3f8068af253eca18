"""The training loop: stages one after the other, metered, evaluated, saved, inside a budget, ended in order.

At the top of every step stands the same question: what is due here? An evaluation on dev, a checkpoint, the end of the
budget. So a run that goes on from a checkpoint finds due what the run that was cut short had still to do.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, cast

from clearseek.errors import UserError
from clearseek.receipts import gather
from clearseek.training.loop.early_stopping import stop_reason
from clearseek.training.loop.ending import finish
from clearseek.training.loop.failures import check_step, failure_of, interrupted, not_a_number
from clearseek.training.loop.length_checks import check_lengths
from clearseek.training.loop.preflight import preflight
from clearseek.training.loop.session import Place, Session
from clearseek.training.recipe.schema import StagePlan
from clearseek.training.run import checkpoint, run_folder
from clearseek.training.run.budget import Pace
from clearseek.training.run.context import open_context, resolved, starting_state
from clearseek.training.run.forecast import RunForecast
from clearseek.training.run.interrupts import Interrupted, WatchedLearner
from clearseek.training.run.provenance import data_notes, stage_notes
from clearseek.training.run.run_folder import Notes, Outcome
from clearseek.training.stages.base import Stage, StageState
from clearseek.training.stages.checks import check_stages
from clearseek.training.stages.open_stage import open_stage
from clearseek.training.update.learner import Learner, NotFinite


def run_session(session: Session) -> Outcome:
    """From wherever the run is to its end. Raises UserError, in one sentence, wherever it stops."""
    try:
        run_folder.write_status(session.folder, session.status)
        with session.span("setup", "setup"), session.interrupts.allowed():
            session.context = open_context(session.recipe, session.folder, session.meter, session.screen.tell)
        checkpoint.recover(session.checkpoints)
        if session.fresh or not checkpoint.numbers(session.checkpoints):
            begin(session)  # a run that was killed before its first checkpoint has nothing to go on from
        else:
            resume(session)
        session.opened = True
        ended = train_stages(session)
        published = finish(session, ended)
    except Interrupted:
        raise interrupted(session) from None
    except BaseException as error:
        raised = failure_of(session, error)
        if raised is error:
            raise
        raise raised from None
    finally:
        session.book.close()
        session.screen.close()
    return Outcome(
        session.folder,
        ended,
        session.place.done,
        max(session.view.planned(), session.place.done),
        session.budget.spent(),
        session.view.tests,
        published,
        session.view.conclusions.sentences,
    )


# --- where it goes on from


def begin(session: Session) -> None:
    """A new run: notes, a look ahead, the checkpoint it starts from."""
    with session.span("setup", "setup"), session.interrupts.allowed():
        check_stages(session.recipe, session.context.stage_context.tasks)
        session.recipe = resolved(session.recipe, session.folder)
        session.write_remarks(check_lengths(session.recipe, session.context))
        Notes.open(session.folder).add(**_first_notes(session))
    with session.span("probe", "setup"), session.interrupts.allowed():
        forecast = preflight(session.recipe, session.context, session.budget.limits, session.rates, session.folder)
    session.budget.forecast = forecast
    session.screen.forecast(forecast)
    forecast.refuse()
    session.save(milestone=True)


def _first_notes(session: Session) -> dict[str, Any]:
    """What a receipt says of how the run began."""
    base, rates = session.context.base, session.rates
    return {
        "name": session.recipe.name,
        "started_at": session.status.attempts[0].began,
        "base": base.as_json() if base else None,
        "parents": base.start.parents() if base and base.start else [],
        "code": gather.code(),
        "machine": {**gather.machine(), "arithmetic": session.arithmetic},
        "environment": gather.environment(),
        "prices": {
            name: getattr(rates, name).as_json()
            for name in ("machine_usd_per_hour", "electricity_usd_per_kwh")
            if getattr(rates, name).known
        },
        "data": data_notes(session.recipe, session.context),
        "stages": stage_notes(session.recipe, session.context.stage_context.learner.model),
    }


def resume(session: Session) -> None:
    """Put everything back to where the last whole checkpoint was. Stages read the files that the run carries."""
    loaded, remarks = checkpoint.load_latest(session.checkpoints)
    for sentence in remarks:
        session.screen.tell(sentence)
    at = loaded.position
    session.context.stage_context.learner.restore(loaded.learner)
    run_folder.truncate_lines(session.folder, at.sizes)
    noted = {"early": {}, **at.noted, "evaluated": list(at.noted["evaluated"])}
    session.place = Place(at.done, at.stage, at.step, noted)
    for name, steps in noted["early"].items():
        session.view.end_early(name, steps)
    session.stage_state, session.saved = loaded.stage, at.done
    if at.stage < len(session.recipe.stages) and "test-after" in noted["evaluated"]:
        noted["evaluated"].remove("test-after")  # the budget had ended the run, and now it goes on
    session.budget.evaluations = dict(at.noted.get("seconds", {}))
    if at.noted.get("outlook"):
        session.budget.forecast = RunForecast.from_json(at.noted["outlook"])
    session.view.read(session.metrics.read())
    session.last_samples.extend(session.samples.read())
    _tell_changed_code(session)
    session.screen.tell(f"Going on from step {at.done}, attempt {session.attempt}.")


def _tell_changed_code(session: Session) -> None:
    notes = Notes.open(session.folder)
    was, now = notes.told.get("code", {}).get("digest"), gather.code()
    if was is not None and was != now["digest"]:
        session.screen.tell(
            "ClearSeek's code has changed since this run began: the rest may differ from an uninterrupted run, and "
            "the receipt names the code it began with."
        )
        notes.remark(f"Attempt {session.attempt} ran with other code, {now['digest']['sha256'][:16]}.")


# --- the loop


def train_stages(session: Session) -> str:
    """Every stage from where the run is: "completed", or "budget" where that ended them."""
    stages = session.recipe.stages
    while session.place.stage < len(stages):
        number, plan = session.place.stage, stages[session.place.stage]
        if session.place.step == 0:
            if number == 0:
                session.test("before", unseen=session.recipe.evaluate.unseen)
            elif learns(stages[number - 1]):
                session.test(f"{number}-{stages[number - 1].name}")
            session.save(milestone=True)  # so that what was evaluated is not evaluated again
        if train_stage(session, plan, start_stage(session, plan)) == "budget":
            return "budget"
        if learns(plan):
            session.dev()
        session.place = replace(session.place, stage=number + 1, step=0)
        session.stage_state = StageState()
        if session.place.stage < len(stages):
            session.save(milestone=True)
    return "completed"


def start_stage(session: Session, plan: StagePlan) -> Stage:
    """The stage, where it begins or as the checkpoint left it."""
    context = session.context.stage_context
    if session.place.step == 0:
        context.learner.restore(starting_state(plan, context))
    learner = cast(Learner, WatchedLearner(context.learner, session.interrupts))
    stage = open_stage(plan, replace(context, learner=learner))
    if session.place.step or session.stage_state.values or session.stage_state.tensors:
        stage.restore(session.stage_state)
    session.budget.pace = Pace()
    session.view.open_stage(plan.name, plan.kind, stage.steps)
    session.screen.tell(f"Stage {plan.name} ({plan.kind}), {stage.steps} steps.")
    return stage


def train_stage(session: Session, plan: StagePlan, stage: Stage) -> str:
    """Step after step: "done", or "budget" where the next one would not fit."""
    while session.place.step < stage.steps:
        session.snapshot(stage)
        evaluate_every, patience = session.recipe.evaluate.every, getattr(plan.settings, "patience", 0)
        if learns(plan) and (session.due(evaluate_every) if session.place.step else patience):
            session.dev()
        if (why := stop_reason(patience, session.dev_rows(), session.view.rows_of(plan.name))) is not None:
            end_early(session, plan, stage, why)
            break
        if session.place.done != session.saved and session.due(session.recipe.checkpoints.every):
            session.save()
        if not session.budget.room_for(session.budget.step(plan.name)):
            budget_ends(session, plan)
            return "budget"
        train_step(session, plan, stage)
    session.snapshot(stage)
    return "done"


def train_step(session: Session, plan: StagePlan, stage: Stage) -> None:
    """One step, booked and written down."""
    number = session.place.step
    began = time.perf_counter()
    try:
        with session.span(plan.kind, plan.name, step=str(session.place.done)), session.interrupts.allowed():
            report = stage.step(number)
    except NotFinite as error:
        raise UserError(not_a_number(session, plan, number, str(error))) from None
    seconds = time.perf_counter() - began
    check_step(session, plan, number, report)
    session.budget.pace.add(seconds)
    session.place = replace(session.place, done=session.place.done + 1, step=number + 1)
    session.write_step(plan, number, report, seconds)


def end_early(session: Session, plan: StagePlan, stage: Stage, why: str) -> None:
    """A stage with patience that gains nothing any more."""
    done = session.place.step
    session.screen.tell(
        f"Stage {plan.name} ends after {done} of {stage.steps} steps: {why}. What it leaves of the budget goes to what "
        "comes after it."
    )
    session.place.noted["early"][plan.name] = done
    session.view.end_early(plan.name, done)


def budget_ends(session: Session, plan: StagePlan) -> None:
    """Said where the next step would not fit. Raises UserError where not even the first one did."""
    budget = session.budget
    limit = budget.limits.why.capitalize()
    if session.place.done == 0:
        raise UserError(
            f"{limit} is too small for one step: a step takes about {budget.first_step(plan.name):.0f} s, and "
            f"{budget.kept():.0f} s are kept for the end of the run."
        )
    session.screen.tell(f"{limit} is used up: the run ends here, in order.")


def learns(plan: StagePlan) -> bool:
    """Whether a stage changes the weights: after one that only writes data there is nothing new to evaluate."""
    return plan.kind in ("sft", "grpo")
