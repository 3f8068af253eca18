"""Markdown that grows, thinking that wraps, and text that must not drive the terminal."""

from __future__ import annotations

import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.markdown import Markdown

from clearseek.cli.render import AnswerView, Wrapped, plain, split_finished

ANSWER = """\
# A title

A paragraph with *stress* and `code`,
on two lines.

1. one

   still one
2. two

```python
def f():

    return 1
```

| a | b |
|---|---|
| 1 | 2 |

The end.
"""


def screen(width: int = 60, height: int = 20) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def blocks_of(text: str, cuts: list[int]) -> list[str]:
    """The finished blocks, and the tail, when the text comes in pieces cut at these places."""
    blocks, tail, before = [], "", 0
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        tail += text[before:cut]
        before = cut
        finished, tail = split_finished(tail)
        if finished:
            blocks.append(finished)
    return [*blocks, tail]


@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_however_it_is_cut_nothing_is_lost_and_no_block_is_torn(cuts: list[int]) -> None:
    blocks = blocks_of(ANSWER, cuts)
    assert "".join(blocks) == ANSWER
    for block in blocks[:-1]:
        assert block.count("```") % 2 == 0
        assert not re.search(r"\| a \| b \|\n\Z", block)


@given(st.text(alphabet="ab \n#-*1.`>|", max_size=80), st.lists(st.integers(0, 100), max_size=10))
def test_any_text_survives_the_splitting(text: str, cuts: list[int]) -> None:
    assert "".join(blocks_of(text, cuts)) == text


def test_blocks_printed_one_by_one_look_like_the_whole() -> None:
    whole, pieces = screen(), screen()
    whole.print(Markdown(ANSWER))
    first = True
    for block in blocks_of(ANSWER, list(range(len(ANSWER)))):
        if not first:
            pieces.print()
        first = False
        pieces.print(Markdown(block))
    assert written(pieces).split() == written(whole).split()


@given(st.lists(st.sampled_from(["a", "word", " ", "\n", "longer-word", "\n\n", "  "]), max_size=60))
def test_thinking_is_the_same_however_it_comes(parts: list[str]) -> None:
    at_once, in_parts = screen(width=24), screen(width=24)
    for console, pieces in ((at_once, ["".join(parts)]), (in_parts, parts)):
        writer = Wrapped(console, "dim")
        for piece in pieces:
            writer.feed(piece)
        writer.end()
    assert written(at_once) == written(in_parts)
    words = "".join(parts).split()
    assert written(at_once).split() == words
    for line in written(at_once).splitlines():
        assert len(line.rstrip()) <= 24 or len(line.split()) == 1


def test_code_in_thinking_keeps_its_indentation() -> None:
    console = screen()
    writer = Wrapped(console, "dim")
    for piece in ("def f():\n", "  ", "  return", " 1\n\n", "done"):
        writer.feed(piece)
    writer.end()
    assert [line.rstrip() for line in written(console).splitlines()] == ["  def f():", "      return 1", "", "  done"]


def test_what_a_model_writes_cannot_drive_the_terminal() -> None:
    attack = "before\x1b]0;title\x07\x1b[2J\x9b31m\rover\x00 after"
    assert plain(attack) == "before]0;title[2J31mover after"
    assert plain("a\tb\nc") == "a\tb\nc"
    console = screen()
    view = AnswerView(console)
    view.thinking(attack)
    view.answer(attack + " [click](https://example.com/x) [bold]no markup[/bold]")
    view.finish()
    out = written(console)
    assert "\x1b]" not in out  # neither a title nor a clickable link
    assert "\x1b[2J" not in out.replace("\x1b[2K", "")
    assert "\x9b" not in out
    assert "[bold]no markup[/bold]" in out
    assert "https://example.com/x" in out


def test_a_long_block_never_draws_more_than_the_screen_holds(monkeypatch: object) -> None:
    console = screen(height=12)
    view = AnswerView(console)
    view.answer("```\n")
    for number in range(100):
        view._draw_again_at = 0.0
        before = len(written(console))
        view.answer(f"line {number}\n")
        drawn = written(console)[before:]
        assert drawn.count("\n") <= 12
    view.finish()
    out = written(console)
    assert "line 0" in out[out.rindex("line 0") - 200 :]
    assert out.rstrip().endswith("line 99")


def test_everything_is_printed_once_at_the_end() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=60)
    view = AnswerView(console)
    view.status("waiting")
    view.thinking("Let me see. ")
    for letter in ANSWER:
        view.answer(letter)
    view.finish()
    out = written(console)
    assert out.count("The end.") == 1
    assert out.count("A title") == 1
    assert "\x1b" not in out


def test_an_answer_that_turns_out_to_be_thinking_is_drawn_as_thinking() -> None:
    console = screen()
    view = AnswerView(console)
    view.thinking("Easy.")
    view.answer("17+25: -> 41 or 42")
    view.recast(True)
    view.answer("It is 42.")
    view.finish()
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", written(console))
    at = [text.rindex(part) for part in ("Easy.", "17+25: -> 41 or 42", "It is 42.")]
    assert at == sorted(at)
    assert "  17+25: -> 41 or 42" in text, "with the margin of thinking"
    hidden = screen()
    view = AnswerView(hidden)
    view.answer("17+25: -> 41 or 42")
    view.recast(False)
    view.answer("It is 42.")
    view.finish()
    assert written(hidden).splitlines()[-1].rstrip().endswith("\x1b[2KIt is 42."), "in the place of what stood there"


def test_what_was_printed_for_good_is_said_to_have_been_thinking() -> None:
    console = screen()
    view = AnswerView(console)
    for text in ("First, this.\n\n", "Then that.\n\n", "And so on."):
        view._draw_again_at = 0.0
        view.answer(text)
    view.recast(True)
    view.answer("It is 42.")
    view.finish()
    assert "(What stands above was its thinking; the answer follows.)" in written(console)
    assert written(console).splitlines()[-1].strip() == "It is 42."
