"""Who is evaluated: a model of the store, a GGUF, a run's or a Hugging Face folder, a model of a remote engine."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clearseek.errors import UserError
from clearseek.evaluation.engine_backend import EngineBackend, LedgerSink, RemoteBackend, model_of_file, remote_models
from clearseek.evaluation.runner import Backend
from clearseek.settings import Settings, home, load_settings

if TYPE_CHECKING:
    from clearseek.hub.model import Model

NEEDS = (
    "Evaluating a folder of weights needs torch: `pip install torch` (the CPU build will do), then "
    "`pip install clearseek[train]`; a GGUF needs neither."
)


@dataclass(frozen=True)
class EvaluatedModel:
    """Who answers. `open` makes the answerer, when it is known that something is to be asked."""

    name: str
    digest: str | None
    by: Literal["llama.cpp", "remote", "torch"]
    style: str
    open: Callable[[], Backend]


def resolve(model: str, settings: Settings, *, url: str | None, at_once: int | None) -> EvaluatedModel:
    """Who a model is; `url` is the engine named on the command line, where one was. Raises UserError, with the nearest
    name, where there is none."""
    books = open_ledger_sink(settings)
    path = Path(model)
    if settings.engine_url is not None and (url is not None or not path.exists()):
        remote = _remote(model, settings, books, url is not None, at_once)
        if remote is not None:
            return remote
    for folder in (path, home() / "runs" / model if _plain(model) else path):
        if folder.is_dir():
            return _folder(folder, books)
    if path.is_file():
        return _served(model_of_file(path), books, at_once, settings)
    from clearseek.cli.first_model import ensure_model
    from clearseek.hub.store import Store

    store = Store(home() / "models")
    ensure_model(load_settings(model=model), store)
    return _served(store.find(model), books, at_once, settings)


def _plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def _served(model: Model, books: LedgerSink, at_once: int | None, settings: Settings) -> EvaluatedModel:
    def make() -> Backend:
        return EngineBackend(model, books, at_once=at_once or settings.slots, threads=settings.threads)

    return EvaluatedModel(model.name, model.sha256, "llama.cpp", model.thinking, make)


def _remote(
    model: str, settings: Settings, books: LedgerSink, asked_for: bool, at_once: int | None
) -> EvaluatedModel | None:
    url = settings.engine_url
    assert url is not None
    key = settings.engine_key.get_secret_value() if settings.engine_key else None
    names = remote_models(url, key)
    if model not in names:
        if not asked_for:
            return None
        import difflib

        near = difflib.get_close_matches(model, names, n=1)
        known = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(names[:8]) or 'none'}."
        raise UserError(f"The engine at {url} has no model `{model}`; {known}")
    return EvaluatedModel(
        model,
        None,
        "remote",
        "unknown",
        lambda: RemoteBackend(url, key, model, books, at_once=at_once),
    )


def _folder(folder: Path, books: LedgerSink) -> EvaluatedModel:
    weights = folder / "model" if (folder / "model" / "config.json").exists() else folder
    if not (weights / "config.json").exists():
        if (folder / "recipe.toml").exists():
            raise UserError(f"The run in {folder} has no model yet: it is written when the run has ended.")
        raise UserError(f"{folder} is neither a run nor a Hugging Face folder: it has no config.json.")
    answering = needs_torch("clearseek.training.rollout.torch_backend")
    from clearseek.hub.files import hash_file

    digests = [f"{file.name} {hash_file(file)}" for file in sorted(weights.glob("*.safetensors"))]
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    chat = needs_torch("clearseek.training.data.chat_format").chat_format_of(weights)
    if not chat.tokenizer.template().uses_thinking:
        print(
            f"{folder.name} has no chat template that knows thinking; ClearSeek's own is used over its turn markers.",
            file=sys.stderr,
        )

    def make() -> Backend:
        made: Backend = answering.open_folder(weights, chat, books.sink, books.rates)
        return made

    return EvaluatedModel(folder.resolve().name, digest, "torch", "native", make)


def needs_torch(name: str) -> Any:
    import importlib
    import os

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # see bench_rollout: spinning threads cost nearly all speed
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{NEEDS} ({error})") from None


def open_ledger_sink(settings: Settings) -> LedgerSink:
    from clearseek.ledger.book import Book, home_book
    from clearseek.ledger.prices import rates_from

    if not settings.metering:
        return LedgerSink(lambda draft: None)
    return LedgerSink(lambda draft: Book(home_book()).append(draft), rates_from(settings))


def weights_of(name: str) -> Path:
    """The folder or GGUF of a model, by its path, its run's name or its name in the store."""
    path = Path(name)
    for folder in (path, home() / "runs" / name):
        if (folder / "model" / "config.json").exists():
            return folder / "model"
    if path.exists():
        return path
    from clearseek.hub.store import Store

    return Store(home() / "models").find(name).path
