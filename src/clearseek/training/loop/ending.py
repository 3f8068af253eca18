"""The end of a run: what it has to say of itself, its model in every form, a test as served, the receipt, the store."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from clearseek.evaluation.engine_backend import LedgerSink
from clearseek.training.loop.run_evaluations import evaluate_served
from clearseek.training.loop.session import Session
from clearseek.training.publish.publish import export_run, remove_products, seal
from clearseek.training.report.conclusions import conclusions_of
from clearseek.training.run.run_folder import Notes


def finish(session: Session, ended: str) -> dict[str, Any]:
    """Test, conclusions, export, receipt; what was published."""
    if session.place.done:
        session.test("after", unseen=session.recipe.evaluate.unseen)
    session.save(milestone=True)
    session.view.conclusions = conclusions_of(
        session.folder, session.view.stages, [task.name for task in session.context.stage_context.tasks]
    )
    for sentence in session.view.conclusions.sentences:
        session.screen.tell(sentence)
        Notes.open(session.folder).remark(f"After {session.place.done} steps: {sentence}")
    session.screen.tell("Writing the model.")
    why = "the budget was used" if ended == "budget" else ""
    session.status = replace(
        session.status.ended("completed", why, session.budget.session_seconds()), finished=ended == "completed"
    )
    session.note_attempts(finished=True)
    published = publish(session)
    session.end("completed", why, finished=ended == "completed")
    session.report(force=True, ended=ended)
    return published


def publish(session: Session) -> dict[str, Any]:
    """Files, a test of the model as it is served, the receipt, the store."""
    stage_context = session.context.stage_context
    try:
        with session.span("publish", "publish"), session.interrupts.allowed():
            done = export_run(
                session.folder, stage_context, base=session.context.base.path if session.context.base else None
            )
    except BaseException:
        remove_products(session.folder)  # whatever cut it: nothing half-written stays
        raise
    if done.gguf is not None and session.recipe.evaluate.served and session.recipe.evaluate.test and session.place.done:
        test_as_served(session, done.gguf)
    wanted, worse = session.recipe.publish.register, session.view.conclusions.worse
    with session.interrupts.allowed():
        sealed = seal(session.folder, done, register=wanted and not worse, tell=session.screen.tell)
    if wanted and worse and done.gguf is not None:
        session.screen.tell(
            "The model is not put into the store, because it is worse than what it began from; "
            f"`clearseek models import {done.gguf} --name {done.name}` does so all the same."
        )
    return sealed.as_json()


def test_as_served(session: Session, gguf: Path) -> None:
    """The same problems as the last test, put to llama.cpp; time for them was kept."""
    if not session.budget.room_for(session.budget.evaluation("test", session.recipe.evaluate.unseen), kept=False):
        session.screen.tell("No time is left to test the model as it is served.")
        return
    began = time.perf_counter()
    with session.span("eval", "evaluation", evaluation="test-served"), session.interrupts.allowed():
        result = evaluate_served(session.recipe, session.context, gguf, LedgerSink(session.sink, session.rates))
    session.write_evaluation("test-served", result, time.perf_counter() - began)
