"""Answers on a terminal: dimmed thinking that wraps, and Markdown that grows without flicker."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

if TYPE_CHECKING:
    from clearseek.inference.engine import Spent

REDRAW_SECONDS = 0.08
MAX_INDENT = 16
_BLOCKS = MarkdownIt("commonmark").enable("table")
# Everything a terminal could take as a command; text of a model or a file must never reach it as such.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without control characters (newlines and tabs stay), so that it cannot drive the terminal."""
    return _CONTROL.sub("", text)


def split_finished(text: str) -> tuple[str, str]:
    """(finished, tail) of growing Markdown, finished + tail == text.

    Every block but the last is finished: nothing that may still come can change how it looks.
    """
    starts = [token.map[0] for token in _BLOCKS.parse(text) if token.map and token.level == 0]
    if len(starts) < 2 or starts[-1] == 0:
        return "", text
    lines = text.split("\n")
    finished = "\n".join(lines[: starts[-1]]) + "\n"
    return finished, text[len(finished) :]


class Wrapped:
    """Writes a stream of text with a left margin, breaking lines between words; runs of spaces in a line become one."""

    def __init__(self, console: Console, style: str, indent: str = "  ") -> None:
        self.console, self.style, self.indent = console, style, indent
        self._column = 0
        self._word = ""
        self._space = ""

    def feed(self, text: str) -> None:
        for part in re.findall(r"\n|[^\S\n]+|\S+", text):
            if part == "\n":
                self._put_word()
                self._new_line()
            elif part.isspace():
                self._put_word()
                self._space += part.expandtabs(4)
            else:
                self._word += part

    def end(self) -> None:
        """Write what is held back, and leave the cursor at the start of a line."""
        self._put_word()
        if self._column:
            self._new_line()

    def _put_word(self) -> None:
        if not self._word:
            return
        word, self._word = self._word, ""
        if self._column and self._column + bool(self._space) + cell_len(word) > self.console.width:
            self._new_line()
        # at the start of a line spaces mean something: code keeps its indentation
        before = self._space[:1] if self._column else self.indent + self._space[:MAX_INDENT]
        word, self._space = before + word, ""
        self._write(word)
        self._column += cell_len(word)

    def _new_line(self) -> None:
        self._write("\n")
        self._column, self._space = 0, ""

    def _write(self, text: str) -> None:
        styled = Text(text, style=self.style)
        self.console.print(styled, end="", soft_wrap=True, highlight=False, markup=False, emoji=False)


class _Tail:
    """The last lines of what is being written: never more than fits on the screen."""

    def __init__(self, inner: RenderableType) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self.inner, options.update(height=None), pad=False)
        for line in lines[-max(3, console.height - 3) :]:
            yield from line
            yield Segment.line()


class AnswerView:
    """One answer as it comes: a status line, then dimmed thinking, then Markdown.

    Finished blocks are printed once and for all; only the block that still grows is drawn again.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._thinking = Wrapped(console, "dim italic")
        self._thought = False
        self._tail = ""
        self._printed = False
        self._draw_again_at = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)

    def finish(self) -> None:
        """Print what is left; call it however the answer ended."""
        self._end_thinking()
        self._live.stop()
        if self._tail.strip():
            self._print_block(self._tail)
        self._tail = ""

    def status(self, words: str) -> None:
        """Something to read while nothing has come yet; the first text replaces it."""
        if not self._thought and not self._tail and not self._printed:
            self._draw(Text(words, style="dim"))

    def thinking(self, text: str) -> None:
        self._live.stop()
        self._thought = True
        self._thinking.feed(plain(text))

    def answer(self, text: str) -> None:
        self._end_thinking()
        self._tail += plain(text)
        began = time.monotonic()
        if began < self._draw_again_at:
            return
        finished, self._tail = split_finished(self._tail)
        if finished.strip():
            self._print_block(finished)
        tail = _markdown(self._tail)
        self._draw(_Tail(Group("", tail) if self._printed else tail))
        ended = time.monotonic()
        # a long block takes long to draw: never spend more than a quarter of the time on it
        self._draw_again_at = ended + max(REDRAW_SECONDS, 3 * (ended - began))

    def recast(self, shown: bool) -> None:
        """The answer so far was thinking. What stands on the screen for good stays, and it is said what it is."""
        self._live.stop()
        tail, self._tail = self._tail, ""
        if self._printed:
            self.console.print(Text("(What stands above was its thinking; the answer follows.)", style="dim"))
            self.console.print()
            self._printed = False
        elif shown and tail.strip():
            self.thinking(tail.strip())

    def _end_thinking(self) -> None:
        if self._thought:
            self._thought = False
            self._thinking.end()
            self.console.print()

    def _print_block(self, text: str) -> None:
        if self._live.is_started:
            self._live.update("", refresh=True)
        if self._printed:
            self.console.print()
        self._printed = True
        self.console.print(_markdown(text))

    def _draw(self, what: RenderableType) -> None:
        if not self._live.is_started:
            self._live.start()
        self._live.update(what, refresh=True)


def _markdown(text: str) -> Markdown:
    # no clickable links: what a terminal does with a link that a model wrote is not ours to decide
    return Markdown(text, hyperlinks=False)


def cost_words(spent: Spent) -> list[str]:
    """What an answer took of the machine, in words, each with what it rests on; what is not known says so."""
    energy, money = spent.quantities.get("energy"), spent.quantities.get("money")
    fields = {
        "energy": None if energy is None or energy.value is None else f"{energy.value:.3g} J {energy.basis}",
        "money": None if money is None or money.value is None else f"{dollars(money.value)} {money.basis}",
    }
    parts = [words for words in fields.values() if words]
    missing = [name for name, words in fields.items() if not words]
    return [*parts, f"{' and '.join(missing)} unknown"] if missing else parts


BROKEN_OFF = {"aborted": "broken off by the engine", "content_filter": "withheld by the engine's filter"}
"""How an answer is told that the engine did not finish, by its finish reason."""


def seconds_words(seconds: float) -> str:
    """Never "0.0 s" for what took some time."""
    return "<0.1 s" if 0 < seconds < 0.05 else f"{seconds:.1f} s"


def spent_words(tokens: int | None, spent: Spent) -> list[str]:
    """The quiet line under an answer that was asked for once; `tokens` is None where nobody counted them."""
    wall = spent.quantities.get("wall")
    seconds = [] if wall is None or wall.value is None else [seconds_words(wall.value)]
    counted = [] if tokens is None else [f"{tokens:,} tokens"]
    return [*counted, *seconds, *cost_words(spent)]


def dollars(usd: float) -> str:
    """Money as people write it, and never "$0.00" for what was not nothing."""
    if usd >= 0.01 or usd == 0:
        return f"${usd:,.2f}"
    return f"${usd:.7f}".rstrip("0") if usd >= 1e-6 else f"${usd:.1e}"


def quiet_line(parts: Iterable[str]) -> Text:
    """The small print under an answer."""
    return Text(" · ".join(parts), style="dim")
