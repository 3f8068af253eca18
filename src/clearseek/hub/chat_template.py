"""The one renderer of chat templates, for serving and for training.

A template is a Jinja program that came inside a model file, and messages are typed by strangers. So the program runs
in a sandbox with bounded loops and output (see `template_sandbox.py`), and a message that contains the text of a
control token (`<|im_end|>` and the like) cannot forge a turn: such text comes back as a piece of its own, marked
untrusted, and whoever tokenises must read it as ordinary characters.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearseek.hub.errors import BadTemplate, TemplateTooLong
from clearseek.hub.template_dialect import MARK, Dialect, alternating, dialect_of, fold_system
from clearseek.hub.template_sandbox import compile_template

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""What a model without a template of its own gets that has ChatML's turn markers."""
PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + '\\n' }}"
    "{% else %}{{ 'User: ' + message['content'] + '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""What one gets that has no turn markers either, as base models are: markers spelt out would be text to it."""
PLAIN_STOPS = ("\nUser:", "\nAssistant:")

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt. Control tokens may be parsed only in trusted pieces."""

    text: str
    trusted: bool


class ChatTemplate:
    """One model's template, compiled.

    `supports_tools`: it shows the tools it is given. `supports_system`: it shows a system message (where it does
    not, `render` puts the system text in front of the first user message). `shows_question`: what a user says is in
    the prompt. `opens_thinking`: its generation prompt already ends with `<think>`. `uses_thinking`: it knows of
    `<think>` at all. `switches_thinking`: it renders otherwise when thinking is off. `stops`: texts at which an answer
    is over, where no token says so.
    """

    def __init__(
        self, source: str | None, *, bos_token: str = "", eos_token: str = "", control_tokens: Sequence[str] = ()
    ) -> None:
        """Raises BadTemplate where the source is not a template that can run."""
        own = source if source is not None and source.strip() else None
        marked = not control_tokens or "<|im_start|>" in control_tokens
        self.source = own or (CHATML if marked else PLAIN)
        self.stops = PLAIN_STOPS if self.source is PLAIN else ()
        self.bos_token, self.eos_token = bos_token, eos_token
        self._template = compile_template(self.source)
        self._dangerous = _Dangerous(control_tokens)
        self._dialect = Dialect()
        self._dialect = dialect_of(lambda messages: self._run(messages, None, True, None))
        user = {"role": "user", "content": MARK + "q"}
        prompt = self._rendered([user], None, True, None)
        self.shows_question = user["content"] in prompt
        self.uses_thinking = THINK_OPEN in self.source
        self.opens_thinking = prompt.rstrip().endswith(THINK_OPEN)
        user = {"role": "user", "content": "q"}
        self.supports_system = MARK in self._try([{"role": "system", "content": MARK}, user], None)
        tool = {"type": "function", "function": {"name": MARK, "description": "", "parameters": {}}}
        self.supports_tools = "tools" in self.source and MARK in self._try([user], [tool])
        self.switches_thinking = self._try([user], None, True) != self._try([user], None, False)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_last: bool = False,
        enable_thinking: bool | None = None,
    ) -> tuple[Piece, ...]:
        """The prompt for these messages, in pieces that are to be joined as they are.

        Ordinarily that is one trusted piece. With `continue_last` the last message is an assistant one that is to go
        on: the rendering is the prompt it was generated from, and then its own text: `reasoning_content` inside
        `<think>` (closed, unless `content` is empty: then thinking goes on), then `content`, and no end of turn.
        `enable_thinking` is handed to templates that have such a switch, by this name and by DeepSeek's, `thinking`;
        None leaves it out. A template that refuses the messages as they are is given them in alternating turns.
        Raises BadTemplate where it refuses those too, leaves out what was asked, or runs out of bounds.
        """
        turns = [dict(message) for message in messages]
        last = turns.pop() if continue_last and turns else None
        if last is not None and last.get("role") != "assistant":
            raise BadTemplate("Only a message of the assistant can be continued.")
        if not self.supports_system:
            turns = fold_system(turns)
        marks = _Marks(self._dangerous)
        hidden = [marks.hide(turn) for turn in turns]
        shown = [marks.hide(tool) for tool in tools] if tools else None
        text = self._rendered(hidden, shown, add_generation_prompt or last is not None, enable_thinking)
        if self.shows_question:
            _asked(hidden, text)
        if last is not None:
            text += self._answer_so_far(text, marks.hide(last))
        return marks.split(text)

    def _answer_so_far(self, prompt: str, message: dict[str, Any]) -> str:
        thinking, content = message.get("reasoning_content") or "", message.get("content") or ""
        opened = prompt.rstrip().endswith(THINK_OPEN)
        if not thinking and not (opened and content):
            return str(content)
        text = thinking if opened else f"{THINK_OPEN}\n{thinking}"
        return f"{text}\n{THINK_CLOSE}\n\n{content}" if content else str(text)

    def _try(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, enable_thinking: bool | None = None
    ) -> str:
        try:
            return self._rendered(messages, tools, True, enable_thinking)
        except TemplateTooLong:
            raise
        except BadTemplate:
            return ""

    def _rendered(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        enable_thinking: bool | None,
    ) -> str:
        """The messages in the template's own dialect; in alternating turns where it refuses them as they are."""
        try:
            return self._run(self._dialect.say(messages), tools, add_generation_prompt, enable_thinking)
        except TemplateTooLong:
            raise
        except BadTemplate:
            again = alternating(messages)
            if again == messages:
                raise
            try:
                return self._run(self._dialect.say(again), tools, add_generation_prompt, enable_thinking)
            except BadTemplate:
                pass
            raise

    def _run(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        enable_thinking: bool | None,
    ) -> str:
        variables: dict[str, Any] = {
            "messages": messages,
            "tools": tools,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
        }
        if enable_thinking is not None:
            variables |= {"enable_thinking": enable_thinking, "thinking": enable_thinking}
        return self._template.render(variables)


def _asked(messages: Sequence[Mapping[str, Any]], text: str) -> None:
    """Raises BadTemplate where the last question is not in the prompt: an answer to nothing is worse than none."""
    question = next((message["content"] for message in reversed(messages) if message.get("role") == "user"), "")
    words = question.split() if isinstance(question, str) else []
    # Templates trim, and may take a switch such as `/no_think` out: one word of the question is enough.
    if words and not any(word in text for word in words):
        raise BadTemplate("The model's chat template leaves the question out of the prompt; choose another model.")


class _Dangerous:
    """What must not reach the tokeniser as trusted text when a person typed it: a control token; and at the edges of
    a message the beginning or end of one, which could become whole beside other text."""

    def __init__(self, control_tokens: Sequence[str]) -> None:
        tokens = sorted({token for token in control_tokens if token.strip()}, key=len, reverse=True)
        self.whole = re.compile("|".join(map(re.escape, tokens))) if tokens else None
        self.heads = {token[:cut] for token in tokens for cut in range(1, len(token))}
        self.tails = {token[cut:] for token in tokens for cut in range(1, len(token))}
        self.longest = max(map(len, tokens), default=0)

    def edges(self, text: str) -> tuple[slice, slice]:
        """Where the text (spaces aside, as templates trim) begins with a token's end, and ends with a beginning."""
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        reach = range(min(self.longest - 1, end - start), 0, -1)
        head = next((size for size in reach if text[end - size : end] in self.heads), 0)
        tail = next((size for size in reach if text[start : start + size] in self.tails), 0)
        return slice(start, min(start + tail, end - head)), slice(end - head, end)


class _Marks:
    """Stand-ins for dangerous text: put in before rendering, taken out after."""

    def __init__(self, dangerous: _Dangerous) -> None:
        self.dangerous = dangerous
        self.nonce = secrets.token_hex(8)
        self.hidden: dict[str, int] = {}

    def hide(self, value: Any) -> Any:
        if self.dangerous.whole is None:
            return value
        if isinstance(value, str):
            return self._hide_text(value, self.dangerous.whole)
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(item) for item in value]
        return value

    def _hide_text(self, text: str, whole: re.Pattern[str]) -> str:
        first, last = self.dangerous.edges(text)
        middle = whole.sub(lambda match: self._mark(match.group()), text[first.stop : last.start])
        # a whole token that reaches into an edge is covered by the edge; the rest of it is then no token any more
        return text[: first.start] + self._mark(text[first]) + middle + self._mark(text[last]) + text[last.stop :]

    def _mark(self, text: str) -> str:
        return f"\ue000{self.nonce}:{self.hidden.setdefault(text, len(self.hidden))}\ue001" if text else ""

    def split(self, text: str) -> tuple[Piece, ...]:
        if not self.hidden:
            return (Piece(text, True),)
        parts = re.split(f"\ue000{self.nonce}:(\\d+)\ue001", text)
        texts = list(self.hidden)
        pieces = []
        for index, part in enumerate(parts):
            if index % 2:
                pieces.append(Piece(texts[int(part)], False))
            elif part:
                pieces.append(Piece(part, True))
        return tuple(pieces)
