"""What the bits of a run depend on: where all of it is the same, so are they; where anything differs, they may differ.

It is noted with every checkpoint and in the receipt (`machine.arithmetic`), and `replay` compares it with what is here.
"""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch

from clearseek.receipts import gather
from clearseek.training.kernels.compiler import compiled_with
from clearseek.training.kernels.decode_ops import decode_ops
from clearseek.training.kernels.train_ops import CompiledTrainOps

if TYPE_CHECKING:
    from clearseek.training.update.learner import Learner

_SETTINGS = (
    *("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    *("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
)
"""Variables by which the libraries choose other sums."""


def arithmetic(learner: Learner) -> dict[str, Any]:
    """Of this machine, as it computes for this learner. Every value is text or a number."""
    machine = gather.machine()
    device = learner.device
    ops = getattr(learner.trainer, "ops", None)
    decode = decode_ops(learner.dtype, device)
    compiled = [name for name, there in (("update", isinstance(ops, CompiledTrainOps)), ("rollout", decode)) if there]
    built = compiled_with() if compiled else None
    return {
        "processor": machine["processor"] if device.type == "cpu" else torch.cuda.get_device_name(device),
        "instruction_sets": " ".join(gather.instruction_sets()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        **_libraries(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "threads": torch.get_num_threads(),
        "dtype": _name(learner.dtype),
        "rollout_dtype": _name(learner.rollout_dtype or learner.dtype),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "device": device.type,
        "compiled": " ".join(compiled) or "nothing",
        "compiler": built.compiler if built else "none",
        "compiler_flags": built.flags if built else "none",
        "settings": " ".join(f"{name}={os.environ[name]}" for name in _SETTINGS if os.environ.get(name)),
        "tokenizers": metadata.version("tokenizers"),
        "code": gather.code()["digest"]["sha256"],
    }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _libraries() -> dict[str, str]:
    """Versions of what torch multiplies matrices with, as it tells them."""
    show = torch.__config__.show()
    mkl = re.search(r"Math Kernel Library Version (\S+(?: Build \d+)?)", show)
    onednn = re.search(r"(?:MKL-DNN|oneDNN) (v\S+(?: \(Git Hash \w+\))?)", show)
    return {"mkl": mkl[1] if mkl else "none", "onednn": onednn[1] if onednn else "none"}
