"""torch's functions of one number, called once each before anything runs side by side.

The MKL that torch brings along (oneMKL 2024.2) looks for a function's kernel when it is first called. Where two threads
make that call at once, one of them may be given the kernel of least accuracy for its part of it: cosines that are wrong
in the fourth digit, once, and never again (pytorch/pytorch#188792). Called by one thread on one number, it is found.
"""

from __future__ import annotations

import functools

import torch

NAMES = (
    "acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp", "expm1", "lgamma", "log", "log10", "log1p", "log2",
    "sin", "sqrt", "tan", "tanh",
)  # fmt: skip


@functools.cache
def make_first_calls() -> None:
    """Once a process; whatever device models are being made on, the numbers are the CPU's."""
    for dtype in (torch.float32, torch.float64):
        half = torch.full((1,), 0.5, dtype=dtype, device="cpu")
        for name in NAMES:
            getattr(torch, name)(half)
