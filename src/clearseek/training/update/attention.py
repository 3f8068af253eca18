"""Attention over a packed micro-batch, forward and backward, as batched products grouped by key-value head.

Queries, keys and values are heads of one matrix (N, H + 2 G, K), and so are their gradients.

Letters: N tokens, H heads, G key-value heads, R = H / G, K values of a head, B rows of a block, T tokens of a row,
P tokens of a prefix, S = P + T, M = R T.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clearseek.training.kernels.ops import Ops
from clearseek.training.update.batch_layout import Block


def attention_forward(
    ops: Ops, qkv_NJK: Tensor, kv_heads: int, blocks: tuple[Block, ...], *, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """softmax(q k^T / sqrt K) v for each block: (N, H, K), and the weights (G, B, M, S) where they are kept."""
    q_NHK, k_NGK, v_NGK = _parts(qkv_NJK, kv_heads)
    mixed_NHK = torch.empty(q_NHK.shape, dtype=q_NHK.dtype, device=q_NHK.device)
    kept = []
    for block in blocks:
        T = block.index_BT.shape[1]
        q_GBMK = ops.gather(q_NHK, block.index_BT, kv_heads)
        k_GBSK, v_GBSK = (ops.gather(part, block.keys_BS, kv_heads) for part in (k_NGK, v_NGK))
        weights_GBMS = ops.seen_softmax_(q_GBMK @ k_GBSK.transpose(-1, -2), T, q_NHK.shape[-1] ** -0.5)
        ops.scatter_(weights_GBMS @ v_GBSK, block.index_BT, mixed_NHK)
        if keep:
            kept.append(weights_GBMS)
    return mixed_NHK, kept


def attention_backward(
    ops: Ops, grad_NHK: Tensor, qkv_NJK: Tensor, kv_heads: int, blocks: tuple[Block, ...], kept: list[Tensor]
) -> Tensor:
    """Gradients of q, k and v, (N, H + 2 G, K). Every token is in one block; blocks without a prefix come first, so
    that prefixes are added to what their own block wrote."""
    q_NHK, k_NGK, v_NGK = _parts(qkv_NJK, kv_heads)
    found_NJK = torch.empty_like(qkv_NJK)
    dq_NHK, dk_NGK, dv_NGK = _parts(found_NJK, kv_heads)
    scale = q_NHK.shape[-1] ** -0.5
    for block, weights_GBMS in zip(blocks, kept, strict=True):
        T = block.index_BT.shape[1]
        P = weights_GBMS.shape[-1] - T
        grad_GBMK = ops.gather(grad_NHK, block.index_BT, kv_heads)
        q_GBMK = ops.gather(q_NHK, block.index_BT, kv_heads)
        k_GBSK, v_GBSK = (ops.gather(part, block.keys_BS, kv_heads) for part in (k_NGK, v_NGK))
        dv_GBSK = weights_GBMS.transpose(-1, -2) @ grad_GBMK
        dscores_GBMS = ops.seen_softmax_backward_(weights_GBMS, grad_GBMK @ v_GBSK.transpose(-1, -2), T, scale)
        dk_GBSK = dscores_GBMS.transpose(-1, -2) @ q_GBMK
        ops.scatter_(dscores_GBMS @ k_GBSK, block.index_BT, dq_NHK)
        for target_NGK, d_GBSK in ((dk_NGK, dk_GBSK), (dv_NGK, dv_GBSK)):
            ops.scatter_(d_GBSK, block.index_BT, target_NGK, P)
            if block.prefix is not None:
                target_NGK[block.prefix] += d_GBSK[:, :, :P].sum(1).transpose(0, 1)
    return found_NJK


def _parts(qkv_NJK: Tensor, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    heads = qkv_NJK.shape[1] - 2 * kv_heads
    return qkv_NJK[:, :heads], qkv_NJK[:, heads : heads + kv_heads], qkv_NJK[:, heads + kv_heads :]
