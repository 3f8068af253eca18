"""How fast learning is, and peers beside it on the same weights in the same run.

Two things are timed. A step of reinforcement learning: a group of samples of each prompt, rewards, one update, against
TRL's GRPOTrainer. And supervised tokens a second, against forward, backward and AdamW with `transformers`. Arms take
turns: within TRL's own loop, ours runs after each of its steps. Rewards differ within every group (a hash of the sample
decides), so both sides train on every sample; the peer's weights are in the type that is computed in, which favours it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearseek.benchmarks.peers import Shape, TrlStep, peer_of, reward_of, run_trl, their_sft
from clearseek.benchmarks.rollout_speed import DTYPES, best_dtype, matmul_flops, question
from clearseek.modeling import load_model
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.modeling.tokenizer_files import load_tokenizer
from clearseek.seeds import seed_of
from clearseek.training.data.groups import Group
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sampling
from clearseek.training.score.advantages import group_advantages, per_token, token_weights
from clearseek.training.update.flops import model_sizes, rollout_flops, update_flops
from clearseek.training.update.learner import Learner, open_learner
from clearseek.training.update.losses import GrpoRule, GrpoTokens, TokenLogProbs, grpo_loss, sft_loss


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one step of reinforcement learning, and what it made."""

    seconds: float
    generation: float
    update: float
    tokens: int
    generation_flops: float
    update_flops: float


def measure(
    weights: Path,
    *,
    shape: Shape,
    rounds: int,
    method: str,
    dtype: str | None,
    peers: Sequence[str],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The report as a JSON-able dict. Peers: "trl" and "transformers"; with none, our own figures alone."""
    kind = DTYPES[dtype] if dtype else best_dtype()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tell(f"loading {weights.name}; learning in {kind} on {device.type}, {method}")
    model = load_model(weights, torch.float32, str(device))
    tokenizer = load_tokenizer(weights)
    name: Any = str(kind).removeprefix("torch.")
    how: Any = method
    learner = open_learner(model, LearnerSettings(method=how, dtype=name))
    report: dict[str, Any] = {
        "model": {"file": weights.name, "parameters": sum(weight.numel() for weight in model.parameters())},
        "method": method,
        "dtype": name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": rounds,
        "grpo": _measure_grpo(learner, tokenizer, weights, shape, rounds, "trl" in peers, tell),
        "sft": _measure_sft(learner, weights, shape, rounds, "transformers" in peers or "trl" in peers, tell),
    }
    return report


def bare_product(width: int, rows: int, dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of a plain product (rows, width) x (width, 4 width): the best of a few."""
    x, w = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, width), (4 * width, width)))
    best = float("inf")
    with torch.inference_mode():
        for _ in range(30):
            started = time.perf_counter()
            _ = x @ w.t()
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
    return 8 * rows * width * width / best


def _measure_grpo(
    learner: Learner,
    tokenizer: Tokenizer,
    weights: Path,
    shape: Shape,
    rounds: int,
    against_trl: bool,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    prompts = [question(number) for number in range(shape.prompts)]
    results: list[StepTime] = []
    theirs: list[tuple[float, int]] = []

    def ours(number: int) -> None:
        step = _grpo_step(learner, tokenizer, prompts, shape, number)
        if number:  # the first one takes memory, chooses kernels and compiles
            results.append(step)
            tell(f"grpo round {number}: clearseek {step.seconds:.2f} s, of it generating {step.generation:.2f} s")

    if against_trl:

        def after(step: TrlStep) -> None:
            if step.number:
                theirs.append((step.seconds, step.tokens))
                tell(f"grpo round {step.number}: trl {step.seconds:.2f} s")
            ours(step.number)

        def rewards(places: Sequence[int], samples: Sequence[Sequence[int]]) -> list[float]:
            return [reward_of(ids) for ids in samples]

        run_trl(learner, tokenizer, prompts * (rounds + 1), shape, rewards, after)
    else:
        for number in range(rounds + 1):
            ours(number)
    rows = shape.prompts * shape.samples
    config = learner.model.config
    peak_generation = matmul_flops(config.hidden_size, rows, learner.dtype, learner.device.type)
    peak_update = bare_product(config.hidden_size, learner.settings.micro_batch_tokens, learner.dtype, learner.device)
    report: dict[str, Any] = {
        "rollouts": rows,
        "new_tokens": shape.new_tokens,
        "seconds": {"clearseek": statistics.median(step.seconds for step in results)},
        "rounds": {"clearseek": [step.seconds for step in results]},
        "generation_seconds": statistics.median(step.generation for step in results),
        "update_seconds": statistics.median(step.update for step in results),
        "tokens": statistics.median(step.tokens for step in results),
        "matmul_gflops": {"generation": peak_generation / 1e9, "update": peak_update / 1e9},
        "share_of_matmul": {
            "generation": statistics.median(s.generation_flops / s.generation for s in results) / peak_generation,
            "update": statistics.median(s.update_flops / s.update for s in results) / peak_update,
        },
    }
    if theirs:
        report["seconds"]["trl"] = statistics.median(seconds for seconds, _ in theirs)
        report["rounds"]["trl"] = [seconds for seconds, _ in theirs]
        report["trl_tokens"] = statistics.median(tokens for _, tokens in theirs)
        pairs = zip(theirs, results, strict=True)
        report["ratio"] = {"trl": statistics.median(seconds / step.seconds for (seconds, _), step in pairs)}
    return report


def _grpo_step(learner: Learner, tokenizer: Tokenizer, prompts: Sequence[str], shape: Shape, number: int) -> StepTime:
    """A whole step: samples, rewards, advantages, one update."""
    started = time.perf_counter()
    ids = [tuple(tokenizer.encode(prompt)) for prompt in prompts]
    groups = rollout(
        learner.model,
        ids,
        group_size=shape.samples,
        sampling=Sampling(max_new=shape.new_tokens, stop_ids=tokenizer.end_ids),
        seed=seed_of("bench", number),
        max_rows=len(ids) * shape.samples,
        kv_bytes=8 << 30,
        dtype=learner.rollout_dtype,
    )
    generated = time.perf_counter()
    rewards_PS = torch.tensor([[reward_of(sample.ids) for sample in group] for group in groups])
    made = [Group(prompt, tuple(s.ids for s in group)) for prompt, group in zip(ids, groups, strict=True)]
    lengths = [len(sample.ids) for group in groups for sample in group]
    device = learner.device
    tokens = GrpoTokens(
        per_token(group_advantages(rewards_PS, divide_by_std=True).flatten(), lengths).to(device),
        token_weights(lengths, "constant", samples=len(lengths), length=shape.new_tokens).to(device),
        torch.tensor([value for group in groups for s in group for value in s.log_probs], device=device),
    )

    def loss(scored: TokenLogProbs) -> Any:
        return grpo_loss(scored, tokens, GrpoRule())

    report = learner.update(made, loss, 1e-6)
    ended = time.perf_counter()
    sizes = model_sizes(learner.model)
    return StepTime(
        ended - started,
        generated - started,
        report.seconds,
        sum(lengths),
        float(rollout_flops(sizes, made).value or 0),
        float(update_flops(sizes, made, report.tokens).value or 0),
    )


def _measure_sft(
    learner: Learner, weights: Path, shape: Shape, rounds: int, against: bool, tell: Callable[[str], None]
) -> dict[str, Any]:
    vocabulary = learner.model.config.vocab_size

    def ids(count: int, salt: int) -> tuple[int, ...]:
        return tuple(seed_of(salt, place) % vocabulary for place in range(count))

    groups = [
        Group(ids(shape.prompt_tokens, number), (ids(shape.completion_tokens, 1000 + number),))
        for number in range(shape.examples)
    ]
    total = shape.examples * (shape.prompt_tokens + shape.completion_tokens)
    scored = shape.examples * shape.completion_tokens
    weights_A = torch.full((scored,), 1.0 / scored, device=learner.device)
    flops = float(update_flops(model_sizes(learner.model), groups, total - shape.examples).value or 0)

    def ours() -> float:
        started = time.perf_counter()
        learner.update(groups, lambda scores: sft_loss(scores, weights_A), 1e-6)
        return time.perf_counter() - started

    arms: dict[str, Callable[[], float]] = {"clearseek": ours}
    if against and learner.settings.method == "full":
        arms["transformers"] = their_sft(peer_of(learner), groups, learner)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for round_ in range(rounds + 1):
        names = list(arms)
        turn = round_ % len(names)
        for name in (*names[turn:], *names[:turn]):
            took = arms[name]()
            if round_:
                seconds[name].append(took)
                tell(f"sft round {round_}: {name} {total / took:.0f} tokens/s")
    peak = bare_product(
        learner.model.config.hidden_size, learner.settings.micro_batch_tokens, learner.dtype, learner.device
    )
    ours_s = seconds["clearseek"]
    return {
        "examples": shape.examples,
        "tokens": total,
        "learned_from": scored,
        "tokens_per_second": {name: total / statistics.median(each) for name, each in seconds.items()},
        "rounds": {name: [total / one for one in each] for name, each in seconds.items()},
        "ratio": {
            name: statistics.median(a / b for a, b in zip(each, ours_s, strict=True))
            for name, each in seconds.items()
            if name != "clearseek"
        },
        "matmul_gflops": peak / 1e9,
        "share_of_matmul": flops / statistics.median(ours_s) / peak,
    }
