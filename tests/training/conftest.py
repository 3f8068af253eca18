"""Tiny models on one thread: with two, most of the time would go into waking the other, and far more beside other
programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    if not {"real_model", "real_home", "model_store"} & set(request.fixturenames):
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def kept_build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is compiled is compiled once, and not once for each test's own home."""
    folder = tmp_path_factory.mktemp("state")
    try:
        from clearseek.training.kernels import compiler
    except ImportError:
        yield folder
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "home", lambda: folder)
        yield folder
