"""An empty Debian in a folder, made by debootstrap, and entered without a network."""

import os
import shutil
import subprocess
import sys

import pytest

SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""Which Debian has the Python of these tests, for which the wheels of a bundle are."""

ENTER = r"""
set -eu
mount --make-rprivate /
mount -t proc proc "$0/proc"
mount -t tmpfs -o mode=1777 shm "$0/dev/shm"
[ -z "$MEDIA" ] || { mount --bind "$MEDIA" "$0/media"; mount -o remount,bind,ro "$0/media"; }
chroot "$0" ip link set lo up
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 chroot "$0" "$@"
"""


class EmptyRoot:
    """A Debian of its own, with Python and the programs of systemd, in a folder that does not exist yet."""

    def __init__(self, folder, *packages):
        self.folder = folder
        wanted = ",".join(("iproute2", "python3-venv", "systemd", *packages))
        made = _run(["debootstrap", "--variant=minbase", f"--include={wanted}", _suite(), folder])
        if made.returncode:
            pytest.skip(f"debootstrap made no Debian: {made.stdout.strip().splitlines()[-1]}")

    def run(self, *command, user=None, media=None):
        """Run a command in there as process of its own world; `media` is what lies in /media."""
        if user is not None:
            home = f"HOME=/var/lib/{user}"
            command = (
                "setpriv",
                f"--reuid={user}",
                f"--regid={user}",
                "--init-groups",
                "env",
                home,
                *command,
            )
        own = ["unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"]
        return _run([*own, "sh", "-c", ENTER, self.folder, *command], MEDIA=str(media or ""))


def needed(free_bytes, folder):
    """Skip the test where something is missing that cannot be put up here."""
    if os.geteuid() != 0:
        pytest.skip("a root folder of its own needs root")
    for name in ("debootstrap", "unshare"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    _suite()
    if shutil.disk_usage(folder).free < free_bytes:
        pytest.skip(f"{free_bytes / 1e9:.0f} GB of disk are not free in {folder}")


def _suite():
    try:
        return SUITES[sys.version_info[:2]]
    except KeyError:
        return pytest.skip("no Debian has the Python of these tests")


def _run(command, **more):
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
        env=os.environ | more,
        stdin=subprocess.DEVNULL,
    )
