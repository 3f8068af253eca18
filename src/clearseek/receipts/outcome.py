"""What a verification found: checks that passed, failed or could not be made, each with the field it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from clearseek.receipts.predicate import Statement
from clearseek.receipts.requirements import ALWAYS

State = Literal["ok", "failed", "not checked"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `field` is where it stands: a path in the statement such as
    `predicate.stages[1].quantities.completion_tokens`, a place in the envelope, or a file. `said` is one sentence;
    `files` are those of the receipt that it speaks of, by their names there."""

    name: str
    state: State
    field: str
    said: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that was checked. `statement` is None where the receipt could not be read; `keyid` is the signer's."""

    checks: list[Check]
    cannot_prove: list[str]
    statement: Statement | None = None
    keyid: str | None = None
    signer: str = "nobody"
    """Whose key signed: `project`, `own`, `trusted`, `unknown`; `nobody` where no signature fits."""
    public: bytes | None = None
    """The raw public key that signed."""
    whole_models: tuple[str, ...] = ()
    """Files of the receipt that are each, or together, a whole model, and are here as they should be."""

    @property
    def ok(self) -> bool:
        """Whether nothing failed. What could not be checked is in `checks`, and is not counted against it."""
        return not self.failed

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.state == "failed"]

    @property
    def skipped(self) -> list[Check]:
        return [check for check in self.checks if check.state == "not checked"]

    def missing(self, required: Sequence[str]) -> list[str]:
        """Those of `required` (names of checks, see REQUIREMENTS) that could not be checked in full, in that order.

        The weights were, where one whole form of the model was (a receipt names several: GGUF, safetensors, adapter);
        `all-weights` asks for each. What failed is not missing: see `failed`.
        """
        open_ones = {check.name.lower() for check in self.skipped}
        done = {check.name.lower() for check in self.checks if check.state == "ok"}
        wrong = {check.name.lower() for check in self.failed}
        results = []
        for name in required:
            if name == "weights":
                there = bool(self.whole_models)
            elif name == "all-weights":
                there = "weights" in done and "weights" not in open_ones
            else:
                there = name not in open_ones and (name in done or name not in ALWAYS)
            if not there and name.removeprefix("all-") not in wrong:
                results.append(name)
        return results

    def as_json(self, required: Sequence[str] = ()) -> dict[str, Any]:
        missing = self.missing(required)
        return {
            "ok": self.ok and not missing,
            "failed": sorted({check.name for check in self.failed}),
            "required": list(required),
            "missing": missing,
            "keyid": self.keyid,
            "signer": self.signer,
            "checks": [
                {"name": c.name, "state": c.state, "field": c.field, "said": c.said, "files": list(c.files)}
                for c in self.checks
            ],
            "cannot_prove": self.cannot_prove,
        }


@dataclass(slots=True)
class CheckLog:
    """Checks as they are made."""

    checks: list[Check] = field(default_factory=list)
    whole_models: list[str] = field(default_factory=list)

    def failed_ones(self) -> list[Check]:
        return [check for check in self.checks if check.state == "failed"]

    def ok(self, name: str, field: str, said: str, files: Sequence[str] = ()) -> None:
        self.checks.append(Check(name, "ok", field, said, tuple(files)))

    def failed(self, name: str, field: str, said: str, files: Sequence[str] = ()) -> None:
        self.checks.append(Check(name, "failed", field, said, tuple(files)))

    def skipped(self, name: str, field: str, said: str, files: Sequence[str] = ()) -> None:
        self.checks.append(Check(name, "not checked", field, said, tuple(files)))
