"""Walls around a child process that handles what a model wrote. Standard library alone: it is also run as a script.

Layers, each of which holds without the others: limits of the kernel (memory, CPU, file size, processes), a network of
its own with nothing in it (where the kernel lets a plain user have one), Landlock (Linux 5.13: files outside a folder
cannot be opened), and an audit hook in Python that refuses sockets, programs, ctypes and files elsewhere. The hook
alone is not a wall against somebody who knows CPython; the kernel's are. A program that a model wrote also sees no
process but its own (a namespace of process numbers: nobody there to be signalled or limited), a file system in which
all but an empty folder of 16 MB is read-only, and has no capability; where the kernel gives it no such walls it is not
run (`NO_WALL`).
"""

from __future__ import annotations

import contextlib
import os
import sys

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC, _CLONE_NEWPID = 0x10000000, 0x40000000, 0x08000000, 0x20000000
_CLONE_NEWNS, _MOUNT_SETATTR, _RECURSIVE = 0x00020000, 442, 0x8000
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
_SHARED = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
]  # what the loader needs for modules written in C
_MODULES = {"ctypes", "_ctypes", "socket", "_socket", "subprocess", "multiprocessing", "_posixsubprocess", "asyncio"}


_UNHOOKED = {
    "os": ("pidfd_open", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "setpriority", "mknod", "chroot"),
    "signal": ("pidfd_send_signal",),
    "resource": ("prlimit",),
}
"""What reaches other processes and raises no event that a hook could refuse."""
ROOM = 16 << 20
"""Bytes that a program may write in all."""
NO_WALL = 97
"""How a program ends that was not run, because the kernel let no walls be built around it."""


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


def cut_off(alone: bool = False) -> list[str]:
    """Take the network away for good; what could be done about it. Call before any thread is started.

    `alone`: the children of this process will see no process but each other, and may mount.
    """
    if sys.platform != "linux":
        return []
    import ctypes

    done = []
    libc = ctypes.CDLL(None, use_errno=True)
    spaces = _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC
    who = os.geteuid(), os.getegid()
    with contextlib.suppress(AttributeError):
        if libc.unshare(spaces | (_CLONE_NEWPID | _CLONE_NEWNS if alone else 0)) == 0:
            done.append("network")
            if alone:
                _map_ids(*who)
    with contextlib.suppress(AttributeError):
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS: Landlock needs it, and no program gains rights
        libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: ends with its parent
        libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: nobody reads its memory
    return done


def _map_ids(user: int, group: int) -> None:
    """Be somebody in the new space, so that files can be made there."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {user} 1"), ("gid_map", f"1000 {group} 1")):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def lock_files(folder: str) -> bool:
    """All file systems read-only, and an empty one in memory at `folder`; then no capability is left to undo it. In a
    mount namespace of its own (`cut_off(alone=True)`). False where the kernel refuses."""
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    read_only = ctypes.create_string_buffer(struct.pack("QQQQ", 1, 0, 0, 0), 32)
    try:
        if libc.syscall(_MOUNT_SETATTR, -100, b"/", _RECURSIVE, read_only, 32) != 0:
            return False
        options = f"size={ROOM},nr_inodes=512,mode=0700".encode()
        if libc.mount(b"room", os.fsencode(folder), b"tmpfs", 2 | 4, options) != 0:  # no setuid, no devices
            return False
        header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
        return bool(libc.capset(header, ctypes.create_string_buffer(24)) == 0)
    except (AttributeError, OSError):
        return False


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


def run_program(source_path: str, folder: str, seconds: int, memory: int) -> int:
    """Run one program inside all walls, as `__main__`, in `folder`; how it ended. Called in a process of its own (see
    `code.py`)."""
    os.chdir(folder)
    with open(source_path, encoding="utf-8") as file:
        source = file.read()
    os.unlink(source_path)
    library = os.path.dirname(os.__file__)  # the standard library, and nothing that others installed
    if "network" not in cut_off(alone=True):
        return NO_WALL
    process = os.fork()
    if process:  # the program is the first process of its own space; whatever it leaves there ends with it
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    cut_off_with_parent()
    if not lock_files(folder):
        return NO_WALL
    os.chdir("/")
    os.chdir(folder)  # the empty one
    if not wall_in([library, *_SHARED], [folder]):
        return NO_WALL
    for module, names in _UNHOOKED.items():
        for name in names:
            with contextlib.suppress(AttributeError, ImportError):
                delattr(__import__(module), name)
                delattr(__import__("posix"), name)
    for name in [name for name in sys.modules if name.partition(".")[0] in _MODULES]:
        del sys.modules[name]
    limit(memory, seconds, 1 << 20)
    install_audit_hook([library], [folder])
    program = compile(source, "answer.py", "exec")
    exec(program, {"__name__": "__main__", "__builtins__": __builtins__})
    return 0


def cut_off_with_parent() -> None:
    """End when the parent does: what was said of this to the kernel does not outlive a fork."""
    import ctypes

    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG


def report_line(error: BaseException) -> str:
    """What went wrong with a program, in a line: the kind of error, what it says, and where in the program."""
    line = error.__traceback__
    number = None
    while line is not None:
        if line.tb_frame.f_code.co_filename == "answer.py":
            number = line.tb_lineno
        line = line.tb_next
    if isinstance(error, SyntaxError):
        number = error.lineno
    said = f"{type(error).__name__}: {error}".strip().rstrip(":")[:160]
    return " ".join(said.split()) + (f" (line {number})" if number else "")


if __name__ == "__main__":
    try:
        ended = run_program(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    except SystemExit:
        raise
    except BaseException as error:
        sys.stderr.write(report_line(error)[:400])
        ended = 1
    sys.exit(ended if ended >= 0 else 128 - ended)
