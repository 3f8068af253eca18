"""Signals during a run: real ones, raised at every line of what a step does between two of its weights' states."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from small_context import copying, stage_context, tiny  # noqa: E402

from clearseek.training.data.groups import Group  # noqa: E402
from clearseek.training.publish.replay import same_bits  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.rollout.rollout import rollout  # noqa: E402
from clearseek.training.rollout.slots import Sampling  # noqa: E402
from clearseek.training.run import checkpoint  # noqa: E402
from clearseek.training.run.checkpoint import Position  # noqa: E402
from clearseek.training.run.interrupts import Interrupted, Interrupts, WatchedLearner  # noqa: E402
from clearseek.training.stages.base import StageState  # noqa: E402
from clearseek.training.stages.rejection import base_model  # noqa: E402
from clearseek.training.update.learner import open_learner  # noqa: E402
from clearseek.training.update.losses import sft_loss  # noqa: E402

GROUPS = [Group((3, 4, 60), ((5, 61, 6, 62), (7, 61, 62)))]
FILES = ("learner.py", "rejection.py", "with_weights.py")


def at_line(number: int, act: Callable[[], None], do: Callable[[], Any]) -> int:
    """Do it, and call `act` at the `number`-th line executed in these files; how many lines there were."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if os.path.basename(frame.f_code.co_filename) not in FILES:
            return None
        if event == "line":
            seen += 1
            if seen == number:
                act()
        return trace

    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(None)
    return seen


def copied(learner: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in learner.state().items()}


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("what", ["reference", "base"])
def test_a_signal_at_any_line_while_other_weights_are_looked_at_leaves_the_present_ones(
    tmp_path: Path, method: Any, what: str
) -> None:
    learner = open_learner(tiny(), LearnerSettings(method=method, rank=2, dtype="float32"))
    shop = stage_context(tmp_path, [copying()], learner)
    checkpoint.save(tmp_path / "checkpoints", Position(0, 0, 0), learner.state(), StageState())
    reference = learner.keep()
    before = learner.log_probs(GROUPS).log_probs_A
    for _ in range(2):
        weights_A = torch.full((7,), 1 / 7)
        learner.update(GROUPS, lambda scores, weights_A=weights_A: sft_loss(scores, weights_A), 0.05)
    now = copied(learner)

    def look() -> None:
        with Interrupts() as guard, guard.allowed():
            watched: Any = WatchedLearner(learner, guard)
            if what == "reference":
                found = watched.log_probs(GROUPS, weights=reference).log_probs_A
                assert torch.equal(found, before)
            else:
                rollout(base_model(shop), [[3, 4, 60]], sampling=Sampling(max_new=2, temperature=0.0))

    lines = at_line(0, lambda: None, look)
    assert lines > 10
    assert same_bits(learner.state(), now)
    for number in range(1, lines + 1):
        with pytest.raises(Interrupted):
            at_line(number, lambda: os.kill(os.getpid(), signal.SIGTERM), look)
        assert same_bits(learner.state(), now), number


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_second_signal_ends_what_is_stuck(name: str) -> None:
    """Stuck in native code, which no Python handler can cut."""
    number = getattr(signal, name)
    program = (
        "import ctypes, time\n"
        "from clearseek.training.run.interrupts import Interrupts\n"
        "with Interrupts() as guard:\n"
        "    print('begun', flush=True)\n"
        "    while guard.stopping is None:\n"
        "        time.sleep(0.01)\n"
        "    print(guard.stopping, flush=True)\n"
        "    pause = ctypes.CDLL(None).pause\n"
        "    while True:\n"
        "        pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        assert process.stdout.readline() == ("Ctrl-C\n" if name == "SIGINT" else "SIGTERM\n")
        process.send_signal(number)
        assert process.wait(60) == -number
