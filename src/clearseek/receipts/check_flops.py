"""FLOPs held against the model: computed again from the sizes of the weights, which are not the trainer's word.

How many FLOPs a token takes depends on how many it looks at and on whether its successor is predicted, so what is
computed here is the least and the most that a stage's tokens can have taken (`flops.token_bounds`), with
adapters of at most `rank` times the inputs and outputs of every matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.flops import Bounds, TransformerSizes, pair_flops, token_bounds
from clearseek.hub.gguf_file import read_header
from clearseek.hub.gguf_sizes import matrices, sizes_of
from clearseek.hub.hf_config import MAX_CONFIG, completed, read_config
from clearseek.hub.safetensors_file import list_tensors
from clearseek.receipts import arithmetic
from clearseek.receipts.check_files import Places
from clearseek.receipts.outcome import CheckLog
from clearseek.receipts.predicate import Predicate, Statement, value_of

EVALUATION = "evaluation"
"""The name of the trainer's stage that only asks the model."""
_NEAR = 1e-3


@dataclass(frozen=True, slots=True)
class WeightSizes:
    """Of one dense model in a file: its sizes, the inputs and outputs of the body's matrices, how many tokens can be
    looked at. `source` is the file that says so."""

    sizes: TransformerSizes
    edges: float
    context: float
    source: str


def flops(statement: Statement, places: Places, checks: CheckLog) -> None:
    """Every stage whose work the trainer counts, as far as the weights are here."""
    predicate = statement["predicate"]
    sizes = _sizes(predicate, places)
    done = []
    for index, stage in enumerate(predicate["stages"]):
        booked = value_of(stage["quantities"], "flops")
        if booked is None or stage["flops_per_token"]:
            continue
        field, name = f"predicate.stages[{index}].quantities.flops", stage["name"] or "-"
        own = None if sizes is None else bounds_of(stage, predicate["recipe"]["resolved"], sizes)
        if own is None or sizes is None:
            if "flops_per_token_bounds" not in stage:
                why = "the weights are not here" if sizes is None else "its work is of a kind that is not reckoned here"
                message = f"FLOPs per token of the stage {name} are not told, and {why}: its FLOPs cannot be computed."
                checks.skipped("FLOPs", field, message)
            continue
        bounds = arithmetic.from_json(stage.get("flops_per_token_bounds", {}))
        for kind, quantity in bounds.items():
            low, high = own.get(kind, (0.0, 0.0))
            if quantity.known and not low * (1 - _NEAR) <= quantity.bounds[0] <= quantity.bounds[1] <= high * (
                1 + _NEAR
            ):
                where = f"predicate.stages[{index}].flops_per_token_bounds.{kind}"
                message = (
                    f"The sizes in {sizes.source} give {low:.4g} to {high:.4g} FLOP a token, and `{where}` says others."
                )
                checks.failed("FLOPs", where, message)
        total = _total(stage, own)
        if total is None:
            message = f"The tokens that the FLOPs of the stage {name} were spent on are not known."
            checks.skipped("FLOPs", field, message)
        elif not total[0] * (1 - 1e-6) <= booked <= total[1] * (1 + 1e-6):
            message = (
                f"The tokens of the stage {name} take {total[0]:.4g} to {total[1]:.4g} FLOP by the sizes in "
                f"{sizes.source}, and `{field}` is {booked:.4g}."
            )
            checks.failed("FLOPs", field, message)
        else:
            done.append(f"{name} ({booked / 1e12:.4g} TFLOP, of {total[0] / 1e12:.4g} to {total[1] / 1e12:.4g})")
    if done and sizes is not None:
        message = f"FLOPs lie within what the sizes in {sizes.source} give for their tokens: {', '.join(done[:12])}."
        checks.ok("FLOPs", "predicate.stages", message)


def bounds_of(stage: Mapping[str, Any], recipe: Mapping[str, Any], weights: WeightSizes) -> Bounds | None:
    """FLOP for a token of each kind, the least and the most; None for work that another model may have done, and for
    kinds that are not known here."""
    plans = recipe.get("stage", [])
    plan = next((one for one in plans if isinstance(one, dict) and one.get("name") == stage["name"]), {})
    longest = float(plan["max_tokens"]) if isinstance(plan.get("max_tokens"), int) else weights.context
    kind = stage["kind"] or (EVALUATION if stage["name"] == EVALUATION else "")
    lora = recipe.get("lora")
    rank = float(lora["rank"]) if isinstance(lora, dict) and isinstance(lora.get("rank"), int | float) else 0.0
    if rank:
        trained = replace(weights.sizes, adapters=rank * weights.edges)
    else:
        trained = replace(weights.sizes, trained=weights.sizes.body, head_trained=True)
    least = token_bounds(weights.sizes, kind, weights.context, longest)
    most = token_bounds(trained, kind, weights.context, longest)
    return {name: (low, most[name][1]) for name, (low, _) in least.items()} or None


def _total(stage: Mapping[str, Any], bounds: Bounds) -> tuple[float, float] | None:
    low = high = 0.0
    there = stage["quantities"]
    if not any(kind in there for kind in bounds):
        return None
    for kind, (least, most) in bounds.items():
        count = there.get(kind, {"value": 0.0})["value"]
        if count is None:
            return None
        low, high = low + count * least, high + count * most
    return low, high


def _sizes(predicate: Predicate, places: Places) -> WeightSizes | None:
    """From what came out of the run, or from its base: training changes no sizes."""
    for name, path in places.found.items():
        try:
            if name.endswith(".gguf") and (sizes := sizes_of_gguf(path, name)) is not None:
                return sizes
            if name.endswith("model.safetensors") and (
                config := places.found.get(f"{name.rpartition('/')[0]}/config.json")
            ):
                return sizes_of_folder(path, config, name)
        except (UserError, OSError, ValueError, KeyError, TypeError):
            continue
    base, named = places.base, predicate["base"]
    if base is not None and named is not None:
        try:
            return sizes_of_gguf(base, f"the base {named['name']}")
        except (UserError, OSError, ValueError, KeyError, TypeError):
            return None
    return None


def sizes_of_gguf(path: Path, source: str) -> WeightSizes | None:
    """From a GGUF's header; None for a mixture of experts, an adapter, and what does not say its heads."""
    header = read_header(path)
    sizes, context = sizes_of(header), header.context_length
    if not sizes.body or not sizes.attention or not context or header.number(f"{header.architecture}.expert_count"):
        return None
    edges = sum(sum(tensor.shape) for tensor in matrices(header) if len(tensor.shape) == 2)
    return WeightSizes(sizes, edges, context, source)


def sizes_of_folder(weights: Path, config: Path, source: str) -> WeightSizes | None:
    """From the header of a safetensors file and the config.json beside it, as `sizes_of_gguf`."""
    data = completed(read_config(config.read_bytes()[:MAX_CONFIG], config.name))
    if any("expert" in key or key == "kv_lora_rank" for key in data):
        return None
    layers, heads = data["num_hidden_layers"], data["num_attention_heads"]
    each = data["head_dim"]
    shapes = {name: tensor.shape for name, tensor in list_tensors(weights).items() if len(tensor.shape) == 2}
    body = [
        shape for name, shape in shapes.items() if not name.endswith("embed_tokens.weight") and "lm_head" not in name
    ]
    head = [shape for name, shape in shapes.items() if name.endswith(("embed_tokens.weight", "lm_head.weight"))]
    total = float(sum(a * b for a, b in body))
    edges = float(sum(a + b for a, b in body))
    most = float(data["max_position_embeddings"])
    sizes = TransformerSizes(total, max(_products(head), default=0.0), pair_flops(layers * heads, each, each))
    return WeightSizes(sizes, edges, most, source)


def _products(shapes: Iterable[tuple[int, ...]]) -> list[float]:
    return [float(shape[0] * shape[1]) for shape in shapes]
