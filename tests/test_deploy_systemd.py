"""deploy/temwatch.service under a real systemd: started, watched over, restarted, confined and stopped."""

import json
import shutil
import signal
import socket
from pathlib import Path

import pytest

import compiled_cache
from system import rows, wait_until
from systemd_root import Systemd, needed

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

RESULTS = "/var/lib/temwatch/results"
CONFIG = """
[watch]
folder = "/srv/microscope/acquisition"
settle_seconds = 0.5
scan_interval_seconds = 1
[output]
folder = "{results}"
[separation]
method = "none"
[http]
listen = "127.0.0.1:{port}"
[engine]
workers = 1
"""
SOONER = "[Service]\nWatchdogSec=8\nRestartSec=1\n"


@pytest.fixture(scope="module")
def systemd(tmp_path_factory, series):
    """A systemd in which the unit is installed as deploy/README.md says, and has analysed a micrograph."""
    needed()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = CONFIG.format(results=RESULTS, port=port)
    with Systemd(tmp_path_factory.mktemp("systemd"), config, SOONER) as running:
        compiled_cache.copy_for("/opt/temwatch/service/temwatch", running.path("/var/cache/temwatch"))
        running.systemctl("start", "temwatch.service")
        assert "active" == running.show("ActiveState")  # Type=notify: the start came back only after READY
        acquire(running, series, 1)
        yield running


def micrographs(systemd):
    """Statuses in micrographs.csv, by name."""
    table = systemd.path(f"{RESULTS}/Au/micrographs.csv")
    return {row["micrograph"]: row["status"] for row in rows(table)} if table.exists() else {}


def save(systemd, series, number, folder="/srv/microscope/acquisition"):
    """Let the microscope save a micrograph; returns its name."""
    name = f"Au_{number:02d}.dm3"
    shutil.copy(sorted(series.glob("*.dm3"))[number - 1], systemd.path(folder) / name)
    return name


def acquire(systemd, series, number):
    """Let the microscope save a micrograph; returns once it is analysed."""
    name = save(systemd, series, number)
    wait_until(lambda: micrographs(systemd).get(name) == "done", what=f"{name}\n{systemd.journal()}")


def test_it_is_active_and_says_what_it_analysed(systemd):
    """The last micrograph, in the status."""
    assert "active" == systemd.show("ActiveState")
    wait_until(lambda: "Au_01" in systemd.show("StatusText"), what="the status in words")


def test_it_runs_as_its_own_user_without_any_privilege(systemd):
    """As the kernel sees the process."""
    pid = systemd.show("MainPID")
    status = dict(
        line.split(":\t", 1)
        for line in systemd.path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert 0 not in {int(number) for number in status["Uid"].split()}
    assert {0} == {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert ("1", "2") == (status["NoNewPrivs"], status["Seccomp"])


def writable(systemd, folder):
    """Whether the service could write there."""
    user = f"--reuid={systemd.show('UID')}"
    enter = ["nsenter", "--target", systemd.show("MainPID"), "--mount", "setpriv", user, "--clear-groups"]
    return systemd.run(*enter, "touch", f"{folder}/written").returncode == 0


def test_it_can_write_its_state_and_cache_and_nothing_else(systemd):
    """As its own user, in its own view of the file system."""
    assert writable(systemd, "/var/lib/temwatch")
    assert writable(systemd, "/var/cache/temwatch")
    systemd.path("/srv/microscope/acquisition").chmod(0o777)
    for folder in ("/srv/microscope/acquisition", "/etc/temwatch", "/opt/temwatch", "/usr/lib", "/root"):
        assert not writable(systemd, folder), folder
    assert compiled_cache.written(systemd.path("/var/cache/temwatch/numba"))


def test_a_share_is_mounted_when_the_service_looks(systemd, series):
    """By an automount unit as fstab makes it, long after the service got its view of the file system."""
    if not systemd.path("/dev/autofs").exists() or "overlay" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no automount, or no overlay to mount")
    for folder in ("share/acquisition", "nothing"):
        systemd.path(f"/var/lib/{folder}").mkdir(parents=True)
    save(systemd, series, 4, "/var/lib/share/acquisition")
    mount = "What=share\nType=overlay\nOptions=ro,lowerdir=/var/lib/share:/var/lib/nothing\n"
    for kind, text in (("automount", ""), ("mount", mount)):
        unit = systemd.path(f"/etc/systemd/system/srv-microscope.{kind}")
        unit.write_text(f"[{kind.capitalize()}]\nWhere=/srv/microscope\n{text}")
    systemd.systemctl("daemon-reload")
    try:
        systemd.systemctl("start", "srv-microscope.automount")
        wait_until(lambda: micrographs(systemd).get("Au_04.dm3") == "done", what=systemd.journal())
        assert not writable(systemd, "/srv/microscope/acquisition")
    finally:
        systemd.run("systemctl", "stop", "srv-microscope.automount", "srv-microscope.mount")


def test_results_are_readable_by_the_group_alone(systemd):
    """UMask and the modes of the folders."""
    table = systemd.path(f"{RESULTS}/Au/micrographs.csv").stat()
    assert 0 == table.st_mode & 0o007
    assert 0o040 == table.st_mode & 0o070
    assert 0o750 == systemd.path("/var/lib/temwatch").stat().st_mode & 0o777


def test_the_journal_holds_json_lines(systemd):
    """As the service wrote them."""
    lines = [line for line in systemd.journal().splitlines() if line.startswith("{")]
    assert {"micrograph started", "micrograph finished"} <= {json.loads(line)["event"] for line in lines}


def restarted(systemd, restarts):
    """Whether it is up again after so many restarts."""
    return int(systemd.show("NRestarts")) >= restarts and systemd.show("ActiveState") == "active"


def test_it_is_started_again_after_kill_9(systemd, series):
    """And goes on where it was; from here on without the network, which it has proved to run in there."""
    config = Path(systemd.path("/etc/temwatch/temwatch.toml"))
    config.write_text(config.read_text() + '[segmentation]\nmethod = "threshold"\n')
    before = int(systemd.show("NRestarts"))
    systemd.systemctl("kill", "--kill-whom=main", "--signal=KILL", "temwatch.service")
    wait_until(lambda: restarted(systemd, before + 1), what="the restart")
    acquire(systemd, series, 2)


def test_the_watchdog_ends_a_service_that_hangs(systemd, series):
    """A stopped process feeds no watchdog; systemd ends it and starts it again."""
    before = int(systemd.show("NRestarts"))
    systemd.systemctl("kill", "--kill-whom=main", f"--signal={signal.SIGSTOP.name}", "temwatch.service")
    wait_until(lambda: restarted(systemd, before + 1), what="the restart")
    assert "watchdog" in systemd.journal().lower()
    acquire(systemd, series, 3)


def test_stopping_it_is_orderly(systemd):
    """Exit code 0, and nothing of it is left."""
    pid = systemd.show("MainPID")
    systemd.systemctl("stop", "temwatch.service")
    assert ("inactive", "success") == (systemd.show("ActiveState"), systemd.show("Result"))
    assert not systemd.path(f"/proc/{pid}").exists()
    assert '"event": "stopped"' in systemd.journal()


def test_a_wrong_configuration_is_not_tried_again(systemd):
    """RestartPreventExitStatus=2; last in this file, since the configuration is broken for it."""
    systemd.systemctl("stop", "temwatch.service")
    file = Path(systemd.path("/etc/temwatch/temwatch.toml"))
    file.write_text(file.read_text() + "\n[no_such_section]\n")
    assert 0 != systemd.run("systemctl", "start", "temwatch.service").returncode
    wait_until(lambda: systemd.show("ActiveState") == "failed", what="the failed state")
    assert ("2", "0") == (systemd.show("ExecMainStatus"), systemd.show("NRestarts"))
    assert "no_such_section" in systemd.journal()
