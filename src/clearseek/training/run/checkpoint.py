"""Checkpoints: everything the next step needs, whole or not there at all.

    checkpoints/step-000120/learner.safetensors   weights that learn, optimizer, buffers, under the learner's own names
                            stage.safetensors     the stage's tensors, where it has any
                            position.json         where the run is, the stage's values, where its files ended
                            digests.json          SHA-256 of the three

A checkpoint is written into a folder beside its place, every file synced, and renamed. A full disk leaves the last
good one, and nothing of the new. One that takes another's place needs two renames; whoever was killed between them
left both under dot names, and `recover` puts the new one, or else the old, where it belongs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from clearseek.errors import UserError
from clearseek.hub.files import hash_file, remove_tree, sync_folder
from clearseek.training.run.disk import disk_error
from clearseek.training.stages.base import StageState

FORMAT = 1
_STEP = re.compile(r"step-(\d{6,})")
_WORDS = ("learner.safetensors", "stage.safetensors", "position.json")


@dataclass(frozen=True)
class Position:
    """Where a run is. `done` counts steps of all stages, `step` those of the stage under way, which come next."""

    done: int
    stage: int
    step: int
    values: Mapping[str, Any] = field(default_factory=dict)
    """What the stage's own state holds besides tensors."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of metrics, samples and of files of data at this point, by their path in the run folder."""
    ledger: Mapping[str, Any] = field(default_factory=dict)
    """`entries` and `head` of the book when this was written."""
    noted: Mapping[str, Any] = field(default_factory=dict)
    """What else the loop has to know: which evaluations are done."""
    milestone: bool = False
    """At the beginning or the end of a stage: kept whatever else is dropped."""
    format: int = FORMAT


@dataclass(frozen=True)
class Checkpoint:
    """One that was read and found whole."""

    folder: Path
    position: Position
    learner: Mapping[str, Tensor]
    stage: StageState


def save(root: Path, position: Position, learner: Mapping[str, Tensor], stage: StageState) -> Path:
    """Write one and return its folder; it takes the place of one of that number. UserError on a full disk."""
    final = root / f"step-{position.done:06d}"
    aside = root / f".new-{final.name}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        remove_tree(aside)
        aside.mkdir()
        _write_tensors(aside / "learner.safetensors", learner)
        if stage.tensors:
            _write_tensors(aside / "stage.safetensors", stage.tensors)
        fields = {**asdict(position), "values": dict(stage.values)}
        _write(aside / "position.json", json.dumps(fields, sort_keys=True).encode())
        digests = {path.name: hash_file(path) for path in sorted(aside.iterdir())}
        _write(aside / "digests.json", json.dumps(digests, indent=1).encode())
        sync_folder(aside)
        if final.exists():
            old = root / f".old-{final.name}"
            remove_tree(old)
            os.replace(final, old)
            os.replace(aside, final)
            remove_tree(old)
        else:
            os.replace(aside, final)
        sync_folder(root)
    except (OSError, SafetensorError) as error:
        remove_tree(aside)
        good = latest(root)
        rest = f"the last good one is {good.name}" if good is not None else "there is none yet"
        why = disk_error(error) or str(getattr(error, "strerror", None) or error).rstrip(".").lower()
        again = "run again with --resume" if good is not None else "begin again"
        raise UserError(
            f"The checkpoint {final.name} could not be written, because {why}; {rest}. Make room and {again}."
        ) from None
    return final


def load(folder: Path) -> Checkpoint:
    """Read one back, after its digests were checked. Raises UserError, naming the file that is not what was written."""
    try:
        digests = json.loads((folder / "digests.json").read_bytes())
        if not {"learner.safetensors", "position.json"} <= set(digests):  # what it does not name would not be checked
            raise UserError(f"{folder / 'digests.json'} is not the file that was written: the checkpoint is damaged.")
        for name, digest in digests.items():
            if name not in _WORDS or hash_file(folder / name) != digest:
                raise UserError(f"{folder / name} is not the file that was written: the checkpoint is damaged.")
        data = json.loads((folder / "position.json").read_bytes())
        if data.get("format") != FORMAT:
            raise UserError(f"{folder} is a checkpoint of another version of ClearSeek.")
        position = Position(**data)
        learner = safetensors.torch.load_file(folder / "learner.safetensors")
        tensors = safetensors.torch.load_file(folder / "stage.safetensors") if "stage.safetensors" in digests else {}
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        raise UserError(f"The checkpoint {folder} cannot be read: {error}.") from None
    return Checkpoint(folder, position, learner, StageState(position.values, tensors))


def recover(root: Path) -> None:
    """Put back what a kill left without its name; by whoever holds the run's lock."""
    if not root.is_dir():
        return
    asides = sorted(root.glob(".new-step-*")) + sorted(root.glob(".old-step-*"))
    for aside in asides:
        final = root / aside.name[5:]
        if final.exists():
            continue
        with contextlib.suppress(UserError):  # one that was not whole yet
            load(aside)
            os.replace(aside, final)
            sync_folder(root)


def numbers(root: Path) -> list[int]:
    """Steps that have a checkpoint, in order."""
    if not root.is_dir():
        return []
    return sorted(int(match[1]) for path in root.iterdir() if (match := _STEP.fullmatch(path.name)))


def latest(root: Path) -> Path | None:
    result = numbers(root)
    return root / f"step-{result[-1]:06d}" if result else None


def load_latest(root: Path) -> tuple[Checkpoint, list[str]]:
    """The last whole one, and what was said of later ones that are not. Raises UserError where there is none."""
    recover(root)
    messages: list[str] = []
    for number in reversed(numbers(root)):
        try:
            return load(root / f"step-{number:06d}"), messages
        except UserError as error:
            messages.append(str(error))
    raise UserError(" ".join(messages) or f"There is no checkpoint in {root} to go on from; start the run again.")


def prune(root: Path, keep: int | None) -> list[int]:
    """Drop all but the last `keep` (None: all stay) and the milestones; which were dropped. Leftovers go, too."""
    for path in root.glob(".[no][el][wd]-step-*"):
        remove_tree(path)
    if keep is None:
        return []
    dropped = []
    for number in numbers(root)[: -max(1, keep)]:
        folder = root / f"step-{number:06d}"
        try:
            milestone = json.loads((folder / "position.json").read_bytes()).get("milestone")
        except (OSError, ValueError, AttributeError):
            milestone = False
        if not milestone:
            remove_tree(folder)
            dropped.append(number)
    return dropped


def room_needed(learner: Mapping[str, Tensor]) -> int:
    """Bytes of one checkpoint of this state."""
    return sum(tensor.numel() * tensor.element_size() for tensor in learner.values()) + 65536


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def without_optimizer(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a learner that has made no step yet with these weights."""
    kept = {name: tensor for name, tensor in tensors.items() if name.partition("/")[0] in ("weights", "buffers")}
    return {**kept, "updates": torch.tensor(0, dtype=torch.int64)}


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    own: dict[int, Tensor] = {}
    for name, tensor in plain.items():  # tensors that share memory are written for themselves
        if tensor.numel() and own.setdefault(tensor.data_ptr(), tensor) is not tensor:
            plain[name] = tensor.clone()
    safetensors.torch.save_file(plain, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
