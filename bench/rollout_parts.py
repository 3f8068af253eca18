"""Where the time of a rollout goes, and how near its log-probabilities are to those of a training forward.

    python bench/rollout_parts.py MODEL [--rows 64] [--tokens 32] [--group 8] [--dtype float32] [--score 16]

MODEL is a GGUF or a Hugging Face folder. The rollout is timed as it is, in lanes, and then once more in one lane
with every part of a step timed by itself (which costs a few microseconds a call), reading the prompts and packing the
weights as well; what no part accounts for is Python and what lies between.
Beside it stands the least that the products could take: 2 FLOP for each parameter and token, at the speed of a bare
product of the same number of rows measured in the same run. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads sleep while they wait

import torch
from clock import Clock

from clearseek.benchmarks.rollout_speed import matmul_flops, question
from clearseek.modeling import load_model
from clearseek.modeling.tokenizer_files import load_tokenizer
from clearseek.training.kernels.decode_ops import CompiledDecodeOps
from clearseek.training.kernels.packed_product import PackedProduct
from clearseek.training.rollout import llama_decoder
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sampling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--score", type=int, default=16, help="samples whose log-probabilities are computed again")
    given = parser.parse_args()

    dtype = getattr(torch, given.dtype)
    model = load_model(given.model, dtype)
    parameters = sum(weight.numel() for weight in model.parameters())
    config: Any = model.config
    width = int(config.hidden_size)
    tokenizer = load_tokenizer(given.model)
    prompts = [tokenizer.encode(question(number)) for number in range(given.rows // given.group)]
    sampling = Sampling(max_new=given.tokens)
    rollout.rollout(model, prompts[:1], group_size=2, sampling=Sampling(max_new=2))  # compiles, and warms up

    def run() -> tuple[Any, float]:
        started = time.perf_counter()
        groups = rollout.rollout(
            model, prompts, group_size=given.group, sampling=sampling, max_rows=given.rows, kv_bytes=8 << 30
        )
        return groups, time.perf_counter() - started

    groups, in_lanes = run()
    vars(rollout)["lanes_here"] = lambda device: 1  # parts of two lanes at once could not be told apart

    clock = Clock()
    names: dict[int, str] = {}
    pack, step, read = llama_decoder._pack, llama_decoder.LlamaDecoder.step, llama_decoder.LlamaDecoder.read
    product = PackedProduct.__call__

    def named_pack(*arguments: Any) -> Any:
        layer = pack(*arguments)
        names.update({id(layer.qkv): "q, k, v", id(layer.o): "o"})
        names.update({id(layer.gate_up): "gate, up", id(layer.down): "down"})
        return layer

    def named_product(self: PackedProduct, x: torch.Tensor) -> torch.Tensor:
        name = names.get(id(self), "output matrix")
        found: torch.Tensor = clock.timed(f"product: {name}", product)(self, x)
        return found

    llama_decoder._pack = clock.timed("packing the weights", named_pack)
    llama_decoder.LlamaDecoder.read = clock.timed("reading prompts, outside products", read)  # type: ignore[method-assign]
    llama_decoder.LlamaDecoder.step = clock.timed("step, outside its parts", step)  # type: ignore[method-assign]
    PackedProduct.__call__ = named_product  # type: ignore[method-assign]
    for part in ("add_norm", "rotate_store", "attend", "swiglu"):
        setattr(CompiledDecodeOps, part, clock.timed(f"compiled: {part}", getattr(CompiledDecodeOps, part)))
    vars(rollout)["draw"] = clock.timed("drawing tokens", vars(rollout)["draw"])

    _, whole = run()
    tokens = sum(len(sample.ids) for group in groups for sample in group)
    PackedProduct.__call__ = product  # type: ignore[method-assign]
    peak = matmul_flops(width, given.rows, dtype, "cpu")

    print(f"{tokens} tokens in {in_lanes:.2f} s: {tokens / in_lanes:.0f} tokens/s, {given.rows} rows, {given.dtype}")
    print(f"{2 * parameters * tokens / peak:7.2f} s  least for the products, at {peak / 1e9:.0f} GFLOP/s")
    print(f"{whole:7.2f} s  in one lane, each part timed, of it:")
    for name, seconds in sorted(clock.seconds.items(), key=lambda one: -one[1]):
        print(f"{seconds:7.2f} s {seconds / whole:6.1%}  {name}")
    rest = whole - sum(clock.seconds.values())
    print(f"{rest:7.2f} s {rest / whole:6.1%}  the rest: Python, bookkeeping")

    differences = []
    with torch.no_grad():
        for prompt, group in zip(prompts, groups, strict=True):
            again = rollout.score(model, prompt, group, sampling)
            differences += [
                abs(drawn - scored)
                for sample, scores in zip(group, again, strict=True)
                for drawn, scored in zip(sample.log_probs, scores.tolist(), strict=True)
            ]
            if len(differences) >= given.score * given.tokens:
                break
    mean = sum(differences) / len(differences)
    print(f"log-probabilities against a training forward: mean {mean:.2e}, most {max(differences):.2e} nats")


if __name__ == "__main__":
    main()
