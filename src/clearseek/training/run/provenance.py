"""What a run was made of, in the terms of a receipt: the cards of its data, and its own files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from clearseek.flops import token_bounds
from clearseek.hub.files import write_aside
from clearseek.ledger.quantity import Quantity, modelled
from clearseek.modeling.causal_lm import CausalLM
from clearseek.tasks.data_cards import data_report
from clearseek.training.data.user_files import files_of, shipped_files_of
from clearseek.training.recipe.schema import Recipe
from clearseek.training.run.context import EVAL_SEED, RunContext
from clearseek.training.update.flops import model_sizes


def data_notes(recipe: Recipe, context: RunContext) -> list[dict[str, Any]]:
    """What was read, in the terms of a receipt; the cards themselves are written to the run folder.

    A card says where the problems come from, by which digest those of dev and test are known, and how near the test
    problems lie to a thousand that may be trained on. Beside it stands the same as Croissant metadata.
    """
    folder, plan = context.stage_context.folder, recipe.evaluate
    cards = folder / "data" / "cards"
    cards.mkdir(parents=True, exist_ok=True)
    results = []
    trained = [(task, True) for task in context.stage_context.tasks]
    for task, learned in (*trained, *((task, False) for task in context.unseen)):
        report = data_report(task, plan.dev, plan.test, EVAL_SEED, trained=learned)
        metadata = report.pop("croissant")
        name = task.name.replace("/", "_")
        files = [
            _written(cards / f"{name}.json", report, folder, "application/json"),
            _written(cards / f"{name}.croissant.json", metadata, folder, "application/ld+json"),
        ]
        licence = task.card.get("license") or task.card.get("licence")
        results.append({
            "name": task.name,
            "description": str(task.card.get("description") or task.card.get("generator") or task.name)[:400],
            **({"license": str(licence)} if licence else {}),
            "distribution": files,
        })  # fmt: skip
    own = {name: plan.name for plan in reversed(recipe.stages) for name in files_of(plan.settings)}
    for name, stage in own.items():
        file = Path(name)
        results.append({
            "name": file.name,
            "description": f"A file of one's own, read by the stage {stage}.",
            "distribution": [_noted(file, file.read_bytes(), folder, "application/jsonl")],
        })  # fmt: skip
    shipped = {name: plan.name for plan in reversed(recipe.stages) for name in shipped_files_of(plan.settings)}
    return results + [shipped_data(name, stage) for name, stage in shipped.items()]


def shipped_data(name: str, stage: str) -> dict[str, Any]:
    """A file of the package that a stage reads, as a receipt names it: `clearseek:` and its path in the package."""
    content = (resources.files("clearseek") / name).read_bytes()
    return {
        "name": name.rpartition("/")[2],
        "description": f"Ships with ClearSeek, and is read by the stage {stage}.",
        "license": "Apache-2.0",
        "distribution": [
            {
                "name": name.rpartition("/")[2],
                "sha256": hashlib.sha256(content).hexdigest(),
                "contentUrl": f"clearseek:{name}",
                "encodingFormat": "application/jsonl",
            }
        ],
    }


def _written(file: Path, content: Any, folder: Path, encoding: str) -> dict[str, Any]:
    data = json.dumps(_json(content), indent=1, sort_keys=True, ensure_ascii=False).encode()
    write_aside(file, data)
    return _noted(file, data, folder, encoding)


def _noted(file: Path, data: bytes, folder: Path, encoding: str) -> dict[str, Any]:
    return {
        "name": file.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "contentUrl": file.relative_to(folder).as_posix(),
        "encodingFormat": encoding,
    }


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def stage_notes(recipe: Recipe, model: CausalLM) -> dict[str, dict[str, Any]]:
    """What a receipt tells of each stage beside the ledger: its kind, and the least and the most that a token of it can
    take, from the model's own matrices. Nothing is told of a stage in which another model writes."""
    sizes = model_sizes(model)
    fields: dict[str, dict[str, Any]] = {}
    evaluation = [("evaluation", None, None)]
    for name, kind, settings in [*((stage.name, stage.kind, stage.settings) for stage in recipe.stages), *evaluation]:
        fields[name] = {} if kind is None else {"kind": kind}
        most = getattr(settings, "max_tokens", None) or model.config.max_positions
        bounds = token_bounds(sizes, kind or name, model.config.max_positions, most)
        if bounds:
            fields[name]["flops_per_token_bounds"] = {key: _between(*pair).as_json() for key, pair in bounds.items()}
    return fields


def _between(low: float, high: float) -> Quantity:
    how = "from 2N, nothing put in, to all that a token can take (flops.py)"
    return modelled((low + high) / 2, "FLOP/token", how, low, high)
