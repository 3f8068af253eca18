"""A disk that is full, or may not be written to, whoever was the one to meet it: a run says so in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator

_SAID = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is used up",
    errno.EFBIG: "a file may not become larger (see `ulimit -f`)",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk could not be read or written",
}
_TEXTS = {
    "no space left": errno.ENOSPC,
    "quota exceeded": errno.EDQUOT,
    "file too large": errno.EFBIG,
    "read-only file system": errno.EROFS,
    "disk is full": errno.ENOSPC,
}
"""As libraries put it that pass no number on."""


def disk_error(error: BaseException) -> str | None:
    """What is wrong with the disk; None where something else is wrong."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _SAID:
            return _SAID[one.errno]
        text = str(one).lower()
        for part, number in _TEXTS.items():
            if part in text:
                return _SAID[number]
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
