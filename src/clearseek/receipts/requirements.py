"""What can be asked of a verification: that something was really checked, and not only that nothing was wrong."""

from __future__ import annotations

from clearseek.errors import UsageError

REQUIREMENTS = (
    *("weights", "all-weights", "ledger", "signer", "checkpoints", "evaluations", "recipe", "data", "base", "parents"),
    *("code", "flops", "money", "times", "machine"),
)
"""What can be asked to have been checked in full. `weights`: one whole form of the model; `all-weights`: every file."""
ALWAYS = ("weights", "all-weights", "ledger", "signer", "recipe", "code", "times")
"""Those that every receipt promises; the others count where it names any."""
DEFAULT = ("weights", "ledger", "signer")
"""Asked for where nobody says otherwise: what somebody relies on who uses a model because of its receipt."""


def required_of(version: str | None, *, strict: bool = False) -> tuple[str, ...]:
    """What `--require` and `--strict` ask for. Raises UsageError for a word that is none."""
    if strict:
        return tuple(name for name in REQUIREMENTS if name != "weights")
    if version is None:
        return DEFAULT
    names = tuple(dict.fromkeys(name.strip().lower() for name in version.split(",") if name.strip()))
    if names == ("none",):
        return ()
    unknown = [name for name in names if name not in REQUIREMENTS]
    if unknown or not names:
        what = f"no `{unknown[0]}` that could be required" if unknown else "nothing named after --require"
        raise UsageError(f"There is {what}; say one or several of {', '.join(REQUIREMENTS)}, or none.")
    return names
