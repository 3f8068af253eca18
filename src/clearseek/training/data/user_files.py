"""Files of your own that stages read: worked examples (`sources`) and everyday prompts (`general_file`).

They are treated as a task's files are: named from the recipe's own folder on, their content part of what decides the
weights, and carried into the run folder, so that a run stands on its own.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clearseek.hub.files import write_aside

IDENTITY_FILE, PROMPTS_FILE = "data/chat/identity.jsonl", "data/chat/prompts.jsonl"


def rename_files(settings: Any, name_of: Callable[[str], str]) -> Any:
    """A stage's settings with every file of yours under another name."""
    changed: dict[str, Any] = {}
    if hasattr(settings, "sources"):
        changed["sources"] = tuple(name_of(name) if is_file(name) else name for name in settings.sources)
    if getattr(settings, "general_file", ""):
        changed["general_file"] = name_of(settings.general_file)
    return dataclasses.replace(settings, **changed) if changed else settings


def files_of(settings: Any) -> list[str]:
    """The files of yours that a stage reads."""
    results = [name for name in getattr(settings, "sources", ()) if is_file(name)]
    return results + [name for name in (getattr(settings, "general_file", ""),) if name]


def shipped_files_of(settings: Any) -> list[str]:
    """The files of ClearSeek's package that a stage reads, by their paths in it: examples of who the model is, and the
    everyday prompts where no other file of them is named."""
    results = [IDENTITY_FILE] if "identity" in getattr(settings, "sources", ()) else []
    own = getattr(settings, "general_file", "")
    return results + ([PROMPTS_FILE] if getattr(settings, "general", 0) and not own else [])


def is_file(source: str) -> bool:
    """Whether a supervised stage's source is a file of yours, and not what an earlier stage writes."""
    return source.endswith(".jsonl")


def content_of(name: str) -> str:
    """The digest of what is in it, wherever it lies; the name, where it is not there. Of a Python file, what counts is
    what it does: comments and blank lines are no other task."""
    path = Path(name)
    if not path.is_file():
        return name
    content = path.read_bytes()
    if path.suffix == ".py":
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            content = ast.dump(ast.parse(content)).encode()
    return hashlib.sha256(content).hexdigest()


def copy_into_run(file: Path, folder: Path, into: str) -> str:
    """A copy of the file in FOLDER/INTO, and its name from FOLDER on. Another file of that name is left as it is."""
    content = file.read_bytes()
    target = folder / into / file.name
    if target.is_file() and target.resolve() != file.resolve() and target.read_bytes() != content:
        target = target.with_name(f"{hashlib.sha256(content).hexdigest()[:8]}-{file.name}")
    if target.resolve() != file.resolve():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_aside(target, content)
    return f"{into}/{target.name}"
