"""A remote engine that closes thinking it never opened (its template did): what came before the tag is thinking."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from remote_dialects import ADD, DONE, chunk
from remote_late import LATE, Late
from scripted_upstream import Upstream, sends

from clearseek.inference.engine import Delta, Event, Finished, Recast, Request, Thinking, ToolCall
from clearseek.inference.holdback import settled
from clearseek.inference.remote import RemoteEngine, RemoteServer
from clearseek.inference.remote_answer import RemoteAnswer
from clearseek.inference.remote_payloads import Payloads


def asked(case: Late, *, thinks: bool = True) -> Request:
    return Request(
        ({"role": "user", "content": case.question},), thinking=Thinking(enabled=thinks), json_schema=case.schema
    )


def told(raw: bytes, request: Request, *, size: int | None = None) -> list[Event]:
    """The events of these bytes, in pieces of `size`, as the engine makes them."""
    reader, answer = Payloads(), RemoteAnswer(request)
    pieces = [raw[at : at + (size or len(raw))] for at in range(0, len(raw), size or len(raw))]
    said = [one for piece in pieces for one in reader.feed(piece)] + reader.finish()
    return [event for one in said for event in answer.take(one)] + answer.finish(done=reader.done)


def read(events: list[Event]) -> tuple[str, str]:
    """(thinking, answer), as a reader has it who can take text back."""
    thinking, answer = "", ""
    for event in events:
        if isinstance(event, Recast):
            was = answer.strip() if event.shown else ""
            thinking, answer = thinking + (f"\n{was}" if thinking and was else was), ""
        elif isinstance(event, Delta) and event.kind == "thinking":
            thinking += event.text
        elif isinstance(event, Delta):
            answer += event.text
    return thinking, answer


@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize("size", [1, 3, 10_000, None])
@pytest.mark.parametrize("name", LATE)
def test_what_came_before_the_tag_is_thinking(name: str, size: int | None, thinks: bool) -> None:
    case = LATE[name]
    events = told(case.raw(size), asked(case, thinks=thinks))
    assert read(events) == (case.thinking if thinks else "", case.answer)
    assert [event.id for event in events if isinstance(event, ToolCall)] == [id for id, _, _ in case.calls]
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.usage.counted


@pytest.mark.parametrize("name", ["a working", "a call after it", "in a fence"])
def test_a_tag_in_single_bytes(name: str) -> None:
    case = LATE[name]
    assert read(told(case.raw(1), asked(case), size=1)) == (case.thinking, case.answer)


async def test_what_came_with_its_tag_is_thinking_for_readers_who_can_take_nothing_back() -> None:
    case = LATE["several lines"]
    with Upstream(sends(case.raw(10_000))) as upstream:
        server = RemoteServer(upstream.url)
        engine = RemoteEngine(server, "big")
        hold = (await engine.describe()).hold
        events = [event async for event in settled(engine.generate(asked(case)), hold)]
        await server.close()
    assert not any(isinstance(event, Recast) for event in events)
    assert read(events) == (case.thinking, case.answer)


def test_told_apart_by_the_server_a_tag_is_text() -> None:
    raw = chunk({"reasoning_content": "hm"}) + chunk({"content": "The end\n</think>\n\nYes."}) + chunk({}, "stop")
    events = told(raw.encode(), asked(LATE["a working"]))
    assert read(events) == ("hm", "The end\n</think>\n\nYes.")


@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize(
    ("pieces", "written", "thought"),
    [(["2+2", "=4.", "</think>", "\n\n", "It is", " 4."], 6, 4), (["2+2=4.</think>It is 4."], 2, 1)],
)
def test_pieces_are_counted_once_each(pieces: list[str], written: int, thought: int, thinks: bool) -> None:
    """Where the engine counts nothing, a budget goes by the pieces that came."""
    raw = "".join(chunk({"content": piece}) for piece in pieces) + chunk({}, "stop") + DONE
    events = told(raw.encode(), asked(LATE["a working"], thinks=thinks))
    last: Any = events[-1]
    assert (last.usage.completion_tokens, last.usage.reasoning_tokens, last.usage.counted) == (written, thought, False)
    if len(pieces) > 1:
        assert sum(event.tokens for event in events if isinstance(event, Delta)) == written


@pytest.mark.parametrize("size", [1, 10_000])
def test_thinking_off_hides_what_is_between_tags_too(size: int) -> None:
    case = Late("<think>\nhm, 2+2\n</think>\n\nIt is 4.", "", "It is 4.")
    events = told(case.raw(size), asked(case, thinks=False))
    assert read(events) == ("", "It is 4.")
    assert sum(isinstance(event, Recast) for event in events) == 1, "the books know that it was thinking"
    after = Late("It is 4.\n<think>\nhm\n</think>", "", "It is 4.")
    assert read(told(after.raw(size), asked(after, thinks=False))) == ("", "It is 4.")
    cut = Late("<think>\nhm, 2+2", "", "")
    events = told(cut.raw(size), asked(cut, thinks=False))
    assert read(events) == ("", "")
    assert sum(isinstance(event, Recast) for event in events) == 1


PARTS = ["</think>", "<think>", "</THINK>", "\n", "\n\n", " ", "`", "```", "a", "42.", ":", "<", "</thi", "{", '"']


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=12).map("".join),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_how_the_text_is_cut_makes_no_difference(text: str, size: int, calls: bool, thinks: bool, form: bool) -> None:
    case = Late(text, "", "", calls=ADD if calls else (), schema={} if form else None)
    whole, cut = (read(told(case.raw(size), asked(case, thinks=thinks))) for size in (None, size))
    assert [part.split() for part in whole] == [part.split() for part in cut]
