"""Where the time of an update goes.

    python bench/update_parts.py MODEL [--method full] [--groups 2] [--samples 8] [--prompt 32] [--tokens 52]
                                       [--dtype float32] [--micro 1024] [--rounds 3]

MODEL is a GGUF or a Hugging Face folder. With LoRA on several threads, an update in lanes is timed in turns with one
that shares every product among them. Every part of the latter is timed by itself (a few microseconds a call); what no
part accounts for is Python and what lies between. Beside it stands the least the products could take at the speed of a
bare product of as many rows, measured in the same run. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads sleep while they wait

import torch
from clock import Clock

from clearseek.benchmarks.train_speed import bare_product
from clearseek.modeling import load_model
from clearseek.training.data.groups import Group
from clearseek.training.update import learner, trainers
from clearseek.training.update.flops import model_sizes, update_flops
from clearseek.training.update.fused_linear import FusedLinear
from clearseek.training.update.losses import sft_loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--method", default="full", choices=("full", "lora"))
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=52)
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--micro", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--give-back", action="store_true", help="leave malloc as it is: freed memory goes back")
    given = parser.parse_args()
    if given.give_back:
        learner.keep_memory = lambda: False

    model: Any = load_model(given.model, torch.float32)
    vocabulary = model.config.vocab_size

    def ids(count: int, salt: int) -> tuple[int, ...]:
        return tuple((salt * 7919 + place * 104729) % vocabulary for place in range(count))

    groups = [
        Group(ids(given.prompt, g), tuple(ids(given.tokens, g * 31 + s + 1) for s in range(given.samples)))
        for g in range(given.groups)
    ]
    scored = sum(group.scored for group in groups)
    weights_A = torch.full((scored,), 1.0 / scored)
    learns = learner.open_learner(
        model, learner.LearnerSettings(method=given.method, dtype=given.dtype, micro_batch_tokens=given.micro)
    )

    def update() -> Any:
        return learns.update(groups, lambda scores: sft_loss(scores, weights_A), 0.0)

    split = learner.worker_count(learns.device)

    def in_lanes(lanes: int) -> Any:
        learner.worker_count = lambda device: lanes
        return update()

    for lanes in (split, split, 1, 1):  # memory is taken, kernels are chosen
        in_lanes(lanes)
    lanes_took = []
    took = []
    for _ in range(given.rounds):
        lanes_took.append(in_lanes(split).seconds)
        took.append(in_lanes(1).seconds)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(given.rounds):
        in_lanes(1)
    after = resource.getrusage(resource.RUSAGE_SELF)

    clock = Clock()
    ops: Any = learns.trainer.ops
    for name in (name for name in dir(ops) if not name.startswith("_") and callable(getattr(ops, name))):
        setattr(ops, name, clock.timed(f"between products: {name}", getattr(ops, name)))
    for name in ("attend", "attend_backward"):
        setattr(trainers, name, clock.timed(f"{name}, its products", getattr(trainers, name)))
    FusedLinear.__call__ = clock.timed("products forward", FusedLinear.__call__)  # type: ignore[method-assign]
    FusedLinear.pull = clock.timed("products backward, states", FusedLinear.pull)  # type: ignore[method-assign]
    FusedLinear.learn = clock.timed("products backward, weights", FusedLinear.learn)  # type: ignore[method-assign]
    FusedLinear.refresh = clock.timed("weights taken anew", FusedLinear.refresh)  # type: ignore[method-assign]
    learner.score_head = clock.timed("output matrix and log-probabilities", learner.score_head)
    learner.pack = clock.timed("packing", learner.pack)
    learns._clip = clock.timed("norm of the gradient, clipping", learns._clip)  # type: ignore[method-assign]
    learns.optimizer.step = clock.timed("AdamW", learns.optimizer.step)  # type: ignore[method-assign]
    report = update()
    flops = float(update_flops(model_sizes(model), groups, report.tokens).value or 0)
    peak = bare_product(model.config.hidden_size, min(given.micro, report.tokens), learns.dtype, learns.device)
    whole = statistics.median(took)
    print(
        f"{report.tokens} tokens computed, {scored} learned from, {report.micro_batches} micro-batches, "
        f"{given.method}, {learns.dtype}: {whole:.2f} s "
        f"(median of {given.rounds}), {scored / whole:.0f} completion tokens/s"
    )
    print(
        f"{flops / 1e9:.0f} GFLOP; a bare product runs at {peak / 1e9:.0f} GFLOP/s: at least {flops / peak:.2f} s, "
        f"{flops / peak / whole:.0%} of it reached"
    )
    lanes_whole = statistics.median(lanes_took)
    print(
        f"in {split} lanes {lanes_whole:.2f} s, {scored / lanes_whole:.0f} completion tokens/s, "
        f"{flops / peak / lanes_whole:.0%}"
    )
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    faults = (after.ru_minflt - before.ru_minflt) // given.rounds
    print(
        f"an update took {user / given.rounds:.2f} s of CPU time, the system {system / given.rounds:.2f} s beside, for "
        f"{faults:,} page faults; at most {after.ru_maxrss / 1024:,.0f} MB"
    )
    for name, seconds in sorted(clock.seconds.items(), key=lambda one: -one[1]):
        print(f"{seconds:7.3f} s {seconds / report.seconds:6.1%}  {name}")
    rest = report.seconds - sum(clock.seconds.values())
    print(f"{rest:7.3f} s {rest / report.seconds:6.1%}  the rest: residuals, gathering, Python")


if __name__ == "__main__":
    main()
