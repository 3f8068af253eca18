"""The end of a run: what it has to say of itself, its model in every form, a test as served, the receipt, the store."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearseek.evaluation.engine_backend import Books
from clearseek.training.loop.run_evaluations import ask_served
from clearseek.training.report.conclusions import conclude
from clearseek.training.run.run_folder import Notes

if TYPE_CHECKING:
    from clearseek.training.loop.training_loop import Run


def finish(run: Run, ended: str) -> dict[str, Any]:
    """Test, conclusions, export, receipt; what was published."""
    if run.place.done:
        run.test("after", unseen=run.recipe.evaluate.unseen)
    run.save(milestone=True)
    run.view.conclusions = conclude(run.folder, run.view.stages, [task.name for task in run.bench.workshop.tasks])
    for sentence in run.view.conclusions.sentences:
        run.screen.tell(sentence)
        Notes.open(run.folder).remark(f"After {run.place.done} steps: {sentence}")
    run.screen.tell("Writing the model.")
    why = "the budget was used" if ended == "budget" else ""
    run.status = replace(run.status.ended("completed", why, run.purse.sat()), finished=ended == "completed")
    run.note_attempts(finished=True)
    published = publish(run)
    run.end("completed", why, finished=ended == "completed")
    run.report(force=True, ended=ended)
    return published


def publish(run: Run) -> dict[str, Any]:
    """Files, a test of the model as it is served, the receipt, the store."""
    from clearseek.training.publish.publish import export_run, remove_products, seal

    shop = run.bench.workshop
    try:
        with run.span("publish", "publish"), run.guard.interruptible():
            done = export_run(run.folder, shop, base=run.bench.base.path if run.bench.base else None)
    except BaseException:
        remove_products(run.folder)  # whatever cut it: nothing half-written stays
        raise
    if done.gguf is not None and run.recipe.evaluate.served and run.recipe.evaluate.test and run.place.done:
        ask_as_served(run, done.gguf)
    wanted, worse = run.recipe.publish.register, run.view.conclusions.worse
    with run.guard.interruptible():
        sealed = seal(run.folder, done, register=wanted and not worse, tell=run.screen.tell)
    if wanted and worse and done.gguf is not None:
        run.screen.tell(
            "The model is not put into the store, because it is worse than what it began from; "
            f"`clearseek models import {done.gguf} --name {done.name}` does so all the same."
        )
    return sealed.as_json()


def ask_as_served(run: Run, gguf: Path) -> None:
    """The same problems as the last test, put to llama.cpp; time for them was kept."""
    if not run.purse.room_for(run.purse.evaluation("test", run.recipe.evaluate.unseen), kept=False):
        run.screen.tell("No time is left to test the model as it is served.")
        return
    began = time.perf_counter()
    with run.span("eval", "evaluation", evaluation="test-served"), run.guard.interruptible():
        result = ask_served(run.recipe, run.bench, gguf, Books(run.sink, run.rates))
    run.wrote("test-served", result, time.perf_counter() - began)
