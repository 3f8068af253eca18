"""`clearseek models`, as people and programs call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import TEMPLATE, write_tiny

from clearseek.hub.catalogue import catalogue
from clearseek.settings import default_model

pytestmark = pytest.mark.slow  # each starts programs, or needs the real model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", kind="Q4_1")


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the real command, in the home of this test."""
    command = [sys.executable, "-m", "clearseek.cli.main", "models", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"}, timeout=60)
    return done.returncode, done.stdout, done.stderr


def document(*arguments: str | Path) -> Any:
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    return json.loads(out)


def refusal(*arguments: str | Path) -> str:
    code, out, err = run(*arguments)
    assert code in (1, 2, 3)
    assert out == ""
    assert "Traceback" not in err
    return err


def test_an_empty_home_teaches() -> None:
    code, out, _ = run("list")
    assert code == 0
    assert f"`clearseek models pull {catalogue()[0].aliases[0]}`" in out
    assert "deepseek-r1-distill-qwen-7b" in out


def test_import_list_show_export_verify_rm(tiny: Path, tmp_path: Path) -> None:
    code, out, _ = run("import", tiny, "--name", "mine")
    assert code == 0
    assert out.startswith("mine is ready")
    code, out, _ = run("list")
    assert "mine" in out
    assert "prompted thinking" in out
    code, out, _ = run("show", "mine")
    for words in ("llama", "Q4_1", "apache-2.0", "sha256", "<|im_start|>"):
        assert words in out
    assert run("verify", "mine")[0] == 0
    assert run("export", "mine", tmp_path / "out.gguf")[0] == 0
    assert (tmp_path / "out.gguf").read_bytes() == tiny.read_bytes()
    assert run("rm", "MINE")[1] == "mine was removed.\n"
    assert "There is no model `mine`" in refusal("show", "mine")


def test_json_is_one_document_and_nothing_else(tiny: Path, tmp_path: Path) -> None:
    imported = document("import", tiny)
    assert imported["name"] == "tiny"
    assert imported.pop("notes") == []
    listed = document("list")
    assert listed["installed"] == [imported]
    assert listed["pullable"][0]["name"] == default_model()
    shown = document("show", "tiny")
    assert shown["architecture"] == "llama"
    assert shown["quantisation"] == "Q4_1"
    assert shown["chat_template"] == TEMPLATE
    assert shown["tensors"]["Q4_1"] == 14
    loose = document("show", tiny)
    assert loose["sha256"] is None
    assert loose["parameters"] == shown["parameters"]
    assert document("verify", "tiny")["whole"] is True
    assert document("export", "tiny", tmp_path / "o.gguf")["bytes"] == tiny.stat().st_size
    assert document("rm", "tiny") == {"removed": "tiny"}


def test_what_is_wrong_is_one_sentence(tiny: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not weights at all, though long enough to look")
    assert "bad.gguf is not a usable GGUF file" in refusal("show", bad)
    assert "bad.gguf is not a usable GGUF file" in refusal("import", bad)
    assert "There is no file" in refusal("show", tmp_path / "none.gguf")
    assert "did you mean" in refusal("pull", "smollm3")
    assert "keep, q4_0 or q8_0" in refusal("pull", "smollm2", "--quant", "q2")


def test_changed_weights_are_a_check_that_said_no(tiny: Path) -> None:
    path = Path(document("import", tiny)["path"])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, _, err = run("verify", "tiny")
    assert code == 3
    assert "are not those that were imported" in err


@pytest.mark.slow
def test_pull_the_default_model(real_home: Path) -> None:
    assert document("pull", "smollm2")["name"] == "smollm2-135m-instruct"
    assert document("show", "default")["parameters"] == 134_515_008
