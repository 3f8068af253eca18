"""The meter: what a span books, what spans within spans book, and what the instruments read."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clearseek.errors import UsageError
from clearseek.ledger.book import Book, check
from clearseek.ledger.entry import Draft
from clearseek.ledger.instruments import Gpus, Rapl
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import Basis, declared, modelled

RATES = Rates(
    machine_usd_per_hour=declared(0.36, "USD/h"),
    electricity_usd_per_kwh=declared(0.30, "USD/kWh"),
    watts=declared(100, "W"),
    watts_idle=declared(20, "W"),
)


def metered(**options: object) -> tuple[Meter, list[Draft]]:
    drafts: list[Draft] = []
    return Meter(drafts.append, gpus=False, **{"rapl": False, **options}), drafts  # type: ignore[arg-type]


def test_a_span_books_what_it_took(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.jsonl")
    meter = Meter(book.append, machine=RATES, rapl=False, gpus=False)
    before = time.time()
    with meter.span("sft", run="r1", step="7") as span:
        time.sleep(0.05)
        sum(range(2_000_000))
        span.count(prompt_tokens=512, completion_tokens=100)
        span.count(completion_tokens=28, flops=modelled(2.5, "GFLOP", "2N"), cached_tokens=None)
        span.label(model="tiny")
    [entry] = book.read()
    assert entry.kind == "sft"
    assert entry.labels == {"run": "r1", "step": "7", "model": "tiny"}
    quantities = entry.quantities
    assert set(quantities) == {
        *("wall", "cpu", "energy", "money"),
        *("prompt_tokens", "completion_tokens", "flops"),
    }
    assert quantities["completion_tokens"].value == 128
    assert quantities["flops"].to("FLOP").value == 2.5e9
    wall, cpu = quantities["wall"].value, quantities["cpu"].value
    assert wall is not None
    assert cpu is not None
    assert 0.05 < wall < 5
    assert 0 < cpu <= (wall + 0.1) * (os.cpu_count() or 1)
    energy, money = quantities["energy"], quantities["money"]
    assert energy.basis is Basis.MODELLED
    assert 20 * wall <= (energy.value or 0) <= 100 * wall
    assert money.basis is Basis.DECLARED
    assert money.value == pytest.approx(0.36 * wall / 3600 + (energy.value or 0) / 3.6e6 * 0.30)
    assert abs(Draft("x", before).at - before) < 1  # type: ignore[operator]
    assert check(book.path).state == "intact"


def test_without_a_declared_price_money_is_unknown_and_without_watts_energy() -> None:
    meter, drafts = metered(machine=Rates())
    with meter.span("chat"):
        pass
    assert drafts[0].quantities["money"].basis is Basis.UNKNOWN
    assert "machine_usd_per_hour" in drafts[0].quantities["money"].how
    assert drafts[0].quantities["energy"].basis is Basis.UNKNOWN
    assert "watts" in drafts[0].quantities["energy"].how


def test_spans_within_spans_count_in_their_parents_and_name_them() -> None:
    meter, drafts = metered()
    with meter.span("train") as whole:
        whole.count(prompt_tokens=1)
        for _ in range(3):
            with meter.span("step") as step:
                step.count(prompt_tokens=10)
                with meter.span("rollout") as rollout:
                    rollout.count(completion_tokens=5)
    assert [draft.kind for draft in drafts] == ["rollout", "step"] * 3 + ["train"]
    assert [draft.labels.get("parent") for draft in drafts] == ["step", "train"] * 3 + [None]
    roots = [draft for draft in drafts if "parent" not in draft.labels]
    assert [draft.quantities["prompt_tokens"].value for draft in roots] == [31]
    assert [draft.quantities["completion_tokens"].value for draft in roots] == [15]
    steps = [draft.quantities["wall"].value or 0 for draft in drafts if draft.kind == "step"]
    assert sum(steps) <= (roots[0].quantities["wall"].value or 0)


def test_a_span_that_fails_is_booked_and_the_error_goes_on() -> None:
    meter, drafts = metered()

    def fail() -> None:
        with meter.span("step") as span:
            span.count(prompt_tokens=4)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert drafts[0].labels == {"failed": "ZeroDivisionError"}
    assert drafts[0].quantities["prompt_tokens"].value == 4
    with meter.span("step"):
        pass
    assert "parent" not in drafts[1].labels


async def test_tasks_inherit_the_span_they_were_started_in() -> None:
    meter, drafts = metered()

    async def work(number: int) -> None:
        with meter.span("part", step=str(number)) as span:
            await asyncio.sleep(0.01)
            span.count(prompt_tokens=1)

    with meter.span("whole"):
        await asyncio.gather(*(work(i) for i in range(5)))
    assert [draft.labels.get("parent") for draft in drafts] == ["whole"] * 5 + [None]
    assert drafts[-1].quantities["prompt_tokens"].value == 5


def test_a_thread_stands_on_its_own() -> None:
    meter, drafts = metered()

    def work() -> None:
        with meter.span("part"):
            pass

    with meter.span("whole"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [draft.labels for draft in drafts] == [{}, {}]


@pytest.mark.parametrize("wrong", [{"wall": 3}, {"patience": 1}, {"flops": modelled(1, "s", "")}])
def test_what_a_span_does_not_count(wrong: dict[str, object]) -> None:
    meter, _ = metered()
    with meter.span("x") as span, pytest.raises(UsageError):
        span.count(**wrong)  # type: ignore[arg-type]


def test_the_cpu_seconds_of_a_child_count() -> None:
    code = "import sys; sys.stdin.readline(); sum(range(20_000_000)); print('done', flush=True); sys.stdin.readline()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        meter, drafts = metered(child=child.pid)
        with meter.span("native"):
            child.stdin.write(b"go\n")
            child.stdin.flush()
            child.stdout.readline()
        child.kill()
        child.wait()
        with meter.span("after"):
            pass
    assert (drafts[0].quantities["cpu"].value or 0) > 0.1
    assert 0 <= (drafts[1].quantities["cpu"].value or 0) < 0.1


def powercap(folder: Path, domains: dict[str, tuple[str, int, int]]) -> Path:
    """A folder such as the kernel's: name of the domain's folder to (name, energy, range) in microjoules."""
    for name, (kind, energy, limit) in domains.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "name").write_text(f"{kind}\n")
        (folder / name / "energy_uj").write_text(f"{energy}\n")
        (folder / name / "max_energy_range_uj").write_text(f"{limit}\n")
    return folder


def test_rapl_counts_packages_and_memory_and_follows_a_counter_round_its_end(tmp_path: Path) -> None:
    limit = 262_143_328_850
    domains = {
        "intel-rapl:0": ("package-0", 1_000_000, limit),
        "intel-rapl:0:0": ("core", 5, limit),
        "intel-rapl:0:1": ("dram", 100, limit),
        "intel-rapl:1": ("package-1", limit - 2_000_000, limit),
        "intel-rapl:2": ("psys", 7, limit),
        "intel-rapl-mmio:0": ("package-0", 1_000_000, limit),
    }
    rapl = Rapl.find(powercap(tmp_path, domains))
    assert rapl is not None
    assert rapl.joules() == 0
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("4000000\n")
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("999999999\n")
    (tmp_path / "intel-rapl:0:1" / "energy_uj").write_text("500100\n")
    assert rapl.joules() == pytest.approx(3.5)
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000000\n")  # 2 J to its end, 1 J from the beginning
    assert rapl.joules() == pytest.approx(6.5)
    meter, drafts = metered(rapl=rapl)
    with meter.span("chat"):
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("14000000\n")
    assert drafts[0].quantities["energy"].value == pytest.approx(10)
    assert drafts[0].quantities["energy"].basis is Basis.MEASURED
    assert "whole machine" in drafts[0].quantities["energy"].how


def test_no_counters_no_rapl(tmp_path: Path) -> None:
    assert Rapl.find(tmp_path) is None
    assert Rapl.find(tmp_path / "nowhere") is None
    powercap(tmp_path, {"intel-rapl:0": ("package-0", 1, 2)})
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("what?\n")
    assert Rapl.find(tmp_path) is None


class FakeNvml:
    """Two GPUs, the second of which this process uses; what `pynvml` offers of that. There is no GPU here to ask."""

    class NVMLError(Exception):
        pass

    def __init__(self, pid: int) -> None:
        self.energy_mj = [1000, 5000]
        self.pid, self.broken = pid, False

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if self.broken:
            raise self.NVMLError
        return self.energy_mj[handle]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[object]:
        return [type("Process", (), {"pid": self.pid})] if handle == 1 else []


def test_only_the_gpus_held_are_counted() -> None:
    nvml = FakeNvml(os.getpid())
    meter, drafts = metered(machine=RATES)
    meter.gpus = Gpus(nvml, [0, 1])
    with meter.span("train"):
        nvml.energy_mj = [9_000_000, 25_000]
        time.sleep(0.01)
    quantities = drafts[0].quantities
    assert quantities["gpu"].value == quantities["wall"].value
    assert (quantities["energy"].value or 0) == pytest.approx(20, abs=2)  # 20 J of the GPU and a moment of the machine
    nvml.broken = True
    with meter.span("train"):
        pass
    assert "gpu" not in drafts[1].quantities


def test_in_a_container_that_hides_who_holds_a_gpu_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(os.getpid() + 1)
    meter, drafts = metered()
    meter.gpus = Gpus(nvml, [0, 1])
    with meter.span("chat"):
        pass
    assert drafts[0].quantities["gpu"].value == 0
    assert "energy" not in drafts[0].quantities
    monkeypatch.setattr("clearseek.ledger.instruments._has_loaded_cuda", lambda pid: True)
    meter.gpus = Gpus(nvml, [0, 1])
    with meter.span("chat"):
        pass
    assert drafts[1].quantities["gpu"].basis is Basis.UNKNOWN
    assert drafts[1].quantities["energy"].basis is Basis.UNKNOWN


def test_a_machine_without_gpus_says_nothing_of_them() -> None:
    if Gpus.find() is not None:
        pytest.skip("there are GPUs here")
    drafts: list[Draft] = []
    meter = Meter(drafts.append)
    with meter.span("chat"):
        pass
    assert "gpu" not in drafts[0].quantities


def test_a_span_costs_less_than_half_a_millisecond() -> None:
    """`bench/ledger.py` measures it well; this catches what is ten times too much, on a busy machine too."""
    meter, drafts = metered(machine=RATES)
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            with meter.span("step", model="m") as span:
                span.count(prompt_tokens=1, completion_tokens=1)
        best = min(best, (time.perf_counter() - start) / 200)
    assert best < 500e-6
    assert len(drafts) == 1000
