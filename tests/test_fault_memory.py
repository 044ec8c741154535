"""Pictures that are too much for the machine, and files of which the whole service dies."""

import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile

import sparse_files
from system import COMMAND, Service, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow]

GROUPS = Path("/sys/fs/cgroup/memory")

# every Python process looks for this module; a worker that opens a poison file stops
STOPPED = """
import multiprocessing, signal, sys

def stop(event, arguments):
    if event == "open" and "/poison_" in str(arguments[0]) and multiprocessing.parent_process() is not None:
        signal.pause()

sys.addaudithook(stop)
"""


@contextmanager
def limited_memory(limit_bytes):
    """What a command begins with to run in a control group of its own; skipped where that is forbidden."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.split(":", 2)[2] for line in lines if line.split(":")[1] == "memory"), None)
    if own is None or not os.access(GROUPS / own.strip("/"), os.W_OK):
        pytest.skip("this machine has no control group for memory that may be written")
    group = GROUPS / own.strip("/") / f"temwatch-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the processes of the group")
        group.rmdir()


def micrograph(seed, edge_px=256):
    """Noise with a dark disc, of 0.1 nm a pixel."""
    image = np.random.default_rng(seed).normal(1000, 30, (edge_px, edge_px)).astype(np.float32)
    image[100:140, 100:140] -= 500
    return image


SCALE = {"resolution": (1e8, 1e8), "resolutionunit": "CENTIMETER"}


def test_a_picture_larger_than_memory_gets_its_reason_and_the_rest_goes_on(tmp_path):
    """Some hundred kilobytes of deflate that become 14000 px; under 3 GB, also after a restart."""
    service = Service(tmp_path, engine={"workers": 2})
    huge = np.full((14000, 14000), 200, np.uint8)
    huge[5000:5100, 5000:5100] = 80
    (service.watched / "Au").mkdir()
    tifffile.imwrite(service.watched / "Au" / "Au_00.tif", huge, compression="zlib", **SCALE)
    for number in range(1, 4):
        tifffile.imwrite(service.watched / "Au" / f"Au_{number:02d}.tif", micrograph(number), **SCALE)
    with limited_memory(3 * 1024**3) as prefix:
        command = (*prefix, *COMMAND, "run", "--config")
        with service.start(command=command):
            service.count_of(done=3, failed=1)
            rows = {row["micrograph"]: row for row in service.micrographs()}
            assert "14000 x 14000 px" in rows["Au/Au_00.tif"]["reason"]
            assert 1 == service.metric('micrographs_failed_total{reason="out_of_memory"}')
            service.kill()
        with service.start(command=command):
            tifffile.imwrite(service.watched / "Au" / "Au_04.tif", micrograph(4), **SCALE)
            service.count_of(done=4, failed=1)


def test_huge_sparse_files_hold_no_worker(tmp_path):
    """Each of a hundred gigabytes, refused by its header; also after a restart."""
    service = Service(tmp_path, engine={"workers": 1})
    folder = service.watched / "sparse"
    folder.mkdir()
    for make in sparse_files.KINDS.values():
        make(folder)
    tifffile.imwrite(service.watched / "Au_01.tif", micrograph(1), **SCALE)
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    with service.start(fresh=True):
        service.count_of(done=1, seen=1 + len(sparse_files.KINDS))
        assert 0 == service.stop()
    with service.start(fresh=True):
        tifffile.imwrite(service.watched / "Au_02.tif", micrograph(2), **SCALE)
        service.count_of(done=2, seen=2 + len(sparse_files.KINDS))
        assert all(row["reason"] for row in service.micrographs("sparse"))
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    assert spent_s < 60, "to hash one of them takes longer"


def test_a_file_in_hand_whenever_the_service_dies_is_put_aside_the_third_time(tmp_path):
    """As when the kernel kills it for memory; the others have their results."""
    (tmp_path / "sitecustomize.py").write_text(STOPPED)
    service = Service(tmp_path, engine={"workers": 1})
    tifffile.imwrite(service.watched / "poison_01.tif", micrograph(0), **SCALE)
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    for number in range(1, 4):
        service.start(ready=False, env=environment)
        begun = service.log.stat().st_size
        wait_until(
            lambda begun=begun: b'"path": "poison_01.tif"' in service.log.read_bytes()[begun:],
            what="the poison in hand",
        )
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        tifffile.imwrite(service.watched / f"Au_{number:02d}.tif", micrograph(number), **SCALE)
    with service.start(env=environment):
        service.count_of(done=3, failed=1)
        (row,) = wait_until(lambda: service.micrographs("poison"), what="the row of the poison")
        assert "died on it 3 times" in row["reason"]
        wait_until(lambda: len(service.micrographs("Au")) == 3, what="the rows of the others")
        assert {"done"} == {row["status"] for row in service.micrographs("Au")}
