"""What a claim file may say, and the one sentence for everything that it may not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearseek.audit import examine, load_claim
from clearseek.audit.chips import find
from clearseek.audit.claim import read_claim
from clearseek.audit.numbers import read
from clearseek.audit.variables import VARIABLES
from clearseek.errors import UsageError

GOOD = """
title = "A run"
date = 2024-12-26
scope = "stage"
[model]
parameters = "70B"
[data]
tokens = "15T"
[hardware]
chip = "H100-SXM"
count = 16384
[run]
gpu_hours = "7.0M h"
"""


def claim_of(text: str, folder: Path):
    path = folder / "mine.toml"
    path.write_text(text)
    return load_claim(path)


def test_a_good_one(tmp_path: Path) -> None:
    claim = claim_of(GOOD, tmp_path)
    assert claim.title == "A run"
    assert claim.chip
    assert claim.chip.name == "H100-SXM"
    assert claim.first("tokens").quantity.bounds == pytest.approx((14.5e12, 15.5e12))  # type: ignore[union-attr]


def refusal(do: Callable[[], object]) -> str | None:
    """What a UsageError says; None where there was none. Any other error is one of the test."""
    try:
        do()
    except UsageError as refused:
        return str(refused)
    return None


BAD = {
    "unknown key": ('tokens = "15T"', 'token = "15T"', r"\[data\] has no `token`; did you mean `tokens`\?"),
    "unknown table": ("[hardware]", "[hardwear]", r"no `hardwear`; did you mean `hardware`"),
    "unknown top key": ('title = "A run"', 'tittle = "A run"', r"no `tittle`; did you mean `title`"),
    "no unit": ('"7.0M h"', '"7.0M"', r"gpu_hours: 7.0M has no unit; it is measured in chip·h, as in"),
    "bare number": ('gpu_hours = "7.0M h"', "gpu_hours = 7000000", r"7000000 has no unit"),
    "another dimension": ('"7.0M h"', '"7.0M kg"', r"`kg` does not measure this; it is given in chip\*h"),
    "no such unit": ('"7.0M h"', '"7.0M hrz"', r"`hrz` is not a unit"),
    "unit of a count": ('"15T"', '"15 TB"', r"`TB` does not measure this; it is given in token"),
    "negative": ('"15T"', '"-15T"', r"-15T cannot be; it must be above zero"),
    "zero": ("count = 16384", "count = 0", r"0 cannot be"),
    "absurd": ('"15T"', '"1e40"', r"1e40 is absurd; it lies between"),
    "absurd exponent": ('"15T"', '"1e9999"', r"is absurd"),
    "not a number": ('"7.0M h"', '"many h"', r'"many h" is not a number with its unit'),
    "nan": ('tokens = "15T"', "tokens = nan", r"not a number with its unit"),
    "infinite": ('tokens = "15T"', "tokens = inf", r"not a number with its unit"),
    "true": ('tokens = "15T"', "tokens = true", r"must be a number with its unit"),
    "long": ('"15T"', f'"{"1" * 5000}"', r"a number of 5000 characters is none"),
    "unknown chip": ('"H100-SXM"', '"H1000-SXM"', r"`H1000-SXM` is not a chip in the table; near ones are .*H100"),
    "scope": ('"stage"', '"everything"', r"scope is one of stage, final-run, programme, fleet"),
    "date": ("2024-12-26", '"yesterday"', r"no date; write it as 2024-12-26"),
    "no TOML": ("[data]", "[data", r"is not valid TOML"),
    "table for text": ('title = "A run"', "title = 3", r"title must be text"),
    "text for table": ("[data]\ntokens", "data = 3\n[datas]\ntokens", r"no `datas`|must be a table"),
    "interval": ('"15T"', '{ low = "16T", high = "15T" }', r"`low` is above `high`"),
    "half an interval": ('"15T"', '{ low = "16T" }', r"needs both `low` and `high`"),
    "outside": ('"15T"', '{ value = "20T", low = "14T", high = "15T" }', r"outside its own interval"),
    "empty table": ('"15T"', "{ }", r"give `value`, or `low` and `high`"),
    "key of a number": ('"15T"', '{ value = "15T", sorce = "me" }', r"no `sorce`; did you mean `source`"),
    "provenance": ('"15T"', '{ value = "15T", provenance = "gossip" }', r"is one of primary, copy, press"),
    "two units": ('"7.0M h"', '{ value = "7.0M h", unit = "d" }', r"its unit is given twice"),
    "distribution": ('"15T"', '{ low = "1T", high = "2T", distribution = "cauchy" }', r"one of uniform, loguniform"),
    "MFU": ('gpu_hours = "7.0M h"', 'mfu = "400 %"', r"run.mfu: 400 % is absurd; it lies between .* and 1"),
    "PUE": ('gpu_hours = "7.0M h"', 'pue = "0.5"', r"run.pue: 0.5 is absurd"),
    "no statement": ('gpu_hours = "7.0M h"', "gpu_hours = []", r"between one and eight statements"),
    "precision": ("count = 16384", 'precision = "fp2"', r"hardware.precision is one of bf16, fp16, fp8"),
    "architecture": ('parameters = "70B"', 'architecture = "deepseek-v4"', r"near ones are .*deepseek-v3"),
    "config": ('parameters = "70B"', 'config = "nowhere.json"', r"cannot be read"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_sentence(what: str, tmp_path: Path) -> None:
    good, bad, says = BAD[what]
    assert good in GOOD
    with pytest.raises(UsageError, match=says) as refused:
        claim_of(GOOD.replace(good, bad, 1), tmp_path)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert len(sentence) < 600
    assert refused.value.exit_code == 2


def test_hours_for_days_are_converted_and_told_where_they_contradict(tmp_path: Path) -> None:
    converted = claim_of(GOOD.replace('"7.0M h"', '"291.7K d"'), tmp_path)
    assert converted.first("gpu_hours").quantity.value == pytest.approx(7.0008e6)  # type: ignore[union-attr]
    # somebody wrote the days of the run where its chip-hours belong
    mixed = examine(claim_of(GOOD.replace('gpu_hours = "7.0M h"', 'gpu_hours = "18 d"\nwall_time = "18 d"'), tmp_path))
    assert mixed.verdict.status in ("inconsistent", "impossible")
    assert mixed.says_no
    assert any(check.state == "contradicts" for check in mixed.checks)


def test_numbers_that_contradict_each_other(tmp_path: Path) -> None:
    text = GOOD.replace('gpu_hours = "7.0M h"', 'gpu_hours = "7.0M h"\nusd = "1M USD"\nprice = "2.00 USD/h"')
    said = examine(claim_of(text, tmp_path)).verdict
    assert said.status == "inconsistent"
    assert "Money is given as $1M and follows as $14M, 14 times apart" in said.headline


def test_a_claim_with_nothing_to_hold_it(tmp_path: Path) -> None:
    for text in ('title = "Trust me"\n[run]\nusd = "6M USD"\n', 'title = "Nothing"\n', '[data]\ntokens = "15T"\n'):
        said = examine(claim_of(text, tmp_path))
        assert said.verdict.status == "underdetermined"
        assert "does not make it false" in said.verdict.why
        assert not said.says_no


@pytest.mark.parametrize(
    ("peak", "says"),
    [("756 TFLOP/s", "H100-PCIe"), ("1979 TFLOP/s", "FP8"), ("1513 TFLOP/s", "no figure")],
)
def test_a_peak_that_is_another_one_is_told_and_both_are_shown(peak: str, says: str, tmp_path: Path) -> None:
    said = examine(claim_of(GOOD.replace("count = 16384", f'count = 16384\npeak = "{peak}"'), tmp_path))
    assert any(says in warning for warning in said.warnings)
    values = {round(row.peak_value / 1e12) for row in said.conventions}
    assert {989, int(peak.split()[0])} <= values


def test_a_sparse_peak_of_a_chip_without_fp8(tmp_path: Path) -> None:
    text = GOOD.replace('"H100-SXM"', '"A100-80-SXM"').replace("count = 16384", 'count = 16384\npeak = "624 TFLOP/s"')
    said = examine(claim_of(text, tmp_path))
    assert any("sparsity" in warning for warning in said.warnings)
    assert said.conventions[0].peak_value == 312e12


def test_a_chip_without_its_form_is_taken_as_the_module_and_told(tmp_path: Path) -> None:
    said = examine(claim_of(GOOD.replace("H100-SXM", "H100"), tmp_path))
    assert any("Which form of the chip is not said; H100-SXM is taken" in warning for warning in said.warnings)


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="larger than 200 kB"):
        claim_of(GOOD + "#" * 300_000, tmp_path)


def test_control_characters_do_not_reach_a_terminal(tmp_path: Path) -> None:
    claim = claim_of(GOOD.replace('"A run"', '"A \\u001b[31mrun\\u202e"'), tmp_path)
    assert claim.title == "A  [31mrun"


def test_names_with_dots_are_names() -> None:
    assert load_claim("llama-3.1-8b").title.startswith("Llama 3.1 8B")


def test_an_unknown_name_gets_the_near_ones() -> None:
    with pytest.raises(UsageError, match="near ones are deepseek-v3"):
        load_claim("deepseek-v3-pretrain")


def test_changes_go_through_the_same_reading() -> None:
    changed = load_claim("deepseek-v3-pretraining", changes={"run.gpu_hours": {"value": 1.5e6, "unit": "chip*h"}})
    assert changed.first("gpu_hours").quantity.bounds == (1.5e6, 1.5e6)  # type: ignore[union-attr]
    for changes, says in (
        ({"run.gpu_hour": "1M h"}, "did you mean `run.gpu_hours`"),
        ({"model.config": "/etc/passwd"}, "no `model.config` to set"),
        ({"run.gpu_hours": 3}, "has no unit"),
        ({"run.mfu": "4"}, "absurd"),
    ):
        with pytest.raises(UsageError, match=re.escape(says)):
            load_claim("deepseek-v3-pretraining", changes=changes)


@given(st.decimals(min_value="0.0001", max_value="9999", places=4), st.sampled_from(["", "K", "M", "B", "T"]))
def test_digits_are_the_interval(number, suffix: str) -> None:  # type: ignore[no-untyped-def]
    """The value lies in the interval of its digits, and the interval is half of the last digit to either side."""
    text = f"{number}{suffix} h"
    scale = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[suffix]
    if number == 0 or not 1e-9 <= float(number) * scale <= 1e12:
        with pytest.raises(UsageError, match=r"absurd|above zero"):
            read(VARIABLES["gpu_hours"], text)
        return
    quantity = read(VARIABLES["gpu_hours"], text).quantity
    low, high = quantity.bounds
    assert quantity.value == pytest.approx(float(number) * scale)
    assert high - quantity.value == pytest.approx(min(0.00005 * scale, 1e12 - quantity.value), rel=1e-3)
    assert low <= quantity.value <= high


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_a_sentence(text: str) -> None:
    told = refusal(lambda: read(VARIABLES["gpu_hours"], text))
    assert told is None or told.startswith("run.gpu_hours")


@given(
    st.dictionaries(
        st.sampled_from(["title", "date", "scope", "model", "data", "hardware", "run", "assume", "evidence", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["tokens", "gpu_hours", "chip", "count", "fleet", "phase", "value", "unit", "mfu"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_any_shape_is_a_claim_or_a_sentence(raw) -> None:  # type: ignore[no-untyped-def]
    told = refusal(lambda: examine(read_claim(raw, "any"), draws=0))
    assert told is None or (told and "\n" not in told)


def test_a_config_or_an_architecture_beside_the_claim(tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
              "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.toml").write_text(
        "vocabulary = 128256\nwidth = 4096\nlayers = 32\nheads = 32\nkv_heads = 8\nhead_dim = 128\nffn = 14336\n"
    )
    flops = []
    for model in ('config = "config.json"', 'architecture = "own.toml"', 'architecture = "llama-3.1-8b"'):
        said = examine(claim_of(GOOD.replace('parameters = "70B"', f'{model}\nparameters = "8.03B"'), tmp_path))
        assert next(check for check in said.checks if check.name == "parameters").state == "agrees"
        flops.append(next(line.quantity.value for line in said.lines if line.name == "flops_per_token"))
    assert len(set(flops)) == 1


def test_an_architecture_that_cannot_be(tmp_path: Path) -> None:
    for text, says in (
        ("width = 4096", "`vocabulary` is needed"),
        ("vocabulary = -1", "whole number"),
        ("depth = 3", "there is no `depth`"),
        ("[", "is not valid TOML"),
    ):
        (tmp_path / "own.toml").write_text(text)
        with pytest.raises(UsageError, match=says):
            claim_of(GOOD.replace('parameters = "70B"', 'architecture = "own.toml"'), tmp_path)


DENSE = "vocabulary = 100\nwidth = 64\nlayers = 4\nheads = 4\nkv_heads = 2\nhead_dim = 16\nffn = 128\n"


@pytest.mark.parametrize("without", ["active_experts", "expert_ffn", "moe_every"])
def test_experts_without_a_number_or_a_width_cannot_be_counted(without: str, tmp_path: Path) -> None:
    experts = {"routed_experts": 8, "active_experts": 2, "expert_ffn": 32, "moe_every": 1}
    text = DENSE + "".join(f"{key} = {0 if key == without else value}\n" for key, value in experts.items())
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(UsageError, match="experts need"):
        claim_of(GOOD.replace('parameters = "70B"', 'architecture = "own.toml"'), tmp_path)


@pytest.mark.parametrize(("name", "taken"), [("H100", "H100-SXM"), ("H800", "H800-SXM"), ("A100", "A100-40-SXM")])
def test_of_the_forms_of_a_chip_the_module_is_taken(name: str, taken: str) -> None:
    chip, ambiguous = find(name)
    assert (chip.name, ambiguous) == (taken, True)


def test_a_card_without_a_peak_of_that_precision_is_not_called_the_slower_one(tmp_path: Path) -> None:
    text = GOOD.replace('"H100-SXM"', '"H100-PCIe"')
    slower = [warning for warning in examine(claim_of(text, tmp_path)).warnings if "slower card" in warning]
    assert slower == ["H100-PCIe is the slower card of its name; the others are shown too."]
    for other, precision in (("H100-PCIe", "fp16"), ("A100-40-PCIe", "fp8"), ("A100-40-PCIe", "bf16")):
        own = text.replace('"H100-PCIe"', f'"{other}"').replace("count =", f'precision = "{precision}"\ncount =')
        assert not [warning for warning in examine(claim_of(own, tmp_path)).warnings if "slower card" in warning]


def test_whether_the_chips_hold_the_model_is_said_as_it_is(tmp_path: Path) -> None:
    """70e9 parameters of 10 bytes are 700 GB, which is 8.75 chips of 80 GB at least."""
    enough = next(bind for bind in examine(claim_of(GOOD, tmp_path)).binds if bind.resource == "memory")
    assert "16,384 are claimed, so it does not bind" in enough.words
    few = GOOD.replace("16384", "8").replace("7.0M h", "7000 h")
    bind = next(bind for bind in examine(claim_of(few, tmp_path)).binds if bind.resource == "memory")
    assert "more than the 8 claimed" in bind.words


def test_what_is_not_known_enough_binds_nothing_and_says_nothing(tmp_path: Path) -> None:
    text = GOOD.replace('tokens = "15T"', "").replace("count = 16384", "").replace('parameters = "70B"', "")
    binds = {bind.resource: bind for bind in examine(claim_of(text, tmp_path)).binds}
    assert binds["memory bandwidth"].words.startswith("needs parameters, tokens")
    assert not any(bind.says for bind in binds.values() if bind.words.startswith("needs"))


def test_the_same_work_elsewhere_is_shown_for_a_chip_without_bf16_too(tmp_path: Path) -> None:
    text = GOOD.replace('"H100-SXM"', '"V100-SXM"').replace("count = 16384", 'count = 16384\npeak = "125 TFLOP/s"')
    what = [scenario.what for scenario in examine(claim_of(text, tmp_path)).scenarios]
    assert [word for word in what if word.startswith("16,384 ")] == [
        "16,384 A100-80-SXM",
        "16,384 H100-SXM",
        "16,384 H20",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = 'x'\nscop = 'fleet'", "mine.toml, line 2: A claim has no `scop`; did you mean `scope`?"),
        ("title = 7", "mine.toml, line 1: title must be text."),
        ("title = 'x'\n\ndate = 'soon'", "mine.toml, line 3: date: 'soon' is no date"),
        ("[run]\nmfu = '40 cats'", "mine.toml, line 2: run.mfu: `cats` is not a unit"),
        ("[run]\nwork = 'thinking'", "mine.toml, line 2: run.work is one of"),
        ("[hardware]\nchip = 'H1000000'", "mine.toml, line 2: "),
        ("[assume]\nmfu = '40 %'\nmfuu = '4 %'", "mine.toml, line 3: [assume] has no `mfuu`"),
        ("[[data.phase]]\ntokens = '1T'\nsequence_length = 4096\n[[data.phase]]\ntokens = '1T'", "mine.toml, line 4: "),
        ("[[hardware.fleet]]\nchip = 'H100'\ncount = 'many'", "mine.toml, line 1: hardware.count"),
    ],
)
def test_the_line_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        load_claim(tmp_path / "mine.toml")
    assert str(error.value).startswith(told)
    assert str(error.value).count("mine.toml") == 1
