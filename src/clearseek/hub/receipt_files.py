"""What lies beside the weights of a model that ClearSeek trained: its receipt, and the files that this names.

They have the same names in a run folder, in the package and in the store, so a receipt finds them in each. Of a run
that others build on, `parents/NAME.json` is the receipt, and `parents/NAME/` has the books that it speaks of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clearseek.hub.files import copy_stream, no_progress, remove_tree, sync_folder

PATTERNS = (
    *("receipt.json", "card.md", "recipe.toml", "ledger.jsonl", "run.json", "adapter.json", "adapter.safetensors"),
    *("evaluations/*.json", "data/cards/*.json", "tasks/*.py"),
    *("parents/*.json", "parents/*/ledger.jsonl", "parents/*/recipe.toml", "parents/*/evaluations/*.json"),
)
MAX_FILE_BYTES = 256 << 20
MAX_FILES = 1000


def receipt_files_of(folder: Path) -> dict[str, Path]:
    """The receipt files in a folder, by their name relative to it."""
    paths = [path for pattern in PATTERNS for path in sorted(folder.glob(pattern)) if path.is_file()]
    fitting = [path for path in paths if path.stat().st_size <= MAX_FILE_BYTES]
    return {path.relative_to(folder).as_posix(): path for path in fitting[:MAX_FILES]}


def copy_receipt_files(files: Mapping[str, Path], target: Path) -> None:
    """Copy receipt files into a folder, each aside first; what else lay there under their folders goes."""
    for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
        place = target / folder
        place.mkdir(parents=True, exist_ok=True)
        for other in place.iterdir():
            name = f"{folder}/{other.name}"
            if name not in files and not any(file.startswith(f"{name}/") for file in files):
                remove_tree(other)
    for name, path in files.items():
        aside = target / f"{name}.new"
        with path.open("rb") as source:
            copy_stream(source, aside, MAX_FILE_BYTES, "copy", None, no_progress)
        aside.replace(target / name)
    for place in sorted({(target / name).parent for name in files}):
        sync_folder(place)
