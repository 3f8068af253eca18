"""The splitter gives the same (thinking, answer) for every split of a text into chunks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearseek.inference.thinking import ThinkingSplitter, split

TEXT = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", " ", "\n", "a", "<thin", "</thi", "é", "答"]),
    max_size=14,
).map("".join)


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("plain", False, ("", "plain")),
        ("<think>a</think>b", False, ("a", "b")),
        ("  \n<think>\n a \n</think>\n\nb ", False, ("a", "b ")),
        ("a</think>b", True, ("a", "b")),
        ("\n</think>\n\nb", True, ("", "b")),
        ("<think>never closed", False, ("never closed", "")),
        ("never closed", True, ("never closed", "")),
        ("an answer with <think> in it</think>", False, ("", "an answer with <think> in it</think>")),
        ("<think>a</think>b <think>c</think>", False, ("a", "b <think>c</think>")),
        ("<think>a < b </thin</think>c", False, ("a < b </thin", "c")),
        ("<think>a</thi", False, ("a</thi", "")),
        ("<thin", False, ("", "<thin")),
        ("<thinking>x", False, ("", "<thinking>x")),
        ("<think>\na</think>b", True, ("a", "b")),
        ("<think", True, ("<think", "")),
        ("", False, ("", "")),
        ("   ", False, ("", "   ")),
        ("   ", True, ("", "")),
        ("<think>a</think>   ", False, ("a", "")),
    ],
)
def test_whole_texts(text: str, opened: bool, expected: tuple[str, str]) -> None:
    assert split(text, opened=opened) == expected


@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=8), opened=st.booleans())
@example(text="<think> a </think> b", cuts=[1, 3, 7, 8, 10, 12, 19], opened=False)
def test_any_split_into_chunks_gives_the_same(text: str, cuts: list[int], opened: bool) -> None:
    points = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    splitter = ThinkingSplitter(opened=opened)
    pieces = [piece for a, b in itertools.pairwise(points) for piece in splitter.feed(text[a:b])]
    pieces += splitter.finish()
    assert all(piece for _, piece in pieces)
    kinds = [kind for kind, _ in pieces]
    assert kinds == sorted(kinds, key=["thinking", "answer"].index), "thinking comes before the answer"
    together = ("".join(t for k, t in pieces if k == "thinking"), "".join(t for k, t in pieces if k == "answer"))
    assert together == split(text, opened=opened)


@given(text=TEXT, opened=st.booleans())
def test_nothing_is_lost_but_tags_and_the_space_around_them(text: str, opened: bool) -> None:
    thinking, answer = split(text, opened=opened)
    assert len(thinking) + len(answer) <= len(text)
    kept = "".join((thinking + answer).split())
    given_ = "".join(text.split())
    for tag in ("<think>", "</think>"):
        given_, kept = given_.replace(tag, ""), kept.replace(tag, "")
    assert sorted(kept) == sorted(given_)


def test_only_an_ambiguous_tail_is_held_back() -> None:
    splitter = ThinkingSplitter(opened=True)
    assert splitter.feed("one two") == [("thinking", "one two")]
    assert splitter.feed(" th") == [("thinking", " th")]
    assert splitter.feed("ree </") == [("thinking", "ree")]
    assert splitter.feed("b>") == [("thinking", " </b>")]


def test_without_expectation_all_is_answer() -> None:
    splitter = ThinkingSplitter(expect=False)
    assert splitter.feed("<think>x</think>") == [("answer", "<think>x</think>")]
