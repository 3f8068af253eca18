"""`clearseek train`: run a recipe, inside a budget, and end with a model that can be chatted with and proved."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

NEEDS = "Training needs torch: `pip install torch` (the CPU build will do), then `pip install 'clearseek[train]'`"


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML), or the folder of a run to go on with.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The run's folder; runs/NAME in ClearSeek's home by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", help="What it may cost, at the price declared for this machine.")
    ] = None,
    budget_minutes: Annotated[
        float | None, typer.Option("--budget-minutes", help="How long it may take, all sessions together.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", min=0.001, max=1000.0, help="Multiply the steps of every stage.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only probe and forecast; train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document at the end, and nothing else.")] = False,
) -> None:
    """Run a recipe. Ctrl-C stops it with everything saved; --resume goes on."""
    need_torch()
    from clearseek.ledger.prices import rates_from
    from clearseek.settings import home, load_settings
    from clearseek.training.recipe.parsing import read_recipe, with_budget
    from clearseek.training.report.console import open_screen
    from clearseek.training.run.forecast import RunForecast
    from clearseek.training.train import train as run

    plan = with_budget(read_recipe(recipe, scale=scale), budget_minutes, budget_usd)
    folder = out or (recipe if recipe.is_dir() else home() / "runs" / plan.name)
    screen = open_screen(json=as_json)
    try:
        outcome = run(plan, folder, screen, resume=resume, rates=rates_from(load_settings()), dry_run=dry_run)
    finally:
        screen.close()
    if isinstance(outcome, RunForecast):
        if as_json:
            typer.echo(json.dumps(outcome.as_json()))
        else:
            typer.echo("\n".join(outcome.words()))
        outcome.refuse()
    elif as_json:
        typer.echo(json.dumps(outcome.as_json(), ensure_ascii=False))
    else:
        typer.echo(_words(outcome))


def need_torch() -> None:
    """Raises UserError, saying what to install, where torch or what goes with it is missing."""
    # Threads that spin while they wait cost most of the speed beside any other program; read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        for name in ("torch", "safetensors", "tokenizers"):
            importlib.import_module(name)
    except ImportError as error:
        from clearseek.errors import UserError

        raise UserError(f"{NEEDS} ({error}).") from None


def _words(outcome: Any) -> str:
    ended = "It ended when its budget was used" if outcome.ended == "budget" else "It is finished"
    lines = [f"{ended}: {outcome.done} of {outcome.steps} steps, {outcome.seconds / 60:.1f} minutes."]
    for name, mean in outcome.evaluations.items():
        lines.append(f"  {name}: {mean['value']:.3f} ({mean['low']:.3f} to {mean['high']:.3f})")
    lines += [f"  {sentence}" for sentence in outcome.conclusions]
    lines.append(f"The report is {outcome.folder / 'report.html'}.")
    if (outcome.folder / "receipt.json").exists():
        lines.append(f"`clearseek receipt verify {outcome.folder}` checks the receipt.")
    return "\n".join(lines)
