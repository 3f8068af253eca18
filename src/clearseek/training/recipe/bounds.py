"""What a stage's numbers must lie between; a BadKey says which does not, so that its line can be told."""

from __future__ import annotations

from typing import Any

from clearseek.toml_tables import BadKey


def at_least(settings: Any, least: float, *keys: str, why: str = "") -> None:
    """Raises BadKey for the first of these that is smaller."""
    for key in keys:
        value = getattr(settings, key)
        if value < least:
            raise BadKey(key, f"`{key}` of the stage {settings.name} is {value}, and must be at least {least}{why}.")


def between(settings: Any, low: float, high: float, *keys: str, why: str = "") -> None:
    """Raises BadKey for the first of these that lies outside."""
    for key in keys:
        value = getattr(settings, key)
        if not low <= value <= high:
            raise BadKey(
                key, f"`{key}` of the stage {settings.name} is {value}, and must lie between {low} and {high}{why}."
            )


def above_zero(settings: Any, *keys: str) -> None:
    """Raises BadKey for the first of these that is not."""
    for key in keys:
        value = getattr(settings, key)
        if value <= 0:
            raise BadKey(key, f"`{key}` of the stage {settings.name} is {value}, and must be above 0.")
