"""Attention over a packed micro-batch, forward and backward, as batched products grouped by key-value head.

Letters: N tokens, H heads, G key-value heads, R = H / G, K values of a head, B rows of a block, T tokens of a row,
P tokens of a prefix, Q real tokens of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clearseek.training.packing import Block


def attend(
    q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, blocks: tuple[Block, ...], *, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """softmax(q k^T / sqrt K) v for each block: (N, H, K), and the weights (G, B, R T, P + T) where they are kept."""
    mixed_NHK = torch.empty_like(q_NHK)
    kept = []
    for block in blocks:
        weights, mixed = _forward(q_NHK, k_NGK, v_NGK, block)
        _put(mixed_NHK, mixed, block)
        if keep:
            kept.append(weights)
    return mixed_NHK, kept


def attend_backward(
    grad_NHK: Tensor, q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, blocks: tuple[Block, ...], kept: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v. Blocks without a prefix come first: prefixes are added to what their rows have."""
    dq_NHK, dk_NGK, dv_NGK = torch.empty_like(q_NHK), torch.empty_like(k_NGK), torch.empty_like(v_NGK)
    scale = q_NHK.shape[-1] ** -0.5
    for block, weights_GBMS in zip(blocks, kept, strict=True):
        G, B, M, S = weights_GBMS.shape
        T = block.index_BT.shape[1]
        P = S - T
        K = q_NHK.shape[-1]
        grad_GBMK = _queries(grad_NHK, block, G)
        if not block.full:  # what stands in empty places is some other token's
            empty_BT = torch.ones(block.index_BT.numel(), dtype=torch.bool, device=grad_NHK.device)
            empty_BT[block.real_Q] = False
            grad_GBMK.view(G, B, M // T, T, K).masked_fill_(empty_BT.view(1, B, 1, T, 1), 0.0)
        q_GBMK = _queries(q_NHK, block, G)
        k_GBTK, v_GBTK = _keys(k_NGK, block), _keys(v_NGK, block)
        own_GBMT = weights_GBMS[..., P:]
        dv_GBTK = own_GBMT.transpose(-1, -2) @ grad_GBMK
        dweights = grad_GBMK @ v_GBTK.transpose(-1, -2)
        if block.prefix is not None:
            pk_GPK, pv_GPK = k_NGK[block.prefix].transpose(0, 1), v_NGK[block.prefix].transpose(0, 1)
            flat_GXK = grad_GBMK.view(G, B * M, K)
            before_GXP = weights_GBMS[..., :P].reshape(G, B * M, P)
            dv_NGK[block.prefix] += (before_GXP.transpose(1, 2) @ flat_GXK).transpose(0, 1)
            dbefore = (flat_GXK @ pv_GPK.transpose(1, 2)).view(G, B, M, P)
            dweights = torch.cat((dbefore, dweights), dim=-1)
        dscores_GBMS = _softmax_backward(weights_GBMS, dweights, scale)
        down_GBMT = dscores_GBMS[..., P:]
        dq_GBMK = down_GBMT @ k_GBTK
        dk_GBTK = down_GBMT.transpose(-1, -2) @ q_GBMK
        if block.prefix is not None:
            before_GXP = dscores_GBMS[..., :P].reshape(G, B * M, P)
            dq_GBMK += (before_GXP @ pk_GPK).view_as(dq_GBMK)
            dk_NGK[block.prefix] += (before_GXP.transpose(1, 2) @ q_GBMK.view(G, B * M, K)).transpose(0, 1)
        _put(dq_NHK, dq_GBMK, block)
        _put_keys(dk_NGK, dk_GBTK, block)
        _put_keys(dv_NGK, dv_GBTK, block)
    return dq_NHK, dk_NGK, dv_NGK


def _forward(q_NHK: Tensor, k_NGK: Tensor, v_NGK: Tensor, block: Block) -> tuple[Tensor, Tensor]:
    G = k_NGK.shape[1]
    B, T = block.index_BT.shape
    q_GBMK = _queries(q_NHK, block, G) * q_NHK.shape[-1] ** -0.5
    M, K = q_GBMK.shape[2:]
    scores = q_GBMK @ _keys(k_NGK, block).transpose(-1, -2)
    later_TT = torch.ones(T, T, dtype=torch.bool, device=scores.device).triu_(1)
    scores.view(G, B, M // T, T, T).masked_fill_(later_TT, float("-inf"))
    if block.prefix is None:
        weights_GBMS = scores.softmax(-1, dtype=torch.float32).to(v_NGK.dtype)
        return weights_GBMS, weights_GBMS @ _keys(v_NGK, block)
    prefix_GPK = k_NGK[block.prefix].transpose(0, 1)
    P = prefix_GPK.shape[1]
    before = (q_GBMK.view(G, B * M, K) @ prefix_GPK.transpose(1, 2)).view(G, B, M, P)
    weights_GBMS = torch.cat((before, scores), dim=-1).softmax(-1, dtype=torch.float32).to(v_NGK.dtype)
    mixed_GBMK = weights_GBMS[..., P:] @ _keys(v_NGK, block)
    values_GPK = v_NGK[block.prefix].transpose(0, 1)
    mixed_GBMK += (weights_GBMS[..., :P].reshape(G, B * M, P) @ values_GPK).view(G, B, M, K)
    return weights_GBMS, mixed_GBMK


def _softmax_backward(weights: Tensor, grad: Tensor, scale: float) -> Tensor:
    """scale x weights x (grad - sum(grad x weights)), in float32, back in the weights' type."""
    if weights.dtype == torch.float32:
        found: Tensor = torch._softmax_backward_data(grad, weights, -1, torch.float32)  # type: ignore[no-untyped-call]
        return found.mul_(scale)
    wide, slope = weights.float(), grad.float()
    return (wide * (slope - (slope * wide).sum(-1, keepdim=True)) * scale).to(weights.dtype)


def _queries(x_NHK: Tensor, block: Block, groups: int) -> Tensor:
    """(G, B, R T, K): the R heads of a group one below the other, so that keys are not copied."""
    B, T = block.index_BT.shape
    H, K = x_NHK.shape[1:]
    R = H // groups
    x_BTGRK = x_NHK[block.index_BT.view(-1)].view(B, T, groups, R, K)
    return x_BTGRK.permute(2, 0, 3, 1, 4).reshape(groups, B, R * T, K)


def _keys(x_NGK: Tensor, block: Block) -> Tensor:
    """(G, B, T, K)"""
    B, T = block.index_BT.shape
    G, K = x_NGK.shape[1:]
    return x_NGK[block.index_BT.view(-1)].view(B, T, G, K).permute(2, 0, 1, 3).contiguous()


def _put(target_NHK: Tensor, x_GBMK: Tensor, block: Block) -> None:
    """Write a block's rows where its tokens stand."""
    G, B, M, K = x_GBMK.shape
    T = block.index_BT.shape[1]
    x_BTGRK = x_GBMK.view(G, B, M // T, T, K).permute(1, 3, 0, 2, 4)
    flat = x_BTGRK.reshape(B * T, -1, K)
    target_NHK[block.rows_Q] = flat if block.full else flat[block.real_Q]


def _put_keys(target_NGK: Tensor, x_GBTK: Tensor, block: Block) -> None:
    G, B, T, K = x_GBTK.shape
    flat = x_GBTK.permute(1, 2, 0, 3).reshape(B * T, G, K)
    target_NGK[block.rows_Q] = flat if block.full else flat[block.real_Q]
