"""A closing tag in the answer: what came before it is thinking. And an answer that speaks about tags keeps them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearseek.inference.late_tags import LateTags, speaks_of_tags


def read(text: str, sizes: tuple[int, ...] = (), before: str = "", literal: bool = False) -> tuple[str, str]:
    """(thinking, answer), fed in pieces of these sizes in turn; whole without."""
    late, thinking, answer = LateTags(before, literal=literal), "", ""
    pieces, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)] if sizes else len(text)
        pieces += late.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    for kind, piece in pieces + late.finish():
        assert piece or kind == "recast"
        if kind == "recast":
            thinking, answer = (f"{thinking}|{answer}" if thinking else answer).rstrip(), ""
        elif kind == "thinking":
            thinking += piece
        else:
            answer += piece
    return thinking, answer


CLOSED = {
    "the working of a sum": ("17+25: 7+5=12 1+2+1=4 -> 42\n</think>\n\n42", "17+25: 7+5=12 1+2+1=4 -> 42", "42"),
    "twice": ("a\n</think>\n\nb\n</think>\n\nc", "a|b", "c"),
    "twice with nothing between": ("a\n</think>\n</think>\n\nc", "a", "c"),
    "upper case": ("a\n</THINK>\n\nb", "a", "b"),
    "nothing after it": ("42\n</think>\n\n", "", "42"),
    "nothing before it": ("</think>\n\n42", "", "42"),
    "no line of its own": ("so it is 42.</think>The answer is 42.", "so it is 42.", "The answer is 42."),
    "the end of a line and an empty one": ("-> 42 </think>\n\n42", "-> 42", "42"),
    "text right after it": ("one\ntwo\n</think> 42", "one\ntwo", "42"),
    "several lines": ("one\n\n- two\n</think>\n\n- a\n- b", "one\n\n- two", "- a\n- b"),
    "glued at the end": ("42</think>", "", "42"),
    "after a fence": ("```\nx = 1\n```\n</think>\n\n1", "```\nx = 1\n```", "1"),
    "opened again": ("42\n<think>\nhm\n</think>\n\n43", "hm", "42\n\n43"),
    "opened at the start": ("<think>\nhm\n</think>\n\n42", "hm", "42"),
    "opened and never closed": ("<think>hm", "hm", ""),
    "an empty pair": ("<think>\n\n</think>\n\n42", "", "42"),
    "an empty pair after the answer": ("42\n\n<think></think>\n\n43", "", "42\n\n43"),
}
SPOKEN = [
    "The tag `</think>` ends the thinking.\n\nMore.",
    "`</think>`",
    "</think>",
    "The closing tag is </think>, and it ends the thinking.",
    "It uses <think> and </think> tags.\n\nx",
    'Write "</think>" there.\n\nx',
    "```\nworking\n</think>\n\n42\n```\nThat is how it looks.",
    "~~~~html\n<think>\n</think>\n~~~\n</think>\n~~~~\nx",
    "They look like this:\n\n<think>\nhere is the working\n</think>\n\nand then the answer.",
    "As code:\n\n    working\n    </think>\n\n42",
    "- <think> opens\n- </think> closes",
    "> </think>",
    "if a < b:\n<thin\n</thinking>\n\nx",
    "Two  lines\n\n\nand  spaces \n",
]


@pytest.mark.parametrize("case", CLOSED)
@pytest.mark.parametrize("sizes", [(), (1,), (2, 5), (7,)])
def test_what_came_before_a_late_tag_is_thinking(case: str, sizes: tuple[int, ...]) -> None:
    text, thinking, answer = CLOSED[case]
    assert read(text, sizes) == (thinking, answer)


@pytest.mark.parametrize("text", SPOKEN)
@pytest.mark.parametrize("sizes", [(), (1,), (3,)])
def test_an_answer_about_the_tags_keeps_them(text: str, sizes: tuple[int, ...]) -> None:
    assert read(text, sizes) == ("", text)


def test_where_the_question_spells_a_tag_it_is_text() -> None:
    asked = [{"role": "user", "content": "What does </think> do?"}]
    assert speaks_of_tags(asked)
    assert not speaks_of_tags([*asked, {"role": "assistant", "content": "x"}, {"role": "user", "content": "17 + 25?"}])
    assert not speaks_of_tags([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "</think>"}])
    assert speaks_of_tags([{"role": "user", "content": "read it"}, {"role": "tool", "content": "a <THINK> b"}])
    assert read("a\n</think>\n\nb", literal=True) == ("", "a\n</think>\n\nb")


def parts(late: LateTags, text: str, *, more: bool = False) -> list[tuple[str, str]]:
    return [*late.feed(text), *late.finish(more=more)]


@pytest.mark.parametrize("text", ["I add.\n</think>\n\n", "I add.</think>", "I add. </think>", "I add. </think>\n"])
def test_a_call_after_a_tag_is_something_after_it(text: str) -> None:
    assert parts(LateTags(), text, more=True) == [("answer", "I add."), ("recast", "")]
    assert ("recast", "") not in parts(LateTags(), text)


def test_before_a_call_a_tag_alone_is_nothing() -> None:
    assert "</think>" not in "".join(said for _, said in parts(LateTags(), "</think>\n", more=True))
    assert parts(LateTags(), "</think>") == [("answer", "</think>")]


def test_in_json_a_tag_is_text() -> None:
    told = '{"a": "so</think>b"}'
    assert "".join(said for kind, said in parts(LateTags(form=True), told) if kind == "answer") == told
    after = parts(LateTags(form=True), f"so.</think>{told}")
    assert after[:2] == [("answer", "so."), ("recast", "")]
    assert "".join(said for kind, said in after[2:] if kind == "answer") == told


def test_an_answer_that_was_begun_is_gone_on_with() -> None:
    assert read("x\n</think>\ny", before="```\n") == ("", "x\n</think>\ny")
    assert read(" 42\n</think>\n\n42", before="So it is") == (" 42", "42")


PARTS = ["</think>", "<think>", "</THINK>", "\n", "\n\n", " ", "    ", "`", "```", "a", "42.", ":", "<", "</thi", "- "]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_how_the_text_is_cut_makes_no_difference(text: str, sizes: list[int]) -> None:
    whole, cut = read(text), read(text, tuple(sizes))
    assert [part.strip() for part in whole] == [part.strip() for part in cut]


def test_white_space_without_end_is_not_held_for_ever() -> None:
    late = LateTags()
    late.feed("a")
    told = "".join(text for _ in range(4000) for _, text in late.feed("\n"))
    assert len(told) > 2000


@pytest.mark.parametrize(
    "end", ["=", ":", ",", "-", "#", "'", '"', "”", "」", ")", "！", ";", "**42**", "🙂", "2", "."]
)
def test_a_tag_glued_to_whatever_it_ends_closes(end: str) -> None:
    late = LateTags()
    pieces = [piece for char in f"17+25{end}</think>42" for piece in late.feed(char)] + late.finish()
    assert "recast" in [kind for kind, _ in pieces]
    assert "".join(text for _, text in pieces[[kind for kind, _ in pieces].index("recast") :]) == "42"


@pytest.mark.parametrize(
    "said",
    ["It is **</think>** that closes.", 'Write "</think>" there.', "Put </think> there.", "A tag (</think>) ends it.",
     "Es ist „</think>“ gemeint.", "用「</think>」结束。", "The _</think>_ tag."],
)  # fmt: skip
def test_a_tag_that_is_named_between_marks_is_text(said: str) -> None:
    late = LateTags()
    pieces = [piece for char in said for piece in late.feed(char)] + late.finish()
    assert "".join(text for kind, text in pieces if kind == "answer") == said
