"""What a model gets of a conversation: questions and answers in turn, nothing lost but what is dropped openly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clearseek.conversations.prompt import Turn, drop_more, fenced, turns
from clearseek.conversations.records import Attachment, Message


def user(content: str, *files: Attachment) -> Message:
    return Message("q", "c", None, "user", content, created_at=0, attachments=files)


def assistant(content: str, thinking: str | None = None) -> Message:
    return Message("a", "c", None, "assistant", content, created_at=0, thinking=thinking)


def test_turns_are_questions_with_their_answers_without_thinking() -> None:
    made = turns([user("one?"), assistant("1", "hm"), user("two?")])
    assert made == [
        ({"role": "user", "content": "one?"}, {"role": "assistant", "content": "1"}),
        ({"role": "user", "content": "two?"},),
    ]


def test_a_question_whose_answer_never_came_joins_the_next() -> None:
    made = turns([user("one?"), assistant("", "only thought"), user("two?")])
    assert made == [({"role": "user", "content": "one?\n\ntwo?"},)]


def test_attachments_are_named_and_cannot_close_their_fence() -> None:
    made = turns([user("what?", Attachment("a.md", "```\nx\n```"), Attachment("b", "y"))])
    assert made[0][0]["content"] == "a.md:\n````\n```\nx\n```\n````\n\nb:\n```\ny\n```\n\nwhat?"


@given(st.text(st.sampled_from("`x\n"), max_size=30))
def test_a_fence_is_longer_than_any_run_inside(text: str) -> None:
    fence = fenced(text).split("\n")[0]
    assert set(fence) == {"`"}
    assert len(fence) >= 3
    assert fence not in text


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=40),
    st.integers(4, 2000),
    st.floats(0.1, 3),
)
def test_dropping_always_ends_and_leaves_the_last_question(
    lengths: list[tuple[int, int]], context: int, tokens_per_character: float
) -> None:
    asked: list[Turn] = [
        ({"role": "user", "content": "q" * q}, {"role": "assistant", "content": "a" * a}) for q, a in lengths
    ]
    dropped, tries = 0, 0
    while True:
        tokens = sum(len(m["content"]) * tokens_per_character + 4 for turn in asked[dropped:] for m in turn)
        if tokens < context:
            break
        more = drop_more(asked, dropped, int(tokens), context)
        if more is None:
            assert dropped == len(asked) - 1
            break
        assert dropped < more < len(asked)
        dropped, tries = more, tries + 1
    assert tries <= len(asked)


def test_after_leaving_turns_out_the_next_questions_fit() -> None:
    """Twenty turns of the same length that are a little too long together: half of them go, not one."""
    asked = [({"role": "user", "content": "x" * 100}, {"role": "assistant", "content": "y" * 300}) for _ in range(20)]
    asked.append(({"role": "user", "content": "x" * 100},))
    dropped = drop_more(asked, 0, 8300, 8192)
    assert dropped is not None
    kept = 8300 * (1 - dropped / 20.25)
    assert kept <= 8192 / 2
    assert dropped < 15


def test_the_last_turn_but_one_stays_where_it_fits() -> None:
    long = {"role": "user", "content": "x" * 2500}
    asked = [
        ({"role": "user", "content": "x" * 2500}, {"role": "assistant", "content": "y" * 2500}),
        (long, {"role": "assistant", "content": "y" * 2500}),
        ({"role": "user", "content": "x" * 100},),
    ]
    # a token for a character: without the first turn there are 5,100, more than half and less than all
    assert drop_more(asked, 0, 10_100, 8192) == 1
    # and where it does not fit, it goes
    assert drop_more(asked, 0, 20_200, 8192) == 2
