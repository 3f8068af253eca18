"""`clearseek models`: what is on this machine, what can be fetched, and what is inside a file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clearseek.hub.files import Progress
    from clearseek.hub.gguf_file import Header
    from clearseek.hub.model import Model
    from clearseek.hub.store import Store

app = typer.Typer(no_args_is_help=True, help="The models on this machine: list, pull, show, import, export, rm.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]

_STAGES = {
    "download": "Fetching",
    "extract": "Unpacking",
    "verify": "Checking",
    "requantise": "Requantising",
    "assembling": "Assembling",
    "copy": "Copying",
}


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """What is installed, and what can be pulled."""
    from clearseek.hub.shipped_adapters import newer_ships

    store = _store()
    installed = store.list()
    names = {model.name for model in installed}
    pullable = [entry for entry in store.entries if entry.name not in names]
    if as_json:
        _print_json({
            "installed": [_model_json(model) for model in installed],
            "pullable": [dataclasses.asdict(entry) for entry in pullable],
        })  # fmt: skip
        return
    if installed:
        _say("Installed:")
        for model in installed:
            facts = (
                _size(model.bytes),
                model.quant,
                f"{model.context:,} tokens of context",
                f"{model.thinking} thinking",
            )
            _entry(model.name, facts, model.description)
            if newer_ships(model, store.entries):
                _say(f"      A newer one comes with this version: `clearseek models pull {model.name}` gets it.")
    else:
        first = store.entries[0].aliases[0]
        _say(f"No model is installed yet. `clearseek models pull {first}` gets the small default one.")
    if pullable:
        _say("\nCan be pulled:")
        for entry in pullable:
            facts = (
                _size(entry.bytes),
                f"{_count(entry.parameters)} parameters",
                f"{entry.thinking} thinking",
                entry.licence,
            )
            _entry(entry.name, facts, entry.description)


@app.command("pull")
def pull_(
    name: Annotated[str, typer.Argument(help="A name or alias that `clearseek models list` shows.")],
    quant: Annotated[
        str | None, typer.Option(help="keep, q4_0 or q8_0; without it, what the catalogue recommends.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a model. Go on with `pull` again if it is cut short."""
    from clearseek.cli.pull_model import pull
    from clearseek.settings import load_settings

    store, settings = _store(), load_settings()
    with progress_bar() as progress:
        model = pull(store, name, settings, quant=quant, progress=progress)
    if as_json:
        _print_json(_model_json(model))
    else:
        _say(f"{model.name} is ready: {_size(model.bytes)}, {model.quant}, in {model.path}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="An installed model, or any GGUF file.")],
    as_json: Json = False,
) -> None:
    """What is inside a model and where it comes from: architecture, template, licence, digest, receipt or origin."""
    from clearseek.hub.gguf_file import read_header
    from clearseek.receipts.origin import proof_of

    model, path = _model_or_file(name)
    facts = describe_file(read_header(path), path, model)
    proof = proof_of(model, _store().entries) if model is not None else None
    if as_json:
        _print_json({**facts, "proof": proof.as_json() if proof is not None else None})
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in facts.items():
        if key == "chat_template":
            continue
        words = ", ".join(f"{count} x {kind}" for kind, count in value.items()) if isinstance(value, dict) else value
        table.add_row(key.replace("_", " "), "unknown" if words is None else f"{words}")
    _show(table)
    if proof is not None:
        from clearseek.cli.receipt_text import print_proof

        _say("")
        print_proof(proof)
    _say("\nchat template:")
    _say(facts["chat_template"] or "none in the file; the ChatML form is used")


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A GGUF file.")],
    name: Annotated[str | None, typer.Option(help="What to call it; without it, the file's own name.")] = None,
    as_json: Json = False,
) -> None:
    """Take a GGUF file of your own into the store (by hard link where the disk allows it, else by copy)."""
    from clearseek.hub.gguf_file import read_header
    from clearseek.hub.importable import check_importable

    store = _store()
    with progress_bar() as progress:
        model = store.import_file(file, name, progress=progress)
    notes = check_importable(read_header(model.path), file)
    if as_json:
        _print_json({**_model_json(model), "notes": notes})
    else:
        _say(f"{model.name} is ready: {_size(model.bytes)}, {model.architecture}, {model.quant}")
        for note in notes:
            _say(note)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="An installed model, or a run's checkpoint: RUN/checkpoints/step-N.")],
    file: Annotated[
        Path, typer.Argument(help="Where to write it: a file, or a folder that exists; with hf, a new one.")
    ],
    kind: Annotated[
        str, typer.Option("--as", help="gguf (the file as it is) or hf (a folder for transformers).")
    ] = "gguf",
    as_json: Json = False,
) -> None:
    """Copy a model's weights out of the store, checking them on the way."""
    from clearseek.errors import UsageError

    store = _store()
    if kind not in ("gguf", "hf"):
        raise UsageError(f"A model is exported as gguf or hf, not as `{kind}`.")
    if (Path(name) / "position.json").is_file():
        _export_checkpoint(Path(name), file.expanduser(), kind == "hf", as_json)
        return
    with progress_bar() as progress:
        target = store.export(name, file, progress=progress) if kind == "gguf" else _export_folder(store, name, file)
    if as_json:
        size = sum(path.stat().st_size for path in (target, *target.rglob("*")) if path.is_file())
        _print_json({"name": store.find(name).name, "file": str(target), "bytes": size})
    else:
        _say(f"{target} holds the weights of {store.find(name).name}.")


def _export_checkpoint(folder: Path, file: Path, hf: bool, as_json: bool) -> None:
    from clearseek.cli.evaluated_model import needs_torch

    exporting = needs_torch("clearseek.training.publish.export_checkpoint")
    if not exporting.is_checkpoint(folder):
        from clearseek.errors import UserError

        raise UserError(f"{folder} is not a checkpoint in the folder of a run.")
    target = exporting.export_checkpoint(folder, file, hf=hf, tell=_say)
    if as_json:
        size = sum(path.stat().st_size for path in (target, *target.rglob("*")) if path.is_file())
        _print_json({"name": folder.name, "file": str(target), "bytes": size})
    else:
        _say(f"{target} holds what the run was at {folder.name}.")


def _export_folder(store: Store, name: str, folder: Path) -> Path:
    """The weights as they are served, read back and written in bfloat16."""
    from clearseek.modeling import load_model  # noqa: F401 - first: it says in a sentence what is missing
    from clearseek.modeling.export_hf import folder_from

    store.verify(name)
    return folder_from(store.find(name).path, folder.expanduser())


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="An installed model.")],
    as_json: Json = False,
) -> None:
    """Hash a model's weights again and compare with what was recorded; exit code 3 where they differ."""
    store = _store()
    with progress_bar() as progress:
        store.verify(name, progress=progress)
    model = store.find(name)
    if as_json:
        _print_json({"name": model.name, "sha256": model.sha256, "whole": True})
    else:
        _say(f"{model.name} is whole: SHA-256 {model.sha256}")


@app.command()
def rm(name: Annotated[str, typer.Argument(help="An installed model.")], as_json: Json = False) -> None:
    """Remove a model from this machine."""
    removed = _store().remove(name)
    if as_json:
        _print_json({"removed": removed})
    else:
        _say(f"{removed} was removed.")


def describe_file(header: Header, path: Path, model: Model | None = None) -> dict[str, Any]:
    """What is inside a GGUF, for people and for programs; what only the store knows is None for a loose file."""
    types: dict[str, int] = {}
    for tensor in header.tensors:
        types[tensor.type] = types.get(tensor.type, 0) + 1
    from clearseek.hub.gguf_file import kv_bytes_per_token

    native = "<think>" in (header.chat_template or "")
    return {
        "name": model.name if model else header.text("general.name"),
        "description": model.description if model else None,
        "architecture": header.architecture,
        "parameters": header.parameter_count,
        "quantisation": header.quantisation,
        "tensors": types,
        "context": model.context if model else header.context_length,
        "kv_bytes_per_token": kv_bytes_per_token(header),
        "vocabulary": header.vocab_size,
        "thinking": model.thinking if model else ("native" if native else "prompted"),
        "licence": model.licence if model else header.licence,
        "source": model.source if model else None,
        "sha256": model.sha256 if model else None,
        "original_sha256": model.original_sha256 if model else None,
        "bytes": header.file_bytes,
        "gguf_version": header.version,
        "file": str(path),
        "chat_template": header.chat_template,
    }


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr for anything the store does; quiet where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"{_STAGES.get(stage, stage):<12}", total=total)
            bar.update(tasks[stage], completed=min(done, total) if total else done, total=total)

        yield tell


def _store() -> Store:
    from clearseek.hub.store import Store
    from clearseek.settings import home

    return Store(home() / "models")


def _model_or_file(name: str) -> tuple[Model | None, Path]:
    from clearseek.hub.errors import UnknownModel

    try:
        model = _store().find(name)
    except UnknownModel:
        path = Path(name).expanduser()
        if path.is_file() or path.suffix == ".gguf":
            return None, path
        raise
    return model, model.path


def _model_json(model: Model) -> dict[str, Any]:
    return {**dataclasses.asdict(model), "path": str(model.path)}


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False))


def _say(text: str) -> None:
    typer.echo(text)


def _show(table: Any) -> None:
    from rich.console import Console

    console = Console()
    console.print(table, soft_wrap=not console.is_terminal)


def _entry(name: str, facts: tuple[str, ...], description: str) -> None:
    _say(f"  {typer.style(name, bold=True)}")
    _say(f"      {', '.join(fact for fact in facts if fact)}")
    _say(f"      {description}")


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _count(parameters: int | None) -> str:
    if parameters is None:
        return "unknown"
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"
