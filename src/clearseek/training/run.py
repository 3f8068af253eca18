"""The front door of training: a recipe and a folder in, an outcome or one plain sentence out."""

from __future__ import annotations

import os
import time
from pathlib import Path

from clearseek.errors import UserError
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.training import runfolder
from clearseek.training.budget import Limits, limits_of
from clearseek.training.guard import Guard
from clearseek.training.live import Screen
from clearseek.training.preflight import Preflight, preflight
from clearseek.training.recipe import Recipe
from clearseek.training.runfolder import Outcome
from clearseek.training.sitting import Run
from clearseek.training.stage_checks import check_stages
from clearseek.training.workbench import open_bench

__all__ = ["Outcome", "train"]


def train(
    recipe: Recipe, folder: Path, screen: Screen, *, resume: bool = False, rates: Rates | None = None,
    dry_run: bool = False,
) -> Outcome | Preflight:  # fmt: skip
    """Run a recipe in a folder; with `resume`, go on from its last checkpoint. With `dry_run` only look ahead.

    Raises UserError, in one sentence, wherever it stops: what was wrong, what is safe, and how to go on.
    """
    started = time.perf_counter()
    rates = rates or Rates()
    limits = limits_of(recipe.budget.minutes, recipe.budget.usd, rates, os.cpu_count() or 1)
    if dry_run:
        return look_ahead(recipe, folder, screen, limits, rates)
    status = runfolder.read_status(folder)
    if status is not None and not resume:
        raise UserError(f"{folder} holds a run already; go on with --resume, or choose another folder with --out.")
    if status is not None and status.fingerprint != recipe.fingerprint:
        raise UserError(
            f"The run in {folder} was begun with another recipe; go on with its own "
            f"(`clearseek train {folder} --resume`), or choose another --out."
        )
    if status is not None and status.finished:
        raise UserError(f"The run in {folder} is finished; there is nothing left to do.")
    if status is None and resume:
        raise UserError(f"There is no run in {folder} to resume; leave --resume out to begin one.")
    with runfolder.locked(folder), Guard() as guard:
        run = Run(recipe, folder, screen, guard, limits, rates, status, started)
        return run.whole()


def look_ahead(recipe: Recipe, folder: Path, screen: Screen, limits: Limits, rates: Rates) -> Preflight:
    """The pre-flight alone; nothing is written anywhere."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        bench = open_bench(recipe, Path(place), Meter(lambda draft: None, machine=rates), screen.tell)
        check_stages(recipe, bench.workshop.tasks)
        return preflight(recipe, bench, limits, rates, folder)
