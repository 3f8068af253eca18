"""What was booked must have been possible: forged times, forged cheapness, forged FLOPs; and honest oddities pass.

The forgeries are whole: ledger and receipt are written and signed anew, so that nothing but the figures themselves
contradict each other.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clearseek.flops import TransformerSizes
from clearseek.ledger.book import Book
from clearseek.ledger.entry import Draft, Entry, unix
from clearseek.ledger.processors import most_flops
from clearseek.ledger.quantity import Quantity, measured, modelled
from clearseek.receipts import Verification, verify
from clearseek.receipts.check_flops import WeightSizes, bounds_of, sizes_of_gguf
from clearseek.receipts.signing import SigningKey
from clearseek.receipts.statement import make_receipt
from clearseek.settings import model_data

SHIPPED = model_data() / "clearseek-r1-135m"
EPYC = {"system": "Linux", "processor": "AMD EPYC", "cores": 2, "accelerators": [],
        "memory": measured(25e9, "B").as_json()}  # fmt: skip
Change = Callable[[list[Draft]], list[Draft]]


def drafts_of(entries: list[Entry]) -> list[Draft]:
    return [Draft(one.kind, unix(one.at), one.labels, one.quantities) for one in entries]


@pytest.fixture
def forged(tmp_path: Path, key: SigningKey) -> Callable[..., Verification]:
    """The shipped run with another ledger, made and signed anew, and verified."""

    def forge(change: Change, **notes: Any) -> Verification:
        folder = Path(shutil.copytree(SHIPPED, tmp_path / "forged"))
        (folder / "adapter").mkdir()
        for name in ("adapter.json", "adapter.safetensors"):
            (folder / name).rename(folder / "adapter" / name)
        entries = list(Book(folder / "ledger.jsonl").read())
        (folder / "ledger.jsonl").unlink()
        book = Book(folder / "ledger.jsonl")
        for draft in change(drafts_of(entries)):
            book.append(draft, sync=False)
        book.close()
        told = json.loads((folder / "run.json").read_text()) | {"finished_at": "2026-11-29T13:35:15.000000Z"} | notes
        (folder / "run.json").write_text(json.dumps(told))
        make_receipt(folder, key=key)
        return verify(folder, key=key.keyid)

    return forge


def scaled(quantity: Quantity, by: float) -> Quantity:
    if quantity.value is None:
        return quantity
    if quantity.low is None or quantity.high is None:
        return replace(quantity, value=quantity.value * by)
    return replace(quantity, value=quantity.value * by, low=quantity.low * by, high=quantity.high * by)


def times_by(factor: float, *names: str, only: str | None = None, at: bool = False) -> Change:
    """Quantities multiplied in every entry (of one stage); with `at`, its times drawn together by the same."""

    def change(drafts: list[Draft]) -> list[Draft]:
        first = min(draft.at or 0.0 for draft in drafts)
        found = []
        for draft in drafts:
            touched = only is None or draft.labels.get("stage") == only or draft.labels.get("parent") == only
            quantities = {
                name: scaled(one, factor) if touched and name in names else one
                for name, one in draft.quantities.items()
            }
            moment = first + ((draft.at or 0.0) - first) * factor if at else draft.at
            found.append(Draft(draft.kind, moment, draft.labels, quantities))
        return found

    return change


CHEAP = ("wall", "cpu", "energy", "money")


def failed(verification: Verification) -> set[str]:
    return {check.name for check in verification.failed}


def test_the_run_itself_passes(forged: Callable[..., Verification]) -> None:
    verification = forged(lambda drafts: drafts)
    assert verification.ok, verification.failed
    assert verification.missing(["times", "machine", "money"]) == []


@pytest.mark.parametrize("at", [False, True])
def test_a_hundredth_of_the_time_is_found(forged: Callable[..., Verification], at: bool) -> None:
    """Everything that costs, divided by a hundred: the machine cannot have done it."""
    verification = forged(times_by(0.01, *CHEAP, at=at), finished_at="2026-11-29T13:35:15.000000Z")
    assert failed(verification) == {"machine"}
    assert "the most it can is 1.33 TFLOP/s" in " ".join(check.said for check in verification.failed)


def test_a_tenth_is_told_where_the_entries_times_were_left(forged: Callable[..., Verification]) -> None:
    """Slow machines are possible, and so is one that slept: but what was not booked is said."""
    verification = forged(times_by(0.1, *CHEAP))
    assert verification.ok
    assert verification.missing(["times"]) == ["times"]
    said = next(check.said for check in verification.skipped if check.name == "times")
    assert "hold 3.4 of work" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (times_by(1.5, "wall", "money"), "before that was over"),
        (times_by(3.0, "wall", "money", only="evaluation"), "the run ended before"),
        (times_by(2.5, "cpu"), "processor seconds in"),
        (lambda drafts: [replace(one, at=(one.at or 0) - 600) for one in drafts], "before the run did"),
        (lambda drafts: [replace(one, at=(one.at or 0) + 600) for one in drafts], "the run ended before"),
        (
            lambda drafts: [replace(one, at=min(two.at or 0 for two in drafts)) for one in drafts],
            "",
        ),
        (lambda drafts: [*drafts, *drafts[-30:]], ""),
    ],
)
def test_times_that_contradict_each_other(forged: Callable[..., Verification], change: Change, said: str) -> None:
    verification = forged(change)
    assert "times" in failed(verification), verification.failed
    assert any(said in check.said for check in verification.failed if check.name == "times")


@pytest.mark.parametrize(("noted", "found"), [({}, set()), ({"arithmetic": {"dtype": "float32"}}, {"times"})])
def test_stages_of_the_trainer_follow_one_another(
    forged: Callable[..., Verification], noted: dict[str, Any], found: set[str]
) -> None:
    """Whose stages may be under way at once is not known, but of ClearSeek's own trainer it is."""
    verification = forged(times_by(3.0, "wall", "money", only="publish"), machine={**EPYC, **noted})
    assert failed(verification) == found


def test_clocks_that_are_set_and_machines_that_sleep_are_no_crime(forged: Callable[..., Verification]) -> None:
    def odd(drafts: list[Draft]) -> list[Draft]:
        """Set back by two seconds at one moment, and asleep for an hour before the last entries."""
        half = len(drafts) // 2
        back = [replace(one, at=(one.at or 0) - 2.0) for one in drafts[half:]]
        return drafts[:half] + [replace(one, at=(one.at or 0) + (3600 if n > 150 else 0)) for n, one in enumerate(back)]

    verification = forged(odd, finished_at="2026-11-29T14:35:15.000000Z")
    assert verification.ok, verification.failed


SIZES = WeightSizes(TransformerSizes(106e6, 28e6, 69_120.0), 1.0e6, 8192.0, "model.gguf")


def stage(kind: str | None, name: str = "x") -> dict[str, Any]:
    return {"kind": kind, "name": name}


@pytest.mark.parametrize(
    ("kind", "recipe", "low", "high"),
    [
        ("sft", {"lora": {"rank": 16}}, 4 * 106e6, 6e8 + 4 * 28e6 + 3 * 69_120 * 4097),
        ("sft", {}, 4 * 106e6, 6 * 106e6 + 8 * 28e6 + 3 * 69_120 * 4097),
        ("reject", {}, 2 * 106e6, 2 * 134e6 + 69_120 * 8192),
        ("grpo", {"lora": {"rank": 16}}, 2 * 106e6, 1e10),
    ],
)
def test_what_a_token_takes(kind: str, recipe: dict[str, Any], low: float, high: float) -> None:
    bounds = bounds_of(stage(kind), recipe, SIZES)
    assert bounds is not None
    assert bounds["prompt_tokens"][0] == pytest.approx(low)
    assert low < bounds["prompt_tokens"][1] <= high


@pytest.mark.parametrize("told", [stage("distill"), stage(None, "setup"), stage(None, "publish")])
def test_of_other_work_nothing_is_said(told: dict[str, Any]) -> None:
    assert bounds_of(told, {}, SIZES) is None
    assert bounds_of(stage(None, "evaluation"), {}, SIZES) is not None


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "found"), [(1.0, False), (0.7, True), (0.01, True), (3.0, True)])
def test_forged_flops_do_not_fit_the_weights(
    model_store: Any, tmp_path: Path, key: SigningKey, factor: float, found: bool
) -> None:
    """The shipped receipts tell no FLOPs of a token: the weights do."""
    installed = model_store.find("clearseek-r1-135m")
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "forged"))
    (folder / "model.gguf").symlink_to(installed.path)
    entries = list(Book(folder / "ledger.jsonl").read())
    (folder / "ledger.jsonl").unlink()
    book = Book(folder / "ledger.jsonl")
    for draft in times_by(factor, "flops")(drafts_of(entries)):
        book.append(draft, sync=False)
    book.close()
    make_receipt(folder, key=key)
    verification = verify(folder, key=key.keyid)
    assert ("FLOPs" in failed(verification)) == found, verification.failed
    if not found:
        assert verification.missing(["flops"]) == []
    assert sizes_of_gguf(installed.path, "it").sizes.body == pytest.approx(106.17e6, rel=1e-3)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told["prompt_tokens"].update(low=1.0, value=1.0, high=1.0), "by what is told of each"),
        (lambda told: told.clear(), None),
        (lambda told: told.update(completion_tokens=told["prompt_tokens"]), None),
    ],
)
def test_bounds_that_are_told_hold(
    run: Path, key: SigningKey, change: Callable[[Any], object], said: str | None
) -> None:
    notes = json.loads((run / "run.json").read_text())
    bounds = {"prompt_tokens": modelled(384, "FLOP/token", "6 N", 300, 500).as_json()}
    for told in notes["stages"].values():
        told.pop("flops_per_token")
        told["flops_per_token_bounds"] = json.loads(json.dumps(bounds))
    (run / "run.json").write_text(json.dumps(notes))
    make_receipt(run, key=key)
    assert verify(run).ok
    change(notes["stages"]["main"]["flops_per_token_bounds"])
    (run / "run.json").write_text(json.dumps(notes))
    if said is None:
        make_receipt(run, key=key)
        assert verify(run).ok
    else:
        from clearseek.errors import CheckFailed

        with pytest.raises(CheckFailed, match=said):
            make_receipt(run, key=key)


@pytest.mark.parametrize(
    ("machine", "dtype", "teraflops"),
    [
        (EPYC, None, 2 * 5.2e9 * 128 / 1e12),
        (EPYC, "float32", 2 * 5.2e9 * 64 / 1e12),
        ({**EPYC, "processor": "Intel(R) Xeon(R)", "instruction_sets": ["amx_bf16", "avx512f"]}, None, 21.3),
        ({**EPYC, "processor": "Intel(R) Xeon(R)", "instruction_sets": ["amx_bf16", "avx512f"]}, "float32", 0.6656),
        (
            {**EPYC, "processor": "i7", "instruction_sets": ["avx", "avx2", "fma", "sse4_1"]},
            None,
            2 * 6.5e9 * 32 / 1e12,
        ),
        # What x86 calls sme and smep (encrypted memory, a guard of the kernel's) computes nothing.
        ({**EPYC, "instruction_sets": ["avx512_bf16", "avx512f", "sme", "smep"]}, None, 1.3312),
        ({**EPYC, "processor": "i7", "instruction_sets": ["avx2", "smep"]}, None, 2 * 6.5e9 * 32 / 1e12),
        ({**EPYC, "processor": "M4", "instruction_sets": ["asimd", "sme", "sme2"]}, None, 2 * 6.5e9 * 2048 / 1e12),
        ({**EPYC, "processor": "i3", "instruction_sets": ["sse4_1", "sse4_2"]}, None, 2 * 6.5e9 * 16 / 1e12),
        ({**EPYC, "processor": "unknown"}, None, 2 * 6.5e9 * 2048 / 1e12),
        ({**EPYC, "accelerators": ["NVIDIA H100-SXM"]}, None, 2 * 1979),
        ({**EPYC, "accelerators": ["a card that nobody knows"]}, None, None),
    ],
)
def test_the_most_that_a_machine_can_do(machine: dict[str, Any], dtype: str | None, teraflops: float | None) -> None:
    most = most_flops(machine, dtype)
    if teraflops is None:
        assert most.value is None
    else:
        assert most.value == pytest.approx(teraflops * 1e12, rel=2e-2)
        assert most.how.startswith("at most")


@pytest.mark.parametrize(
    ("said", "units"),
    [
        ("flags\t\t: fpu sse sse4_1 avx avx512_bf16 sme smep sev", ["avx", "avx512_bf16", "sse4_1"]),
        ("Features\t: fp asimd sme sve2 fma", ["asimd", "sme", "sve2"]),
    ],
)
def test_a_flag_means_what_its_own_kind_of_processor_means(
    monkeypatch: pytest.MonkeyPatch, said: str, units: list[str]
) -> None:
    from clearseek.receipts import gather

    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *more: said + "\n" if str(path) == "/proc/cpuinfo" else read(path, *more)
    )
    assert gather.machine()["instruction_sets"] == units


def test_the_bound_is_above_what_this_machine_does() -> None:
    """A bare product, if anything is, is the fastest thing here; and it must be possible."""
    import time

    import numpy as np

    from clearseek.receipts.gather import machine

    x = np.random.default_rng(0).normal(size=(768, 768)).astype(np.float32)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        x @ x
        best = max(best, 2 * 768**3 / (time.perf_counter() - began))
    assert best < (most_flops(machine()).value or float("inf"))
