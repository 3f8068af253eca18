"""What LoRA begins as where a recipe names an adapter: the additions of an earlier run, which learn on.

So a long recipe can be several runs, on several days or machines, each with a receipt of its own, and what comes out is
still one adapter over the same base. A run carries what it began with in RUN/start, and in RUN/parents the receipt of
that and of what it began with in turn, so that it can be replayed and verified where the earlier runs are not.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from clearseek.errors import UserError
from clearseek.hub.adapter import RECORD, WEIGHTS, Adapter, read_adapter
from clearseek.hub.errors import BadModelFile
from clearseek.hub.files import hash_file, write_aside
from clearseek.receipts.statement import RECEIPT
from clearseek.settings import home, model_data
from clearseek.training.recipe.synonyms import nearest

FOLDER, PARENTS = "start", "parents"
BOOKS = ("ledger.jsonl", "recipe.toml")


@dataclasses.dataclass(frozen=True)
class StartAdapter:
    """An adapter to begin from; `receipt` is of the run that made it, where it has one."""

    adapter: Adapter
    receipt: Path | None

    def as_json(self) -> dict[str, Any]:
        return {"name": self.adapter.name, "digest": {"sha256": self.adapter.sha256}}

    def parents(self) -> list[dict[str, Any]]:
        """As `predicate.parents` of a receipt names it."""
        if self.receipt is None:
            return []
        return [{"name": self.adapter.name, "digest": {"sha256": hash_file(self.receipt)}}]


def adapter_folder(name: str) -> Path:
    """The folder that a recipe's `adapter` means: one with an adapter in it, a run's, the name of a run in the home,
    or of an adapter in the package."""
    given = Path(name)
    for folder in (given, given / "adapter", home() / "runs" / name / "adapter", model_data() / name):
        if (folder / RECORD).is_file():
            return folder
    shipped = sorted(path.parent.name for path in model_data().glob(f"*/{RECORD}"))
    hint = f"; {nearest(name, shipped)}" if shipped else "."
    raise UserError(
        f"There is no adapter {name}: name a finished run that was trained with [lora], its folder, or an adapter that "
        f"ClearSeek ships{hint}"
    )


def find_start(name: str | None) -> StartAdapter | None:
    """What a recipe's `adapter` names, its weights checked against their digest. Raises UserError."""
    if name is None:
        return None
    folder = adapter_folder(name)
    try:
        adapter = read_adapter(folder)
    except BadModelFile as error:
        raise UserError(f"The adapter to begin from cannot be used: {error}") from None
    if hash_file(adapter.weights) != adapter.sha256:
        raise UserError(f"{adapter.weights} is not the file that {RECORD} beside it describes: it was changed.")
    run = folder.parent
    places = {FOLDER: run / PARENTS / f"{adapter.name}.json", "adapter": run / RECEIPT}
    receipt = places.get(folder.name, folder / RECEIPT)
    return StartAdapter(adapter, receipt if receipt.is_file() else None)


def copy_start(start: StartAdapter, run: Path) -> str:
    """Copy it into a run's folder; what the run's own recipe then says."""
    for name in (RECORD, WEIGHTS):
        write_aside(_made(run / FOLDER) / name, (start.adapter.folder / name).read_bytes())
    if start.receipt is not None:
        own = _made(run / PARENTS) / f"{start.adapter.name}.json"
        near = start.receipt.parent
        earlier = sorted((near if near.name == PARENTS else near / PARENTS).glob("*.json"))
        _hand_on(start.receipt, own)
        for path in earlier:
            if path == start.receipt:
                continue
            same = path.name == own.name  # a model goes on under one name: its receipts are told apart by their digests
            name = f"{path.stem}-{hash_file(path)[:8]}.json" if same else path.name
            _hand_on(path, own.parent / name)
    return FOLDER


def _hand_on(receipt: Path, target: Path) -> None:
    """A receipt, and the books of its run as far as they lie with it: those that it can be checked by when the run
    itself is gone."""
    write_aside(target, receipt.read_bytes())
    folder = receipt.parent if receipt.name == RECEIPT else receipt.with_suffix("")
    for path in [folder / name for name in BOOKS] + sorted((folder / "evaluations").glob("*.json")):
        if path.is_file():
            place = target.with_suffix("") / path.relative_to(folder)
            _made(place.parent)
            write_aside(place, path.read_bytes())


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
