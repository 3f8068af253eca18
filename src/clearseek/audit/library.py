"""The claims that come with ClearSeek: in the package where it is installed, in `claims/` in a checkout."""

from __future__ import annotations

import difflib
from pathlib import Path

from clearseek.errors import UsageError

_PACKAGE = Path(__file__).parent.parent


def folder() -> Path:
    """Where they lie."""
    installed = _PACKAGE / "data" / "claims"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "claims"


def names() -> tuple[str, ...]:
    """Their names, in order."""
    return tuple(sorted(path.stem for path in folder().glob("*.toml")))


def path_of(name: str) -> Path:
    """The file of one. Raises UsageError, with the near ones, for a name that is not there."""
    if name in names():
        return folder() / f"{name}.toml"
    near = difflib.get_close_matches(name.lower(), names(), n=3, cutoff=0.4)
    raise UsageError(
        f"There is no claim `{name[:80]}`"
        + (f"; near ones are {', '.join(near)}." if near else "; `clearseek audit` lists those there are.")
    )
