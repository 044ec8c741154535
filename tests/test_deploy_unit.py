"""deploy/: what systemd's own programs say of unit, user and folders, without starting anything."""

import configparser
import os
import re
import subprocess

import pytest

from monitoring import DEPLOY, program
from temwatch import cli

UNIT = DEPLOY / "temwatch.service"
MOST_EXPOSURE = "20"  # of 100; systemd-analyze prints tenths of it


@pytest.fixture
def unit(tmp_path):
    """The unit with an executable that exists on every machine."""
    text = UNIT.read_text()
    assert 1 == text.count("/opt/temwatch/bin/temwatch")
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/temwatch/bin/temwatch", "/bin/true"))
    return path


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)


def test_systemd_finds_nothing_to_say_against_the_unit(unit):
    """No warning either: an unknown key is only that."""
    done = run(program("systemd-analyze", "systemd"), "verify", "--man=no", unit)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (0, []) == (done.returncode, ours)


@pytest.mark.parametrize("name", ["temwatch-outage.service", "temwatch-outage.timer"])
def test_systemd_finds_nothing_to_say_against_the_timer(tmp_path, name):
    """Nor against what it starts, which exposes no more than the service."""
    for path in DEPLOY.glob("temwatch-outage.*"):
        text = path.read_text().replace("/opt/temwatch/bin/temwatch", "/bin/true")
        (tmp_path / path.name).write_text(text)
    done = run(program("systemd-analyze", "systemd"), "verify", "--man=no", tmp_path / name)
    assert (0, []) == (done.returncode, [line for line in done.stderr.splitlines() if "outage" in line])


def test_the_timer_runs_a_command_that_there_is():
    """With the program and the configuration of the service."""
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "temwatch-outage.service").read_text(), re.M)
    ours = re.search(r"^ExecStart=(\S+) run (--config \S+)$", UNIT.read_text(), re.M)
    assert f"{ours[1]} notify {ours[2]} --if-down" == line
    cli.parser().parse_args(line.split()[1:])


def test_the_sandbox_leaves_little_exposed(unit):
    """2.0 at most, where 10 is everything."""
    analyse = program("systemd-analyze", "systemd")
    if "--offline" not in run(analyse, "--help").stdout:
        pytest.skip("this systemd-analyze cannot look at a unit that is not loaded (before 250)")
    done = run(analyse, "security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", "--no-pager", unit)
    assert 0 == done.returncode, done.stdout
    assert "Overall exposure level for temwatch.service" in done.stdout


def test_the_unit_keeps_to_the_contract():
    """Values that others rely on; configparser reads the last of several equal keys."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = unit["Service"]
    assert ("notify", "2", "always") == (
        service["Type"],
        service["RestartPreventExitStatus"],
        service["Restart"],
    )
    assert 0 < int(service["WatchdogSec"]) <= 120
    for folder in ("StateDirectory", "CacheDirectory", "ConfigurationDirectory"):
        assert "temwatch" == service[folder]
    assert "false" == service["MemoryDenyWriteExecute"]


def test_the_user_is_made_once(tmp_path):
    """In a root folder of its own; the second run changes nothing."""
    sysusers = program("systemd-sysusers", "systemd")
    (tmp_path / "etc").mkdir()
    for _ in range(2):
        done = run(sysusers, f"--root={tmp_path}", DEPLOY / "sysusers.d" / "temwatch.conf")
        assert 0 == done.returncode, done.stderr
    entries = (tmp_path / "etc" / "passwd").read_text().splitlines()
    assert 1 == len(entries)
    name, _, _, _, _, home, shell = entries[0].split(":")
    assert ("temwatch", "/var/lib/temwatch") == (name, home)
    assert shell.endswith("nologin")


def test_the_folders_are_made(tmp_path):
    """In a root folder of its own, for the user that was made there."""
    if os.geteuid() != 0:
        pytest.skip("giving folders to another user needs root")
    tmpfiles = program("systemd-tmpfiles", "systemd")
    (tmp_path / "etc").mkdir()
    run(program("systemd-sysusers", "systemd"), f"--root={tmp_path}", DEPLOY / "sysusers.d" / "temwatch.conf")
    arguments = ("--create", f"--root={tmp_path}", DEPLOY / "tmpfiles.d" / "temwatch.conf")
    done = run(tmpfiles, *arguments)
    assert 0 == done.returncode, done.stderr
    modes = {
        folder: oct((tmp_path / folder).stat().st_mode & 0o777)
        for folder in ("etc/temwatch", "var/lib/temwatch", "srv/microscope", "var/backups/temwatch")
    }
    assert ["0o755", "0o750", "0o755", "0o750"] == list(modes.values())
