"""The configuration changes under a ledger that is full of results."""

import re
import shutil

import pytest

from system import Service, command, rows, temwatch, wait_until
from temwatch import simulator
from temwatch.ledger import Reader

pytestmark = pytest.mark.system

CLUMPED = {"method": "uecs"}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """A service that has ended, with the results of many overlapping particles, whose files are gone."""
    service = Service(tmp_path_factory.mktemp("analysed"), separation=CLUMPED)
    with service:
        for _ in simulator.write_series(service.watched, micrographs=3, overlap="high", size_px=512):
            pass
        service.count_of(done=3)
        wait_until(lambda: len(service.micrographs(sample(service))) == 3, what="all rows")
    for path in service.watched.iterdir():
        path.unlink()
    return service


@pytest.fixture
def service(tmp_path, analysed):
    """Stopped, with a copy of these results."""
    service = Service(tmp_path, separation=CLUMPED, watch={"folder": str(analysed.watched)})
    shutil.copytree(analysed.output, service.output)
    yield service
    if service.process is not None and service.process.poll() is None:
        service.kill()


def sample(service):
    with Reader(service.state) as reader:
        return reader.samples()[0].sample


def change(service, old, new):
    text = service.config.read_text()
    assert old in text
    service.config.write_text(text.replace(old, new))


def everything(service):
    """Every file of the results, the ledger left out."""
    files = service.output.rglob("*")
    return {path: path.read_bytes() for path in files if path.is_file() and ".temwatch" not in path.parts}


def methods(service):
    """Digest on each row of both tables."""
    folder = service.output / sample(service)
    return {row["method"] for name in ("micrographs", "particles") for row in rows(folder / f"{name}.csv")}


def outdated(service):
    """What status says of outdated results: in all, and those a rebuild brings up to date."""
    text = command("status", "--config", service.config).stdout
    found = (re.search(rf"outdated: {pattern}", text) for pattern in (r"(\d+) micro", r".*brings (\d+) up"))
    return tuple(int(match[1]) if match else 0 for match in found)


def test_with_nothing_changed_a_rebuild_gives_the_same_bytes(service):
    """Views are views."""
    before = everything(service)
    assert (0, 0) == outdated(service)
    assert 0 == temwatch("rebuild", "--config", service.config).returncode
    assert before == everything(service)
    change(service, "[http]", "[logging]\nlevel = 'debug'\n[http]")
    assert 0 == temwatch("rebuild", "--config", service.config).returncode
    assert before == everything(service)


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_another_separation_is_caught_up_with_by_a_rebuild_without_the_files(service, running):
    """From the stored segmentations; the same rows, new numbers, a new digest; the old until then."""
    before, digests = everything(service), methods(service)
    assert 1 == len(digests)
    micrographs = service.micrographs(sample(service))
    change(service, '"uecs"', '"none"')
    assert (3, 3) == outdated(service)
    if running:
        service.start()
    assert before == everything(service)
    done = temwatch("rebuild", "--config", service.config)
    assert (0, True, "") == (done.returncode, "3 micrographs separated" in done.stdout, done.stderr)
    if running:
        assert 200 == service.status("readyz")
        assert 0 == service.stop()
    assert (0, 0) == outdated(service)
    assert 1 == len(methods(service))
    assert digests.isdisjoint(methods(service))
    again = service.micrographs(sample(service))
    assert [row["micrograph"] for row in micrographs] == [row["micrograph"] for row in again]
    assert sum(int(row["particles"]) for row in again) < sum(int(row["particles"]) for row in micrographs)
    particles = rows(service.output / sample(service) / "particles.csv")
    assert sum(int(row["particles"]) for row in again) == len(particles)
    assert {"false"} == {row["separated"] for row in particles}
    same = {path for path, content in everything(service).items() if before.get(path) == content}
    assert {"micrograph", "mask"} == {re.sub(".*_", "", path.stem) for path in same}
    change(service, '"none"', '"uecs"')
    assert 0 == temwatch("rebuild", "--config", service.config).returncode
    assert digests == methods(service)
    restored = service.micrographs(sample(service))
    assert [row["particles"] for row in micrographs] == [row["particles"] for row in restored]


def test_a_rebuild_by_a_service_that_began_with_other_settings_says_so(service):
    """The running service uses what it read at its start."""
    with service.start():
        change(service, '"uecs"', '"none"')
        done = temwatch("rebuild", "--config", service.config)
        assert 0 == done.returncode
        assert "restart it, then rebuild" in done.stderr


def test_another_segmentation_is_outdated_and_needs_the_files(service):
    """The masks themselves would be others: status says that a rebuild is not enough."""
    before = everything(service)
    change(service, 'method = "threshold"', 'method = "threshold"\nparticles = "bright"')
    assert (3, 0) == outdated(service)
    assert 0 == temwatch("rebuild", "--config", service.config).returncode
    assert before == everything(service)
