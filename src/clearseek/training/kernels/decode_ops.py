"""The compiled parts of a decoding step, where a C++ compiler is on the machine; without one, nothing is lost but time.

`fast/decode.cpp` needs no headers of torch: it is compiled in a second or two, once for each version and processor,
kept in the state folder, and called through ctypes. It uses the OpenMP threads that torch has started.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clearseek.settings import home

FOLDER = Path(__file__).parent / "fast"
DECODE = FOLDER / "decode.cpp"
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")
COMPILE_SECONDS = 120
NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}

_P, _I, _F = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "add_norm": [_P, _P, _P, _P, _I, _I, _F],
    "rotate_store": [_P, _P, _P, _P, _P, _P, _P, _P, _I, _I, _I, _I, _I, _F],
    "attend": [_P, _P, _P, _P, _P, _P, _I, _I, _I, _I, _I],
    "swiglu": [_P, _P, _I, _I],
}


class FastOps:
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


def fast_ops(dtype: torch.dtype, device: torch.device) -> FastOps | None:
    """The compiled functions; None where they cannot be had (no compiler, no CPU tensors, another dtype)."""
    if device.type != "cpu" or dtype not in NAMES:
        return None
    library = compiled_library(DECODE)
    return None if library is None else FastOps(library, dtype)


def compiled_library(source: Path) -> ctypes.CDLL | None:
    """A source of `fast/`, compiled and loaded; None where that cannot be done."""
    return _library(source, str(home()))


@dataclass(frozen=True, slots=True)
class Built:
    """With what the library is compiled: the compiler's own words, and the flags with a digest of what
    `-march=native` means on this processor."""

    compiler: str
    flags: str


def compiled_with() -> Built | None:
    """With what `compiled_library` compiles here; None where there is no compiler."""
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        said = _version(compiler).decode("utf-8", "replace").split("\n", 1)[0].strip()
    except (OSError, subprocess.SubprocessError):
        return None
    target = hashlib.sha256(_processor()).hexdigest()[:16]
    return Built(said[:200], f"{' '.join(FLAGS)} ({target})")


def _compiler() -> str | None:
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)


def _version(compiler: str) -> bytes:
    command = [compiler, "--version"]
    return subprocess.run(command, capture_output=True, check=True, timeout=COMPILE_SECONDS).stdout


@functools.cache
def _library(source: Path, state: str) -> ctypes.CDLL | None:
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        return ctypes.CDLL(str(_built(compiler, source, Path(state) / "compiled")))
    except (OSError, subprocess.SubprocessError, AttributeError):
        return None  # a compiler without OpenMP, a full disk: the torch path does the same


def _built(compiler: str, source: Path, folder: Path) -> Path:
    """The library's file, compiled if it is not there for this source, compiler and processor."""
    version = _version(compiler)
    read = source.read_bytes() + (FOLDER / "common.h").read_bytes()
    key = hashlib.sha256(read + version + _processor() + " ".join(FLAGS).encode()).hexdigest()[:24]
    target = folder / f"{source.stem}-{key}.so"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = Path(work) / target.name
        command = [compiler, *FLAGS, "-o", str(made), str(source)]
        subprocess.run(command, capture_output=True, check=True, timeout=COMPILE_SECONDS)
        os.replace(made, target)
    return target


def _processor() -> bytes:
    """What `-march=native` depends on: a state folder may be carried to another machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        return "".join(
            sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
        ).encode()
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.node()}".encode()


def _function(library: ctypes.CDLL, name: str, dtype: torch.dtype) -> Callable[..., None]:
    function = getattr(library, f"{name}_{NAMES[dtype]}")
    function.argtypes, function.restype = _SIGNATURES[name], None
    return function  # type: ignore[no-any-return]


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
