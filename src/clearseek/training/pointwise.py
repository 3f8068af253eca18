"""What lies between the products of a layer, forward and backward: norms, rotary positions, SwiGLU.

Written out, because autograd would keep every intermediate and pass over memory several times more often.

Letters: N tokens, D width, F inner width, J heads, K values of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """RMSNorm over the last dimension (arXiv 1910.07467) -> its output and 1 / rms (..., 1), in float32."""
    wide = x.float()
    size = wide.shape[-1]
    rms = torch.rsqrt(torch.linalg.vecdot(wide, wide).unsqueeze(-1) / size + eps)
    return weight * (wide * rms).to(x.dtype), rms


def norm_backward(dy: Tensor, x: Tensor, rms: Tensor, weight: Tensor, *, learns: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of x, and of the weight where it learns (float32). With h = x rms and g = dy weight:
    dx = rms (g - h mean(g h))."""
    h = x.float() * rms
    g = dy.float() * weight.float()
    dweight = None
    if learns:
        dweight = (dy.float() * h).flatten(0, -2).sum(0)
    mean = torch.linalg.vecdot(g, h).unsqueeze(-1) / h.shape[-1]
    return torch.addcmul(g, h, mean, value=-1.0).mul_(rms).to(x.dtype), dweight


def rotate(x_NJK: Tensor, cos_N1K: Tensor, sin_N1K: Tensor, *, back: bool = False) -> Tensor:
    """Turn each pair (i, i + K/2) by its angle, or back by it (which is the gradient of turning)."""
    half = x_NJK.shape[-1] // 2
    first, second = x_NJK[..., :half], x_NJK[..., half:]
    cos, sin = cos_N1K[..., :half], sin_N1K[..., :half]
    out_NJK = torch.empty_like(x_NJK)
    sign = -1.0 if back else 1.0
    torch.addcmul(first * cos, second, sin, value=-sign, out=out_NJK[..., :half])
    torch.addcmul(second * cos, first, sin, value=sign, out=out_NJK[..., half:])
    return out_NJK


def swiglu(gate_up_NF2: Tensor) -> Tensor:
    """silu(gate) x up, where a row is gate and then up: (N, F)."""
    gate, up = gate_up_NF2.chunk(2, dim=-1)
    return functional.silu(gate) * up


def swiglu_backward(dy_NF: Tensor, gate_up_NF2: Tensor) -> Tensor:
    """Gradient of gate and up, (N, 2F)."""
    gate, up = gate_up_NF2.chunk(2, dim=-1)
    found = torch.empty_like(gate_up_NF2)
    dgate, dup = found.chunk(2, dim=-1)
    torch.mul(dy_NF, functional.silu(gate), out=dup)
    slope: Tensor = torch.ops.aten.silu_backward(dy_NF * up, gate)
    dgate.copy_(slope)
    return found
