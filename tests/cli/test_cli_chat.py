"""`clearseek chat` with the real model: once through pipes, and as a conversation on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cli.helpers import OnTerminal, clearseek, environment

from clearseek.cli.chat import MAX_PIPED_BYTES


def test_nothing_asked_is_said_so(tmp_path: Path) -> None:
    done = clearseek("chat", home=tmp_path, stdin=" \n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Nothing was asked" in done.stderr


def test_what_is_not_text_or_too_much_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "clearseek.cli.main", "chat"]
    for data, says in ((b"\xff\xfe\x00", "not UTF-8"), (b"a" * (MAX_PIPED_BYTES + 1), "4 MB")):
        done = subprocess.run(command, input=data, capture_output=True, env=environment(tmp_path), check=False)
        assert done.returncode == 2
        assert says in done.stderr.decode()


def test_an_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    done = clearseek("chat", "--model", "smolm2-135m-instrct", "hello", home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean `smollm2-135m-instruct`" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_piped_question_gives_the_answer_alone(real_home: Path) -> None:
    done = clearseek(
        "chat", "--seed", "1", "--max-tokens", "400", home=real_home, stdin="What is the capital of France?\n"
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert done.stdout.endswith("\n")
    assert "<think>" not in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_prompt_and_pipe_are_joined_and_a_seed_repeats(real_home: Path) -> None:
    args = ("chat", "Repeat this word:", "--no-think", "--seed", "7", "--max-tokens", "40")
    first = clearseek(*args, home=real_home, stdin="pineapple")
    again = clearseek(*args, home=real_home, stdin="pineapple")
    assert first.returncode == 0, first.stderr
    assert "pineapple" in first.stdout.lower()
    assert first.stdout == again.stdout


@pytest.mark.slow
def test_a_budget_holds_in_the_terminal_too(real_home: Path) -> None:
    (real_home / "config.toml").write_text("[budget]\ntokens_per_day = 60\n")
    cut = clearseek("chat", "--no-think", "Tell me a long story.", home=real_home)
    assert cut.returncode == 0
    assert "60 tokens, is used up" in cut.stderr
    assert cut.stdout
    refused = clearseek("chat", "--no-think", "Tell me a long story.", home=real_home)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is used up" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_limit_is_said_on_stderr(real_home: Path) -> None:
    done = clearseek("chat", "--no-think", "--max-tokens", "5", "Tell me a long story.", home=real_home)
    assert done.returncode == 0
    assert len(done.stdout.split()) <= 5
    assert "cut at the limit" in done.stderr


@pytest.mark.slow
def test_a_question_that_is_too_long_says_by_how_much(real_home: Path) -> None:
    done = clearseek("chat", "--no-think", home=real_home, stdin="one two three " * 20_000)
    assert (done.returncode, done.stdout) == (1, "")
    assert "too long" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_thinking_is_dimmed_where_someone_can_see_it(real_home: Path) -> None:
    (real_home / "config.toml").write_text("[prices]\nmachine_usd_per_hour = 5\n[machine]\nwatts = 65\n")
    mine, theirs = pty.openpty()
    command = [sys.executable, "-m", "clearseek.cli.main", "chat", "--max-tokens", "300", "What is 2 + 2?"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(real_home),
        check=False,
    )
    os.close(theirs)
    seen = os.read(mine, 65536).decode()
    os.close(mine)
    assert done.returncode == 0, seen
    assert "\x1b[2;3m" in seen  # dim and italic
    assert b"\x1b" not in done.stdout
    assert "$0.0" in seen.splitlines()[-1], "what it cost, in the small print"
    assert "J modelled" in seen.splitlines()[-1]


@pytest.mark.slow
def test_a_conversation_on_a_terminal(real_home: Path, tmp_path: Path) -> None:
    chat = OnTerminal("chat", "--seed", "1", home=real_home)
    try:
        chat.wait_for("/help lists the commands")
        chat.wait_for("›")

        chat.type("Write a very long story about a lighthouse.\r")
        chat.wait_for("…")
        chat.wait_for(r"\w+ \w+ \w+ \w+ \w+")
        chat.type("\x03")
        chat.wait_for(r"\(stopped\)", seconds=120)
        chat.wait_for("›")

        chat.type("/think off\r")
        chat.wait_for("Thinking is off")
        chat.wait_for("›")
        chat.type("What is the capital of France?\r")
        assert "Paris" in chat.wait_for(r"tokens/s")
        chat.wait_for("energy and money unknown")
        chat.wait_for("›")

        chat.type("/model\r")
        chat.wait_for(r"\* smollm2-135m-instruct")
        chat.type("/modle x\r")
        chat.wait_for("no command /modle")
        chat.type("/think loud\r")
        chat.wait_for("on, off, low, high or max")
        chat.type("\x03")  # with nothing to stop, it only empties the line
        target = tmp_path / "kept.md"
        chat.type(f"/save {target}\r")
        chat.wait_for("Saved as")
        assert "## You\n\nWhat is the capital of France?" in target.read_text()
        assert "Paris" in target.read_text()
        chat.type(f"/save {target}\r")
        chat.wait_for("exists already")

        chat.type("/new\r")
        chat.wait_for("A new conversation")
        chat.wait_for("›")
        chat.type("\x04")
        assert chat.end() == 0
        assert "Traceback" not in chat.seen
        entries = [json.loads(line) for line in (real_home / "ledger.jsonl").read_text().splitlines()]
        assert [(entry["kind"], entry["labels"]["status"]) for entry in entries] == [
            ("load", "complete"),
            ("answer", "cancelled"),
            ("answer", "complete"),
        ]
        assert entries[1]["labels"]["source"] == "terminal"
        history = real_home / "chat-history"
        assert "lighthouse" in history.read_text()
        assert history.stat().st_mode & 0o077 == 0
    finally:
        chat.kill()
