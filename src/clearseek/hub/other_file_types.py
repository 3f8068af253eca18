"""What a file is that should have been a GGUF and is none, told from its beginning."""

from __future__ import annotations

_OTHERS: dict[str, tuple[bytes, ...]] = {
    "a web page (a link to a page, or one that wanted a log-in?)": (b"<!doctype", b"<html", b"<head", b"<?xml"),
    "a zip archive, or weights that PyTorch saved": (b"PK\x03\x04", b"PK\x05\x06"),
    "weights saved with pickle, which can run programs": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    "compressed; unpack it first": (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"7z\xbc\xaf", b"BZh"),
    "in a form from before GGUF; fetch a newer file": (b"lmgg", b"fmgg", b"tjgg", b"algg", b"ggml", b"ggjt"),
    "JSON text (an error message instead of the file?)": (b"{", b"["),
}  # fmt: skip


def describe_other_file(start: bytes) -> str:
    """In words, what a file that begins like this is instead of a GGUF, as far as its first 64 bytes tell."""
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, a few lines of text in place of the file; `git lfs pull` fetches the file"
    if not start.strip(b"\0"):
        return "it is empty" if not start else "it begins with zeros (a download that was never filled in?)"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 40:
        return "it is safetensors; llama.cpp's `convert_hf_to_gguf.py` makes a GGUF of it"
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for kind, beginnings in _OTHERS.items():
        if text.startswith(beginnings) or start.startswith(beginnings):
            return f"it is {kind}"
    return "it does not begin with `GGUF`"
