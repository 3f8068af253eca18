"""How a model that thinks is spoken to, and how what it writes is read: the one form of training and serving.

A prompt ends in `<think>\\n`, and the model writes its thinking, `\\n</think>\\n\\n`, the bare answer and the token
that ends its turn. With thinking off the prompt ends in `<think>\\n\\n</think>\\n\\n` and the model answers at once.
These are the texts that serving writes for a model that thinks natively (`inference/style.py`), encoded here as it
encodes them: what stands before the thinking, the tags, the thinking and the answer each for itself.

There is no system prompt unless the caller writes one. The 20 tokens in which a small model's own template says who it
is would cost an eighth of every trained token, and say what a handful of examples teach as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from clearseek.hub.chat_template import THINK_CLOSE, THINK_OPEN, ChatTemplate, Piece
from clearseek.hub.errors import BadTemplate
from clearseek.modeling.chat_ids import Message
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.modeling.tokenizer_files import load_tokenizer

OPENING = f"{THINK_OPEN}\n"
CLOSING = f"\n{THINK_CLOSE}\n\n"


@dataclass(frozen=True, slots=True)
class ParsedCompletion:
    """What a model wrote. Where it is not well formed, `answer` is what follows the first `</think>`, if any."""

    thinking: str
    answer: str
    well_formed: bool
    """Some thinking, closed once, an answer after it, and an end of turn."""


@dataclass(frozen=True, slots=True)
class Markers:
    """What stands around a turn of each role in one model's template; `beginning` stands before everything."""

    beginning: str = ""
    system_before: str | None = "<|im_start|>system\n"
    """None: this model has no system turn."""
    system_after: str = "<|im_end|>\n"
    user_before: str = "<|im_start|>user\n"
    user_after: str = "<|im_end|>\n"
    assistant_before: str = "<|im_start|>assistant\n"
    assistant_after: str = "<|im_end|>\n"


@dataclass(frozen=True)
class ChatFormat:
    """A tokeniser and a template that opens the thinking. `template.source` is what a model file is to carry."""

    tokenizer: Tokenizer
    template: ChatTemplate
    stop_ids: tuple[int, ...]
    """Any of these ends a turn."""
    end_id: int
    """The one that ends it in this template; what is learned."""

    def prompt(self, said: Sequence[Message] | str, thinking: bool = True) -> list[int]:
        """Ids after which the model writes. A text is what the user says. Raises BadTemplate as rendering does."""
        messages: Sequence[Message] = [{"role": "user", "content": said}] if isinstance(said, str) else said
        pieces = list(self.template.render(messages, enable_thinking=thinking))
        tags = OPENING if thinking else OPENING + CLOSING
        last = pieces.pop()
        if not last.trusted or not last.text.endswith(tags):
            raise BadTemplate("The chat template does not open and close the thinking as it should.")
        return self.tokenizer.encode_pieces([*pieces, Piece(last.text.removesuffix(tags), True), Piece(tags, True)])

    def completion(self, thinking: str | None, answer: str, *, cut: bool = False) -> list[int]:
        """What the model should write after `prompt(..., thinking=thinking is not None)`, its end token included,
        except after an answer that was `cut`.

        A word that the thinking has spelled out is answered letter by letter, as the model has it before its eyes:
        which longer tokens would make up `nusemoh` is nothing that it could find out.
        """
        encode = self.tokenizer.encode
        thought = [] if thinking is None else [*encode(thinking), *encode(CLOSING, control=True)]
        parts = answer if thinking is not None and is_spelled(answer, thinking) else (answer,)
        return [*thought, *(token for part in parts for token in encode(part)), *([] if cut else [self.end_id])]

    def read(self, ids: Sequence[int], thinking: bool = True) -> ParsedCompletion:
        """What was written after `prompt(..., thinking)`, white space at the edges apart."""
        ended = bool(ids) and ids[-1] in self.stop_ids
        text = self.tokenizer.decode(ids[:-1] if ended else ids, keep_control=True)
        tags = text.count(THINK_OPEN), text.count(THINK_CLOSE)
        if not thinking:
            return ParsedCompletion("", text.strip(), ended and tags == (0, 0) and bool(text.strip()))
        thought, _, answer = text.partition(THINK_CLOSE)
        thought, answer = thought.strip(), answer.strip()
        return ParsedCompletion(thought, answer, ended and tags == (0, 1) and bool(thought) and bool(answer))


def is_spelled(word: str, thinking: str) -> bool:
    """Whether the letters of a word stand in the thinking one by one, in order; numbers beside them do not count."""
    return word.isalpha() and len(word) > 1 and " ".join(word) in re.sub(r"[0-9]", "", thinking)


def chat_format_of(source: Path | str) -> ChatFormat:
    """The format for the tokeniser of a GGUF or a Hugging Face folder. Raises ModelingError."""
    return chat_format(load_tokenizer(source))


def chat_format(tokenizer: Tokenizer) -> ChatFormat:
    """The format for a tokeniser: ClearSeek's template over its own model's turn markers."""
    own = tokenizer.template()
    markers = find_markers(own)
    template = ChatTemplate(
        template_source(markers),
        bos_token=own.bos_token,
        eos_token=own.eos_token,
        control_tokens=(*tokenizer.control_tokens, *tokenizer.user_tokens),
    )
    ends = [token for token in tokenizer.encode(markers.assistant_after, control=True) if token in tokenizer.end_ids]
    end = ends[0] if ends else tokenizer.eos_id
    if end is None:
        raise ModelingError("The tokeniser has no token that ends a turn, so a model could not learn to stop.")
    return ChatFormat(tokenizer, template, tokenizer.end_ids, end)


def find_markers(template: ChatTemplate) -> Markers:
    """The turn markers in a model's own template, found by rendering marked messages; ChatML's where none show."""
    talk = [{"role": role, "content": f"Q{role}7"} for role in ("system", "user", "assistant")]
    again = {"role": "user", "content": "Qagain7"}
    turns = talk if template.supports_system else talk[1:]
    try:
        asked, answered, on = (
            _around(template, messages) for messages in (turns[:-1], turns, [*turns, again])
        )  # up to the question, up to its answer, and further
    except BadTemplate:
        return Markers()
    if not (asked and answered and on):
        return Markers()
    start, user_after, assistant_after = on[0], asked[-1], answered[-1]
    assistant_before, user_before = on[-3].removeprefix(user_after), on[-2].removeprefix(assistant_after)
    if not template.supports_system:
        beginning = start.removesuffix(user_before)
    else:  # in some models the token that begins a text begins every turn as well
        beginning = template.bos_token if not user_before.startswith(template.bos_token) else ""
        beginning = beginning if start.startswith(beginning) else ""
    return Markers(
        beginning=beginning,
        system_before=start.removeprefix(beginning) if template.supports_system else None,
        system_after=on[1].removesuffix(user_before) if template.supports_system else "",
        user_before=user_before,
        user_after=user_after,
        assistant_before=assistant_before,
        assistant_after=assistant_after,
    )


def _around(template: ChatTemplate, messages: Sequence[dict[str, str]]) -> list[str] | None:
    """What a template writes before, between and after the contents; None where it leaves one out."""
    rest = "".join(piece.text for piece in template.render(messages, add_generation_prompt=False))
    results = []
    for message in messages:
        before, content, rest = rest.partition(message["content"])
        if not content:
            return None
        results.append(before)
    return [*results, rest]


def template_source(markers: Markers) -> str:
    """The Jinja text: thinking is opened or, with `enable_thinking` false, closed; earlier turns show none of theirs.

    The last answer of a finished conversation is written as it was generated. In one line and with every tag trimmed,
    so that it renders alike whatever a renderer does with white space; and with nothing but what llama.cpp's own
    Jinja knows.
    """
    q = {field.name: json.dumps(getattr(markers, field.name), ensure_ascii=False) for field in fields(markers)}
    opening, closing, close = json.dumps(OPENING), json.dumps(CLOSING), json.dumps(THINK_CLOSE)
    system = (
        f"{{%- if m.role == 'system' -%}}{{{{- {q['system_before']} + m.content + {q['system_after']} -}}}}{{%- el"
        if markers.system_before is not None
        else "{%- "
    )
    return "".join(
        (
            f"{{{{- {q['beginning']} -}}}}" if markers.beginning else "",
            "{%- for m in messages -%}",
            f"{system}if m.role == 'assistant' -%}}",
            "{%- set said = m.content or '' -%}",
            f"{{%- if {close} in said -%}}{{%- set said = said.split({close})[-1].lstrip('\\n') -%}}{{%- endif -%}}",
            f"{{{{- {q['assistant_before']} -}}}}",
            f"{{%- if loop.last -%}}{{{{- {opening} + (m.reasoning_content or '') + {closing} -}}}}{{%- endif -%}}",
            f"{{{{- said + {q['assistant_after']} -}}}}",
            "{%- else -%}" if markers.system_before is not None else "{%- elif m.role != 'system' -%}",
            f"{{{{- {q['user_before']} + m.content + {q['user_after']} -}}}}",
            "{%- endif -%}{%- endfor -%}",
            f"{{%- if add_generation_prompt -%}}{{{{- {q['assistant_before']} + {opening} -}}}}",
            f"{{%- if enable_thinking is defined and not enable_thinking -%}}{{{{- {closing} -}}}}{{%- endif -%}}",
            "{%- endif -%}",
        )
    )
