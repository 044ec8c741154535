"""SIGKILL at random moments: every micrograph exactly once in ledger and tables."""

import random
import shutil
import time
from collections import Counter

import pytest

from system import Service, rows, temwatch, wait_until
from temwatch.ledger import Reader

pytestmark = pytest.mark.system


def test_twenty_kills_over_one_acquisition_lose_and_double_nothing(tmp_path, series):
    """The moments are random, the seed is printed where it fails."""
    kill_often(tmp_path, series, kills=20, seed=random.randrange(2**32))


@pytest.mark.soak
def test_five_hundred_kills(tmp_path, series):
    """The same for the better part of an hour."""
    kill_often(tmp_path, series, kills=500, seed=random.randrange(2**32))


def kill_often(tmp_path, series, *, kills, seed):
    """One file arrives before each kill; in the end each is there once."""
    chance = random.Random(seed)
    service = Service(tmp_path, watch={"scan_interval_seconds": 0.5})
    sources = sorted(series.glob("*.dm3"))
    for kill in range(kills):
        service.start(ready=False)
        number = kill + 1
        content = sources[kill % len(sources)].read_bytes() + number.to_bytes(2)  # every file another content
        (service.watched / f"Au_{number:03d}.dm3").write_bytes(content)
        time.sleep(chance.uniform(0.1, 5.0) if kill % 2 else chance.uniform(1.5, 3.0))
        service.kill()
    service.start()
    wait_until(lambda: len(service.micrographs()) >= kills, seconds=120, what=f"all rows (seed {seed})")
    assert 0 == service.stop()
    micrographs, particles = service.micrographs(), rows(service.output / "Au" / "particles.csv")
    expected = Counter({f"Au_{number:03d}.dm3": 1 for number in range(1, kills + 1)})
    assert expected == Counter(row["micrograph"] for row in micrographs), f"seed {seed}"
    assert {"done"} == {row["status"] for row in micrographs}, f"seed {seed}"
    assert Counter({row["micrograph"]: int(row["particles"]) for row in micrographs}) == Counter(
        row["micrograph"] for row in particles
    ), f"seed {seed}"
    with Reader(service.output / ".temwatch") as reader:
        assert kills == reader.receipt().done == reader.receipt().seen
    before = {path.name: path.read_bytes() for path in (service.output / "Au").glob("*.csv")}
    shutil.rmtree(service.output / "Au" / "micrographs" / "Au_001", ignore_errors=True)
    assert 0 == temwatch("rebuild", "--config", service.config).returncode
    assert before == {path.name: path.read_bytes() for path in (service.output / "Au").glob("*.csv")}
