"""deploy/Containerfile builds an image and its program runs: by buildah, which needs no daemon.

No registry is asked: a Debian of debootstrap stands in for the base image, and one package for the lock.
"""

import json
import re
import subprocess
import sys

import pytest

import temwatch
from empty_root import EmptyRoot, needed
from monitoring import DEPLOY, ROOT, program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BASE, IMAGE = "localhost/python", "localhost/temwatch"
FREE_BYTES = 4 * 10**9


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    """Runs buildah with a store of its own, in which the image was built."""
    folder = tmp_path_factory.mktemp("container")
    needed(FREE_BYTES, folder)
    program("buildah", "buildah")
    store = [f"--{name}={folder / name}" for name in ("root", "runroot")]

    def run(*arguments, check=True):
        command = ["buildah", "--storage-driver=vfs", *store, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        assert not check or 0 == done.returncode, done.stdout[-2000:] + done.stderr[-2000:]
        return done

    base = EmptyRoot(folder / "debian").folder
    (base / "usr" / "local" / "bin" / "python").symlink_to("/usr/bin/python3")
    (context := folder / "context").mkdir()
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    small = context / "requirements.lock"
    small.write_text(re.search(r"(?ms)^markdown==.*?(?=^\S|\Z)", lock)[0])
    command = [sys.executable, "-m", "pip", "download", "-r", small, "-d", base / "wheels"]
    if subprocess.run(command, capture_output=True, timeout=300, check=False).returncode:
        pytest.skip("there is no package index here")
    (base / "etc" / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    (context / "Base").write_text("FROM scratch\nADD base.tar /\n")
    command = ["tar", "-C", base, "--exclude=./dev/*", "--exclude=./proc/*", "-cf", context / "base.tar", "."]
    subprocess.run(command, check=True)
    run("build", "--isolation=chroot", "-f", context / "Base", "-t", BASE, context)
    (context / "base.tar").unlink()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", context]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    how = ("--isolation=chroot", "--format=docker", f"--from={BASE}")
    run("build", *how, "-f", DEPLOY / "Containerfile", "-t", IMAGE, context)
    yield run
    run("rm", "--all")
    run("rmi", "--all", "--force")


def test_the_image_runs_the_service_as_its_own_user(buildah):
    """What podman and docker read of it."""
    found = json.loads(buildah("inspect", "--type", "image", IMAGE).stdout)["Docker"]["config"]
    assert "temwatch" == found["User"]
    assert ["/opt/temwatch/bin/temwatch"] == found["Entrypoint"]
    assert ["run", "--config", "/etc/temwatch/temwatch.toml"] == found["Cmd"]
    assert "8750/tcp" in found["ExposedPorts"]
    assert "/healthz" in " ".join(found["Healthcheck"]["Test"])


def test_its_program_runs_in_it(buildah):
    """Installed from wheel and lock, and allowed to write its state alone."""
    container = buildah("from", "--pull-never", IMAGE).stdout.strip()

    def inside(*command, check=True):
        return buildah("run", "--isolation=chroot", container, "--", *command, check=check)

    assert (
        f"temwatch {temwatch.__version__}" == inside("/opt/temwatch/bin/temwatch", "--version").stdout.strip()
    )
    assert "temwatch" == inside("id", "-un").stdout.strip()
    inside("touch", "/var/lib/temwatch/written")
    assert 0 != inside("touch", "/opt/temwatch/written", check=False).returncode
    inside("/opt/temwatch/bin/python", "-I", "-c", "import markdown")
