"""FP8 weights as DeepSeek publishes them, for tests to read: the way back from `modeling.fp8_blocks.dequantise`."""

from __future__ import annotations

import torch
from torch import Tensor

from clearseek.modeling.fp8_blocks import BLOCK

LARGEST = 448.0
"""The largest number that e4m3fn holds."""


def quantise(weight_OI: Tensor, block: tuple[int, int] = BLOCK) -> tuple[Tensor, Tensor]:
    """weight (O, I) -> the FP8 weight (O, I) and its scales in fp32; a block's largest value becomes 448."""
    rows, columns = (-(-weight_OI.shape[0] // block[0]), -(-weight_OI.shape[1] // block[1]))
    wide = weight_OI.new_zeros(rows * block[0], columns * block[1], dtype=torch.float32)
    wide[: weight_OI.shape[0], : weight_OI.shape[1]] = weight_OI
    blocks_PAQB = wide.view(rows, block[0], columns, block[1])
    largest_PQ = blocks_PAQB.abs().amax((1, 3))
    scale_PQ = torch.where(largest_PQ > 0, largest_PQ / LARGEST, 1.0)
    scaled = (blocks_PAQB / scale_PQ[:, None, :, None]).view_as(wide)[: weight_OI.shape[0], : weight_OI.shape[1]]
    return scaled.clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn).contiguous(), scale_PQ
