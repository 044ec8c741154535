"""`temwatch check`: what would stop the service is found before it is started."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from system import Service, command
from temwatch import config as configuration
from temwatch.commands import check_paths
from temwatch.ledger.schema import FILE_NAME
from temwatch.mounts import mount_of

NOBODY = 65534


def said(done):
    """Lines as (level, topic, text)."""
    found = []
    for line in done.stdout.strip().splitlines():
        level, _, rest = line.partition(" ")
        topic, _, text = rest.strip().partition(": ")
        found.append((level, topic, text))
    return found


def check(service):
    """Exit code and lines of the command."""
    done = command("check", "--config", service.config)
    assert "Traceback" not in done.stderr
    return done.returncode, said(done)


def about(lines, topic):
    """Levels and texts of one topic."""
    return [(level, text) for level, name, text in lines if name == topic]


def config_of(service):
    return configuration.load(service.config)


@contextlib.contextmanager
def as_nobody():
    """Within, this process is a user without any rights."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


def levels_for_nobody(findings, config):
    """Levels that a user without any rights is told."""
    with as_nobody():
        return [level for level, _ in findings(config)]


@pytest.fixture
def open_folder():
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_every_topic_has_a_line(tmp_path):
    """And nothing is wrong with a fresh configuration."""
    code, lines = check(Service(tmp_path))
    assert 0 == code, lines
    topics = {topic for _, topic, _ in lines} - {"user"}
    assert topics == {
        "configuration",
        "weights",
        "watched folder",
        "output folder",
        "ledger",
        "inotify",
        "port",
        "token",
    }
    assert "error" not in {level for level, _, _ in lines}


def test_a_wrong_configuration_is_exit_code_2(tmp_path):
    """With the key."""
    code, lines = check(Service(tmp_path, watch={"paterns": ["*.dm3"]}))
    assert 2 == code
    assert "paterns" in about(lines, "configuration")[0][1]


def test_a_folder_that_is_not_there_is_a_warning(tmp_path):
    """The service waits for it."""
    service = Service(tmp_path)
    service.watched.rmdir()
    code, lines = check(service)
    assert (0, "warning") == (code, about(lines, "watched folder")[0][0])


def test_a_hook_that_cannot_run_is_an_error(tmp_path):
    """With the key; without a hook there is no line."""
    for program, expected in ((sys.executable, "ok"), (str(tmp_path / "none"), "error")):
        service = Service(tmp_path / expected, hook={"command": [program, "--archive"]})
        ((level, text),) = about(check(service)[1], "hook")
        assert expected == level
        assert program in text


def test_weights_that_are_not_there_are_exit_code_3(tmp_path):
    """The line names the file."""
    missing = str(tmp_path / "none.safetensors")
    code, lines = check(Service(tmp_path, segmentation={"method": "deeplab", "weights": missing}))
    assert 3 == code
    level, text = about(lines, "weights")[0]
    assert "error" == level
    assert missing in text


def test_the_network_without_a_gpu_is_a_warning(tmp_path):
    """It works, slowly."""
    code, lines = check(Service(tmp_path, segmentation={"method": "deeplab", "device": "cpu"}))
    assert 0 == code, lines
    assert ["ok", "warning"] == [level for level, _ in about(lines, "weights")]


def test_a_folder_that_may_not_be_listed_is_an_error(open_folder):
    """Seen as a user without rights."""
    service = Service(open_folder)
    service.watched.chmod(0o700)
    config = config_of(service)
    assert ["error"] == levels_for_nobody(check_paths.watched, config)


def test_a_micrograph_that_may_not_be_read_is_an_error(open_folder):
    """The folder alone may look well."""
    service = Service(open_folder)
    config = config_of(service)
    secret = service.watched / "deeper" / "Au_01.dm3"
    secret.parent.mkdir()
    secret.touch(mode=0o600)
    assert ["ok", "error"] == levels_for_nobody(check_paths.watched, config)
    secret.chmod(0o644)
    assert ["ok"] == levels_for_nobody(check_paths.watched, config)


def test_an_output_folder_that_cannot_be_written_is_an_error(open_folder):
    """One that is to be made below such a folder, too."""
    config = config_of(Service(open_folder))
    assert ["error", "error"] == levels_for_nobody(check_paths.output, config)
    open_folder.chmod(0o777)
    assert "error" not in levels_for_nobody(check_paths.output, config)


def test_a_full_disk_is_an_error(tmp_path):
    """A real one, of two megabytes."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting a small disk needs root and unshare")
    service = Service(tmp_path)
    service.output.mkdir()
    script = 'mount -t tmpfs -o size=2m small "$1" && exec "$2" -m temwatch check --config "$3"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", service.output, sys.executable, service.config],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "mount:" in done.stderr:
        pytest.skip(f"this machine lets nothing be mounted: {done.stderr.strip()}")
    assert 3 == done.returncode
    assert {"error"} == {level for level, _ in about(said(done), "output folder")}


@pytest.mark.parametrize(
    ("watches", "instances", "level"), [(3, 128, "warning"), (9, 128, "ok"), (9, 8, "warning")]
)
def test_the_limits_of_inotify_are_held_against_the_folders(watches, instances, level, tmp_path):
    """Four of them: the watched one and three in it."""
    service = Service(tmp_path / "s")
    (service.watched / "a" / "b").mkdir(parents=True)
    (service.watched / "c").mkdir()
    (tmp_path / "max_user_watches").write_text(f"{watches}\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    found = list(check_paths.inotify(config_of(service), limits=tmp_path))
    assert [level] == [finding[0] for finding in found]
    assert "4 folders" in found[0][1]


def test_the_mount_that_holds_a_folder_is_found(tmp_path):
    """The longest one, names with spaces and umlauts included."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /srv/my\\040microscope rw - cifs //scope/data rw\n"
        "31 22 0:41 / /srv/Präparate rw shared:3 - nfs4 nas:/p rw\n"
    )
    assert (Path("/"), "ext4") == mount_of(Path("/srv/my"), table)
    assert (Path("/srv/my microscope"), "cifs") == mount_of(Path("/srv/my microscope/a/b"), table)
    assert (Path("/srv/Präparate"), "nfs4") == mount_of(Path("/srv/Präparate"), table)
    assert "proc" == mount_of(Path("/proc/self"))[1]


@pytest.mark.parametrize(("content", "level"), [(None, "warning"), (b"certainly not SQLite" * 100, "error")])
def test_a_missing_ledger_is_no_error_and_a_damaged_one_is(tmp_path, content, level):
    """Whatever the text of the error says: the folder has the words of the other one in its name."""
    state = tmp_path / "there is no ledger yet"
    service = Service(tmp_path / "s", output={"state_folder": str(state)})
    state.mkdir()
    if content:
        (state / FILE_NAME).write_bytes(content)
    code, lines = check(service)
    assert (3 if level == "error" else 0, [level]) == (code, [found for found, _ in about(lines, "ledger")])


def test_the_token_is_looked_at_and_not_shown(tmp_path):
    """Missing or empty is an error, open to all a warning."""
    token = tmp_path / "token"
    service = Service(tmp_path / "s", http={"listen": "127.0.0.1:0", "token_file": str(token)})

    def level():
        code, lines = check(service)
        assert "hunter2hunter2" not in str(lines)
        return code, about(lines, "token")[0][0]

    assert (3, "error") == level()
    token.touch(mode=0o600)
    assert (3, "error") == level()
    token.write_text("hunter2hunter2")
    assert (0, "ok") == level()
    token.chmod(0o644)
    assert (0, "warning") == level()


@pytest.mark.parametrize("kind", ["lustre", "gpfs", "beegfs", "fuse.sshfs", "nfs4"])
def test_a_ledger_on_a_network_file_system_is_a_warning(tmp_path, monkeypatch, kind):
    """SQLite's locks are not safe there."""
    monkeypatch.setattr(check_paths, "mount_of", lambda _: (Path("/"), kind))
    found = list(check_paths.output(config_of(Service(tmp_path))))
    assert [kind in text and "state_folder" in text for level, text in found if level == "warning"] == [True]


@pytest.mark.parametrize(
    ("cards", "cuda", "expected"),
    [(0, None, ""), (1, None, "built without CUDA"), (1, "12.8", "driver for CUDA 12.8")],
)
def test_a_gpu_that_is_not_used_is_named(tmp_path, monkeypatch, cards, cuda, expected):
    """As the kernel module lists its cards; without one there is nothing to say."""
    import torch

    from temwatch.commands.check import unused_gpu

    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setenv("PATH", str(tmp_path))
    for number in range(cards):
        (tmp_path / "gpus" / f"0000:0{number}:00.0").mkdir(parents=True)
    found = unused_gpu(tmp_path)
    assert expected in found
    assert bool(expected) == bool(found)
