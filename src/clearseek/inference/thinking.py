"""Splits a stream of text into thinking and answer, over any chunking.

Only an ambiguous tail is held back: text that may turn out to be the start of `<think>` or `</think>`, or white space
around them. Rules, the same for every split into chunks:

- Thinking opens with `<think>` as the first thing that is not white space, or it is open from the start because the
  template wrote the tag (`opened=True`). A `<think>` anywhere later is literal text of the answer.
- The first `</think>` closes it. A `</think>` in an answer is literal here; `late_tags.py` reads answers on.
- White space right after an opening tag and around a closing one belongs to neither.
- Thinking that is never closed is thinking: the answer is then empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from clearseek.inference.engine import Kind

OPEN, CLOSE = "<think>", "</think>"


class State(Enum):
    START = "nothing but white space so far"
    THINKING_START = "thinking is open, nothing but white space in it"
    THINKING = "in the thinking"
    ANSWER_START = "thinking is closed, nothing but white space since"
    ANSWER = "in the answer"


@dataclass
class ThinkingSplitter:
    """Feed text, get `(kind, text)` pieces; call `finish` once at the end for what was held back.

    With `opened` the text begins inside the thinking. With `expect` False nothing is split: all of it is answer.
    """

    opened: bool = False
    expect: bool = True
    state: State = field(init=False)
    _held: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not self.expect:
            self.state = State.ANSWER
        else:
            self.state = State.THINKING_START if self.opened else State.START

    def feed(self, text: str) -> list[tuple[Kind, str]]:
        """Takes the next chunk; returns what is certain by now, in order, never empty strings."""
        self._held += text
        out: list[tuple[Kind, str]] = []
        while self._step(out):
            pass
        return out

    def finish(self) -> list[tuple[Kind, str]]:
        """The stream is over: what was ambiguous is taken literally."""
        held, self._held = self._held, ""
        if self.state is State.START and not held.strip():
            return [("answer", held)] if held else []
        if self.state in (State.THINKING, State.THINKING_START):
            held = held.rstrip() if self.state is State.THINKING else held.strip()
            return [("thinking", held)] if held else []
        if self.state is State.ANSWER_START:
            held = held.lstrip()
        return [("answer", held)] if held else []

    def _step(self, out: list[tuple[Kind, str]]) -> bool:
        """One transition; False when more text is needed."""
        held = self._held
        if not held:
            return False
        if self.state is State.ANSWER:
            out.append(("answer", held))
            self._held = ""
            return False
        if self.state in (State.START, State.THINKING_START, State.ANSWER_START):
            body = held.lstrip()
            if not body:
                return False
            if self.state is State.START:
                if body.startswith(OPEN):
                    self._held = body[len(OPEN) :]
                    self.state = State.THINKING_START
                elif OPEN.startswith(body):
                    return False
                else:
                    self.state = State.ANSWER
                return True
            self._held = body
            # A template may open thinking and the model open it again: the second tag is the same tag.
            if self.state is State.THINKING_START and OPEN.startswith(body[: len(OPEN)]):
                if len(body) < len(OPEN):
                    return False
                self._held = body[len(OPEN) :]
                return True
            self.state = State.ANSWER if self.state is State.ANSWER_START else State.THINKING
            return True
        return self._step_thinking(out)

    def _step_thinking(self, out: list[tuple[Kind, str]]) -> bool:
        held = self._held
        at = held.find(CLOSE)
        if at >= 0:
            thought = held[:at].rstrip()
            if thought:
                out.append(("thinking", thought))
            self._held = held[at + len(CLOSE) :]
            self.state = State.ANSWER_START
            return True
        keep = _ambiguous_tail(held)
        if keep < len(held):
            out.append(("thinking", held[: len(held) - keep]))
            self._held = held[len(held) - keep :]
        return False


def _ambiguous_tail(text: str) -> int:
    """How many characters at the end may be white space before `</think>`, or the beginning of it."""
    tail = 0
    for size in range(min(len(CLOSE) - 1, len(text)), 0, -1):
        if CLOSE.startswith(text[len(text) - size :]):
            tail = size
            break
    body = text[: len(text) - tail]
    return tail + len(body) - len(body.rstrip())


def split(text: str, *, opened: bool = False) -> tuple[str, str]:
    """The whole text at once: `(thinking, answer)`."""
    splitter = ThinkingSplitter(opened=opened)
    pieces = splitter.feed(text) + splitter.finish()
    return (
        "".join(piece for kind, piece in pieces if kind == "thinking"),
        "".join(piece for kind, piece in pieces if kind == "answer"),
    )
