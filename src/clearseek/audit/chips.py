"""The hardware table as an audit needs it: plain numbers in base units, and which other form of a chip is meant."""

from __future__ import annotations

from dataclasses import dataclass

from clearseek.ledger import hardware


@dataclass(frozen=True)
class Chip:
    """A chip of the table. Peaks in FLOP/s, memory in bytes, bandwidth in B/s, power in W."""

    row: hardware.Chip

    @property
    def name(self) -> str:
        return self.row.name

    def peak(self, precision: str) -> float | None:
        """The dense peak; None where the vendor names none."""
        value = self.row.dense_tflops.get(precision)
        return None if value is None else value * 1e12

    @property
    def memory(self) -> float | None:
        return None if self.row.memory_gb is None else self.row.memory_gb * 1e9

    @property
    def bandwidth(self) -> float:
        return self.row.bandwidth_gb_s * 1e9

    @property
    def power(self) -> float | None:
        return self.row.power_w

    def siblings(self) -> tuple[Chip, ...]:
        """The other forms of the same family whose peaks differ."""
        return tuple(
            Chip(other)
            for other in hardware.chips()
            if other.family == self.row.family and other.dense_tflops != self.row.dense_tflops
        )


def find(name: str) -> tuple[Chip, bool]:
    """The chip of that name, and whether the name left its form open: then it is the first SXM module among them.

    What is bought by the thousand for training is the module, not the card; the report says what was taken. Raises
    UsageError with the near names for an unknown one.
    """
    try:
        return Chip(hardware.find(name)), False
    except hardware.AmbiguousChip as error:
        modules = [chip for chip in error.candidates if "SXM" in chip.name]
        return Chip((modules or list(error.candidates))[0]), True
