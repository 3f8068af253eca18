"""How fast rollouts are, and `transformers` beside them on the same weights in the same run.

Every sample is exactly `new_tokens` long: no stop ids. That favours the peer, whose finished rows would wait for the
slowest, where ours are filled again. Arms take turns, and the first of a round changes.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearseek.errors import UserError
from clearseek.modeling import load_model
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.tokenizer_files import load_tokenizer
from clearseek.training.kernels.packed_product import PackedProduct, can_pack
from clearseek.training.kernels.processor import has_bf16_units
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sampling

THINGS = (
    "apples",
    "ships",
    "letters",
    "stones",
    "candles",
    "coins",
    "songs",
    "bricks",
    "maps",
    "bells",
    "nets",
    "keys",
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Arm:
    """`generate(prompts, group)` draws `group` samples of each prompt and returns how many tokens are new."""

    name: str
    generate: Callable[[Sequence[Sequence[int]], int], int]


def best_dtype() -> torch.dtype:
    """bfloat16 where this machine has units for it, float32 elsewhere: emulated, it is many times slower."""
    if torch.cuda.is_available():
        return torch.bfloat16
    return torch.bfloat16 if has_bf16_units() else torch.float32


def measure(
    weights: Path,
    *,
    levels: Sequence[int],
    rounds: int,
    new_tokens: int,
    group_size: int,
    dtype: str | None,
    peers: Sequence[str],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The report as a JSON-able dict: rates in tokens/s, each round's own, and the median of the rounds' ratios.

    Peers: "transformers", and "plain", which is our own model's forward without packing.
    """
    kind = DTYPES[dtype] if dtype else best_dtype()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tell(f"loading {weights.name} as {kind} on {device}")
    model = load_model(weights, kind, device)
    tokenizer = load_tokenizer(weights)
    arms = [_ours(model, new_tokens, "clearseek", plain=False)]
    for peer in peers:
        if peer == "plain":
            arms.append(_ours(model, new_tokens, "plain", plain=True))
        else:
            arms.append(_transformers(model, new_tokens))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    results = []
    for rows in levels:
        group = min(group_size, rows)
        prompts = [tokenizer.encode(question(number)) for number in range(max(1, rows // group))]
        rates: dict[str, list[float]] = {arm.name: [] for arm in arms}
        for arm in arms:  # once unmeasured: memory is taken, kernels are chosen
            arm.generate(prompts, group)
        for round_ in range(rounds):
            turn = round_ % len(arms)
            for arm in (*arms[turn:], *arms[:turn]):
                started = time.perf_counter()
                tokens = arm.generate(prompts, group)
                rates[arm.name].append(tokens / (time.perf_counter() - started))
                tell(f"{rows} rows, round {round_ + 1}: {arm.name} {rates[arm.name][-1]:.0f} tokens/s")
        peak = matmul_flops(model.config.hidden_size, rows, kind, device)
        ours = statistics.median(rates["clearseek"])
        results.append(
            {
                "rows": rows,
                "prompts": len(prompts),
                "prompt_tokens": sum(map(len, prompts)),
                "group": group,
                "tokens_per_second": {name: statistics.median(values) for name, values in rates.items()},
                "rounds": rates,
                "ratio": {
                    name: statistics.median(a / b for a, b in zip(rates["clearseek"], values, strict=True))
                    for name, values in rates.items()
                    if name != "clearseek"
                },
                "matmul_gflops": peak / 1e9,
                "share_of_matmul": ours * 2 * parameters / peak,
            }
        )
    return {
        "model": {"file": weights.name, "parameters": parameters},
        "dtype": str(kind).removeprefix("torch."),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "new_tokens": new_tokens,
        "levels": results,
    }


def matmul_flops(width: int, rows: int, dtype: torch.dtype, device: str) -> float:
    """FLOP/s of a product (rows, width) x (width, 32K), packed where that can be: the best of a few."""
    x, w = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, width), (32_768, width)))
    product = PackedProduct(w, None, rows, pack=can_pack(dtype, w.device))
    best = float("inf")
    with torch.inference_mode():
        for _ in range(20):
            started = time.perf_counter()
            product(x)
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
    return 2 * rows * width * 32_768 / best


def question(number: int) -> str:
    thing = THINGS[number % len(THINGS)]
    return (
        f"Question {number}: A merchant has {17 + number} boxes with {3 + number % 7} {thing} in each, and sells "
        f"{5 + number} of the {thing}. How many are left? Think step by step.\nAnswer:"
    )


def _ours(model: CausalLM, new_tokens: int, name: str, *, plain: bool) -> Arm:
    def generate(prompts: Sequence[Sequence[int]], group: int) -> int:
        how = Sampling(max_new=new_tokens)
        groups = rollout(
            model, prompts, group_size=group, sampling=how, max_rows=len(prompts) * group, kv_bytes=8 << 30, plain=plain
        )
        return sum(len(sample.ids) for samples in groups for sample in samples)

    return Arm(name, generate)


def as_transformers(model: CausalLM) -> Any:
    """The same weights, the same memory, as a model of `transformers`."""
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        raise UserError(
            "The peer is not here: `pip install transformers`, or compare with `--against plain`."
        ) from None
    transformers.logging.set_verbosity_error()
    config = transformers.AutoConfig.for_model(**model.config.to_hf())
    with torch.device("meta"):
        theirs = transformers.AutoModelForCausalLM.from_config(config)
    theirs.load_state_dict(model.state_dict(), assign=True)
    theirs.tie_weights()
    # what is computed and not loaded, such as rotary frequencies, was made on `meta` too
    device = next(iter(model.parameters())).device
    for name, module in theirs.named_modules():
        if name.endswith("rotary_emb"):
            parent, _, last = name.rpartition(".")
            setattr(theirs.get_submodule(parent), last, type(module)(config=config).to(device))
    return theirs.eval()


def _transformers(model: Any, new_tokens: int) -> Arm:
    theirs = as_transformers(model)
    device = next(iter(model.parameters())).device

    def generate(prompts: Sequence[Sequence[int]], group: int) -> int:
        width = max(map(len, prompts))
        ids_PT = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        lengths_P1 = torch.tensor([[len(prompt)] for prompt in prompts], device=device)
        mask_PT = torch.arange(width, device=device) >= width - lengths_P1
        with torch.inference_mode():
            out_BT = theirs.generate(
                input_ids=ids_PT,
                attention_mask=mask_PT.long(),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                num_return_sequences=group,
                eos_token_id=None,
                pad_token_id=0,
            )
        return int(out_BT.shape[0] * (out_BT.shape[1] - width))

    return Arm("transformers", generate)
