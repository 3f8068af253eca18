"""C++ compiled on the machine it runs on, where there is a compiler; without one, nothing is lost but time.

The sources in `csrc/` need no headers of torch: each is compiled in a second or two, once for each version and
processor, and called through ctypes.
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
from dataclasses import dataclass
from pathlib import Path

import torch

from clearseek.settings import home

FOLDER = Path(__file__).parent / "csrc"

FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")

COMPILE_SECONDS = 120

NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}


def compiled_library(source: Path) -> ctypes.CDLL | None:
    """A source of `csrc/`, compiled and loaded; None where that cannot be done."""
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
        message = _version(compiler).decode("utf-8", "replace").split("\n", 1)[0].strip()
    except (OSError, subprocess.SubprocessError):
        return None
    target = hashlib.sha256(_processor()).hexdigest()[:16]
    return Built(message[:200], f"{' '.join(FLAGS)} ({target})")


def _compiler() -> str | None:
    return next((which for name in ("c++", "g++", "clang++") if (which := shutil.which(name))), None)


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
