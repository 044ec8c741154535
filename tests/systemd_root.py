"""A real systemd as process 1 of its own: own root folder, mounts, processes, host name and control group.

The root is a tmpfs that nobody else sees. Of this machine it has /usr, the interpreter and the code, all of
them read-only; /etc, /var, /run and /tmp are its own, so that its tmpfiles and users touch nothing outside.
It shares the network, so that a test can reach the service's port.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from monitoring import DEPLOY, ROOT

SYSTEMD = Path("/usr/lib/systemd/systemd")
ENTER = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$NEW_ROOT"
cd "$NEW_ROOT"
mkdir -p usr proc sys dev run tmp root home old var/lib var/log var/cache srv/microscope/acquisition \
    etc/systemd/system/temwatch.service.d etc/sysusers.d etc/tmpfiles.d etc/temwatch \
    opt/python opt/temwatch/bin opt/temwatch/service opt/temwatch/packages opt/temwatch/models
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$folder"; done
readonly_bind() { mount --rbind "$1" "$2"; mount -o remount,bind,ro "$2"; }
readonly_bind /usr usr
readonly_bind "$PYTHON_HOME" opt/python
readonly_bind "$REPOSITORY/service" opt/temwatch/service
readonly_bind "$REPOSITORY/models" opt/temwatch/models
readonly_bind "$PACKAGES" opt/temwatch/packages
mount -t proc proc proc
readonly_bind proc/sys proc/sys
mount -t sysfs -o ro sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
done
mknod dev/autofs c 10 "$(awk '$2 == "autofs" { print $1 }' /proc/misc)" || true  # where the kernel has it
mkdir dev/shm && mount -t tmpfs -o mode=1777 shm dev/shm
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
cp /etc/ld.so.cache etc/
cp "$DEPLOY/temwatch.service" etc/systemd/system/
cp "$DEPLOY/sysusers.d/temwatch.conf" etc/sysusers.d/
cp "$DEPLOY/tmpfiles.d/temwatch.conf" etc/tmpfiles.d/
cp "$SETTINGS/temwatch.toml" etc/temwatch/
cp "$SETTINGS/drop_in.conf" etc/systemd/system/temwatch.service.d/
install -m 755 "$SETTINGS/temwatch" opt/temwatch/bin/temwatch
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'root:x:0:' > etc/group
echo 'NAME=test' > etc/os-release
touch etc/machine-id
# of the units that this machine brings, none that would set up hardware or the kernel
for unit in systemd-sysctl.service systemd-modules-load.service systemd-udevd.service dbus.socket; do
    ln -s /dev/null "etc/systemd/system/$unit"
done
pivot_root . old
umount -l old
mount --make-rshared /  # as on a real machine, where mounts reach the services
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog \
    env -i container=other PATH=/usr/sbin:/usr/bin \
    /lib/systemd/systemd --system --unit=basic.target --log-target=journal
"""
LAUNCHER = """#!/bin/sh
# the interpreter of the tests, at a place that the sandbox of the unit does not hide
export PYTHONHOME=/opt/python LD_LIBRARY_PATH=/opt/python/lib PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=/opt/temwatch/service:/opt/temwatch/packages
exec /opt/python/bin/{python} -m temwatch "$@"
"""


class Systemd:
    """A running systemd; `systemctl` and `run` act inside, `path` reaches its files from outside."""

    def __init__(self, folder, config, drop_in=""):
        self._root, self._settings = folder / "root", folder / "settings"
        for made in (self._root, self._settings):
            made.mkdir()
        (self._settings / "temwatch.toml").write_text(config)
        (self._settings / "drop_in.conf").write_text(drop_in)
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (self._settings / "temwatch").write_text(LAUNCHER.format(python=python))
        self._log = folder / "systemd.log"
        self._group = _control_group() / f"temwatch-test-{os.getpid()}"
        self.pid = 0

    def __enter__(self):
        self._group.mkdir()
        environment = {
            "NEW_ROOT": self._root,
            "SETTINGS": self._settings,
            "DEPLOY": DEPLOY,
            "REPOSITORY": ROOT,
            "PYTHON_HOME": sys.base_prefix,
            "PACKAGES": sysconfig.get_path("purelib"),
        }
        own = "--mount --pid --fork --kill-child --uts --ipc --cgroup"
        join = f'echo $$ > {self._group}/cgroup.procs; exec unshare {own} sh -c "$ENTER"'
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", join],
                env={name: str(value) for name, value in environment.items()}
                | {"ENTER": ENTER, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            self.pid = self.pid or _only_child(self._process.pid)
            if self.pid and self.run("systemctl", "is-active", "basic.target").stdout.strip() == "active":
                return self
            time.sleep(0.2)
        self.__exit__()
        pytest.skip(f"this machine lets no systemd of its own run: {self._log.read_text().strip()[-500:]}")

    def __exit__(self, *_):
        self._process.kill()  # its child is process 1 in there, and with it everything in there ends
        self._process.wait(timeout=30)
        for _ in range(100):
            with contextlib.suppress(OSError):
                for folder, _, _ in os.walk(self._group, topdown=False):
                    Path(folder).rmdir()
                return
            time.sleep(0.1)

    def run(self, *command, timeout=60):
        """Run a command inside."""
        return subprocess.run(
            ["nsenter", "--target", str(self.pid), "--all", *map(str, command)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def systemctl(self, *arguments, timeout=330):
        """systemctl, which has to succeed."""
        done = self.run("systemctl", *arguments, timeout=timeout)
        assert 0 == done.returncode, done.stderr + self.journal()
        return done.stdout

    def show(self, name):
        """A property of the unit."""
        return self.systemctl("show", "--value", "-p", name, "temwatch.service").strip()

    def journal(self):
        """What the service and systemd said of it."""
        return self.run("journalctl", "-u", "temwatch", "-o", "cat", "--no-pager").stdout

    def path(self, inside):
        """A file in there, as this side reaches it."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")


def needed():
    """Skip the test where something is missing that cannot be put up here."""
    if os.geteuid() != 0:
        pytest.skip("a systemd with a root folder of its own needs root")
    if not SYSTEMD.exists():
        pytest.skip("systemd is not installed (package systemd)")
    for name, package in (("unshare", "util-linux"), ("setpriv", "util-linux"), ("nsenter", "util-linux")):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed (package {package})")
    if not os.access(_control_group(), os.W_OK):
        pytest.skip("no control group (version 2) that can be written")


def _control_group():
    """Where version 2 of the control groups is mounted; on older machines beside version 1."""
    unified = Path("/sys/fs/cgroup/unified")
    return unified if unified.is_dir() else Path("/sys/fs/cgroup")


def _only_child(pid):
    with contextlib.suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    return 0
