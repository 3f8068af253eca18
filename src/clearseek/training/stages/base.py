"""What the loop and a stage know of each other.

Nothing random outlives a step: every draw comes from a generator seeded by `seed_of(run seed, stage, step, use)`. So
the number of the next step, the weights, the optimizer and what `state` returns are all that a checkpoint holds, and
an interrupted run goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from clearseek.errors import UserError
from clearseek.ledger.meter import Meter
from clearseek.tasks.task import Task
from clearseek.training.recipe.synonyms import nearest

if TYPE_CHECKING:
    from clearseek.training.data.chat_format import ChatFormat
    from clearseek.training.update.learner import Learner


def check_asked(stage: str, wanted: Sequence[str], tasks: Sequence[Task]) -> None:
    """Raises UserError, with the nearest name, for a task that a stage asks for and the run does not have."""
    names = [task.name for task in tasks]
    for name in wanted:
        if name not in names:
            raise UserError(f"The stage {stage} asks for the task {name}; {nearest(name, names)}")


def _no_first_state() -> Mapping[str, Tensor]:
    raise UserError("The weights that this run began with are gone (checkpoints/step-000000).")


@dataclass(frozen=True)
class StageContext:
    """What a stage works with. `folder` is the run's; `tell` says one plain sentence to whoever watches."""

    learner: Learner
    chat: ChatFormat
    tasks: Sequence[Task]
    weights: Sequence[float]
    """How often each task is drawn, as shares that add up to 1."""
    meter: Meter
    seed: int
    folder: Path
    tell: Callable[[str], None]
    avoid: frozenset[str] = frozenset()
    """Digests of the problems of dev and test: no stage draws them."""
    first_state: Callable[[], Mapping[str, Tensor]] = _no_first_state
    """The learner's state that the run began with. Raises UserError where it is gone."""


@dataclass(frozen=True)
class StepReport:
    """What one step did. `numbers` are plotted; `samples` go to samples.jsonl; `warnings` are said in words.

    Names of `numbers` shared by all stages: `loss`, `lr`, `grad_norm`, `tokens_trained`, `tokens_generated`. GRPO adds
    `reward`, `accuracy`, `format`, `length`, `truncated`, `groups_that_teach`, `entropy`, `mismatch`,
    `second_verifier`, and `accuracy/TASK`. `seconds` are by the clock, of `rollout`, `verify` and `update`: all that
    differs from run to run.
    """

    numbers: Mapping[str, float]
    samples: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StageState:
    """What the next step needs besides the weights, the optimizer and its own number: JSON, and named tensors."""

    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Stage(Protocol):
    """One stage under way. Steps count from 0; `steps` is how many there are to be."""

    kind: str
    steps: int

    def step(self, number: int) -> StepReport:
        """Do one step. The loop has opened a ledger span around it; a stage opens its own inside (`rollout`,
        `verify`, `update`) and counts tokens and FLOPs there."""
        ...

    def state(self) -> StageState: ...

    def restore(self, state: StageState) -> None: ...
