"""A tokeniser trained in a moment on a few lines of text."""

from __future__ import annotations

from tokenizers import AddedToken, pre_tokenizers, trainers

from clearseek.modeling.gguf_tokenizer import byte_pairs
from clearseek.modeling.tokenizer import Tokenizer

TEXT = (
    "The quick brown fox doesn't jump over 12345 lazy dogs; it's 3.14 metres, they're told. "
    "A la carte: \u00e9t\u00e9, na\u00efve, \u4f60\u597d\uff0c\u4e16\u754c. \u041f\u0440\u0438\u0432\u0435\u0442! "
    "def f(x):\n\treturn x  # comment\n\nWE'LL SEE.\n"
)


def train_tokenizer(pre: str, size: int = 320) -> Tokenizer:
    """A byte-level tokeniser of `size` tokens that cuts text in the named way, with turn markers and a template."""
    rust = byte_pairs({}, [], pre)
    control = [AddedToken(text, special=True) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    rust.train_from_iterator(
        [TEXT] * 4,
        trainers.BpeTrainer(
            vocab_size=size - 1,
            special_tokens=control,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    rust.add_tokens([AddedToken("<think>", normalized=False)])
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    return Tokenizer(rust, bos_id=1, end_ids=[2], pad_id=0, chat_template=template, pre=pre)
