"""Files for DigitalMicrograph: what is written comes back bit for bit, with what a microscope states."""

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from temwatch import formats
from temwatch.domain import Metadata
from temwatch.simulator import write_dm, write_dm_stack

TAKEN_AT = datetime(2024, 2, 29, 14, 5, 7, tzinfo=UTC)
STATED = Metadata(voltage_kV=300.0, magnification=245000.0, instrument="temwatch simulator", exposure_s=0.5)
WHOLE = {"pixel_size_nm": 0.0437, "acquired_at": TAKEN_AT, "metadata": STATED}


@pytest.fixture(scope="module")
def reader():
    """The public reader of these files, on its own."""
    return pytest.importorskip("ncempy.io.dm").dmReader


@pytest.mark.parametrize("suffix", [".dm3", ".dm4"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    image=st.sampled_from([np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=40))
    ),
    pixel_size_nm=st.floats(1e-3, 1e3),
)
def test_images_come_back_bit_for_bit(tmp_path, reader, suffix, image, pixel_size_nm):
    """Every pixel, type, shape and the pixel size, through ncempy."""
    path = tmp_path / f"image{suffix}"
    write_dm(path, image, **WHOLE | {"pixel_size_nm": pixel_size_nm})
    found = reader(str(path))
    assert image.dtype == found["data"].dtype
    assert image.tobytes() == found["data"].tobytes()
    assert image.shape == found["data"].shape
    assert [pixel_size_nm] * 2 == list(found["pixelSize"])
    assert ["nm", "nm"] == list(found["pixelUnit"])


@pytest.mark.parametrize("suffix", [".dm3", ".dm4"])
def test_stacks_come_back_bit_for_bit(tmp_path, reader, suffix):
    """Frames in order, with the interval as a third calibration."""
    frames = np.random.default_rng(0).integers(0, 65535, (7, 24, 40)).astype(np.uint16)
    path = tmp_path / f"stack{suffix}"
    write_dm_stack(path, iter(frames), count=7, interval_s=0.25, **WHOLE)
    found = reader(str(path))
    np.testing.assert_array_equal(frames, found["data"])
    assert [0.25, 0.0437, 0.0437] == list(found["pixelSize"])
    assert ["s", "nm", "nm"] == list(found["pixelUnit"])


def test_the_microscope_states_what_a_report_needs(tmp_path):
    """Time in UTC, voltage, magnification, instrument and exposure, as the service reads them."""
    path = tmp_path / "a.dm3"
    elsewhere = TAKEN_AT.astimezone(timezone(timedelta(hours=-7)))
    write_dm(path, np.eye(8, dtype=np.float32), **WHOLE | {"acquired_at": elsewhere})
    found = formats.read(path)
    assert TAKEN_AT == found.acquired_at
    assert STATED == found.metadata
    assert 0.0437 == found.pixel_size_nm


def test_unknown_metadata_are_not_invented(tmp_path):
    """What the settings do not say is not in the file."""
    path = tmp_path / "a.dm4"
    write_dm(path, np.eye(8, dtype=np.uint16), **WHOLE | {"metadata": Metadata()})
    assert Metadata() == formats.read(path).metadata


@pytest.mark.parametrize(
    ("frames", "count"),
    [([], 1), ([np.eye(4)] * 2, 3), ([np.eye(4)] * 2, 1), ([np.eye(4), np.eye(5)], 2)],
    ids=["none", "too few", "too many", "another shape"],
)
def test_a_stack_must_be_what_was_announced(tmp_path, frames, count):
    """The header is written first, so a wrong number of frames cannot be mended."""
    with pytest.raises(ValueError, match="frame"):
        write_dm_stack(tmp_path / "a.dm4", frames, count=count, interval_s=1.0, **WHOLE)


def test_types_that_the_format_lacks_are_refused(tmp_path):
    """Say so before a file is damaged."""
    with pytest.raises(ValueError, match="int64"):
        write_dm(tmp_path / "a.dm3", np.eye(4, dtype=np.int64), **WHOLE)


def test_a_stack_is_never_in_memory_as_a_whole(tmp_path):
    """A hundred frames of 512 kB pass through the memory of a few."""
    frames = (np.full((512, 512), number, np.uint16) for number in range(100))
    tracemalloc.start()
    try:
        write_dm_stack(tmp_path / "a.dm4", frames, count=100, interval_s=1.0, **WHOLE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * 512**2 * 2
