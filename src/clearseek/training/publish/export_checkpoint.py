"""Any kept checkpoint of a run as a model: what it would have become had the run ended there.

It is rounded and laid over the base as a published model is, so the end of one stage can be compared with that of the
next as both would be served.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from clearseek.errors import UserError
from clearseek.hub.files import disk_errors_told, sync_folder
from clearseek.ledger.meter import Meter
from clearseek.training.publish.publish import export_run
from clearseek.training.recipe.parsing import read_recipe
from clearseek.training.run import checkpoint
from clearseek.training.run.context import open_context

POSITION = "position.json"


def is_checkpoint(folder: Path) -> bool:
    """Whether this is a checkpoint in a run's folder: RUN/checkpoints/step-N."""
    return (folder / POSITION).is_file() and (folder.resolve().parents[1] / "recipe.toml").is_file()


def export_checkpoint(folder: Path, target: Path, *, hf: bool, tell: Callable[[str], None]) -> Path:
    """Write a checkpoint as a GGUF (`hf` False), or as a Hugging Face folder; returns where it is. A folder that exists
    takes the GGUF in. Raises UserError for a checkpoint that is damaged, or a target that is taken."""
    run = folder.resolve().parents[1]
    if target.is_dir() and not hf:
        target = target / f"{run.name}-{folder.name}.gguf"
    if target.exists():
        raise UserError(f"{target} exists already; choose another name.")
    load = checkpoint.load(folder)
    with (
        disk_errors_told(f"Exporting {folder.name}", target.parent),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as place,
    ):
        scratch = Path(place)
        shutil.copy2(run / "recipe.toml", scratch)
        context = open_context(read_recipe(run / "recipe.toml"), scratch, Meter(lambda draft: None), tell)
        context.stage_context.learner.restore(load.learner)
        done = export_run(scratch, context.stage_context, base=context.base.path if context.base else None)
        made = scratch / "model" if hf else done.gguf
        if made is None:
            raise UserError("Only models of the Llama family are written as GGUF; use --as hf.")
        made.replace(target)
        sync_folder(target.parent)
    return target
