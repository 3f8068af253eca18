"""Whether a GGUF is a model that one can chat with: looked at before it is taken in, and not when it fails in use."""

from __future__ import annotations

import re
from pathlib import Path

from clearseek.hub.chat_template import ChatTemplate
from clearseek.hub.errors import BadModelFile, BadTemplate
from clearseek.hub.gguf_file import Header

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf\Z", re.IGNORECASE)
_NO_WRITERS = frozenset({
    "bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "neo-bert", "modern-bert", "eurobert",
    "gemma-embedding", "t5encoder", "clip", "mmproj", "wavtokenizer-dec", "imatrix", "control_vector",
})  # fmt: skip
"""Architectures of llama.cpp that read and do not write."""


def check_importable(header: Header, path: Path) -> tuple[str, ...]:
    """What the owner should know of a file that can be used, in sentences.

    Raises BadModelFile, saying what the file is and what to do, for what no chat can come of: one part of a split
    model, an adapter, a vocabulary, a model that does not write, a chat template that cannot run.
    """
    reason = _no_model(header, path)
    if reason is not None:
        raise BadModelFile(f"{path.name} {reason} Nothing was imported.")
    try:
        template = ChatTemplate(
            header.chat_template,
            bos_token=header.bos_token,
            eos_token=header.eos_token,
            control_tokens=(*header.control_tokens, *header.user_tokens),
        )
    except BadTemplate as error:
        raise BadModelFile(f"{path.name} cannot be chatted with. {error} Nothing was imported.") from None
    if not template.shows_question:
        raise BadModelFile(
            f"{path.name} cannot be chatted with: its chat template leaves the question out. Nothing was imported."
        )
    if not (header.chat_template or "").strip():
        form = "ChatML turns" if not template.stops else "plain `User:` and `Assistant:` turns"
        return (
            f"It has no chat template, as base models have none, and may not have been taught to chat: it is asked "
            f"in {form}, and may go on by itself.",
        )
    return ()


def _no_model(header: Header, path: Path) -> str | None:
    count = header.number("split.count") or 0
    shard = _SHARD.search(path.name)
    if count > 1 or (shard is not None and int(shard[2]) > 1):
        part = (header.number("split.no") or 0) + 1 if count > 1 else int(shard[1]) if shard else 1
        whole = count if count > 1 else int(shard[2]) if shard else 0
        return (
            f"is part {part} of {whole} of a model that was split; join the parts with llama.cpp's "
            "`llama-gguf-split --merge FIRST-PART WHOLE.gguf` and import that."
        )
    kind = header.text("general.type") or "model"
    if kind == "adapter" or any(tensor.name.endswith(".lora_a") for tensor in header.tensors):
        return "is an adapter, which needs the model it was made for; merge it into that model first."
    if kind in ("mmproj", "imatrix", "vocab") or not header.tensors:
        what = {"mmproj": "the eyes or ears of a model", "imatrix": "statistics for quantising"}.get(
            kind, "a vocabulary without weights"
        )
        return f"is {what}, not a model that writes text; import the model's own file."
    if header.architecture in _NO_WRITERS:
        return f"is a model that reads and does not write text ({header.architecture}); it cannot chat."
    return None
