"""deploy/README.md: its lines name what exists, its mounts are understood, its backup can be restored."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from monitoring import DEPLOY, ROOT
from system import Service, command, temwatch, wait_until
from temwatch import __version__ as temwatch_version
from temwatch import cli
from temwatch import config as configuration

TEXT = (DEPLOY / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in (DEPLOY / "README.md", ROOT / "docs" / "runbook.md", ROOT / "docs" / "operations.md")
}
GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")


def blocks(kind, text=TEXT):
    """Code blocks of a kind."""
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands(text=TEXT):
    """Commands of the console blocks; those joined by && apart."""
    lines = [line.removeprefix("$ ") for block in blocks("console", text) for line in block.splitlines()]
    return [part for line in lines for part in line.split(" && ")]


def test_the_way_from_a_bare_machine_has_ten_lines():
    """As it says."""
    assert 10 == len(blocks("console")[0].splitlines())


def test_files_that_are_copied_exist():
    """In the checkout."""
    copied = [word for command in commands() for word in command.split() if word.startswith("deploy/")]
    assert len(copied) >= 3
    for name in copied:
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    """To a file, and to a heading of it."""
    folder = DEPLOY if document == "README.md" else ROOT / "docs"
    links = re.findall(r"\]\(([^)]+)\)", DOCUMENTS[document])
    assert links
    for link in links:
        name, _, anchor = link.partition("#")
        target = folder / name if name else folder / document
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], link


@pytest.mark.slow
def test_the_wheel_is_what_the_lines_install(tmp_path):
    """Built as it is for a release: its name, its command, the weights and the configuration in it."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    wheel = next(tmp_path.glob("*.whl"))
    assert wheel.name in TEXT
    assert f"/opt/temwatch-{temwatch_version}" in TEXT
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "temwatch = temwatch.cli:main" in archive.read(entry).decode()
    assert {"temwatch/models/deeplab.safetensors", "temwatch/config.example.toml"} <= set(names)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_temwatch_are_understood(document):
    """In code blocks and in the text: each is parsed by the real parser."""
    text = DOCUMENTS[document]
    found = [
        part for command in commands(text) for part in re.findall(r"(?:^|/bin/)temwatch (\S.*)", command)
    ]
    words = re.findall(r"`temwatch ([a-z-]+)[^`]*`", text)
    assert found or words
    parser = cli.parser()
    for arguments in found:
        parser.parse_args(shlex.split(arguments))
    for word in words:
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([word, "--help"])
        assert 0 == ended.value.code


def test_faults_are_listed_with_tests_that_exist():
    """And no file of fault tests is left out."""
    named = set(re.findall(r"`(test_\w+\.py)`", DOCUMENTS["operations.md"]))
    there = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    assert named <= there
    assert {name for name in there if name.startswith("test_fault_")} <= named


@pytest.mark.parametrize("document", DOCUMENTS)
def test_keys_of_the_configuration_exist(document):
    """Written as `[section] key`."""
    for section, key in re.findall(r"`\[(\w+)\] (\w+)", DOCUMENTS[document]):
        field = configuration.Config.model_fields[section]
        assert key in field.annotation.model_fields, f"[{section}] {key}"


def test_the_two_folders_are_a_configuration(tmp_path):
    """With nothing else."""
    file = tmp_path / "temwatch.toml"
    file.write_text(blocks("toml")[0])
    config = configuration.load(file)
    assert config.output.folder.is_relative_to("/var/lib/temwatch")


def test_the_unit_runs_what_the_lines_install():
    """The same program and the same configuration."""
    line = re.search(r"^ExecStart=(\S+) run --config (\S+)$", (DEPLOY / "temwatch.service").read_text(), re.M)
    assert any(command.startswith(f"sudo -u temwatch {line[1]} check") for command in commands())
    assert any(line[2] in command and "config.example.toml" in command for command in commands())


@pytest.mark.parametrize("share", blocks("fstab"), ids=["smb", "nfs"])
def test_systemd_makes_mount_units_of_the_shares(share, tmp_path):
    """Its own generator reads the line; the units are those that the text names."""
    if not GENERATOR.exists():
        pytest.skip("systemd is not installed (package systemd)")
    (tmp_path / "fstab").write_text(share)
    units = tmp_path / "units"
    units.mkdir()
    done = subprocess.run(
        [GENERATOR, units, units, units],
        env=os.environ | {"SYSTEMD_FSTAB": str(tmp_path / "fstab"), "SYSTEMD_LOG_TARGET": "console"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    mount = (units / "srv-microscope.mount").read_text()
    assert "ro," in mount
    assert (units / "srv-microscope.automount").exists()
    assert "srv-microscope.automount" in TEXT
    # nofail: the machine starts without the microscope
    assert not list(units.rglob("*.requires"))


@pytest.mark.system
def test_the_backup_of_a_running_service_can_be_restored(tmp_path, series):
    """The statement of the text, on a ledger in use; what was lost after it comes back by itself."""
    statements = {match[1] for match in re.finditer(r'"(VACUUM INTO \'[^\']+\')"', TEXT)}
    assert {"before-0.3.0.sqlite3", "ledger.sqlite3"} == {
        statement.rstrip("'").rpartition("/")[2] for statement in statements
    }
    backup = tmp_path / "backup.sqlite3"
    sources = sorted(series.glob("*.dm3"))[:3]
    with Service(tmp_path / "service") as running:
        ledger = running.output / ".temwatch" / "ledger.sqlite3"
        for path in sources[:2]:
            shutil.copy(path, running.watched / f"Au_{path.stem[-2:]}.dm3")
        wait_until(lambda: len(running.micrographs()) == 2, what="two rows")
        connection = sqlite3.connect(ledger)
        connection.execute(f"VACUUM INTO '{backup}'")
        connection.close()
        shutil.copy(sources[2], running.watched / "Au_09.dm3")
        wait_until(lambda: len(running.micrographs()) == 3, what="three rows")
    rows = running.micrographs()
    for leftover in ("ledger.sqlite3-wal", "ledger.sqlite3-shm"):
        ledger.with_name(leftover).unlink(missing_ok=True)
    shutil.copy(backup, ledger)
    receipt = command("status", "--config", running.config).stdout.strip().splitlines()[-1]
    assert receipt.startswith("seen 2 = done 2"), receipt
    running.start()
    try:
        wait_until(lambda: len(running.micrographs()) == 3, what="the third row again")
        done = temwatch("rebuild", "--config", running.config)
        assert 0 == done.returncode, done.stderr
        kept = ("micrograph", "status", "sha256", "particles")
        again = running.micrographs()
        assert [[row[key] for key in kept] for row in rows] == [[row[key] for key in kept] for row in again]
    finally:
        assert 0 == running.stop()


def test_programs_that_are_called_are_those_that_are_installed():
    """sqlite3 is not part of a bare machine."""
    packages = commands()[0].split()
    assert any("sqlite3" in command for command in commands()[1:])
    assert {"sqlite3", "python3-venv", "cifs-utils", "nfs-common"} <= set(packages)
