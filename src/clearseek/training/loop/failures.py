"""How an attempt ends that did not come to its end: what is saved, what is noted, and what is said."""

from __future__ import annotations

import contextlib
import math

from clearseek.errors import UserError
from clearseek.training.loop.session import Session
from clearseek.training.recipe.schema import StagePlan
from clearseek.training.run import checkpoint, run_folder
from clearseek.training.run.disk import disk_error
from clearseek.training.stages.base import StepReport
from clearseek.training.stages.health import diverged


def interrupted(session: Session) -> UserError:
    """Save where the run is, and say how to go on."""
    safe = session.saved >= 0 or not session.fresh
    try:
        if session.opened and session.saved != session.place.done:
            session.save()
    except (UserError, OSError) as error:
        note_failure(session, error)
        return UserError(
            f"Stopped by {session.interrupts.stopping}. {disk_failure(session, disk_error(error) or str(error))}"
        )
    with contextlib.suppress(OSError):
        session.end("stopped", f"{session.interrupts.stopping} after step {session.place.done}")
    done = session.place.done if session.opened else (checkpoint.numbers(session.checkpoints) or [0])[-1]
    where = f"Everything up to step {done} is saved" if safe else "Nothing had been trained yet"
    again = f"go on with `clearseek train {session.folder} --resume`" if safe else "begin again"
    if not safe:
        (session.folder / run_folder.STATUS).unlink(missing_ok=True)
    return UserError(f"Stopped by {session.interrupts.stopping}. {where}; {again}.")


def failure_of(session: Session, error: BaseException) -> BaseException:
    """Note it, and give what is to be raised: a disk that is full is told in words, whoever met it."""
    disk = disk_error(error)
    if disk is not None and not (isinstance(error, UserError) and "Make room" in str(error)):
        error = UserError(disk_failure(session, disk))
    note_failure(session, error)
    return error


def note_failure(session: Session, error: BaseException) -> None:
    """Note why, as far as that can still be written."""
    data = isinstance(error, UserError)
    with contextlib.suppress(OSError, UserError):
        session.end("failed", str(error) if data else f"{type(error).__name__}: {error}"[:400])
    with contextlib.suppress(OSError, UserError):
        if data and session.fresh and session.saved < 0:
            (session.folder / run_folder.STATUS).unlink(missing_ok=True)  # nothing was begun that could be resumed
        elif data:
            session.report(force=True, ended="failed")


def disk_failure(session: Session, why: str) -> str:
    """What is said where the disk ends a run."""
    kept = checkpoint.numbers(session.checkpoints)
    what = f"Writing in {session.folder} was not possible: {why.rstrip('.')}."
    if not kept:
        return f"{what} Nothing had been trained yet; make room and begin again."
    return (
        f"{what} Everything up to step {kept[-1]} is saved; make room and go on with `clearseek train {session.folder} "
        "--resume`."
    )


def check_step(session: Session, plan: StagePlan, number: int, report: StepReport) -> None:
    """Raises UserError for a step whose numbers show that the weights are lost."""
    for name in ("loss", "grad_norm"):
        if not math.isfinite(report.numbers.get(name, 0.0)):
            raise UserError(not_a_number(session, plan, number, f"`{name}` is not a number."))
    if plan.kind != "sft" or "loss" not in report.numbers:
        return
    rows = session.view.rows_of(plan.name)
    losses = [row["numbers"]["loss"] for row in rows if "loss" in row["numbers"]]
    reply = diverged([*losses, report.numbers["loss"]], session.context.stage_context.learner.model.config.vocab_size)
    if reply is not None:
        raise UserError(
            f"Step {number + 1} of the stage {plan.name} went wrong: {reply}. Begin again with a lower `lr`; --resume "
            "would come to the same."
        )


def not_a_number(session: Session, plan: StagePlan, number: int, what: str) -> str:
    good = checkpoint.latest(session.checkpoints)
    return (
        f"Step {number + 1} of the stage {plan.name} went wrong: {what.rstrip('.')}. The run stopped at its last "
        f"good checkpoint, {good.name if good else 'none'}; a lower learning rate in a new run may help, and "
        "--resume tries again from there."
    )
