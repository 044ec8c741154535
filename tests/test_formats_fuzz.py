"""Thousands of damaged dm files: each is read or refused with its reason; no crash, hang or flood."""

import json
import subprocess
import sys

import numpy as np
import pytest

import fuzz_formats

TAGS = {
    "DataBar": {"Acquisition Date": "27.08.2016", "Acquisition Time": "20:54:33"},
    "Microscope Info": {"Voltage": 300e3, "Name": "µ-scope", "Items": [{"Label": "a"}, {"Label": "b"}]},
}
LONG = [pytest.mark.soak, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory, write_dm):
    """A micrograph as dm3 and dm4, and a stack; their pixels can be told from the tags."""
    folder = tmp_path_factory.mktemp("wholes")
    pixels = np.random.default_rng(3).normal(1000, 50, (3, 48, 64)).astype(np.int16)
    for frame in pixels:  # marks at both ends of what is stored
        frame.reshape(-1).view(np.uint8)[:9] = np.frombuffer(b"PIXELS...", np.uint8)
        frame.reshape(-1).view(np.uint8)[-9:] = np.frombuffer(b"...PIXELS", np.uint8)
    nm = (0.05, "nm")
    return [
        write_dm(folder / "one.dm3", pixels[0], tags=TAGS, thumbnail=True),
        write_dm(folder / "one.dm4", pixels[0], tags=TAGS, thumbnail=True),
        write_dm(folder / "stack.dm4", pixels, (nm, nm, (0.5, "s")), TAGS),
    ]


@pytest.mark.parametrize("cases", [1500, pytest.param(200_000, marks=LONG)])
def test_whatever_is_damaged_there_is_a_micrograph_or_a_reason(wholes, cases):
    """Below 1 GiB in all, and seconds for each; what fails is shown with the smallest damage that does it."""
    command = [sys.executable, fuzz_formats.__file__, *map(str, wholes), str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr[-6000:]
    said = json.loads(done.stdout.splitlines()[-1])
    print(f"{said['memory_bytes'] / 2**20:.0f} MiB at most, {said['outcomes']}")
    assert cases <= sum(said["outcomes"].values())
    assert {"read", "truncated", "not_a_micrograph"} <= set(said["outcomes"])
    assert 2**30 > said["memory_bytes"]
