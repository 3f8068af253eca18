"""`bench rollout`: batched generation for learning, against `transformers` on the same weights in the same run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from clearseek.errors import UserError

NEEDS = "Rollouts need torch: `pip install torch` (the CPU build will do), then `pip install clearseek[train]`."


def measure(
    levels: list[int], rounds: int, new_tokens: int, group: int, dtype: str | None, peers: list[str], model: str | None
) -> dict[str, Any]:
    """Run it; progress goes to stderr. `model` is a model's name, or the path of a folder or GGUF."""
    # Waiting threads that spin cost nearly all speed on a machine that does anything else (10 to 40 times, measured on
    # two cores); torch reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from clearseek.benchmarks import rollout_speed as measuring
    except ImportError as error:
        raise UserError(f"{NEEDS} ({error})") from None
    return measuring.measure(
        _weights(model),
        levels=levels,
        rounds=rounds,
        new_tokens=new_tokens,
        group_size=group,
        dtype=dtype,
        peers=peers,
        tell=lambda line: print(line, file=sys.stderr),
    )


def _weights(model: str | None) -> Path:
    if model is not None and Path(model).exists():
        return Path(model)
    from clearseek.cli.first_model import ensure_model
    from clearseek.hub.store import Store
    from clearseek.settings import home, load_settings

    settings = load_settings(model=model, port=0, host="127.0.0.1")
    store = Store(home() / "models")
    ensure_model(settings, store)
    return store.find(settings.model).path


def show(report: dict[str, Any]) -> None:
    """The report as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"{report['model']['file']}, {report['model']['parameters'] / 1e6:.1f}M parameters, {report['dtype']} on "
        f"{report['device']}, {report['threads']} threads, {report['new_tokens']} new tokens a row; medians of rounds"
    )
    table = Table("rows", "arm", "tokens/s", "clearseek is faster by", "share of a bare matrix product's speed")
    for level in report["levels"]:
        for name, rate in level["tokens_per_second"].items():
            ratio = level["ratio"].get(name)
            share = f"{level['share_of_matmul']:.0%} of {level['matmul_gflops']:.0f} GFLOP/s"
            table.add_row(
                str(level["rows"]), name, f"{rate:.0f}", f"{ratio:.2f}x" if ratio else "", "" if ratio else share
            )
    console.print(table)
