"""What the processor can do."""

from __future__ import annotations

import torch


def has_bf16_units() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX-512 BF16, AMX and the like)."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
