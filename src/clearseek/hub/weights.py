"""Which weights a file holds: its SHA-256, remembered for as long as the file is the same.

The same means: device, inode, size and both times (of content and of inode) to the nanosecond. What is remembered lies
in `digests.json` in the home, so that five gigabytes are read once and not at every start. Whoever may write to the
home can forge it, as they can the record beside the weights; `clearseek doctor` and `clearseek models verify` read
every byte again. Two processes may write it at once: then one note may be lost, and a file is hashed once more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clearseek.hub.errors import HubError, WrongHash
from clearseek.hub.files import Progress, no_progress
from clearseek.hub.model import Model
from clearseek.settings import home

REMEMBERED = 256
"""Files whose digests are kept, the latest."""
TRIES = 3
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A file as it was when it was looked at."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> FileIdentity:
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    @property
    def key(self) -> str:
        return f"{self.device}:{self.inode}:{self.size}:{self.mtime_ns}:{self.ctime_ns}"


class Cancelled(Exception):
    """`stop` said that nobody waits for the digest any more."""


def known_digest(path: Path) -> str | None:
    """The SHA-256 of a file where it is remembered. Reads a small file, never the weights."""
    try:
        return _read().get(FileIdentity.of(path.stat()).key)
    except OSError:
        return None


def digest_of(
    path: Path, *, afresh: bool = False, stop: Callable[[], bool] = lambda: False, progress: Progress = no_progress
) -> tuple[str, FileIdentity]:
    """The SHA-256 of a file, hex, and the file as it was then. `afresh` reads it whatever is remembered.

    Takes as long as reading it does. Raises HubError where it is written to meanwhile, GivenUp, OSError.
    """
    for _ in range(TRIES):
        seen = FileIdentity.of(path.stat())
        known = None if afresh else _read().get(seen.key)
        if known is not None:
            return known, seen
        digest, done = hashlib.sha256(), 0
        with path.open("rb") as file:
            before = FileIdentity.of(os.fstat(file.fileno()))
            while done <= before.size and (block := file.read(_BLOCK)):  # one that grows is not followed for ever
                if stop():
                    raise Cancelled
                digest.update(block)
                done += len(block)
                progress("verify", done, before.size)
            after = FileIdentity.of(os.fstat(file.fileno()))
        if before == after == FileIdentity.of(path.stat()):
            hexdigest = digest.hexdigest()
            _remember(after, hexdigest)
            return hexdigest, after
    raise HubError(f"{path.name} changes while it is read; try again when nothing writes to it.")


def remember_digest(path: Path, digest: str) -> None:
    """Remember what somebody has just computed, and put in its place."""
    with contextlib.suppress(OSError):
        _remember(FileIdentity.of(path.stat()), digest)


def check_installed(model: Model, digest: str) -> None:
    """Raises WrongHash, with what to do, where the weights that were `found` are not those of the record."""
    if digest == model.sha256:
        return
    by_hand = model.source.startswith(("file:", "run:"))
    again = f"`clearseek models pull {model.name}` gets them anew"
    if by_hand:
        again = f"remove it with `clearseek models rm {model.name}` and import it again"
    raise WrongHash(
        f"The weights of {model.name} are not those that were {'imported' if by_hand else 'pulled'}: the SHA-256 of "
        f"{model.path} is {digest[:16]}... and should be {model.sha256[:16]}...; {again}."
    )


def _path() -> Path:
    return home() / "digests.json"


def _read() -> dict[str, str]:
    try:
        data = json.loads(_path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {key: digest for key, digest in data.items() if isinstance(digest, str) and len(digest) == 64}


def _remember(seen: FileIdentity, digest: str) -> None:
    known = _read()
    known.pop(seen.key, None)
    known[seen.key] = digest
    kept = dict(list(known.items())[-REMEMBERED:])
    path = _path()
    aside = path.with_name(f".digests-{os.getpid()}-{os.urandom(4).hex()}")
    with contextlib.suppress(OSError):  # a home that cannot be written to only costs the time to hash again
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_text(json.dumps(kept, indent=1), "utf-8")
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
