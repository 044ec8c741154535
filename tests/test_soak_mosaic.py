"""A stitched mosaic of 16384 x 16384 px from end to end, in no more memory than it is said to need."""

import os
import threading

import numpy as np
import pytest
import tifffile

from system import COMMAND, Service, memory_bytes, wait_until
from temwatch import formats, memory, simulator
from test_fault_memory import limited_memory

pytestmark = [pytest.mark.system, pytest.mark.soak, pytest.mark.timeout(0)]

SIDE_PX = int(os.environ.get("TEMWATCH_MOSAIC_PX", "16384"))
METHODS = os.environ.get("TEMWATCH_MOSAIC_METHODS", "threshold").split(",")
FIELD_PX = 1024
LIMIT_BYTES = 6 * 1024**3


def write_mosaic(path, folder):
    """One simulated field beside itself, turned over so that edges meet; gives how often it is there."""
    (field,) = simulator.write_series(folder, micrographs=1, seed=3, size_px=FIELD_PX)
    micrograph = formats.read(field)
    image = np.round(micrograph.image - micrograph.image.min()).astype(np.int16)
    pair = np.block([[image, image[:, ::-1]], [image[::-1], image[::-1, ::-1]]])
    per_cm = 1e7 / micrograph.pixel_size_nm
    rows = np.tile(pair, (1, SIDE_PX // pair.shape[1]))
    tifffile.imwrite(
        path,
        (rows for _ in range(SIDE_PX // len(rows))),
        shape=(SIDE_PX, SIDE_PX),
        dtype=np.int16,
        rowsperstrip=len(rows),
        photometric="minisblack",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
    )
    return (SIDE_PX // FIELD_PX) ** 2


def anonymous_bytes(service):
    """Memory that no file stands behind, of all processes together: that is what runs out."""
    return memory_bytes(service.process.pid, ("Pss_Anon", "Pss_Shmem"))


@pytest.mark.parametrize("method", METHODS)
def test_a_mosaic_is_analysed_in_the_memory_that_it_is_said_to_need(tmp_path, method):
    """Under a limit that it just fits; beside it a usual micrograph has its row, too."""
    service = Service(tmp_path, engine={"workers": 2}, segmentation={"method": method})
    fields = write_mosaic(service.watched / "mosaic.tif", tmp_path / "field")
    peak, ended = [0], threading.Event()

    def watch():
        while not ended.wait(0.2):
            peak.append(anonymous_bytes(service))

    with limited_memory(LIMIT_BYTES) as prefix:
        service.start(command=(*prefix, *COMMAND, "run", "--config"), ready=False)
        wait_until(service.page, seconds=600, what="the page's address")
        idle = anonymous_bytes(service)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            wait_until(lambda: service.receipt()["seen"] == 1, seconds=600, what="the file")
            wait_until(lambda: not service.receipt()["pending"], seconds=7200, what="the mosaic")
            path = service.output / "mosaic" / "micrographs"
            wait_until(lambda: list(path.rglob("*_overlay.png")), seconds=1200, what="its pictures")
        finally:
            ended.set()
            watcher.join()
            code = service.stop()
    (row,) = service.micrographs("mosaic")
    extra = max(peak) - idle
    print(
        f"{method}, {SIDE_PX} px: {row['status']} {row['reason']}, {row['particles']} particles in"
        f" {row['seconds']} s; {extra / 1e9:.2f} GB more than idle, {extra / SIDE_PX**2:.1f} bytes a pixel,"
        f" said to need {memory.needed_bytes((SIDE_PX, SIDE_PX), 2) / 1e9:.2f} GB"
    )
    assert (0, "done") == (code, row["status"])
    assert int(row["particles"]) > 10 * fields
    assert extra < memory.needed_bytes((SIDE_PX, SIDE_PX), 2)
