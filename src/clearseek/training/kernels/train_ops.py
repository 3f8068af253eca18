"""The compiled parts of a training step, where a C++ compiler is on the machine: `csrc/learn.cpp` through ctypes.

Each function checks what the C++ cannot: types, shapes, and that rows lie as it takes them to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from clearseek.training.kernels.compiler import FOLDER, NAMES, compiled_library
from clearseek.training.kernels.ops import Ops, TorchOps

LEARN = FOLDER / "learn.cpp"

_P, _I, _F = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "norm": [_P, _P, _P, _P, _I, _I, _F],
    "norm_backward": [_P, _P, _P, _P, _P, _P, _P, _I, _I],
    "rotate": [_P, _P, _P, _I, _I, _I, _I, _F],
    "swiglu": [_P, _P, _I, _I],
    "swiglu_backward": [_P, _P, _P, _I, _I],
    "gather": [_P, _P, _P, _I, _I, _I, _I, _I, _I],
    "scatter": [_P, _P, _P, _I, _I, _I, _I, _I, _I, _I],
    "seen_softmax": [_P, _I, _I, _I, _F],
    "seen_softmax_backward": [_P, _P, _I, _I, _I, _F],
    "head_softmax": [_P, _P, _P, _P, _I, _I, _F],
}


def train_ops(dtype: torch.dtype, device: torch.device, *, compiled: bool = True) -> Ops:
    """The compiled functions where they can be had (a compiler, tensors on the CPU), else torch's."""
    if compiled and device.type == "cpu" and dtype in NAMES:
        library = compiled_library(LEARN)
        if library is not None:
            return CompiledTrainOps(library, dtype)
    return TorchOps()


class CompiledTrainOps:
    """`Ops` for one dtype, on the CPU."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._calls: dict[str, Callable[..., None]] = {}
        for name, signature in _SIGNATURES.items():
            function = getattr(library, f"{name}_{NAMES[dtype]}")
            function.argtypes, function.restype = signature, None
            self._calls[name] = function

    def norm(self, x_ND: Tensor, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        self._check(x_ND, weight_D)
        N, D = x_ND.shape
        _same(weight_D.shape == (D,))
        out_ND = torch.empty_like(x_ND)
        rms_N1 = torch.empty((N, 1), dtype=torch.float32)
        self._calls["norm"](_at(x_ND), _at(weight_D), _at(out_ND), _at(rms_N1), N, D, eps)
        return out_ND, rms_N1

    def norm_backward(
        self, dy_ND: Tensor, x_ND: Tensor, rms_N1: Tensor, weight_D: Tensor, base_ND: Tensor | None, *, learns: bool
    ) -> tuple[Tensor, Tensor | None]:
        self._check(dy_ND, x_ND, weight_D, base_ND)
        N, D = x_ND.shape
        _same(dy_ND.shape == x_ND.shape and rms_N1.shape == (N, 1) and weight_D.shape == (D,))
        _same(base_ND is None or base_ND.shape == x_ND.shape)
        dx_ND = torch.empty_like(x_ND)
        threads = torch.zeros((torch.get_num_threads(), D), dtype=torch.float32) if learns else None
        base, sums = _at(base_ND), _at(threads)
        self._calls["norm_backward"](_at(dy_ND), _at(x_ND), _at(rms_N1), _at(weight_D), base, _at(dx_ND), sums, N, D)
        return dx_ND, None if threads is None else threads.sum(0)

    def rotate_(self, x_NJK: Tensor, turns: tuple[Tensor, Tensor], heads: int, *, back: bool = False) -> None:
        self._check_heads(x_NJK)
        N, J, K = x_NJK.shape
        for turn_NK in turns:
            _same(turn_NK.shape == (N, K) and turn_NK.is_contiguous() and turn_NK.dtype == torch.float32)
        _same(0 <= heads <= J)
        cos, sin = map(_at, turns)
        self._calls["rotate"](_at(x_NJK), cos, sin, N, heads, K, x_NJK.stride(0), -1.0 if back else 1.0)

    def swiglu(self, gate_up_NF2: Tensor) -> Tensor:
        self._check(gate_up_NF2)
        N, both = gate_up_NF2.shape
        out_NF = torch.empty((N, both // 2), dtype=self.dtype)
        self._calls["swiglu"](_at(gate_up_NF2), _at(out_NF), N, both // 2)
        return out_NF

    def swiglu_backward_(self, dy_NF: Tensor, gate_up_NF2: Tensor) -> Tensor:
        self._check(dy_NF, gate_up_NF2)
        N, F = dy_NF.shape
        _same(gate_up_NF2.shape == (N, 2 * F))
        out_NF = torch.empty_like(dy_NF)
        self._calls["swiglu_backward"](_at(dy_NF), _at(gate_up_NF2), _at(out_NF), N, F)
        return out_NF

    def gather(self, x_NJK: Tensor, index_BT: Tensor, groups: int) -> Tensor:
        self._check_heads(x_NJK)
        self._check_index(index_BT, len(x_NJK))
        (B, T), (_, J, K) = index_BT.shape, x_NJK.shape
        out = torch.empty((groups, B, J // groups * T, K), dtype=self.dtype)
        sizes = (groups, B, J // groups, T, K, x_NJK.stride(0))
        self._calls["gather"](_at(x_NJK), _at(index_BT), _at(out), *sizes)
        return out

    def scatter_(self, x_GBMK: Tensor, index_BT: Tensor, out_NJK: Tensor, skip: int = 0) -> None:
        self._check(x_GBMK)
        self._check_heads(out_NJK)
        self._check_index(index_BT, len(out_NJK))
        (B, T), (G, _, M, K) = index_BT.shape, x_GBMK.shape
        R = M // (skip + T)
        _same(x_GBMK.shape[1] == B and R * (skip + T) == M and out_NJK.shape[1:] == (G * R, K))
        sizes = (G, B, R, T, K, out_NJK.stride(0), skip)
        self._calls["scatter"](_at(x_GBMK), _at(index_BT), _at(out_NJK), *sizes)

    def seen_softmax_(self, scores_GBMS: Tensor, tokens: int, scale: float) -> Tensor:
        self._check(scores_GBMS)
        G, B, M, S = scores_GBMS.shape
        _same(tokens <= S and M % tokens == 0)
        self._calls["seen_softmax"](_at(scores_GBMS), G * B * M, tokens, S, scale)
        return scores_GBMS

    def seen_softmax_backward_(self, weights_GBMS: Tensor, grad_GBMS: Tensor, tokens: int, scale: float) -> Tensor:
        self._check(weights_GBMS, grad_GBMS)
        G, B, M, S = weights_GBMS.shape
        _same(grad_GBMS.shape == weights_GBMS.shape and tokens <= S and M % tokens == 0)
        self._calls["seen_softmax_backward"](_at(weights_GBMS), _at(grad_GBMS), G * B * M, tokens, S, scale)
        return grad_GBMS

    def head_softmax_(self, logits_CV: Tensor, targets_C: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        self._check(logits_CV)
        C, V = logits_CV.shape
        targets_C = targets_C.contiguous()
        self._check_index(targets_C, V)
        _same(targets_C.shape == (C,) and (not C or int(targets_C.min()) >= 0))
        empty = torch.empty((2, C), dtype=torch.float32)
        self._calls["head_softmax"](
            _at(logits_CV), _at(targets_C), _at(empty[0]), _at(empty[1]), C, V, 1.0 / temperature
        )
        return empty[0], empty[1], logits_CV

    def _check(self, *tensors: Tensor | None) -> None:
        for tensor in tensors:
            if tensor is not None:
                _same(tensor.dtype == self.dtype and tensor.is_contiguous() and tensor.device.type == "cpu")

    def _check_heads(self, x_NJK: Tensor) -> None:
        """Rows may be apart; the heads of a row lie together."""
        _same(x_NJK.dtype == self.dtype and x_NJK.stride()[1:] == (x_NJK.shape[2], 1))
        _same(x_NJK.device.type == "cpu")

    def _check_index(self, index: Tensor, rows: int) -> None:
        _same(index.dtype == torch.int64 and index.is_contiguous())
        _same(not index.numel() or int(index.max()) < rows)


def _same(fits: bool) -> None:
    if not fits:
        raise ValueError("a tensor of another type, shape or layout than these functions take")


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
