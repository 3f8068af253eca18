"""The dated tables in `clearseek/data/`: read once, each row with its source."""

from __future__ import annotations

import functools
import tomllib
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any

PROVENANCE = {
    "P": "original document read",
    "C": "the original's words, in somebody's copy",
    "S": "press, an analyst, or a third party's list",
    "E": "a third party's estimate",
    "D": "derived",
    "R": "recalled, not looked up: never used as a test oracle",
}
"""What the letters in a row's `provenance` mean."""


@functools.cache
def read_table(name: str) -> dict[str, Any]:
    """The contents of `clearseek/data/<name>.toml`."""
    return tomllib.loads(resources.files("clearseek").joinpath("data", f"{name}.toml").read_text("utf-8"))


def moment(given: date | datetime | None) -> datetime | None:
    """A row's `from` or `to`: a time with a zone as it is, a plain day as its first moment in UTC, None as None."""
    if given is None or isinstance(given, datetime):
        return given
    return datetime(given.year, given.month, given.day, tzinfo=UTC)
