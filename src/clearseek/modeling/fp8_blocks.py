"""Weights in FP8 with a scale per block, as DeepSeek-V3 is published (its README_WEIGHTS, section "FP8 weights").

A weight (out, in) in `float8_e4m3fn` has beside it `<name>_scale_inv` (ceil(out / 128), ceil(in / 128)) in fp32; the
true weight is each block times its scale. Blocks at the right and lower edge may be smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from clearseek.modeling.errors import ModelingError

BLOCK = (128, 128)
SUFFIX = "_scale_inv"


def scale_name(name: str) -> str:
    """`...weight` -> `...weight_scale_inv`."""
    return name + SUFFIX


def is_scale(name: str, names: Collection[str]) -> bool:
    """Whether a tensor of a checkpoint is the scale of another one in it, and so no weight of its own."""
    return name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in names


def read_weight(
    name: str, names: Collection[str], get: Callable[[str], Tensor], block: tuple[int, int] = BLOCK
) -> Tensor:
    """One tensor of a checkpoint, dequantised to fp32 where it is in FP8 blocks, else as it is.

    `names` are the checkpoint's tensors, and `get` reads one of them, so that at most one weight and its scale are in
    memory. Raises ModelingError for FP8 without scales, and for scales that do not fit.
    """
    tensor = get(name)
    scale = scale_name(name)
    if scale in names:
        return dequantise(tensor, get(scale), block, name=name)
    if tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        raise ModelingError(f"The tensor {name} is in FP8, but its scales {scale} are missing.")
    return tensor


def dequantise(
    weight_OI: Tensor,
    scale_PQ: Tensor,
    block: tuple[int, int] = BLOCK,
    *,
    dtype: torch.dtype = torch.float32,
    name: str = "weight",
) -> Tensor:
    """weight (O, I) in FP8 x scale (ceil(O / block), ceil(I / block)) -> (O, I) in `dtype`."""
    if weight_OI.dtype != torch.float8_e4m3fn:
        raise ModelingError(f"The tensor {name} has scales, but is in {weight_OI.dtype} and not in FP8 (e4m3fn).")
    if min(block) < 1 or weight_OI.ndim != 2 or tuple(scale_PQ.shape) != _blocks(weight_OI.shape, block):
        raise ModelingError(
            f"The scales of {name} have the shape {tuple(scale_PQ.shape)}, which does not fit a weight of "
            f"{tuple(weight_OI.shape)} in blocks of {block[0]} x {block[1]}."
        )
    out = weight_OI.float()
    scale_PI = scale_PQ.float().repeat_interleave(block[1], 1)[:, : out.shape[1]]
    for row, scale_I in enumerate(scale_PI):  # a row of blocks at a time: no full-size copy of the scales
        out[row * block[0] : (row + 1) * block[0]] *= scale_I
    return out.to(dtype)


def _blocks(shape: torch.Size, block: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // block[0]), -(-shape[1] // block[1])
