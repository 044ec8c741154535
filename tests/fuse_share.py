"""A share that can be taken away: a read-only FUSE file system over a folder, without any library.

Writers work in the folder below, as the microscope's own computer does; readers see it through the mount,
where no event tells of what was written, as on SMB and NFS. The file `mood` says how the share is: "well";
"hung" (nothing is answered until it says otherwise); "broken" (every question is answered with EIO). Every
file that is opened is noted in `<mood>.opened`. Run as a program; the end of the program ends the share.
"""

import ctypes
import errno
import os
import select
import stat
import struct
import sys
from contextlib import contextmanager
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
DETACH = 2

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42
HEADER = struct.Struct("<IIQQIIII")  # length, operation, unique, node, uid, gid, pid, padding
DIRECT_IO = 1


class Share:
    """Answers the kernel's questions about one folder; nodes are numbered by path."""

    def __init__(self, below, mood):
        self.below, self.mood = os.fsencode(below), Path(mood)
        self.paths, self.numbers = {1: b""}, {b"": 1}
        self.opened = Path(f"{mood}.opened")

    def real(self, node):
        return self.below + b"/" + self.paths[node]

    def answer(self, operation, node, body):
        """Payload of the answer; OSError for an error."""
        match operation:
            case 26:
                return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 17, 0, 16, 12, 1 << 17, 1, 0, 0, 0)
            case 1:
                path = (self.paths[node] + b"/" + body.rstrip(b"\0")).lstrip(b"/")
                attributes = self.attributes(self.below + b"/" + path)
                number = self.numbers.setdefault(path, len(self.numbers) + 1)
                self.paths[number] = path
                return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + attributes
            case 3:
                return struct.pack("<QII", 0, 0, 0) + self.attributes(self.real(node))
            case 5:
                return os.readlink(self.real(node))  # noqa: PTH115 - bytes
            case 14:
                with self.opened.open("ab") as log:
                    log.write(self.paths[node] + b"\n")
                return struct.pack("<QII", os.open(self.real(node), os.O_RDONLY), DIRECT_IO, 0)
            case 15:
                handle, offset, size = struct.unpack_from("<QQI", body)
                return os.pread(handle, size, offset)
            case 18:
                os.close(struct.unpack_from("<Q", body)[0])
                return b""
            case 27:
                os.listdir(self.real(node))
                return struct.pack("<QII", 0, 0, 0)
            case 28:
                _, offset, size = struct.unpack_from("<QQI", body)
                return self.entries(node, offset, size)
            case 17:
                return struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 19, 1 << 19, 9999, 9999, 4096, 255, 4096, 0)
            case 25 | 29:
                return b""
        raise OSError(errno.ENOSYS, "")

    def attributes(self, real):
        found = os.lstat(real)
        seconds = [int(value) for value in (found.st_atime, found.st_mtime, found.st_ctime)]
        nanoseconds = [value % 10**9 for value in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)]
        numbers = (found.st_ino, found.st_size, found.st_blocks, *seconds, *nanoseconds, found.st_mode)
        return struct.pack("<6Q3I7I", *numbers, found.st_nlink, 0, 0, 0, 4096, 0)

    def entries(self, node, offset, size):
        answer = b""
        names = sorted(os.listdir(self.real(node)))
        for position, name in enumerate(names[offset:], offset + 1):
            kind = stat.S_IFMT(os.lstat(self.real(node) + b"/" + name).st_mode) >> 12
            entry = struct.pack("<QQII", position, position, len(name), kind) + name
            entry += b"\0" * (-len(entry) % 8)
            if len(answer) + len(entry) > size:
                break
            answer += entry
        return answer

    def serve(self, device):
        """Answer until the share is unmounted."""
        while True:
            mood = self.mood.read_text()
            # a question that is not even taken can be given up by a process that is killed, as on NFS and SMB
            waiting = select.select([device] if mood != "hung" else [], [], [], 0.02)[0]
            request = b""
            with ignoring(errno.EINTR, errno.ENOENT, errno.EAGAIN):
                request = os.read(device, 1 << 18) if waiting else b""
            if request:
                _, operation, unique, node, *_ = HEADER.unpack_from(request)
                if operation in (FORGET, BATCH_FORGET, INTERRUPT):
                    continue
                try:
                    if mood == "broken" and operation not in (INIT, RELEASE):
                        raise OSError(errno.EIO, "")
                    payload, error = self.answer(operation, node, request[HEADER.size :]), 0
                except OSError as trouble:
                    payload, error = b"", -(trouble.errno or errno.EIO)
                with ignoring(errno.ENOENT, errno.EINVAL):
                    os.write(device, struct.pack("<IiQ", 16 + len(payload), error, unique) + payload)


@contextmanager
def ignoring(*numbers):
    """For questions that were given up meanwhile."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def mount(target, device):
    """Raises OSError where this machine forbids it."""
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    if LIBC.mount(b"share", os.fsencode(target), b"fuse", 1, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def unmount(target):
    """At once, whoever still has files open there."""
    LIBC.umount2(os.fsencode(target), DETACH)


def main():
    below, target, mood = sys.argv[1:]
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount(target, device)
    print("mounted", flush=True)
    with ignoring(errno.ENODEV):  # unmounted
        Share(below, mood).serve(device)


if __name__ == "__main__":
    main()
