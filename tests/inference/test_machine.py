"""What is chosen from the machine and the model, and that it is explained."""

from __future__ import annotations

import pytest

from clearseek.inference.errors import EngineUnavailable
from clearseek.inference.machine import Plan, available_memory, plan, usable_cores

GIB = 1 << 30
SMALL = {"file_bytes": 98_000_000, "parameters": 135_000_000, "train_context": 8192, "kv_bytes_per_token": 23_040}
LARGE = {
    "file_bytes": 4_700_000_000,
    "parameters": 7_600_000_000,
    "train_context": 131_072,
    "kv_bytes_per_token": 57_344,
}


def chosen(model: dict[str, int], memory: int, **fixed: int) -> Plan:
    return plan(**model, memory=memory, **fixed)  # type: ignore[arg-type]


def test_a_small_model_gets_its_whole_context_for_many() -> None:
    got = chosen(SMALL, 16 * GIB)
    assert (got.context, got.slots) == (8192, 8)
    assert got.kv_bytes == 8192 * 8 * 23_040
    assert got.kv_bytes < 4 * GIB


def test_a_large_model_gets_fewer_slots_before_less_context() -> None:
    got = chosen(LARGE, 12 * GIB)
    assert got.context >= 8192
    assert got.slots < 8
    assert got.kv_bytes <= (12 * GIB - LARGE["file_bytes"]) // 4


def test_little_memory_still_gives_something() -> None:
    got = chosen(SMALL, 400 << 20)
    assert got.slots == 1
    assert 512 <= got.context <= 8192


def test_what_the_user_fixed_is_kept() -> None:
    got = chosen(SMALL, 16 * GIB, context=1024, slots=3, threads=1)
    assert (got.context, got.slots, got.threads) == (1024, 3, 1)
    assert sum("as you set" in line for line in got.why) == 3


def test_a_model_that_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(EngineUnavailable, match=r"needs 4\.7 GB"):
        chosen(LARGE, 2 * GIB)


def test_prompts_are_read_in_pieces_short_enough_to_cancel() -> None:
    assert chosen(SMALL, 16 * GIB).batch > chosen(LARGE, 64 * GIB).batch >= 32


def test_the_machine_has_something() -> None:
    assert usable_cores() >= 1
    assert available_memory() > 1 << 26
