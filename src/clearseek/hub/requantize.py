"""Write the weights of a GGUF file in another quantisation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from clearseek.hub.errors import HubError


def requantize(
    src: Path, dst: Path, kind: Literal["q4_0", "q8_0"], progress: Callable[[int, int], None] | None = None
) -> None:
    """Write `src` to `dst` with its matrices as Q4_0 or Q8_0; `progress(bytes read, bytes in all)`."""
    raise HubError("Requantising is not there yet; use `--quant keep`.")
