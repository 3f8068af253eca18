"""A pull is booked when something was fetched, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clearseek.cli.pull_model import pull
from clearseek.hub.errors import PullFailed, UnknownModel
from clearseek.hub.model import Model
from clearseek.hub.store import Store
from clearseek.ledger.book import Book, home_book
from clearseek.settings import Settings


class Fetching(Store):
    """A store whose pull gives a model, or fails, without a network."""

    gives: Model | Exception

    def find(self, name: str) -> Model:
        raise UnknownModel("not here")

    def pull(self, name: str, **how: Any) -> Model:
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives


@pytest.fixture
def store(real_model: Model, tmp_path: Path) -> Fetching:
    made = Fetching(tmp_path / "models")
    made.gives = real_model
    return made


def booked() -> list[Any]:
    return list(Book(home_book()).read())


def test_what_was_fetched_is_booked(store: Fetching, real_model: Model) -> None:
    prices = {"machine_usd_per_hour": 3600.0}
    assert pull(store, "smollm2", Settings(prices=prices), quant=None, progress=None) == real_model  # type: ignore[arg-type]
    [entry] = booked()
    assert entry.kind == "pull"
    assert entry.labels == {"model": real_model.name, "model_sha256": real_model.sha256, "status": "complete"}
    assert entry.quantities["bytes"].value == real_model.bytes
    assert entry.quantities["money"].value == pytest.approx(entry.quantities["wall"].value)


def test_what_was_here_already_or_is_unknown_is_not(real_home: Path, store: Fetching) -> None:
    pull(Store(real_home / "models"), "smollm2", Settings(), quant=None, progress=None)
    store.gives = UnknownModel("no such model")
    with pytest.raises(UnknownModel):
        pull(store, "nothing", Settings(), quant=None, progress=None)
    store.gives = PullFailed("no")
    pull_off = Settings(metering=False)
    with pytest.raises(PullFailed):
        pull(store, "smollm2", pull_off, quant=None, progress=None)
    assert booked() == []


def test_what_failed_is(store: Fetching) -> None:
    store.gives = PullFailed("the line went dead")
    with pytest.raises(PullFailed):
        pull(store, "smollm2", Settings(), quant=None, progress=None)
    assert booked()[0].labels["failed"] == "PullFailed"


def test_a_ledger_that_refuses_stops_no_pull(
    store: Fetching, real_model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    home_book().mkdir(parents=True)
    assert pull(store, "smollm2", Settings(), quant=None, progress=None) == real_model
    assert "not booked" in capsys.readouterr().err
