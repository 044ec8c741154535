"""The whole bundle, installed in an empty Debian without a network: it measures, goes back and forward again.

TEMWATCH_BUNDLE names a bundle that was made already; without it one is made here, of several gigabytes.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import compiled_cache
import temwatch
from empty_root import EmptyRoot, needed
from monitoring import DEPLOY, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

VERSION, OLDER = temwatch.__version__, "0.1.9"
PROGRAM = "/opt/temwatch/bin/temwatch"
CONFIG = "/etc/temwatch/temwatch.toml"
FREE_BYTES = 15 * 10**9  # the wheels, and what they unpack to


def build(sources, folder):
    """The wheel of a checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=sources, check=True, capture_output=True, timeout=300)
    return next(folder.glob("temwatch-*.whl"))


def bundle(lock, wheel, folder):
    """What `make bundle` makes of a lock; skips where there is no package index."""
    done = subprocess.run(
        ["sh", DEPLOY / "bundle.sh", lock, wheel, folder],
        env=os.environ | {"PYTHON": sys.executable, "PIP_NO_INPUT": "1"},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    return folder


def older(folder):
    """A bundle of this code as an earlier version, with one package: it can be asked its version."""
    sources, lock = folder / "sources", folder / "small.lock"
    for name in ("service", "deploy", "models"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.example.toml"):
        shutil.copy(ROOT / name, sources)
    version = sources / "service" / "temwatch" / "version.py"
    version.write_text(version.read_text().replace(VERSION, OLDER))
    lock.write_text(re.search(r"(?ms)^markdown==.*?(?=^\S|\Z)", (ROOT / "requirements.lock").read_text())[0])
    return bundle(lock, build(sources, folder), folder / "bundle")


@pytest.fixture(scope="module")
def machine():
    """A Debian in which the older version was installed, then this one; it is gone at the end."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        needed(FREE_BYTES, folder)
        machine = EmptyRoot(folder / "root")
        (folder / "older").mkdir()
        whole = os.environ.get("TEMWATCH_BUNDLE") or bundle(
            ROOT / "requirements.lock", build(ROOT, folder), folder / "whole"
        )
        for made in (older(folder / "older"), whole):
            done = machine.run("sh", "/media/install.sh", media=made)
            assert 0 == done.returncode, done.stdout + done.stderr
        machine.bundle = whole
        yield machine


def told(machine):
    return machine.run(PROGRAM, "--version").stdout.strip()


def test_the_service_would_start(machine):
    """As its own user; the configuration is the example, with folders of this machine."""
    assert f"temwatch {VERSION}" == told(machine)
    config = Path(f"{machine.folder}{CONFIG}")
    text = config.read_text()
    assert (ROOT / "config.example.toml").read_text() == text
    text = text.replace('"/data/acquisition"', '"/srv/microscope/acquisition"')
    config.write_text(text.replace('"/data/temwatch"', '"/var/lib/temwatch/results"'))
    Path(f"{machine.folder}/srv/microscope/acquisition").mkdir()
    done = machine.run(PROGRAM, "check", "--config", CONFIG, user="temwatch")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "ok       weights: deeplab" in done.stdout


def test_a_micrograph_is_measured(machine):
    """With the network and the separation of the defaults."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    package = f"/opt/temwatch-{VERSION}/lib/{python}/site-packages/temwatch"
    compiled_cache.copy_for(package, Path(f"{machine.folder}/var/lib/temwatch/.cache/temwatch"))
    machine.run("chown", "-R", "temwatch:temwatch", "/var/lib/temwatch")
    for command in (
        ("simulate", "--output", "/tmp/Au", "--micrographs", "1"),
        ("analyse", "/tmp/Au", "--output", "/tmp/results"),
    ):
        done = machine.run(PROGRAM, *command, user="temwatch")
        assert 0 == done.returncode, done.stdout + done.stderr
    (table,) = Path(f"{machine.folder}/tmp/results").glob("*/particles.csv")
    assert len(table.read_text(encoding="utf-8").splitlines()) > 20


def test_back_and_forward_again(machine):
    """The configuration stays, and so does the other version."""
    kept = Path(f"{machine.folder}{CONFIG}").read_bytes()
    for version in (OLDER, VERSION):
        done = machine.run("sh", "/media/install.sh", "--back", version, media=machine.bundle)
        assert 0 == done.returncode, done.stderr
        assert f"temwatch {version}" == told(machine)
    assert kept == Path(f"{machine.folder}{CONFIG}").read_bytes()
