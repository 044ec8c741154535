"""deploy/install.sh and bundle.sh: what a machine gets, also without a network, and the way back."""

import os
import re
import shutil
import stat
import subprocess
import sys

import pytest

import temwatch
from monitoring import DEPLOY, ROOT, program

INSTALL = DEPLOY / "install.sh"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SMALL = "markdown"  # one package of the lock, whose wheel is small and needs no other


def run(*command, **more):
    environment = os.environ | {"PYTHON": sys.executable, "PIP_NO_INPUT": "1"} | more
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=500, check=False, env=environment
    )


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_the_shell_of_every_system_understands_it(script):
    """dash and bash; nothing is run."""
    for shell in ("sh", "bash"):
        assert 0 == run(shell, "-n", script).returncode


def test_an_empty_folder_is_refused_with_what_is_missing(tmp_path):
    """One line each."""
    shutil.copy(INSTALL, tmp_path)
    for given, missing in (("", "requirements.lock"), ("x", "no wheel")):
        if given:
            (tmp_path / "requirements.lock").write_text(given)
        done = run("sh", tmp_path / "install.sh", "--root", tmp_path)
        assert 1 == done.returncode
        assert missing in done.stderr


def test_the_container_installs_what_the_script_installs():
    """The same lock, by hashes, and the same wheel, with the paths of the unit."""
    text = (DEPLOY / "Containerfile").read_text()
    assert "--require-hashes -r /tmp/temwatch/requirements.lock" in text
    assert re.search(r'ENTRYPOINT \["/opt/temwatch/bin/temwatch"\]', text)
    unit = (DEPLOY / "temwatch.service").read_text()
    (arguments,) = re.findall(r"^ExecStart=\S+ (.*)$", unit, re.M)
    (command,) = re.findall(r"^CMD \[(.*)\]$", text, re.M)
    assert arguments.split() == [word.strip().strip('"') for word in command.split(",")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of temwatch and of one package of its lock."""
    folder = tmp_path_factory.mktemp("bundle")
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert 0 == done.returncode, done.stderr
    lock = folder / "small.lock"
    lock.write_text(re.search(rf"(?ms)^{SMALL}==.*?(?=^\S|\Z)", LOCK)[0])
    done = run("sh", DEPLOY / "bundle.sh", lock, next(folder.glob("temwatch-*.whl")), folder / "made")
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip(f"there is no package index here: {done.stderr.splitlines()[-1]}")
    assert 0 == done.returncode, done.stderr
    return folder / "made"


def install(bundle, root, *options, **more):
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_EXTRA_INDEX_URL": "",
    }
    return run("sh", bundle / "install.sh", "--root", root, *options, **(nowhere | more))


@pytest.mark.slow
def test_a_machine_without_a_network_gets_all_of_it_twice(bundle, tmp_path):
    """Program, user, folders and units in a root of its own; a configuration that is there stays."""
    for needed in ("systemd-sysusers", "systemd-tmpfiles"):
        program(needed, "systemd")
    if os.geteuid() != 0:
        pytest.skip("giving folders to another user needs root")
    root = tmp_path / "root"
    root.mkdir()
    done = install(bundle, root)
    assert 0 == done.returncode, done.stderr
    version = temwatch.__version__
    told = run(root / "opt" / "temwatch" / "bin" / "temwatch", "--version")
    assert f"temwatch {version}" == told.stdout.strip()
    python = root / "opt" / f"temwatch-{version}" / "bin" / "python"
    assert 0 == run(python, "-I", "-c", f"import {SMALL}").returncode
    assert "temwatch:" in (root / "etc" / "passwd").read_text()
    assert 0o750 == stat.S_IMODE((root / "var" / "lib" / "temwatch").stat().st_mode)
    for unit in ("temwatch.service", "temwatch-outage.service", "temwatch-outage.timer"):
        assert (DEPLOY / unit).read_bytes() == (root / "etc" / "systemd" / "system" / unit).read_bytes()
    config = root / "etc" / "temwatch" / "temwatch.toml"
    assert (ROOT / "config.example.toml").read_bytes() == config.read_bytes()
    config.write_text("# mine\n")
    (root / "opt" / "temwatch-0.1.0" / "bin").mkdir(parents=True)
    (root / "opt" / "temwatch-0.1.0" / "bin" / "temwatch").symlink_to(python)
    assert 0 == install(bundle, root, "--back", "0.1.0").returncode
    assert "temwatch-0.1.0" == str((root / "opt" / "temwatch").readlink())
    assert 0 == install(bundle, root).returncode
    assert f"temwatch-{version}" == str((root / "opt" / "temwatch").readlink())
    assert "# mine\n" == config.read_text()
    assert 1 == install(bundle, root, "--back", "0.0.9").returncode


@pytest.mark.slow
def test_a_damaged_bundle_is_not_installed(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    next((copy / "wheels").iterdir()).write_bytes(b"other")
    (tmp_path / "root").mkdir()
    done = install(copy, tmp_path / "root")
    assert 1 == done.returncode
    assert "the bundle is damaged" in done.stderr
    assert not (tmp_path / "root" / "opt").exists()
