"""The most that a processor can have computed, from what the operating system said it is: a bound, never a speed.

Cores x clock x what the widest vector or matrix unit does in a cycle. Every factor is generous: the bound is there to
find what is impossible, and must never call an honest run that. Clocks are above any that was sold; units are counted
at their narrowest type that a model is trained in (bfloat16), unless the run says that it computed in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearseek.errors import UsageError
from clearseek.ledger import hardware
from clearseek.ledger.quantity import Quantity, declared, unknown

SERVER_HZ, ANY_HZ = 5.2e9, 6.5e9
"""Above the highest boost clock of any EPYC or Xeon, and of any processor at all."""
_SERVER = ("EPYC", "Xeon")
_UNITS: tuple[tuple[tuple[str, ...], float, float, str], ...] = (
    (("amx",), 2048.0, 64.0, "AMX tiles"),
    (("sme",), 2048.0, 512.0, "SME tiles"),
    (("avx512_bf16",), 128.0, 64.0, "two 512-bit units"),
    (("avx512",), 64.0, 64.0, "two 512-bit units"),
    (("avx", "fma"), 32.0, 32.0, "two 256-bit units"),
    (("sve",), 256.0, 128.0, "SVE units"),
    (("asimd", "neon"), 128.0, 32.0, "four 128-bit units"),
    (("sse",), 16.0, 16.0, "two 128-bit units"),
)
"""By the start of a flag: FLOP in a cycle and core in bfloat16, in float32, and what it is. The first that fits."""
_UNKNOWN = (2048.0, 512.0, "any unit that was ever sold, as it is not said which there are")
_AMD = (128.0, 64.0, "two 512-bit units, the widest of any AMD")


def most_flops(machine: Mapping[str, Any], dtype: str | None = None) -> Quantity:
    """FLOP/s that `machine` (as a receipt describes it) cannot exceed: its accelerators where it has any, else its
    processors; unknown for accelerators that the table of chips does not have. `dtype`: what was computed in, where the
    run says so: "float32" bounds more closely."""
    if machine.get("accelerators"):
        return _accelerated(machine["accelerators"])
    cores = machine.get("cores")
    if not isinstance(cores, int) or cores < 1:
        return unknown("FLOP/s", "the machine does not say how many cores it has")
    name = str(machine.get("processor", ""))
    hertz = SERVER_HZ if any(word in name for word in _SERVER) else ANY_HZ
    flags = machine.get("instruction_sets")  # no rule says what this is: anything but a list of names says nothing
    short, full, unit = _unit(flags if isinstance(flags, list) else (), name)
    each = full if dtype == "float32" else short
    kind = "float32" if dtype == "float32" else "bfloat16"
    how = f"at most: {cores} cores x {hertz / 1e9:.1f} GHz x {each:.0f} FLOP a cycle ({unit}, {kind})"
    return declared(cores * hertz * each, "FLOP/s", how)


def _accelerated(names: Sequence[Any]) -> Quantity:
    """Every accelerator at the dense peak of its narrowest type, doubled: vendors call a sparse matrix dense, too."""
    total = 0.0
    for name in names:
        try:
            chips: tuple[hardware.Chip, ...] = (hardware.find(str(name)),)
        except hardware.AmbiguousChip as error:
            chips = error.candidates
        except UsageError:
            return unknown("FLOP/s", f"the peak of {str(name)[:80]} is not in the table of chips")
        total += 2 * max(peak for chip in chips for peak in chip.dense_tflops.values()) * 1e12
    return declared(total, "FLOP/s", f"at most: twice the highest dense peaks of {len(names)} accelerators")


def _unit(flags: Sequence[Any], name: str) -> tuple[float, float, str]:
    names = [flag for flag in flags if isinstance(flag, str)]
    if not names:
        return _AMD if "AMD" in name or "EPYC" in name else _UNKNOWN
    x86 = any(flag.startswith(("sse", "avx")) for flag in names)
    for starts, short, full, what in _UNITS:
        if x86 and starts == ("sme",):
            continue  # there it is encrypted memory (`sme`) or a guard of the kernel's (`smep`)
        if any(flag.startswith(starts) for flag in names):
            return short, full, what
    return _UNKNOWN
