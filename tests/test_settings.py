"""The tables of the settings: what is declared, in which forms, and what is told of a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearseek.errors import UsageError
from clearseek.ledger.prices import rates_from
from clearseek.settings import Settings, home, load_settings


def write(text: str) -> None:
    home().mkdir(parents=True, exist_ok=True)
    (home() / "config.toml").write_text(text)


def test_nothing_is_declared_and_nothing_has_a_price() -> None:
    settings = load_settings()
    assert settings.prices.machine_usd_per_hour is None
    assert (settings.budget.usd_per_day, settings.budget.tokens_per_day) == (None, None)
    assert not rates_from(settings).machine_usd_per_hour.known


def test_tables_with_numbers_and_intervals() -> None:
    write(
        "[prices]\nmachine_usd_per_hour = 0.05\nelectricity_usd_per_kwh = [0.2, 0.3]\ngrid_region = 'DEU'\n"
        "[machine]\nwatts = 65\n[budget]\nusd_per_day = 1\ntokens_per_day = 1000\n"
    )
    settings = load_settings()
    assert settings.prices.machine_usd_per_hour == 0.05
    assert settings.prices.electricity_usd_per_kwh == (0.2, 0.3)
    assert settings.machine.watts == 65
    assert (settings.budget.usd_per_day, settings.budget.tokens_per_day) == (1.0, 1000)
    assert rates_from(settings).electricity_usd_per_kwh.bounds == (0.2, 0.3)


@pytest.mark.parametrize(
    ("text", "value"), [("0.04", 0.04), ("0.04,0.06", (0.04, 0.06)), ("[0.04, 0.06]", (0.04, 0.06)), ("0", 0.0)]
)
def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, text: str, value: object) -> None:
    write("[prices]\nmachine_usd_per_hour = 9\nelectricity_usd_per_kwh = 0.3\n")
    monkeypatch.setenv("CLEARSEEK_PRICES__MACHINE_USD_PER_HOUR", text)
    settings = load_settings()
    assert settings.prices.machine_usd_per_hour == value
    assert settings.prices.electricity_usd_per_kwh == 0.3, "the rest of the table stays"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[prices]\nmachine_usd_per_hours = 1", "did you mean `machine_usd_per_hour`?"),
        ("[prices]\nfoo = 1", "there are machine_usd_per_hour, electricity_usd_per_kwh, grid_region."),
        ("[price]\nmachine_usd_per_hour = 1", "did you mean `prices`?"),
        ("prices = 1", "is a table: write [prices]"),
        ("[prices]\nmachine_usd_per_hour = -1", "0 or more"),
        ("[prices]\nmachine_usd_per_hour = inf", "finite"),
        ("[prices]\nmachine_usd_per_hour = nan", "finite"),
        ("[prices]\nmachine_usd_per_hour = true", "must be a number"),
        ("[prices]\nmachine_usd_per_hour = 'five'", "must be a number"),
        ("[prices]\nmachine_usd_per_hour = [1, 2, 3]", "two numbers"),
        ("[prices]\nmachine_usd_per_hour = [3, 2]", "must not be above"),
        ("[prices]\nmachine_usd_per_hour = [-1, 2]", "0 or more"),
        ("[machine]\nwatts = [5, 10]\nwatts_idle = 20", "must not be above `watts`"),
        (
            "[budget]\ntokens_per_day = 1.5",
            "line 2: the setting `budget.tokens_per_day` must be a whole number",
        ),
        ("[budget]\ntokens_per_day = -1", "greater than or equal to 0"),
        ("[budget]\nusd_per_day = [1, 2]", "number"),
        ("a = " + "[" * 5000, "config.toml is not valid TOML: it is nested too deep."),
        ("slots = " + "9" * 5000, "config.toml is not valid TOML: Exceeds the limit"),
        ("slots = true", "line 1: the setting `slots` must be a whole number (got True)."),
        ("port = 8420\n\nslots = '4'", "line 3: the setting `slots` must be a whole number (got '4')."),
        ("metering = 'no'", "line 1: the setting `metering` must be true or false (got 'no')."),
        ("metering = 1", "must be true or false"),
        ("engine_key = ['sk-secret']", "line 1: the setting `engine_key` must be a text."),
        ("allowed_hosts = 'a'", "line 1: the setting `allowed_hosts` must be a list (got 'a')."),
        ("[prices]\nmachine_usd_per_hour = '5'", "line 2: the setting `prices.machine_usd_per_hour` must be a number"),
        ("[budget]\ntokens_per_day = true", "line 2: the setting `budget.tokens_per_day` must be a whole number"),
        ("slots = 100", "line 1: the setting `slots` is wrong: Input should be less than or equal to 64 (got 100)."),
        ("[machine]\nwatts = [5, 10]\nwatts_idle = 20", "line 1: the setting `machine` is wrong: `watts_idle`"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(text: str, told: str) -> None:
    write(text)
    with pytest.raises(UsageError) as error:
        load_settings()
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PRICES__MACHIN_USD_PER_HOUR", "1", "did you mean `machine_usd_per_hour`?"),
        ("PRICES__MACHINE_USD_PER_HOUR", "cheap", "it must be a number"),
        ("BUDGET__TOKENS_PER_DAY", "-1", "`budget.tokens_per_day` is wrong"),
        ("BUDGET", "{x", "cannot be read"),
    ],
)
def test_so_is_one_in_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(f"CLEARSEEK_{name}", value)
    with pytest.raises(UsageError) as error:
        load_settings()
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_line_is_named_only_where_the_file_is_what_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    write("slots = 4\n[budget]\ntokens_per_day = 5\n")
    with pytest.raises(UsageError, match=r"^The setting `slots` is wrong: Input should be .* \(got 100\)\.$"):
        load_settings(slots=100)
    with pytest.raises(UsageError, match=r"\(got 'MANY'\)\.$"):
        load_settings(slots="MANY")
    monkeypatch.setenv("CLEARSEEK_BUDGET__TOKENS_PER_DAY", "-1")
    with pytest.raises(UsageError, match=r"^The setting `budget.tokens_per_day` is wrong"):
        load_settings()


def test_flags_go_before_everything(tmp_path: Path) -> None:
    write("port = 1\n")
    assert load_settings(port=2).port == 2
    assert Settings(port=3).port == 3
