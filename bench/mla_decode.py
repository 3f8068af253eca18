"""How fast latent attention generates, against `transformers`' DeepSeek-V3 with the same weights in the same run.

    python bench/mla_decode.py [--context 4096] [--layers 4] [--heads 16] [--rows 1 8] [--steps 8] [--device cpu]

The heads have the published widths (ranks 512, 128 + 64 and 128 values); width, layers and experts are few, so that it
fits anywhere. Both caches are filled with the same latents, then each side reads the same tokens one by one, in turns;
their logits are compared. fp32, and `transformers` with its faster attention (`sdpa`). Needs the extra `train` and
`transformers`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import transformers
from torch import Tensor

from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.modeling.deepseek_v3 import DeepseekV3


def small(layers: int, heads: int) -> DeepseekV3Config:
    return DeepseekV3Config(
        vocab_size=1024,
        hidden_size=512,
        layers=layers,
        heads=heads,
        intermediate_size=1024,
        moe_intermediate_size=256,
        q_lora_rank=256,
        routed_experts=8,
        experts_per_token=2,
        n_group=1,
        topk_group=1,
        first_dense_layers=1,
        mtp_layers=0,
        max_positions=65_536,
    )


def theirs_of(model: DeepseekV3, device: str) -> transformers.PreTrainedModel:
    """The same weights in `transformers`, where the experts of a layer are stacked."""
    config = model.config
    made = transformers.AutoConfig.for_model(**config.to_hf())
    made._attn_implementation = "sdpa"
    other = transformers.DeepseekV3ForCausalLM(made).eval()
    state = dict(model.state_dict())
    for layer in range(config.first_dense_layers, config.layers):
        at = f"model.layers.{layer}.mlp.experts"
        each = [
            [state.pop(f"{at}.{e}.{n}_proj.weight") for e in range(config.routed_experts)]
            for n in ("gate", "up", "down")
        ]
        state[f"{at}.gate_up_proj"] = torch.cat((torch.stack(each[0]), torch.stack(each[1])), dim=1)
        state[f"{at}.down_proj"] = torch.stack(each[2])
    other.load_state_dict(state, strict=True)
    return other.to(device)


def seconds(device: str, work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


@torch.no_grad()
def compare(
    model: DeepseekV3, other: transformers.PreTrainedModel, rows: int, context: int, steps: int, device: str
) -> None:
    config = model.config
    cache = model.new_cache(rows, context + steps)
    past = transformers.DynamicCache(config=other.config)
    rank = config.kv_lora_rank
    for layer in range(config.layers):
        latent_BSZ = torch.randn(rows, context, config.latent_size, device=device)
        cache.latent_LBSZ[layer, :, :context] = latent_BSZ
        pairs = latent_BSZ[..., rank:]
        halves = torch.cat((pairs[..., 0::2], pairs[..., 1::2]), dim=-1)  # they cache the rotated values in this order
        past.update(latent_BSZ[:, None, :, :rank].contiguous(), halves[:, None], layer)
    cache.filled = context
    ids_BT = torch.randint(0, config.vocab_size, (rows, steps), device=device)
    ours, theirs, worst = [], [], 0.0
    for step in range(steps):
        token_B1 = ids_BT[:, step : step + 1]
        took, mine = seconds(device, lambda token_B1=token_B1: model(token_B1, cache))
        ours.append(took)
        took, its = seconds(
            device, lambda token_B1=token_B1: other(token_B1, past_key_values=past, use_cache=True).logits
        )
        theirs.append(took)
        worst = max(worst, float((mine - its).abs().max()))
    one, two = statistics.median(ours[1:]), statistics.median(theirs[1:])
    print(
        f"{rows:5}{context:9}{1e3 * one:11.1f}{1e3 * two:15.1f}{two / one:8.1f}x"
        f"{cache.bytes / rows / cache.length:13.0f}{worst:14.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    if asked.steps < 2:
        parser.error("the first step is a warm-up: 2 steps at least")
    torch.manual_seed(0)
    config = small(asked.layers, asked.heads)
    model = DeepseekV3(config).eval()
    other = theirs_of(model, asked.device)
    model = model.to(asked.device)
    print(
        f"{asked.layers} layers, {asked.heads} heads, fp32, {asked.device}, {torch.get_num_threads()} threads; medians"
    )
    print(
        f"{'rows':>5}{'context':>9}{'ms a step':>11}{'transformers':>15}{'':>9}{'B a token':>13}{'logits differ':>14}"
    )
    for rows in asked.rows:
        compare(model, other, rows, asked.context, asked.steps, asked.device)


if __name__ == "__main__":
    main()
