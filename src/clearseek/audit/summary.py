"""The shipped claims in a line each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from clearseek.audit import library
from clearseek.audit.claim import load_claim
from clearseek.audit.examine import Examination, examine


@dataclass(frozen=True)
class Summary:
    """One claim and its verdict. `goodput` is a fraction, None where nothing gives one."""

    name: str
    title: str
    date: str | None
    scope: str
    status: str
    headline: str
    goodput: float | None
    warnings: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summary_of(examination: Examination) -> Summary:
    """The line of one examination."""
    claim, verdict = examination.claim, examination.verdict
    return Summary(
        claim.name,
        claim.title,
        claim.date.isoformat() if claim.date else None,
        claim.scope,
        verdict.status,
        verdict.headline,
        verdict.goodput.value,
        len(examination.warnings),
    )


def summaries() -> tuple[Summary, ...]:
    """All of them, newest claim last. Examined once, and again when a file changes."""
    results = [_examined(path, path.stat().st_mtime_ns) for path in sorted(library.folder().glob("*.toml"))]
    return tuple(sorted(results, key=lambda summary: (summary.date or "", summary.name)))


@lru_cache(maxsize=512)
def _examined(path: Path, changed: int) -> Summary:
    return summary_of(examine(load_claim(path), draws=0))
