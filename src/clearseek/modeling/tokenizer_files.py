"""A tokeniser out of the files of a model: a Hugging Face folder or a GGUF."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer as RustTokenizer

from clearseek.modeling.errors import ModelingError
from clearseek.modeling.tokenizer import MAX_FILE_BYTES, Tokenizer, read_json


def load_tokenizer(source: Path | str) -> Tokenizer:
    """The tokeniser in a Hugging Face folder or in a GGUF. Raises ModelingError, saying what is missing or wrong."""
    path = Path(source)
    if path.is_dir():
        return _from_folder(path)
    from clearseek.modeling.gguf_tokenizer import tokenizer_from_gguf

    return tokenizer_from_gguf(path)


def _from_folder(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelingError(f"{folder} has no tokenizer.json; `transformers` can write one from older formats.")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ModelingError(f"{file} has more than {MAX_FILE_BYTES >> 20} MB, which no tokeniser needs.")
    try:
        rust = RustTokenizer.from_file(str(file))
    except Exception as error:  # the Rust library raises nothing more exact
        raise ModelingError(f"{file} is not a tokeniser that can be read: {error}.") from None
    rust.no_truncation()
    rust.no_padding()
    config = read_json(folder / "tokenizer_config.json")
    ids = {name: _special(rust, config.get(f"{name}_token")) for name in ("bos", "eos", "pad")}
    ends = [] if ids["eos"] is None else [ids["eos"]]
    for name in ("generation_config.json", "config.json"):
        value = read_json(folder / name).get("eos_token_id")
        ends += [n for n in (value if isinstance(value, list) else [value]) if isinstance(n, int) and n not in ends]
    template = config.get("chat_template")
    jinja = folder / "chat_template.jinja"
    if jinja.is_file() and jinja.stat().st_size <= 1 << 20:
        template = jinja.read_text("utf-8", "replace")
    if isinstance(template, list):  # several, by name
        named = {str(item.get("name")): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    first = rust.encode("a", add_special_tokens=True).ids[:1]
    return Tokenizer(
        rust,
        bos_id=ids["bos"],
        end_ids=[number for number in ends if number is not None],
        pad_id=ids["pad"],
        add_bos=ids["bos"] is not None and first == [ids["bos"]],
        chat_template=template if isinstance(template, str) else None,
        pre=None,
        kind="json",
    )


def _special(rust: RustTokenizer, entry: object) -> int | None:
    text = entry.get("content") if isinstance(entry, dict) else entry
    return rust.token_to_id(text) if isinstance(text, str) else None
