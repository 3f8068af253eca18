"""The tokeniser that a GGUF describes, rebuilt: vocabulary, merges, and how text is cut before them.

Two kinds: `gpt2` (bytes written as letters, merges in order; how text is cut first is named by `tokenizer.ggml.pre`)
and `llama` (SentencePiece: a space is `▁`, the pair with the better score is merged first). It gives the ids that
llama.cpp gives for the same file; a test compares them.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as RustTokenizer

from clearseek.hub.gguf_file import Header, read_header
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.gguf_pairs import read_arrays
from clearseek.modeling.tokenizer import Tokenizer

_UNKNOWN, _CONTROL, _USER, _BYTE = 2, 3, 4, 6
MAX_PIECE = 256
"""No SentencePiece token is nearly as long; the work of finding its merges grows with the square."""

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _TAIL
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _TAIL

CUTS: dict[str, tuple[str, ...]] = {
    "gpt-2": ("bytes",),
    "smollm": ("digits", "bytes"),
    "llama-bpe": (_LLAMA3,),
    "qwen2": (_QWEN2,),
}
"""How text is cut, in order: `bytes` is GPT-2's own expression, `digits` sets every digit apart, the rest are
expressions. Pieces are published with the models' own `tokenizer.json`."""
_ALIASES = {
    "gpt2": "gpt-2",
    "llama3": "llama-bpe",
    "llama-v3": "llama-bpe",
    "deepseek-r1-qwen": "qwen2",
    "megrez": "qwen2",
    "default": "gpt-2",
}
_WHOLE_WORDS_FIRST = {"llama-bpe"}
"""Words that are in the vocabulary become one token whatever the merges say."""


def tokenizer_from_gguf(path: Path | str) -> Tokenizer:
    """Raises ModelingError where the file has no tokeniser or one of a kind that is not known."""
    path = Path(path)
    header = read_header(path)
    kind = header.text("tokenizer.ggml.model")
    wanted = {f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges", "scores")}
    arrays = read_arrays(path, header, wanted)
    tokens = [str(token) for token in arrays.get("tokenizer.ggml.tokens", ())]
    if not tokens:
        raise ModelingError(f"{path.name} has no vocabulary in it.")
    types = [int(kind) for kind in arrays.get("tokenizer.ggml.token_type", ())] or [1] * len(tokens)
    if len(types) != len(tokens):
        raise ModelingError(f"{path.name} lists {len(tokens)} tokens and the types of {len(types)}.")
    pre = header.text("tokenizer.ggml.pre") or "default"
    try:
        if kind == "gpt2":
            merges = [str(merge) for merge in arrays.get("tokenizer.ggml.merges", ())]
            rust = byte_pairs({token: number for number, token in enumerate(tokens)}, merges, pre)
        elif kind == "llama":
            scores = [float(score) for score in arrays.get("tokenizer.ggml.scores", ())]
            rust = _sentence_pieces(path, tokens, types, scores, _says(header, "add_space_prefix", True))
        else:
            raise ModelingError(f"{path.name} has a tokeniser of the kind {kind!r}; known are `gpt2` and `llama`.")
        special = [AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, types, strict=True) if k == 3]
        user = [AddedToken(t, normalized=False) for t, k in zip(tokens, types, strict=True) if k == _USER]
        rust.add_special_tokens(special)
        rust.add_tokens(user)
    except ModelingError:
        raise
    except Exception as error:  # the Rust library raises nothing more exact
        raise ModelingError(f"The tokeniser in {path.name} does not hold together: {error}.") from None
    ends = [_id(header, name, len(tokens)) for name in ("eos", "eot", "eom")]
    return Tokenizer(
        rust,
        bos_id=_id(header, "bos", len(tokens)),
        end_ids=list(dict.fromkeys(number for number in ends if number is not None)),
        pad_id=_id(header, "padding", len(tokens)),
        add_bos=header.add_bos,
        chat_template=header.chat_template,
        pre=pre,
        kind=kind,
    )


def _id(header: Header, name: str, size: int) -> int | None:
    number = header.number(f"tokenizer.ggml.{name}_token_id")
    return number if number is not None and 0 <= number < size else None


def _says(header: Header, name: str, default: bool) -> bool:
    value = header.metadata.get(f"tokenizer.ggml.{name}")
    return value if isinstance(value, bool) else default


def byte_pairs(vocabulary: dict[str, int], merges: list[str], pre: str) -> RustTokenizer:
    """A byte-level tokeniser; `merges` are pairs written with a space between. Raises ModelingError."""
    pre = _ALIASES.get(pre, pre)
    cuts = CUTS.get(pre)
    if cuts is None:
        raise ModelingError(
            f"Text is cut in the way called {pre[:40]!r}, which is not known; known are {', '.join(CUTS)}. "
            "A Hugging Face folder with a tokenizer.json would do."
        )
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    if any(not left or not right for left, right in pairs):
        raise ModelingError("The tokeniser has merges that are not pairs.")
    rust = RustTokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=pre in _WHOLE_WORDS_FIRST))
    steps: list[pre_tokenizers.PreTokenizer] = []
    for cut in cuts:
        if cut == "digits":
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        elif cut != "bytes":
            steps.append(pre_tokenizers.Split(Regex(cut), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex="bytes" in cuts))
    rust.pre_tokenizer = pre_tokenizers.Sequence(steps)
    rust.decoder = decoders.ByteLevel()
    return rust


def _sentence_pieces(
    path: Path, tokens: list[str], types: list[int], scores: list[float], prefix: bool
) -> RustTokenizer:
    if len(scores) != len(tokens):
        raise ModelingError(f"{path.name} lists {len(tokens)} tokens and the scores of {len(scores)}.")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    results: list[tuple[float, int, int, str, str]] = []
    for number, token in enumerate(tokens):
        if types[number] in (_UNKNOWN, _CONTROL, _BYTE) or len(token) > MAX_PIECE:
            continue
        for cut in range(1, len(token)):
            left, right = vocabulary.get(token[:cut]), vocabulary.get(token[cut:])
            if left is not None and right is not None:
                results.append((-scores[number], left, right, token[:cut], token[cut:]))
    results.sort(key=lambda pair: pair[:3])
    unknown = next((token for token, kind in zip(tokens, types, strict=True) if kind == _UNKNOWN), None)
    merges = [pair[3:] for pair in results]
    rust = RustTokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    spaces = [normalizers.Replace(" ", "▁")]
    rust.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), *spaces] if prefix else spaces)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    rust.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return rust
