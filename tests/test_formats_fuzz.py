"""Thousands of damaged files: each is read or refused with its reason; no crash, hang or flood."""

import json
import subprocess
import sys

import numpy as np
import pytest

import fuzz_formats
from format_files import fei_record, velox_metadata, write_mrc, write_ser, write_velox

TAGS = {
    "DataBar": {"Acquisition Date": "27.08.2016", "Acquisition Time": "20:54:33"},
    "Microscope Info": {"Voltage": 300e3, "Name": "µ-scope", "Items": [{"Label": "a"}, {"Label": "b"}]},
}
LONG = [pytest.mark.soak, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def pixels():
    """Three frames; they can be told from the tags around them by the marks at both ends."""
    pixels = np.random.default_rng(3).normal(1000, 50, (3, 48, 64)).astype(np.int16)
    for frame in pixels:
        frame.reshape(-1).view(np.uint8)[:9] = np.frombuffer(b"PIXELS...", np.uint8)
        frame.reshape(-1).view(np.uint8)[-9:] = np.frombuffer(b"...PIXELS", np.uint8)
    return pixels


@pytest.fixture(scope="module")
def wholes(tmp_path_factory, write_dm, pixels):
    """A micrograph and a stack in each format."""
    folder = tmp_path_factory.mktemp("wholes")
    nm = (0.05, "nm")
    metadata = [velox_metadata(detector="HAADF", frame_time=0.5)] * 3
    other = [velox_metadata(detector="DF2")]
    return {
        "dm": [
            write_dm(folder / "one.dm3", pixels[0], tags=TAGS, thumbnail=True),
            write_dm(folder / "one.dm4", pixels[0], tags=TAGS, thumbnail=True),
            write_dm(folder / "stack.dm4", pixels, (nm, nm, (0.5, "s")), TAGS),
        ],
        "others": [
            write_mrc(folder / "one.mrc", pixels[0]),
            write_mrc(folder / "stack.mrc", pixels, extended=fei_record() * 3),
            write_ser(folder / "one.ser", [pixels[0][::-1]]),
            write_ser(folder / "stack.ser", [frame[::-1] for frame in pixels], dimensions=[(3, 0.5, "s")]),
            write_velox(folder / "one.emd", {"a": (pixels[0][..., np.newaxis], metadata[:1])}),
            write_velox(
                folder / "stack.emd",
                {
                    "a": (np.moveaxis(pixels, 0, -1), metadata),
                    "b": (pixels[0][..., np.newaxis], other),
                },
                chunks=(48, 64, 1),
            ),
        ],
    }


@pytest.mark.parametrize(
    ("kind", "cases"),
    [
        ("dm", 1500),
        ("others", 200),
        *(pytest.param(kind, 200_000, marks=LONG) for kind in ("dm", "others")),
    ],
)
def test_whatever_is_damaged_there_is_a_micrograph_or_a_reason(wholes, kind, cases):
    """Below 1 GiB in all, and seconds for each; what fails is shown with the smallest damage that does it."""
    command = [sys.executable, fuzz_formats.__file__, *map(str, wholes[kind]), str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr[-6000:]
    said = json.loads(done.stdout.splitlines()[-1])
    print(f"{said['memory_bytes'] / 2**20:.0f} MiB at most, {said['outcomes']}")
    assert cases <= sum(said["outcomes"].values())
    assert {"read", "truncated", "not_a_micrograph"} <= set(said["outcomes"])
    assert 2**30 > said["memory_bytes"]
