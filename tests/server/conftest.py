from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from scripted import ScriptedPool, serving


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: no keys, no models, no config."""
    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


@pytest.fixture
def url(home: Path, pool: ScriptedPool) -> Iterator[str]:
    with serving(pool, home) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=120) as client:
        yield client
