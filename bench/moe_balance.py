"""How even the load of experts becomes: a nano DeepSeek-V3 trained with and without the moving bias.

    python bench/moe_balance.py [--steps 500] [--seed 0] [--svg docs/images/moe-balance.svg]

Both arms start from the same weights and see the same batches: bytes of a short story, 16 x 64 a step, 1.2M parameters
of which 16 routed experts, two to a token, in each of three layers. Spread is how far the busiest expert is above the
mean (MaxVio of arXiv 2408.15664), averaged over layers. Prints a table, and draws the spread over the steps and each
expert's share at the end. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor
from torch.nn import functional

from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.modeling.deepseek_v3 import DeepseekV3
from clearseek.modeling.moe import Routing, load_of, loads_of, update_bias

TEXT = Path(__file__).parent / "data" / "scandal-in-bohemia.txt"
NANO = DeepseekV3Config(
    vocab_size=256,
    hidden_size=96,
    layers=4,
    heads=4,
    intermediate_size=256,
    moe_intermediate_size=64,
    q_lora_rank=None,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=16,
    routed_experts=16,
    experts_per_token=2,
    n_group=1,
    topk_group=1,
    first_dense_layers=1,
    mtp_layers=0,
)
BATCH, LENGTH = 16, 64
RATE = 0.002
"""The bias moves twice as fast as in the report: 500 steps are few."""


@dataclass(frozen=True)
class Arm:
    """What a run left: the mean spread and the loss of each step, the shares (layers, experts) and the loss on
    held-out text at the end."""

    name: str
    spread: list[float]
    losses: list[float]
    shares: list[list[float]]
    held_out: float
    held_out_spread: float
    seconds: float


def max_violation(load_E: Tensor) -> float:
    """How far the busiest expert is above the mean, as a fraction of it (MaxVio of arXiv 2408.15664, equation 4)."""
    mean = load_E.float().mean().clamp_min(1e-9)
    return float((load_E.max() - mean) / mean)


def batch_of(text_N: Tensor, seed: int) -> Tensor:
    """Windows of the text, (BATCH, LENGTH + 1)."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(text_N) - LENGTH - 1, (BATCH,), generator=generator)
    return torch.stack([text_N[start : start + LENGTH + 1] for start in starts.tolist()])


def loss_of(model: DeepseekV3, ids_BT: Tensor, routes: list[Routing]) -> Tensor:
    return functional.cross_entropy(model(ids_BT[:, :-1], routes=routes).flatten(0, 1), ids_BT[:, 1:].flatten())


def train(name: str, steps: int, seed: int, rate: float) -> Arm:
    """`rate` 0 leaves the bias alone."""
    text_N = torch.frombuffer(bytearray(TEXT.read_bytes()), dtype=torch.uint8).long()
    taught_N, held_N = text_N[: int(0.9 * len(text_N))], text_N[int(0.9 * len(text_N)) :]
    torch.manual_seed(seed)
    model = DeepseekV3(NANO)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.1)
    spread, losses, started = [], [], time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50)
        routes: list[Routing] = []
        loss = loss_of(model, batch_of(taught_N, seed * 100_003 + step), routes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loads = loads_of(routes)
        update_bias(model, loads, rate)
        spread.append(sum(map(max_violation, loads.values())) / len(loads))
        losses.append(float(loss.detach()))
    seconds = time.perf_counter() - started
    with torch.no_grad():
        totals, held = [torch.zeros(NANO.routed_experts) for _ in range(NANO.layers - NANO.first_dense_layers)], []
        for number in range(20):
            routes = []
            held.append(float(loss_of(model, batch_of(held_N, 7_000_000 + number), routes)))
            totals = [total + load_of(routing) for total, routing in zip(totals, routes, strict=True)]
    shares = [(total / total.sum()).tolist() for total in totals]
    even = sum(max_violation(total) for total in totals) / len(totals)
    return Arm(name, spread, losses, shares, sum(held) / len(held), even, seconds)


def smooth(values: list[float], over: int = 10) -> list[float]:
    return [sum(values[max(0, i - over + 1) : i + 1]) / (i + 1 - max(0, i - over + 1)) for i in range(len(values))]


def picture(arms: list[Arm]) -> str:
    """An SVG that stands alone: spread over the steps; below it, every expert's share of the last layer, sorted."""
    wide, left, right, tones = 680, 60, 540, ("#b5532a", "#2b5d8a")
    top, bottom, low, high = 40, 240, 300, 440
    most = max(max(smooth(arm.spread)) for arm in arms) * 1.05
    steps = len(arms[0].spread)
    parts = [
        f'<text x="{left}" y="24" font-weight="600">Busiest expert, above the mean load (mean of layers)</text>',
        f'<text x="{left}" y="{low - 16}" font-weight="600">Share of the load, experts of the last layer</text>',
        f'<path d="M{left} {top}V{bottom}H{right}M{left} {low}V{high}H{right}" fill="none" stroke="#888"/>',
    ]
    tick = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10) if most / step <= 6)
    for number in range(int(most / tick) + 1):
        y = bottom - number * tick / most * (bottom - top)
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * number * tick:.0f}%</text>')
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#ddd"/>')
    for number in range(6):
        x = left + number / 5 * (right - left)
        parts.append(f'<text x="{x:.0f}" y="{bottom + 16}" text-anchor="middle">{round(number / 5 * steps)}</text>')
    parts.append(f'<text x="{right + 20}" y="{bottom + 16}">step</text>')
    greatest = max(share for arm in arms for share in arm.shares[-1])
    slot = (right - left) / NANO.routed_experts
    for number, (arm, tone) in enumerate(zip(arms, tones, strict=True)):
        curve = smooth(arm.spread)
        points = " ".join(
            f"{left + i / (steps - 1) * (right - left):.1f},{bottom - v / most * (bottom - top):.1f}"
            for i, v in enumerate(curve)
        )
        end = bottom - curve[-1] / most * (bottom - top)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{tone}" stroke-width="1.5"/>')
        parts.append(f'<text x="{right + 8}" y="{end + 4:.1f}" fill="{tone}">{arm.name}</text>')
        for place, share in enumerate(sorted(arm.shares[-1], reverse=True)):
            x, tall = left + slot * (place + 0.12 + 0.38 * number), share / greatest * (high - low)
            parts.append(
                f'<rect x="{x:.1f}" y="{high - tall:.1f}" width="{0.36 * slot:.1f}" height="{tall:.1f}" fill="{tone}"/>'
            )
    even = high - 1 / NANO.routed_experts / greatest * (high - low)
    parts.append(f'<path d="M{left} {even:.1f}H{right}" stroke="#444" stroke-dasharray="4 3"/>')
    parts.append(f'<text x="{right + 8}" y="{even + 4:.1f}">even: {100 / NANO.routed_experts:.1f}%</text>')
    said = "; ".join(f"{arm.name}: {100 * smooth(arm.spread)[-1]:.0f}% after {steps} steps" for arm in arms)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} 456" width="{wide}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#222"><title>Load of experts with and without the '
        f'moving bias</title><desc>{said}</desc><rect width="{wide}" height="456" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--svg", type=Path)
    asked = parser.parse_args()
    arms = [
        train("without bias", asked.steps, asked.seed, 0.0),
        train("with bias", asked.steps, asked.seed, RATE),
    ]
    print(f"{'':14}{'spread, first':>15}{'last 50':>10}{'held-out':>10}{'loss, last 50':>15}{'held-out':>10}{'s':>7}")
    for arm in arms:
        print(
            f"{arm.name:14}{arm.spread[0]:15.2f}{mean(arm.spread[-50:]):10.2f}{arm.held_out_spread:10.2f}"
            f"{mean(arm.losses[-50:]):15.3f}{arm.held_out:10.3f}{arm.seconds:7.0f}"
        )
    if asked.svg:
        asked.svg.write_text(picture(arms), "utf-8")


if __name__ == "__main__":
    main()
