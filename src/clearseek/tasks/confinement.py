"""Walls around a child process in which libraries read what a model wrote (`worker.py`: sympy, a generator's scorer).

Layers, each of which holds without the others: limits of the kernel (memory, file size, processes), a network of its
own with nothing in it (where the kernel lets a plain user have one), Landlock (Linux 5.13: files outside a folder
cannot be opened), and an audit hook in Python that refuses sockets, programs and files elsewhere. None of this is meant
for programs that a model wrote: those run in `clearseek.sandbox`.
"""

from __future__ import annotations

import contextlib
import os
import sys

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ = (1 << 2) | (1 << 3)  # read a file, list a folder
_ALL = (1 << 13) - 1  # every right that the first version of Landlock knows
_REFUSED = (
    "socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "pty.",
    "ctypes.", "os.kill", "signal.pthread_kill", "winreg.", "webbrowser.", "urllib.", "ftplib.", "smtplib.", "shutil.",
    "os.chmod", "os.chown", "os.link", "os.symlink", "os.rename", "mmap.", "sys.addaudithook", "gc.",
    "sys.settrace", "sys.setprofile", "fcntl.", "resource.", "sqlite3.", "os.utime", "os.setxattr", "os.removexattr",
    "os.chdir", "os.fchdir", "os.chflags", "os.lchown", "syslog.", "os.mkfifo",
)  # fmt: skip
_MODULES = {"ctypes", "_ctypes", "socket", "_socket", "subprocess", "multiprocessing", "_posixsubprocess", "asyncio"}


def limit(memory: int, cpu_seconds: int | None, file_size: int, processes: bool = False) -> None:
    """Kernel limits on this process, of bytes and seconds. No more processes or threads, unless told."""
    import resource

    bounds = [
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ]
    if cpu_seconds is not None:
        bounds.append((resource.RLIMIT_CPU, cpu_seconds))
    if not processes:
        bounds.append((resource.RLIMIT_NPROC, 0))
    for which, value in bounds:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (value, value))


def cut_off() -> None:
    """Take the network away for good, where that can be done. Call before any thread is started."""
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(AttributeError):
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC)
    with contextlib.suppress(AttributeError):
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS: Landlock needs it, and no program gains rights
        libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: ends with its parent
        libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: nobody reads its memory


def wall_in(read: list[str], write: list[str]) -> bool:
    """Landlock: only files under these folders can be opened. False where the kernel has none."""
    if sys.platform != "linux":
        return False
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    attributes = ctypes.create_string_buffer(struct.pack("Q", _ALL), 8)
    try:
        ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, 8, 0)
    except (AttributeError, OSError):
        return False
    if ruleset < 0:
        return False
    try:
        for folders, rights in ((read, _READ), (write, _ALL)):
            for folder in folders:
                try:
                    opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
                except OSError:
                    continue
                rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, opened), 12)
                libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0)
                os.close(opened)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def install_audit_hook(read: list[str], write: list[str], modules: bool = False) -> None:
    """From here on Python itself refuses sockets, programs and files elsewhere. Not to be undone.

    Imports go on working for files under `read`; with `modules`, of those too that could start programs or open
    sockets, for libraries that import them and never do.
    """
    readable = tuple(os.path.realpath(folder) for folder in (*read, *write))
    writable = tuple(os.path.realpath(folder) for folder in write)
    real, join, fsdecode, cwd = os.path.realpath, os.path.join, os.fsdecode, os.getcwd()
    inside = [False]  # realpath itself may raise events

    def within(path: str, folders: tuple[str, ...]) -> bool:
        return any(path == folder or path.startswith(folder + "/") for folder in folders)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "import":
            names = {*str(arguments[0]).split("."), os.path.basename(str(arguments[1])).partition(".")[0]}
            if not modules and names & _MODULES:
                raise PermissionError(f"import of {arguments[0]} is not allowed here")
            if arguments[1] is not None and within(real(join(cwd, str(arguments[1]))), writable):
                raise PermissionError("a module of its own making is not allowed here")
            return
        if event == "open" or event in ("os.listdir", "os.scandir", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            if inside[0]:
                return
            path = arguments[0]
            if isinstance(path, int):
                return
            inside[0] = True
            try:
                place = real(join(cwd, fsdecode(path) if isinstance(path, str | bytes) else cwd))
            finally:
                inside[0] = False
            mode = arguments[1] if event == "open" and len(arguments) > 1 else None
            flags = arguments[2] if event == "open" and len(arguments) > 2 else 0
            if event in ("os.listdir", "os.scandir"):
                writes = False
            elif event == "open":
                writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
                    isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
                )
            else:
                writes = True
            if not within(place, writable if writes else readable):
                raise PermissionError(f"{place} is outside")
            return
        if event.startswith(_REFUSED):
            raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(hook)


def folders_of_python() -> list[str]:
    """What Python must go on reading: its library, and the places it imports from."""
    return sorted({os.path.realpath(place) for place in (sys.base_prefix, sys.prefix, *sys.path) if place})
