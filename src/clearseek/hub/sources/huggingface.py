"""Weights in a Hugging Face repository, at a pinned revision.

huggingface_hub resumes, follows the user's `HF_ENDPOINT` and uses the user's token; nothing else here opens a
connection.
"""

from __future__ import annotations

from pathlib import Path

from clearseek.hub.errors import PullFailed
from clearseek.hub.files import Progress


def fetch(repo: str, revision: str, file: str, staging: Path, progress: Progress) -> tuple[Path, str | None]:
    """The file (a name, or a pattern that matches one) and the SHA-256 that the hub states for it, if any."""
    raise PullFailed("not written yet")
