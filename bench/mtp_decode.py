"""What guessing ahead is worth: a nano DeepSeek-V3 trained with an MTP module, generating with and without it.

    python bench/mtp_decode.py [--steps 300] [--tokens 200] [--temperature 1.0] [--seed 0]

Trains on bytes of a short story with both losses, then generates from held-out starts in turns: token by token, and by
speculative sampling, which has the same distribution. Says how often guesses are kept, how many tokens each pass of the
model gives, and what that is in time: a guess is worth it where a pass costs more than reading one token further and
one layer. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.modeling.deepseek_v3 import DeepseekV3
from clearseek.modeling.moe import Routing, loads_of, update_bias
from clearseek.modeling.mtp import distribution, draw, mtp_loss, speculate

TEXT = Path(__file__).parent / "data" / "scandal-in-bohemia.txt"
NANO = DeepseekV3Config(
    vocab_size=256,
    hidden_size=96,
    layers=6,
    heads=4,
    intermediate_size=256,
    moe_intermediate_size=64,
    q_lora_rank=None,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=16,
    routed_experts=8,
    experts_per_token=2,
    n_group=1,
    topk_group=1,
    first_dense_layers=1,
    mtp_layers=1,
)
BATCH, LENGTH = 16, 64


def text() -> tuple[Tensor, Tensor]:
    """What is taught and what is held out, as bytes."""
    text_N = torch.frombuffer(bytearray(TEXT.read_bytes()), dtype=torch.uint8).long()
    return text_N[: int(0.9 * len(text_N))], text_N[int(0.9 * len(text_N)) :]


def train(steps: int, seed: int) -> DeepseekV3:
    taught_N, _ = text()
    torch.manual_seed(seed)
    model = DeepseekV3(NANO)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.1)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50)
        starts = torch.randint(len(taught_N) - LENGTH, (BATCH,), generator=generator).tolist()
        ids_BT = torch.stack([taught_N[start : start + LENGTH] for start in starts])
        routes: list[Routing] = []
        x_BTD = model.hidden(ids_BT, routes=routes)
        loss = functional.cross_entropy(model.logits(x_BTD[:, :-1]).flatten(0, 1), ids_BT[:, 1:].flatten())
        ahead = mtp_loss(model, ids_BT, x_BTD, routes=routes)
        optimizer.zero_grad(set_to_none=True)
        (loss + ahead).backward()
        optimizer.step()
        update_bias(model, loads_of(routes), 0.002)
        if step % 50 == 49:
            print(f"step {step + 1}: loss {float(loss.detach()):.3f}, one further {float(ahead.detach()) / 0.3:.3f}")
    return model.eval()


@torch.no_grad()
def plain(model: DeepseekV3, prompt_T: Tensor, most: int, temperature: float, seed: int) -> Tensor:
    """Token by token, with the same sampler."""
    generator = torch.Generator().manual_seed(seed)
    cache = model.new_cache(1, len(prompt_T) + most)
    made, ids_1T = [], prompt_T[None]
    for _ in range(most):
        p_V = distribution(model.logits(model.hidden(ids_1T, cache)[0, -1:]), temperature)[0]
        ids_1T = draw(p_V, torch.rand((), generator=generator, dtype=torch.float64))[None, None]
        made.append(ids_1T[0])
    return torch.cat(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    model = train(asked.steps, asked.seed)
    _, held_N = text()
    took, kept, guessed, passes, tokens = [0.0, 0.0], 0, 0, 0, 0
    for number in range(4):
        prompt_T = held_N[number * 200 : number * 200 + 32]
        start = time.perf_counter()
        plain(model, prompt_T, asked.tokens, asked.temperature, number)
        middle = time.perf_counter()
        made = speculate(model, prompt_T, asked.tokens, temperature=asked.temperature, seed=number)
        took = [took[0] + middle - start, took[1] + time.perf_counter() - middle]
        kept, guessed, passes = kept + made.kept, guessed + made.guessed, passes + made.passes
        tokens += len(made.ids_T)
    print(f"guesses kept: {kept} of {guessed} ({100 * kept / guessed:.0f}%); tokens a pass: {tokens / passes:.2f}")
    print(
        f"token by token {tokens / took[0]:.0f} tokens/s, guessing {tokens / took[1]:.0f}: {took[0] / took[1]:.2f}x, "
        f"on {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
