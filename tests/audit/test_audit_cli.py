"""`clearseek audit` as somebody types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clearseek.audit import library
from clearseek.cli.main import run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def out(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    got = run(["audit", *args])
    captured = capsys.readouterr()
    assert got == code, captured.err
    return captured.out


def test_the_list_has_every_claim_and_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    said = out(capsys)
    for name in library.names():
        assert re.search(rf"^{re.escape(name)}  ", said, re.M), name
    assert re.search(r"^deepseek-v3-pretraining +Plausible +39\.1%  DeepSeek-V3, pre-training", said, re.M)
    assert max(map(len, said.splitlines())) <= 80
    listed = json.loads(out(capsys, "--json"))
    assert [item["date"] for item in listed] == sorted(item["date"] for item in listed)


def test_the_report_shows_each_line_with_its_basis_at_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    said = out(capsys, "deepseek-v3-pretraining")
    assert max(map(len, said.splitlines())) <= 80
    assert re.search(r"○  Tokens +14\.8T tokens +\[1\]", said)
    assert re.search(r"◐  FLOP per token +250\.4 GFLOP/token +counted: deepseek-v3", said)
    assert re.search(r"MFU, published +38\.94% +39\.08% +\+0\.4% +agrees", said)
    assert re.search(r"FLOP in all +3\.71e24 FLOP +=", said)
    assert "▲ 39.1%" in said
    for title in ("What is stated", "What follows", "What can be worked out a second way", "One claim, several ways",
                  "Solved for each", "What binds", "Scope", "What if", "Money", "What could be bought there",
                  "What moves the goodput most", "Notes", "Sources"):  # fmt: skip
        assert title in said


@pytest.mark.parametrize("name", library.names())
def test_every_report_fits_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = out(capsys, name, code=3 if name == "llama-3.3-70b" else 0)
    assert max(map(len, said.splitlines())) <= 80


def test_json_is_one_document_and_exit_3_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(out(capsys, "llama-3.3-70b", "--json", code=3))
    assert document["verdict"]["status"] == "inconsistent"
    assert document["claim"]["name"] == "llama-3.3-70b"
    for line in document["lines"]:
        assert set(line["quantity"]) >= {"value", "unit", "basis", "how"}


def test_set_and_solve(capsys: pytest.CaptureFixture[str]) -> None:
    said = out(capsys, "deepseek-v3-pretraining", "--set", "run.gpu_hours=1M h", code=3)
    assert "IMPOSSIBLE" in said
    said = out(capsys, "gpt-oss-120b", "--solve", "tokens")
    assert re.search(r"Tokens +35\.\dT to 99\.\dT tokens", said)
    said = out(capsys, "gpt-oss-120b", "--set", "assume.mfu=30 %", "--solve", "tokens", "--json")
    assert json.loads(said)["solution"]["quantity"]["value"] == pytest.approx(73e12, rel=0.01)
    said = out(capsys, "deepseek-v3-pretraining", "--solve", "gpu_hours")
    assert "The claim says 2.664M chip-hours" in said
    assert "another way: 2.667M chip-hours = 2,048 chips x 54.25 days" in said


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    said = out(capsys, "--compare", "deepseek-v3-total", "llama-3.1-405b")
    assert "x 10.3" in said
    assert json.loads(out(capsys, "--compare", "deepseek-v3-total", "llama-3.1-405b", "--json"))["rows"]
    assert run(["audit", "--compare", "deepseek-v3-total", "fifty-thousand-hoppers"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "a fleet's size says nothing of what one run on it took" in told.err
    assert told.err.count("\n") == 1


def test_html_stands_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = home / "v3.html"
    assert "Plausible" in out(capsys, "deepseek-v3-pretraining", "--html", str(page))
    text = page.read_text("utf-8")
    assert text.count("<svg") >= 4
    assert "<script" not in text
    assert not re.search(r"(?:src|href|action)=|url\(|@import", text)
    assert text.count("<title>") == 1 + text.count("<svg")
    assert run(["audit", "deepseek-v3-pretraining", "--html", str(page)]) == 1  # never over another


def test_a_title_with_markup_stays_text(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = home / "evil.toml"
    claim.write_text(
        'title = "<script>alert(1)</script>[bold]"\nnotes = ["<img src=x>"]\n[model]\nparameters = "7B"\n'
        '[data]\ntokens = { value = "1T", source = "</td><script>" }\n[hardware]\nchip = "H100-SXM"\ncount = 64\n'
        '[run]\ngpu_hours = "60K h"\n'
    )
    assert "<script>alert(1)</script>[bold]" in out(capsys, str(claim))
    out(capsys, str(claim), "--html", str(home / "evil.html"))
    page = (home / "evil.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("nonsense",), "There is no claim `nonsense`"),
        (("deepseek-v3-pretraining", "--set", "run.mfu"), "--set takes PATH=VALUE"),
        (("deepseek-v3-pretraining", "--set", "run.mfoo=1"), "did you mean `run.mfu`"),
        (("deepseek-v3-pretraining", "--solve", "truth"), "solved for gpu_hours, tokens"),
        (("--solve", "mfu"), "Name a claim"),
        (("nowhere.json",), "cannot be read"),
        (("nowhere.toml",), "cannot be read"),
    ],
)
def test_wrong_usage_is_one_sentence(args: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", *args]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err
    assert told.err.count("\n") == 1


def test_the_table_in_the_documentation_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "audit.md"
    between = page.read_text("utf-8").split("<!-- table -->\n")[1]
    assert between == out(capsys, "--table"), "run `clearseek audit --table` and put it into docs/audit.md"
