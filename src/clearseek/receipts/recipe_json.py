"""A recipe in a receipt: TOML as JSON."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """TOML as JSON: dates become text."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
