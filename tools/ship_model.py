"""Put a published run into the package, so that everybody can have its model: python tools/ship_model.py RUN

Copies the adapter and the run's papers to src/clearseek/data/models/NAME, after checking that the receipt verifies,
that it is about these very files, and that the hub assembles them, over the base in the model store, into the file
that was published. What lay there before is replaced.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from clearseek.errors import UserError
from clearseek.hub.adapter import RECORD, WEIGHTS, Adapter, read_adapter
from clearseek.hub.assemble import assemble
from clearseek.hub.catalogue import every_entry
from clearseek.hub.files import remove_tree
from clearseek.hub.receipt_files import copy_receipt_files, receipt_files_of
from clearseek.hub.store import Store
from clearseek.receipts.verify import verify
from clearseek.settings import home, model_data

MOST_BYTES = 20_000_000
"""Of a model in the package: it is fetched by everybody who installs ClearSeek."""


def ship(run: Path, target: Path, *, most: int = MOST_BYTES) -> Path:
    """The folder that was written. Raises UserError, and then nothing was changed."""
    adapter = read_adapter(run / "adapter")
    check_entry(adapter)
    checked = verify(run)
    if not checked.ok:
        raise UserError(f"The receipt does not verify: {checked.failed[0].said}")
    if missing := checked.missing(("ledger", "recipe", "parents")):
        said = next(check.said for check in checked.skipped if check.name in missing)
        raise UserError(f"What is shipped must be there to be checked, and is not: {said}")
    about = {one["digest"]["sha256"] for one in (checked.statement or {}).get("subject", [])}
    if not {adapter.sha256, adapter.result_sha256} <= about:
        raise UserError("The receipt is not about this adapter and what is assembled from it.")
    papers = {**receipt_files_of(run), RECORD: run / "adapter" / RECORD, WEIGHTS: run / "adapter" / WEIGHTS}
    size = sum(path.stat().st_size for path in papers.values())
    if size > most:
        heavy = ", ".join(f"{name} {path.stat().st_size / 1e6:.1f} MB" for name, path in papers.items())
        raise UserError(f"These files have {size / 1e6:.1f} MB, and at most {most / 1e6:.0f} MB are shipped: {heavy}.")
    base = Store(home() / "models").find(adapter.base.name)
    with tempfile.TemporaryDirectory(dir=run) as place:
        assemble(base.path, adapter, Path(place) / "model.gguf")  # raises where anything is not what it should be
    folder = target / adapter.name
    aside = target / f".{adapter.name}.new"
    remove_tree(aside)
    aside.mkdir(parents=True)
    try:
        copy_receipt_files(papers, aside)
        remove_tree(folder)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def check_entry(adapter: Adapter) -> None:
    """Raises UserError where the catalogue has no entry that this adapter is for."""
    entry = next((one for one in every_entry() if one.adapter == adapter.name), None)
    if entry is None or entry.base != adapter.base.name:
        raise UserError(
            f"catalogue.toml has no entry for an adapter {adapter.name} over {adapter.base.name}; publish the run "
            "under the entry's name (`[publish] model` in its recipe), or add one."
        )
    if adapter.result_sha256 is None or entry.sha256 != adapter.base.original_sha256:
        raise UserError(f"The adapter {adapter.name} is over another file than the catalogue's {adapter.base.name}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--target", type=Path, default=model_data(), help="the package's folder of models")
    given = parser.parse_args()
    try:
        folder = ship(given.run, given.target)
    except UserError as error:
        raise SystemExit(str(error)) from None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    digest = json.loads((folder / RECORD).read_text("utf-8"))["result"]["sha256"]
    print(f"{folder} holds the model ({size / 1e6:.1f} MB); assembled it is {digest}.")


if __name__ == "__main__":
    main()
