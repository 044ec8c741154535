"""Files that are written slowly, renamed, grown, replaced, shortened, or dated by another clock."""

import os
import random
import time
from collections import Counter

import pytest

from faults import write_in_pieces
from system import Service, rows, wait_until

pytestmark = pytest.mark.system

SETTLE_SECONDS = 0.4


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    settle = {"settle_seconds": SETTLE_SECONDS, "scan_interval_seconds": 1.0}
    with Service(tmp_path_factory.mktemp("writing"), watch=settle) as running:
        yield running


@pytest.fixture(scope="module")
def contents(series):
    return [path.read_bytes() for path in sorted(series.glob("*.dm3"))]


def statuses(service, sample):
    return Counter(row["status"] for row in service.micrographs(sample))


def assert_measured_once(service, sample, micrograph):
    """One row that is done, and its particles once."""
    (done,) = [row for row in service.micrographs(sample) if row["status"] == "done"]
    assert micrograph == done["micrograph"]
    particles = rows(service.output / sample / "particles.csv")
    assert int(done["particles"]) == len(particles)
    assert len(particles) == len({row["particle"] for row in particles})


def test_written_with_pauses_longer_than_the_settle_time(service, contents):
    """What was taken for complete too early is superseded by the whole file."""
    path = service.watched / "slow_01.dm3"
    write_in_pieces(path, contents[0], 4, lambda: time.sleep(3 * SETTLE_SECONDS))
    wait_until(lambda: statuses(service, "slow")["done"], what="the whole file")
    service.count_of()
    assert {"done", "superseded"} >= set(statuses(service, "slow"))
    assert_measured_once(service, "slow", "slow_01.dm3")


def test_written_to_a_temporary_name_and_renamed(service, contents):
    """Only the final name is seen."""
    temporary = service.watched / "renamed_01.dm3.part"
    write_in_pieces(temporary, contents[1], 3, lambda: time.sleep(SETTLE_SECONDS))
    temporary.rename(service.watched / "renamed_01.dm3")
    wait_until(lambda: service.micrographs("renamed"), what="the row")
    assert Counter(done=1) == statuses(service, "renamed")


def test_growing_again_after_it_was_analysed_is_a_new_revision(service, contents):
    """The earlier rows are superseded, their particles leave the table."""
    path = service.watched / "grown_01.dm3"
    path.write_bytes(contents[2])
    wait_until(lambda: statuses(service, "grown")["done"], what="the first revision")
    with path.open("ab") as stream:
        stream.write(b"appended later")
    wait_until(lambda: statuses(service, "grown") == Counter(done=1, superseded=1), what="the second")
    assert_measured_once(service, "grown", "grown_01.dm3")


def test_rewritten_in_place_with_the_same_size_is_a_new_revision(service, contents):
    """Only the time tells."""
    path = service.watched / "rewritten_01.dm3"
    path.write_bytes(contents[3])
    wait_until(lambda: statuses(service, "rewritten")["done"], what="the first revision")
    assert len(contents[3]) == len(contents[4])
    path.write_bytes(contents[4])
    wait_until(lambda: statuses(service, "rewritten") == Counter(done=1, superseded=1), what="the second")
    assert_measured_once(service, "rewritten", "rewritten_01.dm3")


def test_the_time_moves_on_while_it_is_analysed(service, contents):
    """A writer that closes late, copies times, or a share that dates by ticks: one result, and no failure."""
    paths = [service.watched / f"ticks_{number:02d}.dm3" for number in range(12)]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % len(contents)] + bytes([number]))
    deadline = time.monotonic() + 60
    while len(service.micrographs("ticks")) < len(paths) and time.monotonic() < deadline:
        for path in paths:
            os.utime(path)
        time.sleep(0.02)
    service.count_of(failed=0)
    wait_until(lambda: Counter(done=len(paths)) == statuses(service, "ticks"), what="every row once")


@pytest.mark.parametrize("count", [24, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(0)])])
def test_many_written_at_once_in_any_way(service, contents, count):
    """Pieces with and without pauses, room reserved first, begun anew, dated afterwards: all end as done."""
    seed = random.randrange(2**32)
    chance, sample = random.Random(seed), f"any{count}"
    writers = [
        written(service.watched / f"{sample}_{number:04d}.dm3", content, chance)
        for number, content in enumerate(
            contents[number % len(contents)] + number.to_bytes(4) for number in range(count)
        )
    ]
    while writers:
        writer = chance.choice(writers[:24])
        if next(writer, "closed") == "closed":
            writers.remove(writer)
        time.sleep(chance.choice([0, 0, 0, 0.01, 0.2]))
    found = lambda: dict(statuses(service, sample))  # noqa: E731
    wait_until(lambda: found().get("done") == count, seconds=240, what=lambda: f"{found()}, seed {seed}")
    service.count_of()
    assert {"done", "superseded"} >= set(found()), f"seed {seed}"


def written(path, content, chance):
    """Step by step, as one of several programs would."""
    reserve, anew, dated = (chance.random() < 0.3 for _ in range(3))
    if anew:
        path.write_bytes(content[: chance.randrange(len(content))])
        yield
    with path.open("wb") as stream:
        if reserve:
            os.truncate(stream.fileno(), len(content))
            yield
        step = len(content) // chance.randint(1, 5) + 1
        for start in range(0, len(content), step):
            stream.write(content[start : start + step])
            stream.flush()
            yield
    if dated:
        yield
        os.utime(path, (1e9 + chance.random(),) * 2)


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_of_the_share_that_is_off_by_hours(service, contents, hours):
    """Times of the share serve to see a change and never to tell an age."""
    sample = f"clock{hours:+d}h"
    path = service.watched / f"{sample}_01.dm3"
    path.write_bytes(contents[5][: len(contents[5]) // 2])
    other = time.time() + hours * 3600
    os.utime(path, (other, other))
    path.write_bytes(contents[5])
    os.utime(path, (other + 1, other + 1))
    wait_until(lambda: statuses(service, sample)["done"], what="the row")
    service.count_of()
    assert_measured_once(service, sample, path.name)


def test_shortened_while_it_is_read_in_place_costs_no_process(tmp_path, contents):
    """Nothing is memory-mapped, so a file that shrinks gives a short read and no SIGBUS."""
    settings = {"spool_limit_bytes": 0, "settle_seconds": 0.05, "scan_interval_seconds": 0.5}
    with Service(tmp_path, watch=settings) as service:
        path = service.watched / "Au_01.dm3"
        for _ in range(20):
            path.write_bytes(contents[0])
            time.sleep(0.06)
            os.truncate(path, len(contents[0]) // 3)
        path.write_bytes(contents[0])
        wait_until(lambda: statuses(service, "Au")["done"], what="the row of the whole file")
        service.count_of(done=1)
        assert_measured_once(service, "Au", "Au_01.dm3")
        assert "a worker process died" not in service.log.read_text()
