"""MRC: pixels and sizes as ncempy reads them, what is no micrograph, and damage."""

import tracemalloc

import numpy as np
import pytest
from ncempy.io import mrc as ncempy_mrc

from format_files import fei_record, write_mrc
from temwatch import formats
from temwatch.errors import InputError, Refused

PIXELS = np.random.default_rng(21).normal(1000, 50, (48, 64)).astype(np.float32)
STACK = np.random.default_rng(22).integers(1, 30000, (4, 48, 64)).astype(np.int16)


def refusal(path, size=None) -> Refused:
    with pytest.raises(Refused) as found:
        formats.open_source(path, pixel_size_nm=size)
    return found.value


def test_a_file_that_ncempy_wrote(tmp_path):
    """Pixels, frames and pixel size of an independent program."""
    ncempy_mrc.mrcWriter(str(tmp_path / "a.mrc"), STACK, (1.0, 2.5, 2.5))
    frames = list(formats.read_frames(tmp_path / "a.mrc"))
    np.testing.assert_array_equal(STACK, [micrograph.image for micrograph in frames])
    assert 0.25 == pytest.approx(frames[0].pixel_size_nm)
    ncempy_mrc.mrcWriter(str(tmp_path / "b.mrc"), PIXELS[np.newaxis], (1.0, 2.5, 2.5))
    np.testing.assert_array_equal(PIXELS, formats.read(tmp_path / "b.mrc").image)


@pytest.mark.parametrize("extended", [b"", fei_record(1.25e-10)])
def test_ncempy_reads_the_same(tmp_path, extended):
    """Pixel size of cell and grid, in Å; of Thermo Fisher's extended header, in m."""
    path = write_mrc(tmp_path / "a.mrc", PIXELS, 2.5, extended=extended)
    micrograph = formats.read(path)
    with ncempy_mrc.fileMRC(str(path)) as reference:
        np.testing.assert_array_equal(reference.getSlice(0), micrograph.image)
        if not extended:
            assert reference.voxelSize[2] / 10 == pytest.approx(micrograph.pixel_size_nm)
    assert (0.125 if extended else 0.25) == pytest.approx(micrograph.pixel_size_nm)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "f4", "f2"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_mode_and_byte_order(tmp_path, dtype, order):
    """Bytes have a sign or none, as the header's range says."""
    pixels = (PIXELS % (120 if dtype == "i1" else 250)).astype(dtype)
    path = write_mrc(tmp_path / "a.mrc", pixels, order=order)
    np.testing.assert_array_equal(pixels.astype(np.float32), formats.read(path).image)


@pytest.mark.parametrize(("flags", "dtype"), [(1, "i1"), (0, "u1")])
def test_bytes_of_IMOD(tmp_path, flags, dtype):
    """Its own flag says whether they have a sign."""
    pixels = (PIXELS % 120).astype(dtype)
    pixels[0, 0] = -5 if dtype == "i1" else 200
    path = write_mrc(tmp_path / "a.mrc", pixels, w39=1146047817, w40=flags, w20=0.0, w21=0.0)
    np.testing.assert_array_equal(pixels.astype(np.float32), formats.read(path).image)


def test_metadata_of_Thermo_Fisher(tmp_path):
    """Voltage, magnification, instrument, exposure."""
    source = formats.open_source(write_mrc(tmp_path / "a.mrc", PIXELS, extended=fei_record()))
    said = source.metadata
    assert (300.0, 5e4, "TITAN", 0.5) == (
        said.voltage_kV,
        said.magnification,
        said.instrument,
        said.exposure_s,
    )


def test_a_size_of_one_angstrom_is_no_calibration(tmp_path):
    """What programs write where they know none; nothing is invented."""
    path = write_mrc(tmp_path / "a.mrc", PIXELS, 1.0)
    assert ("no_pixel_size", True) == ((reason := refusal(path)).code, "1 Å" in str(reason))
    assert (0.1, None) == (
        (source := formats.open_source(path, pixel_size_nm=0.1)).pixel_size_nm,
        source.stated_pixel_size_nm,
    )
    assert "no_pixel_size" == refusal(write_mrc(tmp_path / "b.mrc", PIXELS, w8=0, w9=0)).code
    assert "anisotropic" == refusal(write_mrc(tmp_path / "c.mrc", PIXELS, w12=500.0)).code


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("not_grey", {"mode": 4}),
        ("not_grey", {"mode": 101}),
        ("not_grey", {"mode": 77}),
        ("not_a_sequence", {"w23": 1, "w10": 4}),
        ("not_a_sequence", {"w23": 401}),
        ("not_a_sequence", {"extended": fei_record(tilt=-60) + b"".join([fei_record(tilt=-57)] * 3)}),
        ("not_real_space", {"extended": fei_record(0.0, projection=1) * 4, "step_A": 1.0}),
        ("not_a_micrograph", {"w28": 20250}),
    ],
)
def test_what_is_no_micrograph(tmp_path, code, options):
    """Also with a given size; an unknown version is named."""
    reason = refusal(write_mrc(tmp_path / "a.mrc", STACK, **options), 0.3)
    assert code == reason.code
    if "w28" in options:
        assert "20250" in str(reason)


def test_a_scan_in_diffraction_mode_is_a_micrograph(tmp_path):
    """The projector of a STEM is in diffraction mode."""
    path = write_mrc(tmp_path / "a.mrc", PIXELS, extended=fei_record(mode=2, projection=1))
    assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)


def test_before_the_stamp(tmp_path):
    """Files before 2000 have no stamp; then the length has to fit to the byte."""
    path = write_mrc(tmp_path / "a.mrc", PIXELS, stamp=False)
    assert (48, 64) == formats.open_source(path).shape
    path.write_bytes(path.read_bytes() + b"more")
    assert "not_a_micrograph" == refusal(path).code


@pytest.mark.parametrize("length", [0, 3, 1000, 1024, 2000, -1])
def test_a_cut_file_is_truncated(tmp_path, length):
    """At any length behind the first bytes, also with a given size."""
    path = write_mrc(tmp_path / "a.mrc", STACK)
    path.write_bytes(path.read_bytes()[:length])
    assert refusal(path, 0.3).code == {0: "empty", 3: "not_a_micrograph"}.get(length, "truncated")


def test_a_file_that_shrinks_after_it_was_opened(tmp_path):
    """The failure says so; nothing crashes."""
    path = write_mrc(tmp_path / "a.mrc", STACK)
    source = formats.open_source(path)
    path.write_bytes(path.read_bytes()[:-10])
    source.load(0)
    with pytest.raises(InputError) as found:
        source.load(3)
    assert "changed" == found.value.code
    with pytest.raises(IndexError):
        source.load(4)


@pytest.mark.parametrize(
    "sizes", [(2**31 - 1, 2**31 - 1, 2**31 - 1), (-5, 48, 1), (0, 0, 0), (64, 48, 10**9)]
)
def test_absurd_sizes_allocate_nothing(tmp_path, sizes):
    """What the header declares is compared with the file first."""
    path = write_mrc(tmp_path / "a.mrc", PIXELS, w1=sizes[0], w2=sizes[1], w3=sizes[2])
    assert refusal(path, 0.3).code in {"truncated", "not_a_micrograph"}
    path = write_mrc(tmp_path / "b.mrc", PIXELS, w24=-7)
    assert "not_a_micrograph" == refusal(path).code


def test_a_record_as_long_as_its_header_says_is_not_read_whole(tmp_path):
    """Only what is known of it; the rest may be as long as the file."""
    record = bytearray(fei_record())
    record += bytes(2**24 - len(record))
    record[:4] = len(record).to_bytes(4, "little")
    path = write_mrc(tmp_path / "a.mrc", PIXELS, extended=bytes(record))
    tracemalloc.start()
    try:
        assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
