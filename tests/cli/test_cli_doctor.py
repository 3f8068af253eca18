"""`clearseek doctor` on this machine, and on homes that something is wrong with."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from cli.helpers import clearseek

from clearseek.cli import diagnostics
from clearseek.settings import default_model

pytestmark = pytest.mark.slow  # each starts programs, or needs the real model


def findings(*args: str, home: Path, code: int = 0) -> dict[str, dict[str, Any]]:
    done = clearseek("doctor", "--json", *args, home=home)
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is (code == 0)
    return {finding["name"]: finding for finding in document["findings"]}


def test_an_empty_home_is_fine_and_says_how_to_begin(tmp_path: Path) -> None:
    found = findings(home=tmp_path / "not-made-yet")
    assert found["models"]["mark"] == "note"
    assert f"clearseek models pull {default_model()}" in found["models"]["way"]
    assert found["engine"]["mark"] == "ok"
    assert found["cpu"]["facts"]["usable_cores"] >= 1
    assert found["memory"]["facts"]["available_bytes"] > 0
    assert not (tmp_path / "not-made-yet").exists()  # looking changes nothing


def test_for_people_it_is_one_line_each(tmp_path: Path) -> None:
    done = clearseek("doctor", home=tmp_path)
    assert done.returncode == 0
    assert "✓  engine" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_config_that_is_wrong_is_bad_and_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("port = 'many'\n")
    assert findings(home=tmp_path, code=3)["settings"]["mark"] == "bad"


def test_a_port_in_use_is_told_with_a_way_on(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "config.toml").write_text(f"port = {taken.getsockname()[1]}\n")
        port = findings(home=tmp_path)["port"]
    assert port["mark"] == "warn"
    assert "--port" in port["way"]


def test_a_model_is_hashed_and_planned(real_home: Path) -> None:
    found = findings(home=real_home)["model smollm2-135m-instruct"]
    assert found["mark"] == "ok"
    assert "every byte as recorded" in found["what"]
    plan = found["facts"]["plan"]
    assert plan["context"] <= 8192
    assert plan["slots"] >= 1
    assert plan["why"]


def test_a_damaged_model_is_bad(real_home: Path) -> None:
    weights = next(real_home.glob("models/smollm2-135m-instruct/*.gguf"))
    copy = weights.with_suffix(".copy")
    shutil.copy(weights, copy)  # the original is a link to weights that other tests use
    copy.replace(weights)
    with weights.open("r+b") as file:
        file.seek(50_000_000)
        file.write(b"\0" * 64)
    found = findings(home=real_home, code=3)["model smollm2-135m-instruct"]
    assert found["mark"] == "bad"
    assert "clearseek models rm" in found["way"]
    assert findings("--quick", home=real_home)["model smollm2-135m-instruct"]["mark"] == "ok"


@pytest.mark.parametrize(
    ("code", "says"), [("raise ImportError('no such wheel')", "no such wheel"), ("import os; os.abort()", "signal 6")]
)
def test_an_engine_that_cannot_be_imported_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    (tmp_path / "xllamacpp.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = diagnostics._engine()
    assert finding.mark == "bad"
    assert says in finding.what
    assert finding.way


def test_what_x86_calls_sme_is_no_unit_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    from clearseek.cli import diagnostics

    for line, units in (("flags", ["avx2"]), ("Features", ["asimd", "sme"])):
        told = f"model name : one\n{line} : {'sse avx2 sme smep' if line == 'flags' else 'asimd sme'}\n"
        monkeypatch.setattr(Path, "read_text", lambda path, *more, told=told: told)
        assert diagnostics._cpu_name_and_features() == ("one", units)
