"""Text to ids and back, with the model's own tokeniser: from `tokenizer.json`, or from what a GGUF says.

Ids are the only truth in training. A text that spells a control token (`<|im_end|>`) becomes that token only where
the caller trusts the text; everywhere else it is read as ordinary characters, as llama.cpp does when serving.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as RustTokenizer

from clearseek.hub.chat_template import ChatTemplate, Piece
from clearseek.hub.files import write_aside
from clearseek.modeling.errors import ModelingError

MAX_FILE_BYTES = 128 << 20
"""Larger tokeniser files are refused; the largest published one has 35 MB."""

ENDS = frozenset(
    (
        *("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>"),
        *("</s>", "<EOT>", "<｜end▁of▁sentence｜>", "<|return|>", "<|call|>"),
    )
)
"""Control tokens that end an answer whatever the file says: llama.cpp takes them so, and so must training."""


class Tokenizer:
    """One model's tokeniser.

    `end_ids`: any of these ends an answer. `control_tokens` mean something to the model, and `user_tokens` are whole
    tokens without such power (`<think>` in many models). `pre`: llama.cpp's name for how text is cut before the
    merges, None where it is not known.
    """

    def __init__(
        self,
        rust: RustTokenizer,
        *,
        bos_id: int | None,
        end_ids: Sequence[int],
        pad_id: int | None = None,
        add_bos: bool = False,
        chat_template: str | None = None,
        pre: str | None = None,
        kind: str = "gpt2",
    ) -> None:
        self.rust = rust
        self.bos_id, self.pad_id, self.add_bos = bos_id, pad_id, add_bos
        self.chat_template, self.pre, self.kind = chat_template, pre, kind
        self.size = rust.get_vocab_size(with_added_tokens=True)
        added = sorted(rust.get_added_tokens_decoder().items())
        self.control_tokens = tuple(token.content for _, token in added if token.special)
        self.user_tokens = tuple(token.content for _, token in added if not token.special)
        by_text = {number for number, token in added if token.special and token.content in ENDS}
        self.end_ids = tuple(sorted({*end_ids, *by_text}))
        self.eos_id = end_ids[0] if end_ids else (self.end_ids[0] if self.end_ids else None)

    @cached_property
    def _plain(self) -> RustTokenizer:
        """The same tokeniser, blind to control tokens. A copy: the switch is a property of the whole object."""
        copy = RustTokenizer.from_str(self.rust.to_str())
        copy.encode_special_tokens = True
        return copy

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """Ids of a text, without a beginning-of-text token. `control`: spelt control tokens count as such."""
        rust = self.rust if control else self._plain
        return list(rust.encode(text, add_special_tokens=False).ids)

    def encode_pieces(self, pieces: Sequence[Piece]) -> list[int]:
        """Ids of a rendered prompt, as the server gets them: each piece for itself, and the beginning-of-text token
        in front where the model wants one and the template has not written it."""
        ids = [token for piece in pieces for token in self.encode(piece.text, control=piece.trusted)]
        return [*self.start_ids, *ids] if ids[:1] != [*self.start_ids] else ids

    @property
    def start_ids(self) -> tuple[int, ...]:
        """What stands in front of every text: the beginning-of-text token, or nothing."""
        return (self.bos_id,) if self.add_bos and self.bos_id is not None else ()

    def decode(self, ids: Sequence[int], *, keep_control: bool = False) -> str:
        """Text of ids. Bytes that make no character yet come as replacement characters."""
        return str(self.rust.decode(list(ids), skip_special_tokens=not keep_control))

    def text_of(self, number: int | None) -> str:
        """A token as it is written in the vocabulary; empty for None and for what is not there."""
        return (self.rust.id_to_token(number) or "") if number is not None else ""

    def template(self) -> ChatTemplate:
        """The model's chat template (ChatML where it has none), as serving builds it."""
        return ChatTemplate(
            self.chat_template,
            bos_token=self.text_of(self.bos_id),
            eos_token=self.text_of(self.eos_id),
            control_tokens=(*self.control_tokens, *self.user_tokens),
        )

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` so that `transformers` and `load_tokenizer` read them."""
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": self.add_bos,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 1 << 40,
        }
        for name, number in (("bos_token", self.bos_id), ("eos_token", self.eos_id), ("pad_token", self.pad_id)):
            if number is not None:
                config[name] = self.text_of(number)
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        write_aside(folder / "tokenizer.json", self.rust.to_str(pretty=True).encode())
        write_aside(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False).encode())
        ends = {"bos_token_id": self.bos_id, "eos_token_id": list(self.end_ids), "pad_token_id": self.pad_id}
        known = {name: value for name, value in ends.items() if value not in (None, [])}
        write_aside(folder / "generation_config.json", json.dumps(known, indent=2).encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file of at most 16 MB; empty where there is no file."""
    if not path.is_file():
        return {}
    if path.stat().st_size > 16 << 20:
        raise ModelingError(f"{path} has more than 16 MB; it should be a page long.")
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelingError(f"{path} is not JSON: {error}.") from None
    if not isinstance(data, dict):
        raise ModelingError(f"{path} holds no JSON object.")
    return data
