"""What fault tests share: file systems that can be taken away, and writers like the microscope's software."""

import ctypes
import errno
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

import fuse_share
from system import wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
BIND = 4096


def mount(source, target, kind="", flags=0, options=""):
    """mount(2); the test is skipped where this machine forbids it."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), flags, options.encode())
    if LIBC.mount(*arguments):
        number = ctypes.get_errno()
        if number in (errno.EPERM, errno.EACCES, errno.ENODEV):
            pytest.skip(f"this machine forbids mounting {kind or 'a folder'} ({os.strerror(number)})")
        raise OSError(number, os.strerror(number))


unmount = fuse_share.unmount


@contextmanager
def small_disk(folder, megabytes):
    """A file system of its own that is soon full."""
    folder.mkdir(parents=True, exist_ok=True)
    mount("small", folder, "tmpfs", options=f"size={megabytes}m")
    try:
        yield folder
    finally:
        unmount(folder)


class Share:
    """A mounted share: write into `below`, as the microscope does; readers see `at`."""

    def __init__(self, folder):
        self.below, self.at, self._mood = folder / "below", folder / "share", folder / "mood"
        for made in (self.below, self.at):
            made.mkdir(parents=True, exist_ok=True)
        self.process = None

    def mount(self):
        self.is_now("well")
        self.process = subprocess.Popen(
            [sys.executable, fuse_share.__file__, self.below, self.at, self._mood],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if not self.process.stdout.readline():
            error = self.process.communicate()[1].strip().splitlines()[-1:]
            pytest.skip(f"this machine forbids mounting FUSE ({error})")
        return self

    def is_now(self, mood):
        """One of well, hung and broken; see fuse_share."""
        fresh = self._mood.with_suffix(".new")
        fresh.write_text(mood)
        fresh.replace(self._mood)

    def opened(self):
        """Names of the files that were opened through the share, in order."""
        log = self._mood.with_name("mood.opened")
        return log.read_text().splitlines() if log.exists() else []

    def unmount(self):
        self.is_now("well")
        unmount(self.at)
        self.process.kill()
        self.process.communicate()


@contextmanager
def share(folder):
    """A share that is mounted and well."""
    mounted = Share(folder).mount()
    try:
        yield mounted
    finally:
        mounted.unmount()


def write_in_pieces(path, content, pieces, pause):
    """As an instrument does: piece by piece, calling `pause` in between."""
    step = -(-len(content) // pieces)
    with path.open("wb") as stream:
        for start in range(0, len(content), step):
            stream.write(content[start : start + step])
            stream.flush()
            pause()


def logged(service, event):
    """Wait until the service has logged something that holds `event`."""
    wait_until(lambda: event in service.log.read_text(), what=f"the log line {event!r}")
