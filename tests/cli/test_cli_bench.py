"""The benchmark's parts, and once the whole of it, small."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from cli.helpers import clearseek

from clearseek.cli import bench_load, bench_serve
from clearseek.cli.main import run


def test_counts_are_read_from_the_end_of_a_stream_in_either_framing() -> None:
    ours = (
        b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":5,"completion_tokens":64}}\n\ndata: [DONE]\n\n'
    )
    openai = (
        b'ut in two"}}]}\n\ndata: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
    )
    assert bench_load._counts(ours) == (5, 64, "length")
    assert bench_load._counts(openai) == (7, 3, "stop")
    assert bench_load._counts(b"data: [DONE]\n\n") == (0, 0, "")


def test_the_first_token_is_the_first_text_and_not_the_first_chunk() -> None:
    role = b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\n'
    empty = b': keep-alive\n\ndata: {"choices":[{"delta":{"content":""}}]}\n\n'
    text = b'data: {"choices":[{"delta":{"content":"Once"}}]}\n'
    assert not bench_load._has_text(role + empty)
    assert not bench_load._has_text(role + text[:20])
    assert bench_load._has_text(role + empty + text)


def test_no_two_requests_of_a_run_are_alike() -> None:
    seen = {
        json.dumps(bench_serve.body(round_, level, user, turn, "m"))
        for round_ in range(5)
        for level in (1, 4, 16)
        for user in range(level)
        for turn in range(8 // level or 1)
    }
    assert len(seen) == 5 * (8 + 8 + 16)


def test_wrong_numbers_of_users_are_refused(tmp_path: Path) -> None:
    for users in ("", "0", "four", "1,65"):
        done = clearseek("bench", "serve", "--users", users, home=tmp_path)
        assert done.returncode == 2
        assert "from 1 to 64" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_run_of_the_whole(
    real_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That it measures, not what: times of a busy machine mean nothing, and short answers do."""
    monkeypatch.setattr(bench_serve, "TOKENS", 16)
    monkeypatch.setattr(bench_serve, "TURN_TOKENS", 8)
    ended = signal.getsignal(signal.SIGTERM)
    try:
        code = run(["bench", "serve", "--users", "2", "--rounds", "1", "--metering", "--json"])
    finally:
        signal.signal(signal.SIGTERM, ended)
    told = capsys.readouterr()
    assert code == 0, told.err
    report = json.loads(told.out)
    assert [level["users"] for level in report["levels"]] == [2]
    for level in report["levels"]:
        bare = level["against"]["bare"]
        assert bare["same_prompt_tokens"]
        assert bare["tokens"] == level["clearseek"]["tokens"] == 8 * bench_serve.TOKENS
        assert bare["ratio"]["median"] > 0
        assert level["against"]["unmetered"]["ratio"]["median"] > 0
        assert "2 users: metering costs at most 1%" in report["met"]
    booked = [json.loads(line) for line in (real_home / "ledger.jsonl").read_text().splitlines()]
    answers = 2 + 8 + 20  # to warm up, at one level, in two conversations; and none by the arm that keeps no books
    assert sum(entry["kind"] == "answer" for entry in booked) == answers
    assert report["memory_mb"] > 0
    turns = report["turns"]["disabled"]
    assert len(turns) == 10
    for turn in turns[1:]:
        assert turn["cached_tokens"] > 0
        assert turn["read_tokens"] <= turn["new_tokens"]
