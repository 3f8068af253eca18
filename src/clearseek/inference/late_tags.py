"""Thinking in what was meant to be the answer: a `</think>` that comes when no thinking is open, a `<think>` again.

Small models, and remote engines whose template opened the thinking, write their working where the answer belongs and
close it with a tag. What came before such a tag is thinking, the tag is nobody's to see, and the answer is what comes
after. An answer that speaks about the tags must keep them, so a tag is only text

- within code: a fence, an indented line, `inline`;
- where the question (the last user message and what follows it) spells one of the tags itself;
- in an answer that is to be JSON (`form`), from its `{`, `[` or `"` on;
- where its pair stands in the answer as text: `<think>` in a sentence makes the next `</think>` text too;
- where it is all of the answer, or has white space before it in its line and no empty line after it.

A closing tag with nothing after it, neither text nor a call of a tool, closes nothing: it is dropped, and what came is
the answer. `<think>` as the first
thing of an answer, or alone on a line that nothing announces with a colon, opens thinking until it is closed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from clearseek.inference.thinking import CLOSE, OPEN

Kind = Literal["answer", "thinking", "recast"]
"""`recast`: all of the answer that came so far was thinking."""
Part = tuple[Kind, str]

JSON_OPENS = ("{", "[", '"')
"""How JSON begins that may hold a tag."""
MAX_WHITE = 1000
"""Characters of white space that are held back at most, since a tag may follow them."""
_MIRROR = dict(zip("\"'`*_~|([{<“‘«„「『（【《", "\"'`*_~|)]}>”’»“」』）】》", strict=True))
"""What stands behind a word that such a mark stands before."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_BLANK_LINE_NEXT = re.compile(r"[ \t]*\r?\n[ \t]*(\r?\n)")
_MAY_BE_BLANK_LINE = re.compile(r"[ \t]*(\r?(\n[ \t]*\r?)?)?\Z")


def speaks_of_tags(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the question, the last user message and what follows it, spells one of the tags."""
    for message in reversed(messages):
        text = str(message.get("content") or "").lower()
        if message.get("role") != "assistant" and (OPEN in text or CLOSE in text):
            return True
        if message.get("role") == "user":
            return False
    return False


class LateTags:
    """Feed the answer's text, get pieces of it; call `finish` once at the end. Independent of how the text is cut.

    `before` is text of the answer that stands already (prefix completion). White space at the answer's start is
    dropped where there is none. With `literal` no tag means anything. With `form` the answer is to be JSON.
    """

    def __init__(self, before: str = "", *, literal: bool = False, form: bool = False) -> None:
        self.inside = False
        """Whether thinking was opened again and is not closed yet."""
        self.literal = literal
        """May be set at any time, for what comes from then on."""
        self._form = form
        self._first = ""
        """The first character of the answer that is not white space."""
        self._held = ""
        self._line = ""
        self._above = ""
        self._fence: str | None = None
        self._said = False
        self._named = 0
        self._closing = False
        """Whether a tag has closed what came, and nothing has come since."""
        self._thought = False
        self._gap = False
        """Whether thinking was taken out of the middle of the answer just now."""
        self._final = False
        self._more = False
        self._follow(before)

    def feed(self, text: str) -> list[Part]:
        """What is certain by now, in order; texts are never empty, but that of `recast`."""
        self._held += text
        out: list[Part] = []
        while self._held and self._step(out):
            pass
        return out

    def finish(self, *, more: bool = False) -> list[Part]:
        """The text is over: what was held back is decided. `more`: a call of a tool comes after it."""
        self._final, self._more = True, more
        out: list[Part] = []
        while self._held and self._step(out):
            pass
        if more and self._closing:
            self._closing = False
            out.append(("recast", ""))
        elif self._held.strip() or (self._held and not self._closing and not self._gap and self._said and not more):
            self._say(self._held, out)
        self._held = ""
        return out

    def _step(self, out: list[Part]) -> bool:
        """One piece further; False when more text is needed."""
        if self.inside:
            return self._think(out)
        held = self._held
        body = held.lstrip()
        white = held[: len(held) - len(body)]
        if self._gap:  # what comes now is a paragraph of its own, whatever stood between
            if not body:
                return False
            white, self._held, self._gap = "\n\n", "\n\n" + body, False
        if not body:
            if len(white) > MAX_WHITE and self._said and not self._closing:
                return self._take(len(white), out)
            return False
        tag = None if self.literal else self._tag(body)
        if tag == "":
            return False
        if tag is None:
            if self._closing:
                self._closing = False
                out.append(("recast", ""))
                self._begin_again()
                self._held, white = body, ""
            elif not self._said:
                self._held, white = body, ""
            stop = next((at for at, char in enumerate(body) if at and (char == "<" or char == "\n")), len(body))
            end = len(body[:stop].rstrip())  # white space may stand before a tag
            return self._take(len(white) + end, out)
        return self._meet(tag, white, body, out)

    def _tag(self, body: str) -> str | None:
        """The tag that a text begins with; "" where it may become one, None where it is none."""
        head = body[: len(CLOSE)].lower()
        for tag in (OPEN, CLOSE):
            if head.startswith(tag):
                return tag
            if tag.startswith(head) and not self._final:
                return ""
        return None

    def _meet(self, tag: str, white: str, body: str, out: list[Part]) -> bool:
        """A whole tag after white space: decide what it is."""
        new_line = "\n" in white or (not self._said and not self._line.strip())
        line = white.rpartition("\n")[2] if "\n" in white else self._line + white
        after = body[len(tag) :]
        if self._closing and tag == CLOSE:  # once more, or the tag that closed nothing yet
            self._held = after
            return True
        means = self._closes(white, line, new_line, after) if tag == CLOSE else self._opens(white, line, after)
        if means is None:
            return False
        if not means:
            if self._closing:
                self._closing = False
                out.append(("recast", ""))
                self._begin_again()
            self._named = self._named + 1 if tag == OPEN else max(0, self._named - 1)
            self._held = (white if self._said else "") + body
            return self._take(len(self._held) - len(after), out)
        self._held = after
        if tag == CLOSE:
            self._closing = True
        else:
            self.inside = True
        return True

    def _closes(self, white: str, line: str, new_line: bool, after: str) -> bool | None:
        """Whether a closing tag closes; None: more must be seen."""
        if self._in_code(white, line) or self._named:
            return False
        if not self._said and not after.strip():  # the tag may be all that is said
            return self._more if self._final else None
        if new_line or not line.strip():
            return True
        if not line[-1].isspace():  # glued to what it ends, unless it stands between marks as a word that is named
            if not after and not self._final:
                return None
            return _MIRROR.get(line[-1], "") != after[:1] or not after
        if _BLANK_LINE_NEXT.match(after):
            return True
        if not _MAY_BE_BLANK_LINE.match(after):
            return False
        return self._more if self._final else None

    def _opens(self, white: str, line: str, after: str) -> bool | None:
        if self._in_code(white, line):
            return False
        rest = after.lstrip()
        if rest.lower().startswith(CLOSE):  # an empty pair, wherever it stands
            return True
        undecided = CLOSE.startswith(rest.lower()) and not self._final
        if not self._said:
            return True
        if line.strip() or self._announced(white):
            return None if undecided else False
        if re.match(r"[ \t]*\r?\n", after):
            return True
        return None if undecided else self._final and not rest

    def _announced(self, white: str) -> bool:
        """Whether the line above what comes after this white space ends with a colon."""
        above = self._line if "\n" in white and self._line.strip() else self._above
        return above.rstrip().rstrip("*_").endswith((":", "：", "："))

    def _in_code(self, white: str, line: str) -> bool:
        if self._form and self._first in JSON_OPENS:
            return True
        if self._fenced(white):
            return True
        indent = line[: len(line) - len(line.lstrip())]
        if not line.strip() and (len(indent.expandtabs(4)) >= 4):
            return True
        return line.count("`") % 2 == 1

    def _fenced(self, white: str) -> bool:
        """Whether a fence is open after this white space, which may end the line of a fence."""
        return _after_line(self._fence, self._line) is not None if "\n" in white else self._fence is not None

    def _think(self, out: list[Part]) -> bool:
        """In thinking that was opened again."""
        if not self._thought:
            self._held = self._held.lstrip()
        at = self._held.lower().find(CLOSE)
        if at >= 0:
            thought = self._held[:at].rstrip()
            if thought:
                out.append(("thinking", thought))
            self._held = self._held[at + len(CLOSE) :]
            self.inside, self._thought, self._gap = False, False, self._said
            return True
        text = self._held
        keep = next((n for n in range(len(CLOSE) - 1, 0, -1) if text.lower().endswith(CLOSE[:n])), 0)
        sure = (text if self._final else text[: len(text) - keep]).rstrip()
        if sure:
            out.append(("thinking", sure))
            self._thought = True
        self._held = "" if self._final else text[len(sure) :]
        return False

    def _take(self, size: int, out: list[Part]) -> bool:
        text, self._held = self._held[:size], self._held[size:]
        self._say(text, out)
        return True

    def _say(self, text: str, out: list[Part]) -> None:
        if not text:
            return
        out.append(("answer", text))
        self._follow(text)

    def _follow(self, text: str) -> None:
        """Keep in mind which line we are in, and whether a fence is open."""
        self._first = self._first or text.strip()[:1]
        self._said = self._said or bool(text.strip())
        *ended, rest = text.split("\n")
        for part in ended:
            line = self._line + part
            self._fence = _after_line(self._fence, line)
            self._above = line if line.strip() else self._above
            self._line = ""
        self._line += rest

    def _begin_again(self) -> None:
        self._line, self._above, self._fence, self._said, self._named = "", "", None, False, 0
        self._first = ""


def _after_line(fence: str | None, line: str) -> str | None:
    """The fence that is open after a line, where `fence` was before it."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    mark, info = match.groups()
    if fence is None:
        return None if mark[0] == "`" and "`" in info else mark
    closes = mark[0] == fence[0] and len(mark) >= len(fence) and not info.strip()
    return None if closes else fence
