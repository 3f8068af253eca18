"""Chips by name: dense peaks, memory, bandwidths, power, and where they could be bought when."""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from clearseek.errors import UsageError
from clearseek.ledger.quantity import Quantity, declared, unknown
from clearseek.ledger.tables import read_table


class AmbiguousChip(UsageError):
    """A name that several chips share; `candidates` are they."""

    def __init__(self, name: str, candidates: tuple[Chip, ...]) -> None:
        self.candidates = candidates
        forms = " or ".join(
            f"{chip.name} ({'/'.join(f'{peak:g} {precision}' for precision, peak in chip.dense_tflops.items())} TFLOPS)"
            for chip in candidates
        )
        super().__init__(f"`{name}` is ambiguous: say {forms}.")


@dataclass(frozen=True, slots=True)
class Export:
    """Whether a chip could be exported to China from `start` until `end` (None: not known to begin or end).

    `status`: "allowed", "licence" (needs one; none is known to have been given), "licensed", "case-by-case", "denied",
    "not-sold".
    """

    start: date | None
    end: date | None
    status: str


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip. Peaks are dense, in TFLOP/s by precision ("bf16", "fp16", "fp8"); bandwidths in GB/s, power in W.

    `sparsity` is what the vendor's figures with structured sparsity are more than the dense ones (1: has none).
    `provenance` is a letter of `tables.PROVENANCE` for the row, `provenance_of` for single values that differ.
    """

    name: str
    vendor: str
    family: str
    aliases: tuple[str, ...]
    launch: date
    dense_tflops: dict[str, float]
    sparsity: float
    memory_gb: float | None
    bandwidth_gb_s: float
    link_gb_s: float | None
    power_w: float | None
    china: tuple[Export, ...]
    source: str
    provenance: str
    provenance_of: dict[str, str]
    note: str

    def peak(self, precision: str = "bf16") -> Quantity:
        """The dense peak, in TFLOP/(s*chip); unknown where the vendor names none for that precision."""
        value = self.dense_tflops.get(precision)
        if value is None:
            return unknown("TFLOP/(s*chip)", f"{self.name} has no {precision} peak in the table")
        return declared(value, "TFLOP/(s*chip)", f"dense {precision} peak of {self.name} [{self.tag(precision)}]")

    def tag(self, value: str) -> str:
        """The provenance of one value ("bf16", "bandwidth", "link", "power", "china", ...)."""
        return self.provenance_of.get(value, self.provenance)

    def china_status(self, at: date) -> str:
        """Its export status to China on that day; "unknown" where the table has none."""
        for period in self.china:
            if (period.start is None or period.start <= at) and (period.end is None or at < period.end):
                return period.status
        return "unknown"


@functools.cache
def chips() -> tuple[Chip, ...]:
    """Every chip of the table."""
    return tuple(_chip(row) for row in read_table("hardware")["chip"])


def find(name: str) -> Chip:
    """The chip of that name or alias; case, spaces, dashes, "NVIDIA" and "GB" do not matter.

    Raises AmbiguousChip for a name that several forms share ("H800": SXM and PCIe, 989 and 756 TFLOPS), UsageError
    with the nearest names for one that is not in the table.
    """
    wanted = _plain(name)
    exact = [chip for chip in chips() if wanted in {_plain(known) for known in (chip.name, *chip.aliases)}]
    result = exact or [chip for chip in chips() if wanted == _plain(chip.family)]
    if len(result) == 1:
        return result[0]
    if result:
        raise AmbiguousChip(name, tuple(result))
    known = {_plain(word): word for chip in chips() for word in (chip.family, *chip.aliases, chip.name)}
    near = [known[word] for word in difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)]
    hint = f"near ones are {', '.join(near)}" if near else f"known ones are {', '.join(chip.name for chip in chips())}"
    raise UsageError(f"`{name}` is not a chip in the table; {hint}.")


def _plain(name: str) -> str:
    return re.sub(r"nvidia|amd|intel|google|tesla|gb\b|[^a-z0-9+]", "", name.lower())


def _chip(row: dict[str, Any]) -> Chip:
    year, month, *day = (
        (int(part) for part in row["launch"].split("-"))
        if "-" in row["launch"]
        else (
            int(row["launch"]),
            1,
        )
    )
    return Chip(
        name=row["name"],
        vendor=row["vendor"],
        family=row.get("family", row["name"]),
        aliases=tuple(row["aliases"]),
        launch=date(year, month, *(day or [1])),
        dense_tflops={precision: float(peak) for precision, peak in row["dense_tflops"].items()},
        sparsity=float(row["sparsity"]),
        memory_gb=row.get("memory_gb"),
        bandwidth_gb_s=float(row["bandwidth_gb_s"]),
        link_gb_s=row.get("link_gb_s"),
        power_w=row.get("power_w"),
        china=tuple(Export(period.get("from"), period.get("to"), period["status"]) for period in row.get("china", ())),
        source=row["source"],
        provenance=row["provenance"],
        provenance_of=dict(row.get("provenance_of", {})),
        note=row.get("note", ""),
    )
