"""What lies between the products of a training step, forward and backward: norms, rotary positions, SwiGLU, softmax.

Written out, because autograd would keep every intermediate and pass over memory several times more often. `TorchOps` is
the meaning and runs everywhere; `CompiledOps` in `train_ops.py` does the same in C++ where there is a compiler.

Letters: N tokens, D width, F inner width, J heads, K values of a head, G key-value heads, R heads of a group, B rows
of a block, T tokens of a row, S keys of a row (those of a prefix first), C rows of logits, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Ops(Protocol):
    """Functions whose name ends in `_` overwrite an argument; they say which."""

    def norm(self, x_ND: Tensor, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """RMSNorm (arXiv 1910.07467): its output, and 1 / rms (N, 1) in float32."""

    def norm_backward(
        self, dy_ND: Tensor, x_ND: Tensor, rms_N1: Tensor, weight_D: Tensor, base_ND: Tensor | None, *, learns: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The gradient of x, added to `base`, and that of the weight where it learns (float32)."""

    def rotate_(self, x_NJK: Tensor, turns: tuple[Tensor, Tensor], heads: int, *, back: bool = False) -> None:
        """Turn each pair (i, i + K/2) of the first heads of x, in place, by the angles whose cosines and sines are
        given (N, K) in float32; or back by them, which is the gradient of turning."""

    def swiglu(self, gate_up_NF2: Tensor) -> Tensor:
        """silu(gate) x up, where a row is gate and then up: (N, F)."""

    def swiglu_backward_(self, dy_NF: Tensor, gate_up_NF2: Tensor) -> Tensor:
        """Gradients of gate and up in their place; gives the forward output once more, (N, F)."""

    def gather(self, x_NJK: Tensor, index_BT: Tensor, groups: int) -> Tensor:
        """(G, B, R T, K): the R heads of a group one below the other, so that keys need no copies. Zeros where the
        index is negative."""

    def scatter_(self, x_GBMK: Tensor, index_BT: Tensor, out_NJK: Tensor, skip: int = 0) -> None:
        """The way back, into rows of `out`. Of each row's S = skip + T places the first `skip` are left out."""

    def seen_softmax_(self, scores_GBMS: Tensor, tokens: int, scale: float) -> Tensor:
        """softmax(scale x score) over what a token sees: it is number m mod T of its row, and sees S - T + that + 1
        keys. May overwrite the scores."""

    def seen_softmax_backward_(self, weights_GBMS: Tensor, grad_GBMS: Tensor, tokens: int, scale: float) -> Tensor:
        """The gradient of the scores. May overwrite `grad`."""

    def head_softmax_(self, logits_CV: Tensor, targets_C: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of the targets and entropies (C,) in float32, and all probabilities. May overwrite the
        logits."""


class TorchOps:
    """Everything in torch, on any device."""

    def norm(self, x_ND: Tensor, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        wide = x_ND.float()
        rms = torch.rsqrt(torch.linalg.vecdot(wide, wide).unsqueeze(-1) / wide.shape[-1] + eps)
        return weight_D * (wide * rms).to(x_ND.dtype), rms

    def norm_backward(
        self, dy_ND: Tensor, x_ND: Tensor, rms_N1: Tensor, weight_D: Tensor, base_ND: Tensor | None, *, learns: bool
    ) -> tuple[Tensor, Tensor | None]:
        # with h = x rms and g = dy weight: dx = rms (g - h mean(g h)), dweight = sum(dy h)
        h = x_ND.float() * rms_N1
        g = dy_ND.float() * weight_D.float()
        dweight = (dy_ND.float() * h).flatten(0, -2).sum(0) if learns else None
        mean = torch.linalg.vecdot(g, h).unsqueeze(-1) / h.shape[-1]
        dx = torch.addcmul(g, h, mean, value=-1.0).mul_(rms_N1)
        if base_ND is not None:
            dx += base_ND
        return dx.to(x_ND.dtype), dweight

    def rotate_(self, x_NJK: Tensor, turns: tuple[Tensor, Tensor], heads: int, *, back: bool = False) -> None:
        half = x_NJK.shape[-1] // 2
        part = x_NJK[:, :heads].float()
        swapped = torch.cat((-part[..., half:], part[..., :half]), dim=-1)
        sign = -1.0 if back else 1.0
        x_NJK[:, :heads] = part * turns[0][:, None] + swapped * turns[1][:, None] * sign

    def swiglu(self, gate_up_NF2: Tensor) -> Tensor:
        gate, up = gate_up_NF2.chunk(2, dim=-1)
        return functional.silu(gate) * up

    def swiglu_backward_(self, dy_NF: Tensor, gate_up_NF2: Tensor) -> Tensor:
        gate, up = gate_up_NF2.chunk(2, dim=-1)
        silu = functional.silu(gate)
        out = silu * up
        slope: Tensor = torch.ops.aten.silu_backward(dy_NF * up, gate)
        gate.copy_(slope)
        torch.mul(dy_NF, silu, out=up)
        return out

    def gather(self, x_NJK: Tensor, index_BT: Tensor, groups: int) -> Tensor:
        B, T = index_BT.shape
        J, K = x_NJK.shape[1:]
        masked_fill = x_NJK[index_BT.clamp(min=0).view(-1)].masked_fill_((index_BT < 0).view(-1, 1, 1), 0.0)
        return masked_fill.view(B, T, groups, J // groups, K).permute(2, 0, 3, 1, 4).reshape(groups, B, -1, K)

    def scatter_(self, x_GBMK: Tensor, index_BT: Tensor, out_NJK: Tensor, skip: int = 0) -> None:
        B, T = index_BT.shape
        G, K = x_GBMK.shape[0], x_GBMK.shape[3]
        x_GBRTK = x_GBMK.view(G, B, -1, skip + T, K)[:, :, :, skip:]
        flat = x_GBRTK.permute(1, 3, 0, 2, 4).reshape(B * T, -1, K)
        real = (index_BT >= 0).view(-1)
        out_NJK[index_BT.view(-1)[real]] = flat[real]

    def seen_softmax_(self, scores_GBMS: Tensor, tokens: int, scale: float) -> Tensor:
        G, B, M, S = scores_GBMS.shape
        hidden_TS = torch.ones(tokens, S, dtype=torch.bool, device=scores_GBMS.device).triu_(S - tokens + 1)
        scores = scores_GBMS.view(G, B, M // tokens, tokens, S).mul_(scale).masked_fill_(hidden_TS, float("-inf"))
        return scores.softmax(-1, dtype=torch.float32).to(scores_GBMS.dtype).view(G, B, M, S)

    def seen_softmax_backward_(self, weights_GBMS: Tensor, grad_GBMS: Tensor, tokens: int, scale: float) -> Tensor:
        wide, slope = weights_GBMS.float(), grad_GBMS.float()
        dot = torch.linalg.vecdot(slope, wide).unsqueeze(-1)
        change: Tensor = (slope - dot) * wide * scale
        return change.to(grad_GBMS.dtype)

    def head_softmax_(self, logits_CV: Tensor, targets_C: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        log_p_CV = torch.log_softmax(logits_CV.float() / temperature, dim=-1)
        log_probs_C = log_p_CV.gather(1, targets_C[:, None])[:, 0]
        p_CV = log_p_CV.exp()
        entropy_C = -torch.linalg.vecdot(p_CV, log_p_CV.clamp_(min=-1e4))  # 0 x -inf is 0 here
        return log_probs_C, entropy_C, p_CV.to(logits_CV.dtype)
