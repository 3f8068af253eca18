"""`bench train`: a step of learning against TRL and `transformers`, on the same weights in the same run."""

from __future__ import annotations

import os
import sys
from typing import Any

from clearseek.cli.bench_rollout import _weights
from clearseek.errors import UserError

NEEDS = "Learning needs torch: `pip install torch` (the CPU build will do), then `pip install clearseek[train]`."


def measure(
    *,
    rounds: int,
    prompts: int,
    group: int,
    tokens: int,
    examples: int,
    method: str,
    dtype: str | None,
    peers: list[str],
    model: str | None,
) -> dict[str, Any]:
    """Run it; progress goes to stderr. `model` is a model's name, or the path of a folder or GGUF."""
    # Threads that spin while they wait cost nearly all speed beside another program; torch reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from clearseek.benchmarks import train_speed
        from clearseek.benchmarks.peers import Shape
    except ImportError as error:
        raise UserError(f"{NEEDS} ({error})") from None
    return train_speed.measure(
        _weights(model),
        shape=Shape(prompts=prompts, samples=group, new_tokens=tokens, examples=examples),
        rounds=rounds,
        method=method,
        dtype=dtype,
        peers=peers,
        tell=lambda line: print(line, file=sys.stderr),
    )


def show(report: dict[str, Any]) -> None:
    """The report as tables on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"{report['model']['file']}, {report['model']['parameters'] / 1e6:.1f}M parameters, {report['method']}, "
        f"{report['dtype']} on {report['device']}, {report['threads']} threads; medians of {report['rounds']} rounds"
    )
    grpo, sft = report["grpo"], report["sft"]
    table = Table(f"{grpo['rollouts']} rollouts of at most {grpo['new_tokens']} tokens", "seconds a step", "faster by")
    for name, seconds in grpo["seconds"].items():
        ratio = grpo.get("ratio", {}).get(name)
        table.add_row(name, f"{seconds:.2f}", f"{ratio:.2f}x" if ratio else "")
    console.print(table)
    share, peak = grpo["share_of_matmul"], grpo["matmul_gflops"]
    console.print(
        f"generating {grpo['generation_seconds']:.2f} s ({share['generation']:.0%} of a bare product's "
        f"{peak['generation']:.0f} GFLOP/s), updating {grpo['update_seconds']:.2f} s ({share['update']:.0%} of "
        f"{peak['update']:.0f} GFLOP/s)"
    )
    table = Table(f"supervised, {sft['examples']} examples, {sft['tokens']} tokens", "tokens/s", "faster by")
    for name, rate in sft["tokens_per_second"].items():
        ratio = sft["ratio"].get(name)
        table.add_row(name, f"{rate:.0f}", f"{ratio:.2f}x" if ratio else "")
    console.print(table)
    console.print(f"{sft['share_of_matmul']:.0%} of a bare product's {sft['matmul_gflops']:.0f} GFLOP/s")
