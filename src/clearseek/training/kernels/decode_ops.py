"""The compiled parts of a decoding step, where a C++ compiler is on the machine; without one, nothing is lost but time.

`csrc/decode.cpp` needs no headers of torch: it is compiled in a second or two, once for each version and processor,
kept in the state folder, and called through ctypes. It uses the OpenMP threads that torch has started.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from clearseek.training.kernels.compiler import FOLDER, NAMES, compiled_library

DECODE = FOLDER / "decode.cpp"

_P, _I, _F = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "add_norm": [_P, _P, _P, _P, _I, _I, _F],
    "rotate_store": [_P, _P, _P, _P, _P, _P, _P, _P, _I, _I, _I, _I, _I, _F],
    "attend": [_P, _P, _P, _P, _P, _P, _I, _I, _I, _I, _I],
    "swiglu": [_P, _P, _I, _I],
}


class CompiledDecodeOps:
    """The functions for one dtype. Tensors are contiguous, on the CPU, and of that dtype unless said."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._add_norm, self._rotate_store, self._attend, self._swiglu = (
            _function(library, name, dtype) for name in _SIGNATURES
        )

    def add_norm(self, x_ND: Tensor, delta_ND: Tensor | None, weight_D: Tensor, out_ND: Tensor, eps: float) -> None:
        """x += delta, in place; out = RMSNorm(x) * weight."""
        self._check(x_ND, delta_ND, weight_D, out_ND)
        self._add_norm(_at(x_ND), _at(delta_ND), _at(weight_D), _at(out_ND), *x_ND.shape, eps)

    def rotate_store(
        self,
        qkv_NJK: Tensor,
        turns: tuple[Tensor, Tensor],
        positions_N: Tensor,
        norms: tuple[Tensor | None, Tensor | None],
        k_BGSK: Tensor,
        v_BGSK: Tensor,
        eps: float,
    ) -> None:
        """Normalise and rotate q and k in place, put k and v into the cache. `turns` are cos and sin, (N, K) float32.

        J counts the heads of q, then of k, then of v.
        """
        self._check(qkv_NJK, k_BGSK, v_BGSK, *norms)
        n, every, width = qkv_NJK.shape
        groups, slots = k_BGSK.shape[1:3]
        self._rotate_store(
            _at(qkv_NJK),
            _at(turns[0]),
            _at(turns[1]),
            _at(positions_N),
            _at(norms[0]),
            _at(norms[1]),
            _at(k_BGSK),
            _at(v_BGSK),
            *(n, every - 2 * groups, groups, width, slots),
            eps,
        )

    def attend(
        self, qkv_NJK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, positions_N: Tensor, scores: Tensor, out_NI: Tensor
    ) -> None:
        """Each row's q over its slots up to its position. `scores` is float32 scratch of N x G x (S + K)."""
        self._check(qkv_NJK, k_BGSK, v_BGSK, out_NI)
        n, every, width = qkv_NJK.shape
        groups, slots = k_BGSK.shape[1:3]
        if scores.numel() < n * groups * (slots + width):
            raise ValueError("scratch too small")
        sizes = (n, every - 2 * groups, groups, width, slots)
        self._attend(_at(qkv_NJK), _at(k_BGSK), _at(v_BGSK), _at(positions_N), _at(scores), _at(out_NI), *sizes)

    def swiglu(self, gate_up_NF: Tensor, out_NF: Tensor) -> None:
        """silu(gate) * up, where a row is gate and then up."""
        self._check(gate_up_NF, out_NF)
        self._swiglu(_at(gate_up_NF), _at(out_NF), *out_NF.shape)

    def _check(self, *tensors: Tensor | None) -> None:
        for tensor in tensors:
            if tensor is not None and (tensor.dtype != self.dtype or not tensor.is_contiguous()):
                raise ValueError("a tensor of another kind than these functions take")


def decode_ops(dtype: torch.dtype, device: torch.device) -> CompiledDecodeOps | None:
    """The compiled functions; None where they cannot be had (no compiler, no CPU tensors, another dtype)."""
    if device.type != "cpu" or dtype not in NAMES:
        return None
    library = compiled_library(DECODE)
    return None if library is None else CompiledDecodeOps(library, dtype)


def _function(library: ctypes.CDLL, name: str, dtype: torch.dtype) -> Callable[..., None]:
    function = getattr(library, f"{name}_{NAMES[dtype]}")
    function.argtypes, function.restype = _SIGNATURES[name], None
    return function  # type: ignore[no-any-return]


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
