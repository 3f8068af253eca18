"""Small things done to files: hashing, copying, writing so that a crash leaves the old or the new, never a half."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from clearseek.hub.errors import HubError

Progress = Callable[[str, int, int | None], None]
"""`(stage, done, total)`, in bytes; stages: "download", "extract", "verify", "requantise", "assembling", "copy"."""

_BLOCK = 1 << 20


def no_progress(stage: str, done: int, total: int | None) -> None:
    """What a pull that nobody watches reports to."""


def hash_file(path: Path, progress: Progress = no_progress) -> str:
    """SHA-256 of a file, hex."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress("verify", done, total)
    return digest.hexdigest()


def copy_stream(source: IO[bytes], target: Path, limit: int, stage: str, total: int | None, progress: Progress) -> None:
    """Copy at most `limit` bytes to a file and bring it safely to disk.

    Raises HubError where the source holds more.
    """
    done = 0
    with target.open("wb") as out:
        while block := source.read(_BLOCK):
            done += len(block)
            if done > limit:
                raise HubError(f"{target.name} is larger than the {limit} bytes it should have.")
            out.write(block)
            progress(stage, done, total)
        out.flush()
        os.fsync(out.fileno())


def need_room(folder: Path, size: int) -> None:
    """Raises HubError where the disk under `folder` has not `size` bytes left: better told now than hours later."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise HubError(
            f"The disk is full: {size / 1e6:.0f} MB are needed in {folder} and {free / 1e6:.0f} MB are free."
        )


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_aside(path: Path, content: bytes) -> None:
    """Write a small file so that readers see the old content or the new, whatever happens."""
    aside = path.with_name(path.name + ".new")
    try:
        with aside.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_tree(folder: Path) -> None:
    """Remove a folder or a file, if it is there."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors_told(doing: str, where: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission and their like into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise HubError(f"The disk is full: {doing} needs more room in {where}. Nothing was changed.") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise HubError(f"{where} may not be written to, so {doing} stopped. Nothing was changed.") from None
        raise HubError(f"{doing} failed in {where}: {error.strerror or error}. Nothing was changed.") from None
