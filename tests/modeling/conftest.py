"""What tests of models share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clearseek.modeling.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def words() -> Tokenizer:
    from trained_words import train_tokenizer

    return train_tokenizer("smollm")


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Models this small lose more by waiting for a second thread than they gain; those marked slow get them all."""
    try:
        import torch
    except ModuleNotFoundError:
        yield
        return
    before = torch.get_num_threads()
    if request.node.get_closest_marker("slow") is None:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
