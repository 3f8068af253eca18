"""The end of a run: its model in every form that others read, its card, its receipt, and its place in the store.

    RUN/adapter/      adapter.json, adapter.safetensors (what the hub assembles from), and PEFT's two files
    RUN/adapter.gguf  the adapter for llama.cpp (`--lora`)
    RUN/model.gguf    as served: assembled from base and adapter by the hub's own code, so the bytes agree
    RUN/model/        a Hugging Face folder of the merged weights, matrices in bfloat16
    RUN/card.md       the model card; also README.md in the folders above

All are of one model: the adapter is rounded first (see `adapter_file.py`). A run that trained every weight is written
as it is, or, with a rank, as the low-rank part of what it changed, and then `full.gguf` keeps the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clearseek.errors import UserError
from clearseek.hub.adapter import AdapterBase
from clearseek.hub.assemble import assemble, merged
from clearseek.hub.errors import HubError
from clearseek.hub.files import hash_file, remove_tree, write_aside
from clearseek.hub.gguf_file import read_header
from clearseek.hub.model import Model
from clearseek.hub.store import Store
from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.export_gguf import export_gguf
from clearseek.modeling.export_hf import export_hf, plain_tensors
from clearseek.modeling.export_lora import save_lora_gguf, save_peft
from clearseek.modeling.load import build_model, config_of, load_weights, open_weights
from clearseek.modeling.lora import lora_layers, put_lora
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.modeling.weights import Weights
from clearseek.receipts.statement import make_receipt
from clearseek.settings import home
from clearseek.toml_tables import parse_toml
from clearseek.training.publish.card import Card, card_text
from clearseek.training.run.run_folder import Notes, now
from clearseek.training.stages.base import StageContext
from clearseek.training.update.adapter_file import LowRank, adapters_of, low_rank, promise, write_adapter


@dataclass(frozen=True)
class Published:
    """What was written. `errors` is the relative error of each layer's addition after rounding (and, of a full run,
    after the cut to its rank); empty where no adapter was written."""

    name: str
    files: tuple[Path, ...]
    gguf: Path | None
    sha256: str | None
    adapter: Path | None = None
    errors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    receipt: Path | None = None
    registered: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "files": [str(path) for path in self.files],
            "gguf": str(self.gguf) if self.gguf else None,
            "sha256": self.sha256,
            "adapter": str(self.adapter) if self.adapter else None,
            "adapter_error": sum(self.errors.values()) / len(self.errors) if self.errors else None,
            "receipt": str(self.receipt) if self.receipt else None,
            "registered": self.registered,
        }


def publish(
    run: Path,
    workshop: StageContext,
    *,
    base: Path | None = None,
    name: str | None = None,
    rank: int | None = None,
    register: bool | None = None,
    attempt: str | None = None,
) -> Published:
    """Write everything, make the receipt, and register the model. What is left out is taken from RUN/recipe.toml.

    The work is booked to the run's ledger as the stage `publish`; nothing may be booked there afterwards, because the
    receipt holds the ledger's digest. To evaluate the served file before the receipt is made, call `export_run`, then
    `seal`. Raises UserError where something cannot be written.
    """
    recipe = read_recipe(run)
    labels = {"run": str(recipe.get("name", run.name)), "stage": "publish"}
    with workshop.meter.span("publish", **labels, **({} if attempt is None else {"attempt": attempt})):
        done = export_run(run, workshop, base=base, name=name, rank=rank)
    return seal(run, done, register=register, tell=workshop.tell)


def seal(
    run: Path, done: Published, *, register: bool | None = None, tell: Callable[[str], None] | None = None
) -> Published:
    """Write the card with the evaluations that lie in the run now, make the receipt, and register the model."""
    notes = Notes.open(run)
    if notes.told:  # the run ends here: what was tested and written after the last step is part of it
        notes.add(finished_at=now())
    write_card(run, done)
    receipt = make_receipt(run)
    wanted = read_recipe(run).get("publish", {}).get("register", True) if register is None else register
    name = None
    if wanted and done.gguf is not None:
        name = register_model(run, done).name
        if name != done.name and tell is not None:
            tell(f"The name {done.name} is taken in the model store; the model is there as {name}.")
    return dataclasses.replace(done, receipt=receipt, registered=name)


def export_run(
    run: Path, workshop: StageContext, *, base: Path | None = None, name: str | None = None, rank: int | None = None
) -> Published:
    """The model's files. `base` is what training began from (None: as the recipe says; nothing, where it says none);
    `rank`: of the adapter that a run which trained every weight is to be written as."""
    recipe = read_recipe(run)
    plan = recipe.get("publish", {})
    name = name or str(plan.get("model") or recipe.get("name") or run.name)
    rank = rank or int(plan.get("rank") or 0) or None
    model = workshop.learner.model
    begun = base or find_base(recipe)
    tokenizer = with_template(workshop)
    remove_products(run)
    adapted = bool(lora_layers(model))
    if begun is None:
        if adapted:
            raise ModelingError("An adapter without a base cannot be published.")
        return _export_whole(run, name, model, None, tokenizer)
    if not adapted and rank is None:
        return _export_whole(run, name, model, begun, tokenizer)
    weights = open_weights(begun)
    if adapted:
        layers, vectors = adapters_of(model), dict[str, Tensor]()
    else:
        layers, vectors = difference_of(model, weights, int(rank or 0))
        _export_gguf(run / "full.gguf", name, model, begun, tokenizer)
    return _export_adapter(run, name, begun, weights, layers, vectors, tokenizer)


def remove_products(run: Path) -> None:
    """What an export writes: of an earlier one, or of one that was cut short."""
    for stale in ("model", "adapter", "adapter.gguf", "model.gguf", "full.gguf"):
        remove_tree(run / stale)


def _export_adapter(
    run: Path,
    name: str,
    begun: Path,
    weights: Weights,
    layers: Mapping[str, LowRank],
    vectors: Mapping[str, Tensor],
    tokenizer: Tokenizer,
) -> Published:
    """A base and additions to it. Peak memory: the model once more, in float32."""
    config = weights.config
    folder = run / "adapter"
    files = [folder]
    light = _only_adapters(config, layers)
    save_peft(light, folder, base_name=hub_name(begun) or _base_name(begun))
    digest = None
    whole = merged_weights(weights, layers, vectors)
    if isinstance(config, LlamaConfig):
        save_lora_gguf(light, run / "adapter.gguf")
        files += [run / "adapter.gguf", run / "model.gguf"]
        if begun.is_file():
            adapter = write_adapter(
                folder, name, describe_base(begun), config, layers,
                vectors=vectors, metadata=metadata_of(name, begun, tokenizer),
            )  # fmt: skip
            digest = assemble(begun, adapter, run / "model.gguf")
            promise(folder, digest, (run / "model.gguf").stat().st_size)
    full = load_weights(whole, torch.float32)
    if isinstance(config, LlamaConfig) and digest is None:  # a base that is a folder: there is no GGUF to lay it over
        digest = _export_gguf(run / "model.gguf", name, full, None, tokenizer)
    export_hf(full, run / "model", dtype=torch.bfloat16, tokenizer=tokenizer)
    gguf = run / "model.gguf" if digest is not None else None
    errors = {layer: one.error for layer, one in layers.items()}
    return Published(name, (*files, run / "model"), gguf, digest, folder, errors)


def _export_whole(run: Path, name: str, model: nn.Module, begun: Path | None, tokenizer: Tokenizer) -> Published:
    """Every weight as it is now."""
    export_hf(model, run / "model", dtype=torch.bfloat16, tokenizer=tokenizer)
    if not isinstance(config_of(model), LlamaConfig):
        return Published(name, (run / "model",), None, None)
    digest = _export_gguf(run / "model.gguf", name, model, begun, tokenizer)
    return Published(name, (run / "model", run / "model.gguf"), run / "model.gguf", digest)


def _export_gguf(path: Path, name: str, model: nn.Module, begun: Path | None, tokenizer: Tokenizer) -> str:
    """Q8_0, over the metadata of the GGUF that training began from, where it was one; gives the SHA-256."""
    from_gguf = begun if begun is not None and begun.is_file() else None
    changes = metadata_of(name, begun, tokenizer)
    export_gguf(model, path, "q8_0", base=from_gguf, tokenizer=tokenizer, name=name, changes=changes)
    return hash_file(path)


def merged_weights(weights: Weights, layers: Mapping[str, LowRank], vectors: Mapping[str, Tensor]) -> Weights:
    """The base's weights with the additions in them, by the same sums as the hub's; read one tensor at a time."""

    def read(name: str) -> Tensor:
        if name in vectors:
            return vectors[name].detach().cpu().float().clone()
        x = weights.read(name)
        value = layers.get(name.removesuffix(".weight"))
        if value is None:
            return x
        return torch.from_numpy(merged(x.float().numpy(), value.a_RI.numpy(), value.b_OR.numpy()))

    return dataclasses.replace(weights, read=read)


def difference_of(model: nn.Module, weights: Weights, rank: int) -> tuple[dict[str, LowRank], dict[str, Tensor]]:
    """What training changed: of each matrix the part of that rank, and the vectors (norms, biases) as they are now.

    Raises ModelingError where the embedding was trained, of which no adapter is written.
    """
    layers: dict[str, LowRank] = {}
    vectors: dict[str, Tensor] = {}
    for name, tensor in plain_tensors(model).items():
        now, before = tensor.detach().cpu().float(), weights.read(name).float()
        if torch.equal(now, before):
            continue
        if now.ndim == 1:
            vectors[name] = now
        elif name.endswith(("embed_tokens.weight", "lm_head.weight")):
            raise ModelingError("The embedding was trained too, and no adapter of it is written; publish without rank.")
        else:
            layers[name.removesuffix(".weight")] = low_rank(now.double() - before.double(), rank)
    if not layers:
        raise ModelingError("No matrix was changed by this run, so there is nothing to write as an adapter.")
    return layers, vectors


def _only_adapters(config: Any, layers: Mapping[str, LowRank]) -> nn.Module:
    """The architecture without weights, and the additions on it: what the writers of adapters need."""
    model = build_model(config, device="meta")
    for name, one in layers.items():
        rank = one.a_RI.shape[0]
        layer = put_lora(model, name, rank, float(rank), 1.0)
        layer.lora_A = nn.Parameter(one.a_RI.float(), requires_grad=False)
        layer.lora_B = nn.Parameter(one.b_OR.float(), requires_grad=False)
    return model


def with_template(workshop: StageContext) -> Tokenizer:
    """The tokeniser with the template that was trained with."""
    old = workshop.chat.tokenizer
    return Tokenizer(
        old.rust, bos_id=old.bos_id, end_ids=[workshop.chat.end_id, *old.end_ids], pad_id=old.pad_id,
        add_bos=old.add_bos, chat_template=workshop.chat.template.source, pre=old.pre, kind=old.kind,
    )  # fmt: skip


def metadata_of(name: str, begun: Path | None, tokenizer: Tokenizer) -> dict[str, str | int | None]:
    """What the GGUF says of itself beside what its base said."""
    results: dict[str, str | int | None] = {
        "general.name": name,
        "general.description": "Trained by ClearSeek on problems whose answers are checked. Small; often wrong.",
        "tokenizer.chat_template": tokenizer.chat_template,
    }
    if begun is not None and begun.is_file():
        header = read_header(begun)
        results |= dict.fromkeys(("general.finetune", "general.organization", "general.basename"))
        results |= {
            "general.base_model.count": 1,
            "general.base_model.0.name": header.text("general.name") or begun.stem,
        }
    return {key: value for key, value in results.items() if value is not None or key.startswith("general.")}


def read_recipe(run: Path) -> dict[str, Any]:
    """RUN/recipe.toml. Raises UserError."""
    file = run / "recipe.toml"
    try:
        return parse_toml(file.read_bytes(), str(file))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from None


def find_base(recipe: Mapping[str, Any]) -> Path | None:
    """What the recipe began from; None where it began from nothing. Raises UserError where that is missing."""
    value = recipe.get("base")
    if value is None:
        return None
    path = Path(str(value))
    return path if path.exists() else Store(home() / "models").find(str(value)).path


def describe_base(path: Path) -> AdapterBase:
    """A GGUF as an adapter names it: as a model of the store where it is one."""
    digest = hash_file(path)
    model = _in_store(path)
    if model is None or model.sha256 != digest:
        return AdapterBase(path.stem, digest, digest, "keep")
    quant = model.quant.lower()
    kept = model.sha256 == model.original_sha256 or quant not in ("q4_0", "q8_0")
    return AdapterBase(
        model.name, digest, model.original_sha256, "keep" if kept else "q8_0" if quant == "q8_0" else "q4_0"
    )


def _in_store(path: Path) -> Model | None:
    resolved = path.resolve()
    return next((one for one in Store(home() / "models").list() if one.path.resolve() == resolved), None)


def _base_name(path: Path) -> str:
    model = _in_store(path)
    return path.name if model is None else model.name


HUB_NAMES = {"smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Where others find a base of the catalogue: what `peft` and model cards want to know."""


def hub_name(path: Path) -> str | None:
    return HUB_NAMES.get(_base_name(path))


def write_card(run: Path, done: Published) -> None:
    """RUN/card.md, and a copy as README.md in the folders that are handed on."""
    base = find_base(read_recipe(run))
    header = read_header(base) if base is not None and base.is_file() else None
    card = Card(
        name=done.name,
        base=None if base is None else _base_name(base),
        base_on_hub=None if base is None else hub_name(base),
        licence=(header.licence if header else None),
        sha256=done.sha256,
        adapter_error=mean_of(done.errors),
        kinds=tuple(str(stage.get("kind", "")) for stage in read_recipe(run).get("stage", [])),
    )
    text = card_text(run, card).encode()
    write_aside(run / "card.md", text)
    for folder in (run / "model", done.adapter):
        if folder is not None:
            write_aside(folder / "README.md", text)


def mean_of(errors: Mapping[str, float]) -> float | None:
    return sum(errors.values()) / len(errors) if errors else None


def register_model(run: Path, done: Published) -> Model:
    """The served file as a model of this machine, its receipt beside it; under another name where its own is taken."""
    assert done.gguf is not None
    store, recipe = Store(home() / "models"), read_recipe(run)
    source = f"run:{recipe.get('name') or run.name}"
    try:
        return store.import_file(done.gguf, done.name, source=source, receipt_folder=run, replace=True)
    except HubError:
        other = f"{done.name[:60]}-{str(done.sha256)[:8]}"
        return store.import_file(done.gguf, other, source=source, receipt_folder=run, replace=True)
