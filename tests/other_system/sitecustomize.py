"""Python runs this file at its start where it finds it: temwatch then sees another system than Linux.

OTHER_SYSTEM names it, `win32` or `darwin`. What is missing there is missing for temwatch's own code, and
`sys.platform` has its name; libraries see Linux, since others have brought them to every system. With `win32`
files below OTHER_SYSTEM_FOLDER behave as there: no folder is opened, nothing that is open or mapped is
removed or replaced, and no name is made that Windows forbids. Paths, ends of lines and encodings are still
those of Linux.
"""

import builtins
import ctypes
import errno
import fcntl
import multiprocessing
import os
import re
import struct
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

SYSTEM = os.environ.get("OTHER_SYSTEM", "")
FOLDER = Path(os.environ.get("OTHER_SYSTEM_FOLDER", "/nowhere"))

# of the modules and names that temwatch might use; `mypy --platform` knows all of them
MODULES = {
    "darwin": set(),
    "win32": {
        "fcntl",
        "grp",
        "pty",
        "pwd",
        "resource",
        "syslog",
        "termios",
        "tty",
        "multiprocessing.forkserver",
    },
}
NAMES = {
    "darwin": {
        "os": "sched_getaffinity sched_setaffinity waitid P_PID WEXITED posix_fadvise memfd_create",
        "socket": "SOCK_CLOEXEC SOCK_NONBLOCK",
    },
    "win32": {
        "os": "O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_TMPFILE PRIO_PROCESS P_PID"
        " WEXITED WNOHANG WNOWAIT chown chroot fchdir fchmod fchown fdatasync fork forkpty getegid geteuid"
        " getgid getpgid getpriority getsid getuid killpg lchown lockf major mkfifo mknod nice openpty pipe2"
        " posix_fadvise posix_spawn pread pwrite register_at_fork sched_getaffinity sched_setaffinity"
        " sendfile setpgid setpriority setsid statvfs sync sysconf uname wait waitid",
        "signal": "ITIMER_REAL SIGALRM SIGCHLD SIGHUP SIGKILL SIGQUIT SIGSTOP SIGCONT SIGUSR1 SIGUSR2 SIGPIPE"
        " SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm pause pthread_kill pthread_sigmask setitimer sigwait",
        "socket": "AF_UNIX SOCK_CLOEXEC SOCK_NONBLOCK recv_fds send_fds",
        "time": "clock_gettime pthread_getcpuclockid tzset CLOCK_BOOTTIME",
        "multiprocessing": "forkserver",
        "multiprocessing.context": "ForkContext ForkServerContext",
        "multiprocessing.reduction": "DupFd",
    },
}


def start_methods(name=None):
    """What `multiprocessing.get_context` does there."""
    if SYSTEM == "win32" and name not in (None, "spawn"):
        raise ValueError(f"cannot find context for {name!r}")
    return multiprocessing.get_context(name or "spawn")


def locking(descriptor, mode, length):
    """msvcrt.locking with LK_NBLCK: bytes from the place of the descriptor, for this open file alone."""
    assert mode == MSVCRT["LK_NBLCK"]
    writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    kind = fcntl.F_WRLCK if writable else fcntl.F_RDLCK
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, place, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except OSError:
        raise PermissionError(errno.EACCES, "Permission denied") from None


def memory_status(reference):
    """GlobalMemoryStatusEx: its structure has 64 bytes, and the memory of the machine is at the ninth."""
    content = (ctypes.c_char * ctypes.sizeof(reference._obj)).from_buffer(reference._obj)
    if struct.unpack_from("I", content)[0] != 64:
        return 0
    struct.pack_into("Q", content, 8, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return 1


MSVCRT = {"LK_NBLCK": 2, "LK_UNLCK": 0, "locking": locking}
KERNEL32 = SimpleNamespace(GlobalMemoryStatusEx=memory_status)
OTHERS = {
    "darwin": {"sys": {"platform": "darwin"}},
    "win32": {
        "sys": {"platform": "win32"},
        "os": {"name": "nt", "O_BINARY": 0, "O_NOINHERIT": os.O_CLOEXEC},
        "ctypes": {"windll": SimpleNamespace(kernel32=KERNEL32), "WinError": OSError},
        "multiprocessing": {"get_context": start_methods},
    },
}


class Seen(ModuleType):
    """A module as temwatch sees it there."""

    def __init__(self, real, missing, others):
        super().__init__(f"{real.__name__} of {SYSTEM}")
        self.__dict__.update({"_real": real, "_missing": missing, **others})

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)


def is_temwatch(name):
    return name == "temwatch" or name.startswith("temwatch.")


def importing(real_import):
    """The import that temwatch's modules call."""
    missing, names, others = MODULES[SYSTEM], NAMES[SYSTEM], OTHERS[SYSTEM]
    seen = {}

    def other_import(name, globals=None, locals=None, fromlist=(), level=0):
        if level or globals is None or not is_temwatch(globals.get("__name__", "")):
            return real_import(name, globals, locals, fromlist, level)
        if name in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "msvcrt" and SYSTEM == "win32":
            return SimpleNamespace(**MSVCRT)
        real = real_import(name, globals, locals, fromlist, level)
        key = name if fromlist else name.partition(".")[0]
        if key not in names and key not in others:
            return real
        if key not in seen:
            seen[key] = Seen(real, names.get(key, "").split(), others.get(key, {}))
        return seen[key]

    return other_import


FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
LOOKING = ("open", "os.listdir", "os.scandir")
BUSY = threading.local()


def asks_as_temwatch():
    """Whether the code that called a file function is temwatch's, by itself or through pathlib."""
    frame = sys._getframe(2)
    while frame and frame.f_globals.get("__name__") in ("pathlib", "os", "io", __name__):
        frame = frame.f_back
    return frame is not None and is_temwatch(frame.f_globals.get("__name__", ""))


def is_in_use(path):
    """Whether a process of this session has the file open or mapped."""
    try:
        wanted = path.stat()
    except OSError:
        return False
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) != os.getsid(0):
                continue
            for entry in (*process.glob("fd/*"), *process.glob("map_files/*")):
                there = entry.stat()
                if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
        except OSError:  # it has just ended
            continue
    return False


def refuse(event, arguments):
    """What Windows refuses, and what is not there on either system."""
    paths = [Path(os.fsdecode(each)) for each in arguments[:2] if isinstance(each, str | bytes | os.PathLike)]
    if not paths:  # a descriptor
        return
    if event in LOOKING and Path("/proc") in paths[0].parents and asks_as_temwatch():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(paths[0]))
    if SYSTEM != "win32" or FOLDER not in paths[0].absolute().parents:
        return
    if event == "open" and arguments[1] is None and paths[0].is_dir():
        raise PermissionError(errno.EACCES, "Permission denied", str(paths[0]))
    is_made = event in ("os.mkdir", "os.rename") or (event == "open" and arguments[2] & os.O_CREAT)
    if is_made and FORBIDDEN.search(paths[-1 if event == "os.rename" else 0].name):
        raise OSError(errno.EINVAL, "Invalid argument", str(paths[-1]))
    if event in ("os.remove", "os.rename") and any(is_in_use(path) for path in paths):
        raise PermissionError(errno.EACCES, "another process uses the file", str(paths[0]))


def hook(event, arguments):
    if event in (*LOOKING, "os.mkdir", "os.remove", "os.rename") and not getattr(BUSY, "now", False):
        BUSY.now = True
        try:
            refuse(event, arguments)
        finally:
            BUSY.now = False


if SYSTEM:
    builtins.__import__ = importing(builtins.__import__)
    sys.addaudithook(hook)
