"""How a sitting ends that did not come to its end: what is saved, what is noted, and what is said."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from clearseek.errors import UserError
from clearseek.training.recipe.recipe import StagePlan
from clearseek.training.run import checkpoint, run_folder
from clearseek.training.run.disk import disk_said
from clearseek.training.stages.base import StepReport
from clearseek.training.stages.health import blown_up

if TYPE_CHECKING:
    from clearseek.training.loop.training_loop import Run


def interrupted(run: Run) -> UserError:
    """Save where the run is, and say how to go on."""
    safe = run.saved >= 0 or not run.fresh
    try:
        if run.opened and run.saved != run.place.done:
            run.save()
    except (UserError, OSError) as error:
        failed(run, error)
        return UserError(f"Stopped by {run.guard.stopping}. {stranded(run, disk_said(error) or str(error))}")
    with contextlib.suppress(OSError):
        run.end("stopped", f"{run.guard.stopping} after step {run.place.done}")
    done = run.place.done if run.opened else (checkpoint.numbers(run.checkpoints) or [0])[-1]
    where = f"Everything up to step {done} is saved" if safe else "Nothing had been trained yet"
    again = f"go on with `clearseek train {run.folder} --resume`" if safe else "begin again"
    if not safe:
        (run.folder / run_folder.STATUS).unlink(missing_ok=True)
    return UserError(f"Stopped by {run.guard.stopping}. {where}; {again}.")


def ended_by(run: Run, error: BaseException) -> BaseException:
    """Note it, and give what is to be raised: a disk that is full is told in words, whoever met it."""
    disk = disk_said(error)
    if disk is not None and not (isinstance(error, UserError) and "Make room" in str(error)):
        error = UserError(stranded(run, disk))
    failed(run, error)
    return error


def failed(run: Run, error: BaseException) -> None:
    """Note why, as far as that can still be written."""
    told = isinstance(error, UserError)
    with contextlib.suppress(OSError, UserError):
        run.end("failed", str(error) if told else f"{type(error).__name__}: {error}"[:400])
    with contextlib.suppress(OSError, UserError):
        if told and run.fresh and run.saved < 0:
            (run.folder / run_folder.STATUS).unlink(missing_ok=True)  # nothing was begun that could be resumed
        elif told:
            run.report(force=True, ended="failed")


def stranded(run: Run, why: str) -> str:
    """What is said where the disk ends a run."""
    kept = checkpoint.numbers(run.checkpoints)
    what = f"Writing in {run.folder} was not possible: {why.rstrip('.')}."
    if not kept:
        return f"{what} Nothing had been trained yet; make room and begin again."
    return (
        f"{what} Everything up to step {kept[-1]} is saved; make room and go on with `clearseek train {run.folder} "
        "--resume`."
    )


def check_step(run: Run, plan: StagePlan, number: int, report: StepReport) -> None:
    """Raises UserError for a step whose numbers show that the weights are lost."""
    for name in ("loss", "grad_norm"):
        if not math.isfinite(report.numbers.get(name, 0.0)):
            raise UserError(not_a_number(run, plan, number, f"`{name}` is not a number."))
    if plan.kind != "sft" or "loss" not in report.numbers:
        return
    rows = next(stage.rows for stage in run.view.stages if stage.name == plan.name)
    losses = [row["numbers"]["loss"] for row in rows if "loss" in row["numbers"]]
    said = blown_up([*losses, report.numbers["loss"]], run.bench.workshop.learner.model.config.vocab_size)
    if said is not None:
        raise UserError(
            f"Step {number + 1} of the stage {plan.name} went wrong: {said}. Begin again with a lower `lr`; --resume "
            "would come to the same."
        )


def not_a_number(run: Run, plan: StagePlan, number: int, what: str) -> str:
    good = checkpoint.latest(run.checkpoints)
    return (
        f"Step {number + 1} of the stage {plan.name} went wrong: {what.rstrip('.')}. The run stopped at its last "
        f"good checkpoint, {good.name if good else 'none'}; a lower learning rate in a new run may help, and "
        "--resume tries again from there."
    )
