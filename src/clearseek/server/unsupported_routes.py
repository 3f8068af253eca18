"""What is said at addresses that other programs' APIs have and this one does not."""

from __future__ import annotations

import re

SERVED = "Served are POST /v1/chat/completions, POST /v1/completions and GET /v1/models."

# The end of a path, whatever stands before it (`/v1`, `/beta`, `/anthropic`, nothing), and whose it is.
_KNOWN = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"/responses(/.*)?", "OpenAI's Responses API is not served here"),
        (r"/anthropic(/.*)?|/messages(/count_tokens|/batches(/.*)?)?|/complete", "Anthropic's API is not served here"),
        (r"/api/(chat|generate|tags|show|ps|pull|push|embed|version|copy|create)", "Ollama's API is not served here"),
        (r"/(embeddings|embed|rerank)", "Embeddings are not served here"),
        (r"/(audio|images|videos|realtime)(/.*)?", "Only text is served here: no sound, no pictures"),
        (
            r"/(assistants|threads|files|uploads|batches|fine_tuning|vector_stores|moderations|conversations)(/.*)?",
            "This part of OpenAI's API is not served here",
        ),
        (
            r"/completion|/infill|/tokenize|/detokenize|/apply-template|/props|/slots",
            "llama.cpp's own API is not served here",
        ),
        (r"/chat", "There is nothing at this address"),
    )
)
_PREFIX = re.compile(r"/(v\d+(beta)?|beta|openai|anthropic)(?=/)")


def nothing_here(path: str) -> str:
    """The sentence of a 404 for `path`."""
    asked = path.rstrip("/")
    while asked not in ("", "/") and not asked.startswith("/anthropic") and (prefix := _PREFIX.match(asked)):
        asked = asked[prefix.end() :]
    for known, words in _KNOWN:
        if known.fullmatch(asked):
            return f"{words}. {SERVED}"
    if path.startswith(("/v1", "/beta")) or re.search(r"completions?|models", path):
        return f"There is nothing at this address. {SERVED}"
    return "There is nothing at this address."


def other_method(method: str, allowed: str) -> str:
    """The sentence of a 405."""
    return f"This address does not answer {method}" + (f"; use {allowed}." if allowed else ".")
