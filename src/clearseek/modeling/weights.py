"""What a checkpoint offers, whatever its format: tensors under Hugging Face's names, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from torch import Tensor

from clearseek.modeling.hf_config import AnyConfig


@dataclass(frozen=True, slots=True)
class Weights:
    """A checkpoint that is open.

    `shapes` and `files` say of each tensor how large it is and which file holds it; `read` gives one of them, in the
    type it has there (float32 where it was quantised), not shared with the file. `spare` are tensors that may be
    there and are not needed. `where` names the checkpoint in sentences.
    """

    config: AnyConfig
    shapes: Mapping[str, tuple[int, ...]]
    files: Mapping[str, str]
    read: Callable[[str], Tensor]
    where: str
    spare: frozenset[str] = frozenset()


def available_memory() -> int:
    """Bytes that this process may still take without swapping: the machine's, or the control group's if less."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, int(limit) - used) if limit.isdigit() else free


def listed(names: list[str], most: int = 6) -> str:
    """Names for a sentence, the first few of many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
