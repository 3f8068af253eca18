"""The lines of a book, as bytes, in bounded memory whatever is in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clearseek.ledger.entry import MAX_LINE

_CHUNK = 1 << 20


def lines(path: Path, offset: int = 0, number: int = 1) -> Iterator[tuple[int, int, bytes]]:
    """The lines of a file from byte `offset`, where line `number` begins: (number, offset, bytes with the newline).

    The last one may lack its newline. Of a line that is too long to be an entry only the beginning is given.
    """
    with path.open("rb", buffering=_CHUNK) as file:
        file.seek(offset)
        while line := file.readline(MAX_LINE + 1):
            length = len(line)
            if length > MAX_LINE and not line.endswith(b"\n"):
                while part := file.readline(_CHUNK):
                    length += len(part)
                    if part.endswith(b"\n"):
                        line += b"\n"
                        break
            yield number, offset, line
            offset += length
            number += 1
