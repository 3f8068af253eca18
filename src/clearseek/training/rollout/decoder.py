"""Who computes the next token's logits for every row of a rollout.

`PlainDecoder` calls the model itself, so it serves every architecture and is the meaning of the other one.
`PackedLlama` (in `llama_decoder.py`) does the same with a Llama's weights laid out for decoding.

Letters: N rows computed, P prompts, T tokens, V vocabulary, L layers, B rows of a cache, S slots.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.errors import ModelingError


class Decoder(Protocol):
    """Rows of a cache, a scratch cache in which prompts are read, and a step for the first N rows."""

    @property
    def device(self) -> torch.device: ...

    def read(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute the keys and values of these prompts; they replace what was read before. A prompt may be empty."""

    def place(self, prompt: int, rows: Sequence[int], tokens: int) -> None:
        """Copy the first `tokens` of a prompt that was read into some rows."""

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of one row to another."""

    def step(self, ids_N: Tensor, positions_N: Tensor) -> Tensor:
        """Logits (N, V) after one more token in each of the first N rows; float32 or the model's dtype."""


def cache_tensors(cache: Any) -> list[tuple[str, Tensor, int]]:
    """Every tensor of a cache that has rows and slots, with its name and the dimension that counts slots.

    Told by the letters of its name: `k_LBGSK` has layers, rows, groups, slots and values.
    """
    results = []
    for name, value in vars(cache).items():
        letters = name.rpartition("_")[2]
        if isinstance(value, Tensor) and letters[:2] == "LB" and "S" in letters and value.dim() == len(letters):
            results.append((name, value, letters.index("S")))
    if not results:
        raise ModelingError(f"A cache of the kind {type(cache).__name__} cannot be copied row by row.")
    return results


def first_rows(cache: Any, rows: int) -> Any:
    """The same cache, seen as if it had only its first rows; nothing is copied."""
    view = copy.copy(cache)
    for name, tensor, _ in cache_tensors(cache):
        setattr(view, name, tensor[:, :rows])
    return view


def copy_tokens(source: Any, source_row: int, target: Any, rows: Sequence[int], tokens: int) -> None:
    """Copy the first `tokens` slots of one row of a cache to some rows of another, in every layer."""
    if not tokens or not rows:
        return
    for (_, source_LBS, slots), (_, target_LBS, _) in zip(cache_tensors(source), cache_tensors(target), strict=True):
        piece = source_LBS[:, source_row].narrow(slots - 1, 0, tokens)
        for row in rows:
            target_LBS[:, row].narrow(slots - 1, 0, tokens).copy_(piece)


def padded(prompts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Ids (P, T), filled up on the right with id 0: what stands behind a prompt is never looked at."""
    width = max(map(len, prompts))
    return torch.tensor([[*prompt, *([0] * (width - len(prompt)))] for prompt in prompts], device=device)


class PlainDecoder:
    """The model's own forward over its own cache: weights, and LoRA where there is any, are read live."""

    def __init__(self, model: CausalLM, rows: int, length: int) -> None:
        self.model = model
        self.cache = model.new_cache(rows, length)
        self.scratch: Any = None
        self._view: Any = self.cache
        self._rows = rows

    @property
    def device(self) -> torch.device:
        return next(iter(self.model.parameters())).device

    def read(self, prompts: Sequence[Sequence[int]]) -> None:
        self.scratch = None
        if max(map(len, prompts)) == 0:
            return
        ids_PT = padded(prompts, self.device)
        self.scratch = self.model.new_cache(*ids_PT.shape)
        self.model.hidden(ids_PT, cache=self.scratch)

    def place(self, prompt: int, rows: Sequence[int], tokens: int) -> None:
        if tokens:
            copy_tokens(self.scratch, prompt, self.cache, rows, tokens)

    def move(self, source: int, target: int, tokens: int) -> None:
        copy_tokens(self.cache, source, self.cache, [target], tokens)

    def step(self, ids_N: Tensor, positions_N: Tensor) -> Tensor:
        if len(ids_N) != self._rows:
            self._rows = len(ids_N)
            self._view = first_rows(self.cache, self._rows)
        x_NTD = self.model.hidden(ids_N[:, None], cache=self._view, positions_BT=positions_N[:, None])
        return self.model.logits(x_NTD[:, 0])


def find_bad_layer(model: nn.Module, ids: Sequence[int]) -> str:
    """Name of the first module whose output is not finite on these ids; "" where every one is."""
    results: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and not bool(torch.isfinite(output).all()):
                results.append(name)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            device = next(model.parameters()).device
            model(torch.tensor([list(ids)], device=device))
    finally:
        for handle in handles:
            handle.remove()
    return results[0] if results else ""
