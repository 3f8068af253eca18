"""What a verification found: checks that passed, failed or could not be made, each with the field it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "failed", "not checked"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `field` is where it stands: a path in the statement such as
    `predicate.stages[1].quantities.completion_tokens`, a place in the envelope, or a file. `said` is one sentence."""

    name: str
    state: State
    field: str
    said: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that was checked. `statement` is None where the receipt could not be read; `keyid` is the signer's."""

    checks: list[Check]
    cannot_prove: list[str]
    statement: dict[str, Any] | None = None
    keyid: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed. What could not be checked is in `checks`, and is not counted against it."""
        return not self.failed

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.state == "failed"]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "keyid": self.keyid,
            "checks": [{"name": c.name, "state": c.state, "field": c.field, "said": c.said} for c in self.checks],
            "cannot_prove": self.cannot_prove,
        }


@dataclass(slots=True)
class Found:
    """Checks as they are made."""

    checks: list[Check] = field(default_factory=list)

    def failed_ones(self) -> list[Check]:
        return [check for check in self.checks if check.state == "failed"]

    def ok(self, name: str, field: str, said: str) -> None:
        self.checks.append(Check(name, "ok", field, said))

    def failed(self, name: str, field: str, said: str) -> None:
        self.checks.append(Check(name, "failed", field, said))

    def skipped(self, name: str, field: str, said: str) -> None:
        self.checks.append(Check(name, "not checked", field, said))
