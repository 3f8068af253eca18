"""Architectures in plain torch, and their weights. Needs the extra `train` (torch, safetensors, tokenizers)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearseek.modeling.load import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """`load_model`, imported when it is asked for: configurations can be read, and errors caught, without torch."""
    if name != "load_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from clearseek.modeling.load import load_model
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("torch", "safetensors", "tokenizers"):
            raise
        from clearseek.modeling.errors import ModelingError

        raise ModelingError(
            f"This needs {error.name}, which is not installed: pip install 'clearseek[train]'."
        ) from None
    return load_model
