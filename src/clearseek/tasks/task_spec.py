"""What a recipe says of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class TaskSpec:
    """What a recipe's `[[tasks]]` table may say. One of `generator`, `jsonl`, `python` and `plain`; or `name` alone,
    for a task of a shipped suite."""

    name: str = ""
    """What it is called in reports; the generator's or the file's name where nothing is said."""
    generator: str = ""
    """A generator of reasoning-gym, by name."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The generator's configuration."""
    jsonl: str = ""
    """A file of problems, one JSON object a line: `prompt`, `answer`, and if you like `verifier`, `split`, `task`,
    `thinking`, `choices`, `tests`."""
    python: str = ""
    """A Python file with `make(rng, index)` and `score(problem, answer)`, and if you like `solve(problem, rng)`."""
    plain: str = ""
    """A kind of question of the suite `plain`, by name."""
    cut: str = ""
    """The generator's prompt ends where this text begins."""
    prompt: str = ""
    """A template in place of the generator's prompt: `{field}` is a field of the problem's metadata."""
    answer: str = ""
    """A template in place of the generator's reference answer."""
    suffix: str = ""
    """A line added to every prompt: what form the bare answer has."""
    verifier: str = ""
    """exact, integer, numeric, choice, list, countdown, math, code, or generator (the generator's own scorer)."""
    second: str = ""
    """A hidden second verifier, never trained on."""
    tolerance: float = 0.0
    """How far off a number may be (verifier `numeric`)."""
    expression: bool = False
    """Whether an answer that leaves arithmetic to do (`35*27` for 945) is one (verifiers `math`, `numeric`)."""
    ignore_case: bool = False
    """Whether `Yes` is `yes` (verifier `exact`)."""
    choices: tuple[str, ...] = ()
    """What there is to choose from (verifier `choice`)."""
    interpreter: Literal["monty", "cpython"] = "monty"
    """What runs programs (verifier `code`): a small interpreter of its own, or full CPython behind bubblewrap."""
    seconds: float = 5.0
    """How long one call of your Python file, or one test of a program, may take."""
    seed: int = 0
    """Other problems of the same kind; splits stay disjoint."""
    dev: float = 0.1
    """The share of a JSONL file's problems that is kept for watching the run (a line's own `split` wins)."""
    test: float = 0.1
    """The share that is kept for the end."""
    license: str = ""
    """The licence of your own problems, for the data card."""

    def __post_init__(self) -> None:
        sources = [key for key in ("generator", "jsonl", "python", "plain") if getattr(self, key)]
        if len(sources) > 1:
            raise ValueError(
                f"a task has one of `generator`, `jsonl`, `python` and `plain`, not {' and '.join(sources)}"
            )
        if not sources and not self.name:
            raise ValueError("a task needs a `generator`, a `jsonl`, a `python` file, or the `name` of a shipped task")
        if not 0 < self.seconds <= 600:
            raise ValueError("`seconds` must be between 0 and 600")
        if not 0 <= self.dev < 1 or not 0 <= self.test < 1 or self.dev + self.test >= 1:
            raise ValueError("`dev` and `test` are shares, and something must be left to train on")
        if self.tolerance < 0:
            raise ValueError("`tolerance` must not be below 0")
        if not 0 <= self.seed < 1 << 20:
            raise ValueError("`seed` must be between 0 and 1048575")

    @property
    def options(self) -> dict[str, Any]:
        """What the verifier is told besides the problem's data."""
        fields: dict[str, Any] = {"seconds": self.seconds}
        if self.tolerance:
            fields["absolute"] = self.tolerance
        if self.expression:
            fields["expression"] = True
        if self.ignore_case:
            fields["ignore_case"] = True
        if self.interpreter != "monty":
            fields["interpreter"] = self.interpreter
        if self.choices:
            fields["choices"] = list(self.choices)
        return fields
