"""Stacks are read frame by frame: order, time, and never more than a frame in memory."""

import tracemalloc

import numpy as np
import pytest

from temwatch import formats
from temwatch.domain import Frame
from temwatch.errors import Refused, Unreadable

SECONDS = ((0.1, "nm"), (0.1, "nm"), (0.25, "s"))
STACK = np.random.default_rng(2).integers(0, 4000, (5, 24, 40)).astype(np.int16)


@pytest.mark.parametrize("suffix", [".dm3", ".dm4"])
def test_frames_come_in_order_with_their_time(tmp_path, write_dm, suffix):
    """Index from 0, elapsed time from the third axis, the file's stem as sequence."""
    frames = list(formats.read_frames(write_dm(tmp_path / f"heating{suffix}", STACK, SECONDS)))
    assert [Frame(sequence="heating", index=index, elapsed_s=0.25 * index) for index in range(5)] == [
        micrograph.frame for micrograph in frames
    ]
    for expected, micrograph in zip(STACK, frames, strict=True):
        np.testing.assert_array_equal(expected.astype(np.float32), micrograph.image)
        assert 0.1 == pytest.approx(micrograph.pixel_size_nm)


@pytest.mark.parametrize(("unit", "interval_s"), [("ms", 0.25e-3), ("", None), ("nm", None), ("µs", 0.25e-6)])
def test_the_third_axis_gives_the_interval_where_it_is_a_time(tmp_path, write_dm, unit, interval_s):
    """Without a unit, or as a focal series in nm, it is a sequence without times."""
    source = formats.open_source(write_dm(tmp_path / "a.dm4", STACK, [*SECONDS[:2], (0.25, unit)]))
    assert (5, interval_s) == (source.frames, pytest.approx(source.interval_s))


def test_fewer_calibrations_than_axes(tmp_path, write_dm):
    """Stacks of some plug-ins state x and y alone."""
    source = formats.open_source(write_dm(tmp_path / "a.dm4", STACK, SECONDS[:2]))
    assert ((24, 40), 5, None) == (source.shape, source.frames, source.interval_s)


def test_one_frame_is_a_micrograph(tmp_path, write_dm):
    """A third axis of length 1 does not make a sequence, and read_frames gives the one there is."""
    path = write_dm(tmp_path / "a.dm4", STACK[:1], SECONDS)
    assert formats.open_source(path).frames is None
    assert [None] == [micrograph.frame for micrograph in formats.read_frames(path)]
    np.testing.assert_array_equal(STACK[0].astype(np.float32), formats.read(path).image)


def test_blank_frames_do_not_stop_a_sequence(tmp_path, write_dm):
    """A shutter that was closed, a frame without one finite pixel: read as they are, NaN as 0."""
    stack = STACK.astype(np.float32)
    stack[1], stack[2], stack[4] = 0, np.nan, 0
    images = [
        micrograph.image for micrograph in formats.read_frames(write_dm(tmp_path / "a.dm4", stack, SECONDS))
    ]
    assert [0.0, 0.0, 0.0] == [float(np.abs(images[index]).max()) for index in (1, 2, 4)]


def test_memory_is_that_of_a_frame(tmp_path, write_dm):
    """60 frames of 0.5 MB: the peak stays below four of them."""
    path = write_dm(
        tmp_path / "a.dm4", np.ones((60, 512, 512), np.int16) * np.arange(512, dtype=np.int16), SECONDS
    )
    formats.read_frames(path)  # imports are not what is measured
    tracemalloc.start()
    try:
        for _ in formats.read_frames(path):
            pass
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 512 * 512 * 4


def test_errors_come_from_the_call(tmp_path):
    """Not from the first frame: whoever asks for frames learns at once that there are none."""
    with pytest.raises(Unreadable) as failure:
        formats.read_frames(tmp_path / "gone.dm4")
    assert "vanished" == failure.value.code


def test_a_stack_that_lost_its_end_is_refused(tmp_path, write_dm):
    """All of it, not only the frames that are missing."""
    path = write_dm(tmp_path / "a.dm4", STACK, SECONDS)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(Refused) as refusal:
        formats.read_frames(path)
    assert "truncated" == refusal.value.code


def test_a_stack_that_shrinks_while_it_is_read(tmp_path, write_dm):
    """The next frame fails with `changed`; nothing is mapped into memory that could vanish."""
    path = write_dm(tmp_path / "a.dm4", STACK, SECONDS)
    frames = formats.read_frames(path)
    next(frames)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(Unreadable) as failure:
        next(frames)
    assert "changed" == failure.value.code


def test_frames_outside_of_the_stack(tmp_path, write_dm):
    """An index that does not exist is a mistake of the caller."""
    source = formats.open_source(write_dm(tmp_path / "a.dm4", STACK, SECONDS))
    for index in (-1, 5):
        with pytest.raises(IndexError):
            source.load(index)
