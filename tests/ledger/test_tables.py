"""The dated tables: every row has its source, dates do not overlap, and what they say is found and told."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest

from clearseek.errors import UsageError
from clearseek.ledger.grid import carbon_intensity
from clearseek.ledger.hardware import AmbiguousChip, chips, find
from clearseek.ledger.hosted import all_offers, hosted_offers
from clearseek.ledger.prices import Rates, cost, power, rates_from, rent
from clearseek.ledger.quantity import Basis, declared
from clearseek.ledger.tables import PROVENANCE, moment, read_table
from clearseek.settings import load_settings


def test_every_row_names_its_source() -> None:
    rows = [*read_table("hardware")["chip"], *read_table("prices")["rent"], *read_table("hosted_api")["offer"]]
    assert len(rows) > 60
    for row in rows:
        assert row["source"].strip(), row
        assert row["provenance"] in PROVENANCE, row
        assert set(row.get("provenance_of", {}).values()) <= set(PROVENANCE), row
    grid = read_table("grid")
    assert all(row["source"] in grid["source"] for row in grid["region"].values())


def test_what_was_not_looked_up_says_so() -> None:
    for name, key in (("prices", "rent"), ("hosted_api", "offer")):
        for row in read_table(name)[key]:
            assert ("recalled" in row["source"]) <= (row["provenance"] == "R"), row


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("H800-SXM", "H800-SXM"),
        ("h800 sxm5", "H800-SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100-80-SXM"),
        ("NVIDIA H20", "H20"),
        ("tpu v4", "TPUv4"),
        ("GeForce RTX 4090", "RTX-4090"),
        ("nvidia h100 pcie", "H100-PCIe"),
    ],
)
def test_chips_by_what_people_call_them(said: str, meant: str) -> None:
    assert find(said).name == meant


@pytest.mark.parametrize("said", ["H800", "H100", "A100", "NVIDIA H800"])
def test_a_name_that_several_forms_share(said: str) -> None:
    with pytest.raises(AmbiguousChip, match="ambiguous") as caught:
        find(said)
    assert len(caught.value.candidates) >= 2


def test_an_unknown_chip_is_answered_with_the_near_ones() -> None:
    with pytest.raises(UsageError, match=r"near ones are .*H100"):
        find("H1000")
    with pytest.raises(UsageError, match="known ones are"):
        find("abacus")


def test_no_two_chips_answer_to_one_name() -> None:
    for chip in chips():
        for name in (chip.name, *chip.aliases):
            try:
                assert find(name) is chip
            except AmbiguousChip as shared:
                pytest.fail(f"{name}: {shared}")


def test_peaks_are_dense() -> None:
    h800 = find("H800-SXM")
    assert h800.peak("bf16").value == 989
    assert h800.peak("fp8").value == 1979
    assert find("H800-PCIe").peak().value == 756
    assert find("A100-80-SXM").peak().value == 312
    assert find("A100-80-SXM").peak("fp8").basis is Basis.UNKNOWN
    # the unit works in arithmetic: 2048 chips for 54.25 days
    work = h800.peak() * declared(2048, "chip") * declared(54.25, "d")
    assert work.to("FLOP").value == pytest.approx(989e12 * 2048 * 54.25 * 86400)


@pytest.mark.parametrize(
    ("chip", "day", "status"),
    [
        ("A100-40-PCIe", date(2021, 8, 1), "allowed"),
        ("A100-40-PCIe", date(2022, 9, 1), "licence"),
        ("H800-SXM", date(2023, 3, 20), "unknown"),
        ("H800-SXM", date(2023, 10, 16), "allowed"),
        ("H800-SXM", date(2023, 10, 17), "licence"),
        ("H100-SXM", date(2024, 12, 1), "licence"),
        ("H20", date(2024, 12, 1), "allowed"),
        ("H200-SXM", date(2026, 2, 1), "case-by-case"),
    ],
)
def test_whether_a_chip_could_be_bought_in_china(chip: str, day: date, status: str) -> None:
    assert find(chip).china_status(day) == status


def test_rents_are_of_a_day_and_unknown_on_others() -> None:
    h800 = rent("H800-SXM", date(2024, 12, 26))
    assert (h800.value, h800.unit, h800.basis) == (2.0, "USD/(chip*h)", Basis.DECLARED)
    assert "DeepSeek" in h800.how
    assert rent("H800-SXM", date(2020, 1, 1)).basis is Basis.UNKNOWN
    assert rent("abacus", date(2025, 1, 1)).basis is Basis.UNKNOWN
    market = rent("H100-SXM", date(2026, 6, 1))
    assert market.bounds == (1.99, 6.88)
    assert {row["chip"] for row in read_table("prices")["rent"]} <= {chip.name for chip in chips()} | {"cloud-vm-2vcpu"}


def test_the_price_of_an_answer_follows_the_hour() -> None:
    """DeepSeek's published prices of 2025: half or a quarter from 16:30 to 00:30 UTC, until 5 September 16:00."""

    def reasoner(at: datetime) -> float:
        [offer] = [offer for offer in hosted_offers(at) if offer.model == "deepseek-reasoner"]
        usd = offer.cost(1_000_000, 1_000_000, 1_000_000, at)
        assert usd.basis is Basis.DECLARED
        assert usd.value is not None
        return usd.value

    assert reasoner(datetime(2025, 2, 1, 20, tzinfo=UTC)) == pytest.approx(0.55 + 0.14 + 2.19)
    assert reasoner(datetime(2025, 7, 1, 16, 29, 59, tzinfo=UTC)) == pytest.approx(0.55 + 0.14 + 2.19)
    assert reasoner(datetime(2025, 7, 1, 16, 30, tzinfo=UTC)) == pytest.approx(0.135 + 0.035 + 0.55)
    assert reasoner(datetime(2025, 7, 2, 0, 29, 59, tzinfo=UTC)) == pytest.approx(0.135 + 0.035 + 0.55)
    assert reasoner(datetime(2025, 7, 2, 0, 30, tzinfo=UTC)) == pytest.approx(0.55 + 0.14 + 2.19)
    assert reasoner(datetime(2025, 9, 5, 16, tzinfo=UTC)) == pytest.approx(0.56 + 0.07 + 1.68)


def test_peak_hours_are_on_weekdays() -> None:
    def flash(at: datetime) -> float | None:
        [offer] = [offer for offer in hosted_offers(at) if offer.model == "deepseek-flash"]
        return offer.cost(1_000_000, 0, 0, at).value

    monday = datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert flash(monday) == pytest.approx(0.30)
    assert flash(monday.replace(hour=5)) == pytest.approx(0.15)
    assert flash(monday - timedelta(days=1)) == pytest.approx(0.15)


def test_rows_of_one_model_do_not_overlap() -> None:
    spans: dict[tuple[str, str], list[tuple[datetime, datetime | None]]] = {}
    for offer in all_offers():
        spans.setdefault((offer.vendor, offer.model), []).append((offer.start, offer.end))
    for rows in spans.values():
        for (_, end), (start, _) in itertools.pairwise(sorted(rows, key=lambda row: row[0])):
            assert end is not None
            assert end <= start


def test_a_time_needs_a_zone_and_an_offer_its_time() -> None:
    with pytest.raises(UsageError, match="time zone"):
        hosted_offers(datetime(2025, 7, 1))
    [offer, *_] = hosted_offers(datetime(2025, 1, 25, tzinfo=UTC))
    with pytest.raises(UsageError, match="did not hold"):
        offer.cost(1, 1, 1, datetime(2026, 1, 1, tzinfo=UTC))
    assert hosted_offers(datetime(2020, 1, 1, tzinfo=UTC)) == []


def test_moments() -> None:
    assert moment(date(2025, 9, 29)) == datetime(2025, 9, 29, tzinfo=UTC)
    assert moment(None) is None


def test_power_follows_utilisation_between_idle_and_full() -> None:
    rates = Rates(watts=declared(100, "W"), watts_idle=declared(20, "W"))
    assert power(rates, 0).value == 20
    assert power(rates, 0.5).value == 60
    assert power(rates, 7).value == 100
    assert power(rates, 0.5).basis is Basis.MODELLED
    wide = power(Rates(watts=declared(100, "W")), 0.5)
    assert wide.bounds == (50, 100)
    assert power(Rates(), 0.5).basis is Basis.UNKNOWN
    both = power(Rates(watts=declared(100, "W", "", 80, 120), watts_idle=declared(20, "W", "", 10, 30)), 0.5)
    assert both.bounds == (45, 75)


def test_money_and_carbon() -> None:
    price, kwh = declared(3.6, "USD/h"), declared(0.3, "USD/kWh", "", 0.2, 0.4)
    rates = Rates(price, kwh, declared(100, "W"), declared(100, "W"), "DEU")
    energy, money, carbon = cost(rates, wall_s=3600, cpu_s=0, cores=2)
    assert energy.value == pytest.approx(360_000)
    assert money.value == pytest.approx(3.6 + 0.03)
    assert money.bounds == pytest.approx((3.62, 3.64))
    assert carbon.value == pytest.approx(38.1)
    assert carbon.unit == "g"
    # agrees with the slow arithmetic of quantities
    slow = (price * declared(1, "h")).to("USD") + energy * kwh
    assert money.bounds == pytest.approx(slow.bounds)
    # no price of electricity: a rent includes it. No price of the machine: nothing is known.
    assert cost(Rates(price), wall_s=10, cpu_s=1, cores=1)[1].value == pytest.approx(0.01)
    unpriced = cost(Rates(electricity_usd_per_kwh=kwh, watts=declared(5, "W")), wall_s=10, cpu_s=1, cores=1)[1]
    assert unpriced.basis is Basis.UNKNOWN
    assert cost(Rates(price, kwh), wall_s=10, cpu_s=1, cores=1)[1].basis is Basis.UNKNOWN


def test_rates_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rates_from(load_settings()) == Rates()
    monkeypatch.setenv("CLEARSEEK_PRICES__MACHINE_USD_PER_HOUR", "0.04,0.06")
    monkeypatch.setenv("CLEARSEEK_MACHINE__WATTS", "65")
    rates = rates_from(load_settings())
    assert rates.machine_usd_per_hour.bounds == (0.04, 0.06)
    assert rates.watts.value == 65
    assert rates.electricity_usd_per_kwh.basis is Basis.UNKNOWN


def test_the_grid() -> None:
    assert carbon_intensity("FRA").value == 56.0
    assert carbon_intensity("deu").basis is Basis.DECLARED
    assert carbon_intensity(None).basis is Basis.UNKNOWN
    assert "did you mean DEU" in carbon_intensity("Germny").how
    assert all(carbon_intensity(code).known for code in ("CHN", "DEU", "FRA", "IND", "USA", "GBR", "WORLD"))
    assert "2024" in carbon_intensity("GBR").how
