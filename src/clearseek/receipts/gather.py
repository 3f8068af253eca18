"""What a receipt says that no ledger knows: digests of files, the code, the packages, the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import cast

from clearseek import __version__
from clearseek.errors import UserError
from clearseek.ledger.canonical import canonical
from clearseek.ledger.quantity import measured, unknown
from clearseek.receipts.predicate import Code, Environment, File, Machine, QuantityJson

_BLOCK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SKIPPED = {"__pycache__", ".DS_Store"}
_VECTORS = {
    "flags": ("sse4", "avx", "fma", "f16c", "amx"),
    "Features": ("neon", "asimd", "sve", "sme", "bf16", "i8mm"),
}
"""By the line of /proc/cpuinfo, which is x86's or ARM's: `sme` is matrix tiles to ARM, encrypted memory to AMD."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex. Raises UserError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    return digest.hexdigest()


def describe(path: Path, name: str) -> File:
    """A file as in-toto's ResourceDescriptor: its name, its digest, and how long it is."""
    return {"name": name, "digest": {"sha256": sha256_of(path)}, "annotations": {"bytes": path.stat().st_size}}


def files_under(folder: Path, within: Path) -> list[File]:
    """Every file under `folder`, described with its path relative to `within`, in the order of their names."""
    if not folder.is_dir():
        return []
    results = [path for path in folder.rglob("*") if path.is_file() and path.name not in _SKIPPED]
    return [describe(path, path.relative_to(within).as_posix()) for path in sorted(results)]


def inside(folder: Path, name: str, *, links: bool = False) -> Path | None:
    """The plain file of that relative name under `folder`; None where there is none, or where it lies elsewhere.

    Names come out of strangers' receipts: none leads out of the folder. `links` follows those that lie in the folder,
    wherever they lead: whoever keeps the folder made them.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or len(name) > 1024:
        return None
    path = folder / pure
    try:
        return path if path.is_file() and (links or path.resolve().is_relative_to(folder.resolve())) else None
    except (OSError, ValueError):
        return None


NOT_CODE = ("server/static", "data/models", "data/claims", "data/chat/README.md")
"""What of the package takes no part in a run: the built page, what runs made (receipts of this very digest), public
claims to audit (in a checkout they lie elsewhere), and a page for people. Every other file counts, whatever its kind:
C++ computes norms and gradients, and examples that ship are trained on."""


def code(package: Path | None = None) -> Code:
    """ClearSeek itself: the digest is of the list of its files' paths and digests, so it is the same everywhere."""
    package = package or Path(__file__).parent.parent
    listed = [
        [path.relative_to(package).as_posix(), sha256_of(path)]
        for path in sorted(package.rglob("*"))
        if path.is_file() and not _SKIPPED & set(path.relative_to(package).parts) and _counts(path, package)
    ]
    digest = hashlib.sha256(canonical(listed)).hexdigest()
    return {"name": "clearseek", "version": __version__, "digest": {"sha256": digest}, "files": len(listed)}


def _counts(path: Path, package: Path) -> bool:
    name = path.relative_to(package).as_posix()
    return not any(name == other or name.startswith(f"{other}/") for other in NOT_CODE)


def environment() -> Environment:
    """Python and the packages that ClearSeek stands on, with their versions; no others."""
    results: dict[str, str] = {}
    waiting = ["clearseek"]
    while waiting:
        name = waiting.pop()
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue
        plain = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        if plain in results:
            continue
        results[plain] = package.version
        # of ClearSeek's own extras those that run in a run; of the others' none: they may be there by chance
        optional = ("extra ==",) if name != "clearseek" else ('extra == "dev"', 'extra == "bench"')
        for line in package.requires or ():
            if (match := _NAME.match(line)) and not any(extra in line.replace("'", '"') for extra in optional):
                waiting.append(match[0])
    return {"python": platform.python_version(), "packages": dict(sorted(results.items()))}


def machine() -> Machine:
    """What the operating system says the machine is. No host name: a receipt is for strangers."""
    try:
        import psutil

        memory = measured(psutil.virtual_memory().total, "B", "as the operating system says")
    except (ImportError, OSError):
        memory = unknown("B", "the operating system does not say")
    return {
        "system": f"{platform.system()} {platform.release()}".strip(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory": cast(QuantityJson, memory.as_json()),
        "accelerators": _accelerators(),
        "instruction_sets": instruction_sets(),
    }


def _accelerators() -> list[str]:
    """Names of the NVIDIA GPUs, as their driver gives them."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, no library: each NVML version has its own errors for that
        return []
    try:
        names = [
            pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())
        ]
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _processor() -> str:
    model_name = _cpuinfo("model name")
    return (model_name or platform.processor() or platform.machine() or "unknown").strip()[:200]


def instruction_sets() -> list[str]:
    """The vector units that the processor says it has: they decide how sums are rounded, and bound how many there can
    be in a second. Empty where the system does not say."""
    fields = {
        flag for line, starts in _VECTORS.items() for flag in (_cpuinfo(line) or "").split() if flag.startswith(starts)
    }
    return sorted(fields)


def _cpuinfo(key: str) -> str | None:
    try:
        match = re.search(rf"^{key}\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8", "replace"), re.M)
    except OSError:
        return None
    return match[1] if match else None
