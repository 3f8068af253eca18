"""A whole program in full CPython behind bubblewrap (`bwrap`): Linux namespaces in which there is no network, no other
process and no file but the system's libraries and an empty folder in memory.

For programs that need more of Python than `interpreter.py` has. The kernel is the boundary, and bubblewrap, which
Flatpak rests on, is who builds the walls; where a system has no bubblewrap, or lets it build none, nothing is run.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from clearseek.sandbox.program import MAX_OUTPUT, Ended, last_line

MEMORY = 512 << 20
"""Bytes of address space."""
ROOM = 16 << 20
"""Bytes that a program may write in all."""
NOBODY = 65534
_HOW = "install bubblewrap, and run as a plain user on a Linux that allows user namespaces"
MISSING = f"Programs in full CPython are run behind bubblewrap, and here there is no `bwrap`: {_HOW}."
NO_WALL = f"Programs in full CPython are run behind bubblewrap, and this system lets it build no walls: {_HOW}."
ROOT = (
    "Programs in full CPython are not run as root, whom the kernel counts no processes of, and no Python was found "
    "that the user `nobody` may run in its place: run as a plain user."
)
_FIRST = """import resource as r, sys
for which, most in ((r.RLIMIT_AS, {memory}), (r.RLIMIT_CPU, {seconds}), (r.RLIMIT_FSIZE, {room}),
                    (r.RLIMIT_NPROC, 0), (r.RLIMIT_NOFILE, 64), (r.RLIMIT_CORE, 0)):
    r.setrlimit(which, (most, most))
source = sys.stdin.buffer.read({size}).decode()
sys.argv = ["answer.py"]
exec(compile(source, "answer.py", "exec"), {{"__name__": "__main__", "__builtins__": __builtins__}})
"""
"""What the interpreter does first: limits that the program cannot raise again, and then the program itself, which comes
before its input so that no file of it lies anywhere."""


def run(program: str, stdin: str, seconds: float) -> Ended:
    """Run a program and wait for it, `seconds` and a little at most. Nothing is run where no wall can be built."""
    if why := unavailable():
        return Ended("", why, unavailable=True)
    return _run(program, stdin, seconds)


@functools.cache
def unavailable() -> str:
    """Why no program can be run here, in a sentence; "" where one can."""
    if shutil.which("bwrap") is None:
        return MISSING
    if os.geteuid() == 0 and _python() is None:
        return ROOT
    try:
        ended = _run("print(6 * 7)", "", 20.0)
    except OSError:  # not even another user may be taken on here
        return NO_WALL
    return "" if ended.output.strip() == "42" else NO_WALL


@functools.cache
def _python() -> tuple[str, str] | None:
    """The folder of a Python and its executable within it: this one, or for root one that `nobody` may run."""
    own = Path(sys.base_prefix), Path(os.path.realpath(sys.executable))
    places = [own, (Path("/usr"), Path("/usr/bin/python3"))]
    for prefix, executable in places:
        if os.geteuid() == 0 and not _readable_by_all(prefix):
            continue
        if executable.is_file() and executable.is_relative_to(prefix):
            return str(prefix), str(executable.relative_to(prefix))
    return None


def _readable_by_all(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (folder, *folder.parents))


def _command(seconds: float, size: int) -> list[str]:
    place = _python()
    assert place is not None
    prefix, executable = place
    first = _FIRST.format(memory=MEMORY, room=ROOM, seconds=max(1, round(seconds)), size=size)
    system = ["--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib64", "lib32", "bin"):
        if os.path.islink(f"/{name}"):
            system += ["--symlink", f"usr/{name}", f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            system += ["--ro-bind", f"/{name}", f"/{name}"]
    return [
        *(shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"),
        *("--cap-drop", "ALL", *system, "--ro-bind", prefix, "/python", "--proc", "/proc", "--dev", "/dev"),
        *("--size", str(ROOM), "--tmpfs", "/work", "--chdir", "/work", "--remount-ro", "/dev", "--remount-ro", "/"),
        *("--setenv", "PYTHONHASHSEED", "0", "--setenv", "PYTHONIOENCODING", "utf-8", "--setenv", "LANG", "C.UTF-8"),
        *("--setenv", "LD_LIBRARY_PATH", "/python/lib"),
        *(f"/python/{executable}", "-s", "-S", "-B", "-c", first),
    ]


def _run(program: str, stdin: str, seconds: float) -> Ended:
    source = program.encode("utf-8", "replace")
    root = os.geteuid() == 0
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            _command(seconds, len(source)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            start_new_session=True,
            user=NOBODY if root else None,
            group=NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        return _wait(process, source + stdin.encode("utf-8", "replace"), seconds, errors)


def _wait(process: subprocess.Popen[bytes], content: bytes, seconds: float, errors: IO[bytes]) -> Ended:
    assert process.stdout is not None
    threading.Thread(target=_feed, args=(process, content), daemon=True).start()
    timer = threading.Timer(seconds, _kill, (process,))
    began = time.monotonic()
    timer.start()
    try:
        output = process.stdout.read(MAX_OUTPUT + 1)
        if len(output) <= MAX_OUTPUT:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and its number still its own
    finally:
        timer.cancel()
        _kill(process)
        process.wait()
        process.stdout.close()
    if len(output) > MAX_OUTPUT:
        return Ended("", "more than 1 MB of output")
    if time.monotonic() - began >= seconds:
        return Ended("", "too slow")
    if process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL, -signal.SIGXCPU, 128 + signal.SIGXCPU):
        return Ended("", "too slow, or too large")
    text = output.decode("utf-8", "replace")
    if process.returncode != 0:
        size = errors.seek(0, os.SEEK_END)
        errors.seek(max(0, size - (1 << 16)))
        said = last_line(errors.read().decode("utf-8", "replace"))
        return Ended(text, f"the program failed{said and f': {said}'}")
    return Ended(text, "")


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(content)
        process.stdin.close()
    except (OSError, ValueError):
        pass  # it did not want to hear it


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # after that its number may be another's
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
