"""How the front door opens, and how it tells what went wrong."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from cli.helpers import clearseek, environment

from clearseek import __version__
from clearseek.cli import main
from clearseek.errors import CheckFailed, UsageError, UserError

pytestmark = pytest.mark.slow  # starts programs

HEAVY = (
    "pydantic",
    "fastapi",
    "rich",
    "sqlalchemy",
    "numpy",
    "gguf",
    "xllamacpp",
    "prompt_toolkit",
    "aiohttp",
    "jinja2",
)


def test_help_is_light_and_quick(tmp_path: Path) -> None:
    code = f"""
import sys
from clearseek.cli.main import run
assert run(["--help"]) == 0
assert not [name for name in {HEAVY} if name in sys.modules], [name for name in {HEAVY} if name in sys.modules]
"""
    seconds: dict[str, list[float]] = {}
    for _ in range(3):  # in turns: machines differ, and the same one from moment to moment
        for what in ("import asyncio", code):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run([sys.executable, "-c", what], capture_output=True, text=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert done.returncode == 0, done.stderr
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seconds.setdefault(what, []).append(spent)
    assert min(seconds[code]) < 3.5 * min(seconds["import asyncio"]), seconds.values()
    for command in ("serve", "chat", "models", "keys", "doctor", "bench"):
        assert f"\n  {command} " in done.stdout


def test_version(tmp_path: Path) -> None:
    done = clearseek("--version", home=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"clearseek {__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["sevre"], "did you mean 'serve'"),
        (["models", "lst"], "did you mean 'list'"),
        (["chat", "--bogus"], "No such option: --bogus"),
        (["chat", "--effort", "huge"], "'huge' is not one of"),
        (["serve", "--port", "99999"], "`port`"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(tmp_path: Path, args: list[str], says: str) -> None:
    done = clearseek(*args, home=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says.lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("It rains; take an umbrella."), 1),
        (UsageError("It rains; take an umbrella."), 2),
        (CheckFailed("It rains; take an umbrella."), 3),
    ],
)
def test_an_error_decides_the_exit_code(
    error: UserError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", lambda *_, **__: fail())
    assert main.run(["doctor"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "It rains; take an umbrella.\n")
    assert main.run(["doctor", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_is_told_in_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(main, "app", fail)
    assert main.run(["doctor"]) == 1
    said = capsys.readouterr().err
    assert said == "ZeroDivisionError: division by zero. This is a fault in ClearSeek: add --debug to see where.\n"


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "app", interrupt)
    assert main.run(["serve"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_gone_is_no_reason_to_shout(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "clearseek.cli.main", "--help"],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(tmp_path),
            check=False,
        )
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_debug_after_two_dashes_belongs_to_the_command(tmp_path: Path) -> None:
    done = clearseek("chat", "--model", "no-such", "--", "--debug", home=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_settings_that_are_wrong_are_told_once(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("prot = 8420\n")
    done = clearseek("serve", home=tmp_path)
    assert done.returncode == 2
    assert "config.toml, line 1: the file has no key `prot`; did you mean `port`?" in done.stderr


def test_an_argument_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable.encode(), b"-m", b"clearseek.cli.main"]
    for args in ([b"chat", b"caf\xe9?"], [b"chat", b"--system", b"\xff", b"hi"], [b"models", b"show", b"\xe9t\xe9"]):
        done = subprocess.run(command + args, capture_output=True, env=environment(tmp_path), check=False)
        said = done.stderr.decode()
        assert done.returncode == 2
        assert "is not UTF-8 text" in said
        assert said.count("\n") == 1


def test_a_file_whose_name_is_no_text_can_be_named(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/m\xe9.gguf"
    Path(os.fsdecode(odd)).write_bytes(b"")
    command = [sys.executable.encode(), b"-m", b"clearseek.cli.main", b"models", b"show", odd]
    done = subprocess.run(command, capture_output=True, env=environment(tmp_path), check=False)
    assert b"it is empty" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    for args in (["audit"], ["audit", "--json"], ["models", "list"], ["doctor"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "clearseek.cli.main", *args],
                stdout=full, stderr=subprocess.PIPE, text=True, env=environment(tmp_path), check=False,
            )  # fmt: skip
        assert done.returncode == 1, args
        assert done.stderr == "The disk that is written to is full: make room there and try again.\n", args


def test_signs_that_a_terminal_does_not_have_become_question_marks(tmp_path: Path) -> None:
    env = environment(tmp_path) | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    claim = tmp_path / "claim.toml"
    claim.write_text('title = "Kosten – 10 €"\ndate = "2026-01-01"\nscope = "final-run"\n', "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "clearseek.cli.main", "audit", str(claim)], capture_output=True, env=env, check=False
    )
    assert b"Traceback" not in done.stderr
    assert b"UnicodeEncodeError" not in done.stderr
