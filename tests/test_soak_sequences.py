"""A sequence of a hundred thousand frames: bounded memory, and a kill in the middle."""

import csv
import os
import time

import numpy as np
import pytest

import sequence_files
from system import Service, memory_bytes, wait_until
from temwatch.domain import Metadata
from temwatch.ledger import Reader
from temwatch.simulator.dm_writer import write_dm_stack

pytestmark = [pytest.mark.system, pytest.mark.soak, pytest.mark.timeout(0)]

FRAMES = int(os.environ.get("TEMWATCH_SOAK_FRAMES", "100000"))
DIFFERENT = 200


def test_a_hundred_thousand_frames_in_two_gigabytes(tmp_path):
    """As one stack of 256 px; every frame once in every table, whatever the moment of the kill."""
    frames = [sequence_files.frame(index, side_px=256) for index in range(DIFFERENT)]
    service = Service(tmp_path, output={"pictures": True})
    hidden = tmp_path / "long.dm4"
    write_dm_stack(
        hidden,
        (frames[index % DIFFERENT] for index in range(FRAMES)),
        count=FRAMES,
        interval_s=0.04,
        pixel_size_nm=sequence_files.PIXEL_SIZE_NM,
        acquired_at=sequence_files.ACQUIRED_AT,
        metadata=Metadata(),
    )
    hidden.rename(service.watched / "long.dm4")
    memory, began = [], time.monotonic()

    def tracked(at_least):
        memory.append(memory_bytes(service.process.pid))
        with Reader(service.state) as reader:
            count = reader.value("SELECT count(frame) FROM followed")
        assert service.process.poll() is None, service.log.read_text()[-3000:]
        time.sleep(1.0)
        return count >= at_least

    service.start(ready=False, fresh=True)
    wait_until(service.page, seconds=600, what="the page's address")
    wait_until(lambda: tracked(FRAMES // 2), seconds=86400, what="half of the frames")
    service.kill()
    with service.start(ready=False, fresh=True):
        wait_until(lambda: tracked(FRAMES), seconds=86400, what="all frames")
        seconds = time.monotonic() - began
        path = service.output / "long" / "sequences" / "long" / "film.mp4"
        wait_until(path.exists, seconds=3600, what="the film")
        memory.append(memory_bytes(service.process.pid))
    for table in ("frames.csv", "micrographs.csv"):
        with (service.output / "long" / table).open(newline="") as stream:
            found = np.array([int(row["frame"]) for row in csv.DictReader(stream)])
        assert np.array_equal(np.sort(found), np.arange(FRAMES)), table
    print(f"{FRAMES} frames, {FRAMES / seconds:.1f} a second, at most {max(memory) / 2**20:.0f} MiB")
    assert max(memory) < 2 * 2**30
