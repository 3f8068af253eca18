"""`clearseek bench`: benchmarks against peers, measured in the same run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from clearseek.errors import UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class Peer(StrEnum):
    bare = "bare"
    llama_cpp_python = "llama-cpp-python"
    all = "all"


@app.callback()
def _root() -> None:
    """Benchmarks against peers, measured in the same run."""


@app.command("serve")
def serve(
    against: Annotated[Peer, typer.Option("--against", help="Which peer.")] = Peer.bare,
    users: Annotated[str, typer.Option("--users", help="How many people at once, one run each.")] = "1,4,16",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="Rounds; the arms take turns in each.")] = 5,
    metering: Annotated[
        bool, typer.Option("--metering", help="Also measure our own server with its books closed.")
    ] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Our server against a bare llama.cpp server: throughput, time to the first token, memory, cached tokens."""
    import clearseek.cli.bench_serve as bench_serve

    try:
        levels = [int(part) for part in users.split(",")]
    except ValueError:
        levels = []
    if not levels or not all(1 <= level <= 64 for level in levels):
        raise UsageError(f"--users takes numbers from 1 to 64, such as 1,4,16; got {users!r}.")
    peers = [Peer.bare, Peer.llama_cpp_python] if against is Peer.all else [against]
    names = [peer.value for peer in peers] + (["unmetered"] if metering else [])
    report = bench_serve.measure(names, levels, rounds, model)
    if json_:
        import json

        print(json.dumps(report))
    else:
        bench_serve.show(report)


class RolloutPeer(StrEnum):
    transformers = "transformers"
    plain = "plain"
    all = "all"
    none = "none"


class Dtype(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


@app.command("rollout")
def rollout(
    against: Annotated[RolloutPeer, typer.Option("--against", help="Which peer.")] = RolloutPeer.transformers,
    rows: Annotated[str, typer.Option("--rows", help="How many samples at once, one run each.")] = "16,64",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="Rounds; the arms take turns in each.")] = 3,
    tokens: Annotated[int, typer.Option("--tokens", min=1, max=4096, help="New tokens a sample.")] = 64,
    group: Annotated[int, typer.Option("--group", min=1, max=1024, help="Samples of each prompt.")] = 8,
    dtype: Annotated[
        Dtype | None, typer.Option("--dtype", help="Default: bfloat16 where the machine has units for it.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model, or a folder or GGUF.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Batched generation for learning against `transformers` on the same weights. Needs the extra `train`."""
    import clearseek.cli.bench_rollout as bench_rollout

    try:
        levels = [int(part) for part in rows.split(",")]
    except ValueError:
        levels = []
    if not levels or not all(1 <= level <= 1024 for level in levels):
        raise UsageError(f"--rows takes numbers from 1 to 1024, such as 16,64; got {rows!r}.")
    peers = {RolloutPeer.all: ["transformers", "plain"], RolloutPeer.none: []}.get(against, [against.value])
    report = bench_rollout.measure(levels, rounds, tokens, group, dtype.value if dtype else None, peers, model)
    if json_:
        import json

        print(json.dumps(report))
    else:
        bench_rollout.show(report)


class TrainPeer(StrEnum):
    trl = "trl"
    transformers = "transformers"
    none = "none"


class Method(StrEnum):
    full = "full"
    lora = "lora"


@app.command("train")
def train(
    against: Annotated[
        TrainPeer, typer.Option("--against", help="Which peer; `trl` measures transformers as well.")
    ] = TrainPeer.none,
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="Rounds; the arms take turns in each.")] = 3,
    prompts: Annotated[int, typer.Option("--prompts", min=1, max=256, help="Prompts of a step.")] = 8,
    group: Annotated[int, typer.Option("--group", min=2, max=256, help="Samples of each prompt.")] = 8,
    tokens: Annotated[int, typer.Option("--tokens", min=1, max=4096, help="New tokens a sample, at most.")] = 64,
    examples: Annotated[int, typer.Option("--examples", min=1, max=1024, help="Supervised examples of a step.")] = 16,
    method: Annotated[Method, typer.Option("--method", help="All weights, or LoRA.")] = Method.full,
    dtype: Annotated[
        Dtype | None, typer.Option("--dtype", help="Default: bfloat16 where the machine has units for it.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model, or a folder or GGUF.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """A GRPO step against TRL, supervised tokens a second against `transformers`. Needs the extra `train`."""
    import clearseek.cli.bench_train as bench_train

    if method is Method.lora and against is not TrainPeer.none:
        raise UsageError("The peers are compared with in full; leave out --method lora, or --against.")
    report = bench_train.measure(
        rounds=rounds,
        prompts=prompts,
        group=group,
        tokens=tokens,
        examples=examples,
        method=method.value,
        dtype=dtype.value if dtype else None,
        peers=[] if against is TrainPeer.none else [against.value],
        model=model,
    )
    if json_:
        import json

        print(json.dumps(report))
    else:
        bench_train.show(report)
