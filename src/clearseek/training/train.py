"""The front door of training: a recipe and a folder in, an outcome or one plain sentence out."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from clearseek.errors import UserError
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.training.loop.length_checks import check_files, check_lengths
from clearseek.training.loop.preflight import preflight
from clearseek.training.loop.recipe_changes import already_finished, changed_recipe, describe_changes, write_down
from clearseek.training.loop.session import Session
from clearseek.training.loop.training_loop import run_session
from clearseek.training.recipe.parsing import read_recipe
from clearseek.training.recipe.schema import Recipe
from clearseek.training.report.console import Screen
from clearseek.training.run import run_folder
from clearseek.training.run.budget import Limits, limits_of
from clearseek.training.run.context import HEAD, open_context
from clearseek.training.run.forecast import RunForecast
from clearseek.training.run.interrupts import Interrupts
from clearseek.training.run.run_folder import Notes, Outcome, Status
from clearseek.training.stages.checks import check_stages

__all__ = ["Outcome", "train"]


def train(
    recipe: Recipe, folder: Path, screen: Screen, *, resume: bool = False, rates: Rates | None = None,
    dry_run: bool = False,
) -> Outcome | RunForecast:  # fmt: skip
    """Run a recipe in a folder; with `resume`, go on from its last checkpoint. With `dry_run` only look ahead.

    Raises UserError, in one sentence, wherever it stops: what was wrong, what is safe, and how to go on.
    """
    started = time.perf_counter()
    rates = rates or Rates()
    limits = limits_of(recipe.budget.minutes, recipe.budget.usd, rates, os.cpu_count() or 1)
    if dry_run:
        return dry_run_of(recipe, folder, screen, limits, rates)
    if resume:
        existing_run(folder)
    with run_folder.locked(folder), Interrupts() as interrupts:
        status = existing_run(folder) if resume else run_folder.read_status(folder)  # only now nobody else changes it
        if status is not None:
            recipe, status = recipe_to_resume(recipe, folder, status, screen, resume=resume)
        return run_session(Session(recipe, folder, screen, interrupts, limits, rates, status, started))


def existing_run(folder: Path) -> Status:
    """The status of the run in a folder. Raises UserError where there is none."""
    status = run_folder.read_status(folder)
    if status is None:
        raise UserError(f"There is no run in {folder} to resume; leave --resume out to begin one.")
    return status


def recipe_to_resume(
    recipe: Recipe, folder: Path, status: Status, screen: Screen, *, resume: bool
) -> tuple[Recipe, Status]:
    """The recipe to go on by: the run's own, with what may be changed as it is given now. Raises UserError."""
    if not resume:
        raise UserError(f"{folder} holds a run already; go on with --resume, or choose another folder with --out.")
    if not (folder / run_folder.RECIPE).exists():  # killed before it had one, so nothing was trained
        if recipe.fingerprint != status.fingerprint:
            raise UserError(f"The run in {folder} was begun with another recipe; choose another --out.")
        return recipe, status
    own = read_recipe(folder)
    if own.fingerprint != status.fingerprint:
        raise UserError(
            f"{folder / run_folder.RECIPE}, or a file that it names, is not what the run was begun with: put it back, "
            "or begin another run with --out."
        )
    if status.finished:
        raise already_finished(own, recipe, folder)
    recipe, changes = changed_recipe(own, recipe, folder)
    write_down(recipe, folder, HEAD)
    if changes:
        screen.tell(f"The recipe has changed where that is exact: {describe_changes(changes)}.")
        notes = Notes.open(folder)
        notes.remark(f"Changed before attempt {len(status.attempts) + 1}: {describe_changes(changes)}.")
        notes.add(stages={stage.name: {"kind": stage.kind} for stage in recipe.stages})
    return recipe, replace(status, fingerprint=recipe.fingerprint)


def dry_run_of(recipe: Recipe, folder: Path, screen: Screen, limits: Limits, rates: Rates) -> RunForecast:
    """The pre-flight alone; nothing is written anywhere."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        context = open_context(recipe, Path(place), Meter(lambda draft: None, machine=rates), screen.tell)
        check_stages(recipe, context.stage_context.tasks)
        for sentence in (*check_files(recipe, context), *check_lengths(recipe, context)):
            screen.tell(sentence)
        return preflight(recipe, context, limits, rates, folder)
