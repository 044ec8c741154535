"""dm3 and dm4 that were written by another program (nionswift-io) come back bit for bit."""

import numpy as np
import pytest

from temwatch import formats
from temwatch.errors import Refused, UsageError

DTYPES = ["i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"]


def _pixels(dtype: str, shape: tuple[int, ...] = (24, 40)) -> np.ndarray:
    kind, random = np.dtype(dtype), np.random.default_rng(7)
    if kind.kind == "f":
        return random.normal(1000, 50, shape).astype(kind)
    limits = np.iinfo(kind)
    return random.integers(limits.min, limits.max, shape, kind, endpoint=True)


@pytest.mark.parametrize("suffix", [".dm3", ".dm4"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_type_becomes_float32(tmp_path, write_dm, dtype, suffix):
    """8 to 64 bit, signed, unsigned and real."""
    pixels = _pixels(dtype)
    micrograph = formats.read(write_dm(tmp_path / f"a{suffix}", pixels))
    assert np.float32 == micrograph.image.dtype
    np.testing.assert_array_equal(pixels.astype(np.float32), micrograph.image)


@pytest.mark.parametrize(
    ("scale", "unit", "expected_nm"),
    [
        (5e-11, "m", 0.05),
        (5e-5, "um", 0.05),
        (5e-5, "µm", 0.05),  # micro sign
        (5e-5, "μm", 0.05),  # Greek mu
        (0.05, "nm", 0.05),
        (0.5, "A", 0.05),
        (0.5, "Å", 0.05),  # letter
        (0.5, "\u212b", 0.05),  # angstrom sign
        (50.0, "pm", 0.05),
        (-0.05, "nm", 0.05),  # a flipped axis
        (0.05, "nm ", 0.05),
    ],
)
def test_every_unit_of_length_becomes_nm(tmp_path, write_dm, scale, unit, expected_nm):
    """As DigitalMicrograph, Nion Swift and users spell them."""
    path = write_dm(tmp_path / "a.dm4", _pixels("<f4"), ((scale, unit), (scale, unit)))
    assert expected_nm == pytest.approx(formats.read(path).pixel_size_nm, rel=1e-6)


def test_rows_are_y_and_columns_are_x(tmp_path, write_dm):
    """Shape is (y, x), and the first row of the file is the top of the micrograph."""
    pixels = np.zeros((20, 50), np.float32)
    pixels[0, 49] = 9.0
    pixels[19, 0] = 5.0
    image = formats.read(write_dm(tmp_path / "a.dm3", pixels)).image
    assert ((20, 50), 9.0, 5.0) == (image.shape, image[0, 49], image[19, 0])


def test_the_image_is_taken_and_not_the_thumbnail(tmp_path, write_dm):
    """DigitalMicrograph puts an RGB thumbnail in front of the image."""
    pixels = _pixels("<u2")
    micrograph = formats.read(write_dm(tmp_path / "a.dm4", pixels, thumbnail=True))
    np.testing.assert_array_equal(pixels.astype(np.float32), micrograph.image)


def test_axes_within_one_percent_are_square(tmp_path, write_dm):
    """The mean is taken; beyond 1 % the micrograph is refused as anisotropic."""
    path = write_dm(tmp_path / "a.dm3", _pixels("<f4"), ((0.0502, "nm"), (0.0500, "nm")))
    assert 0.0501 == pytest.approx(formats.read(path).pixel_size_nm, rel=1e-6)
    path = write_dm(tmp_path / "b.dm3", _pixels("<f4"), ((0.0506, "nm"), (0.0500, "nm")))
    with pytest.raises(Refused, match=r"0\.0506 nm x 0\.05 nm") as refusal:
        formats.read(path)
    assert "anisotropic" == refusal.value.code


def test_units_may_differ_where_the_sizes_do_not(tmp_path, write_dm):
    """1 nm by 10 Å is square."""
    path = write_dm(tmp_path / "a.dm3", _pixels("<f4"), ((0.1, "nm"), (1.0, "A")))
    assert 0.1 == pytest.approx(formats.read(path).pixel_size_nm)


def test_a_given_pixel_size_fills_and_never_overrides(tmp_path, write_dm):
    """--pixel-size helps a file without one and leaves the statement of another alone."""
    stated = write_dm(tmp_path / "a.dm3", _pixels("<f4"))
    silent = write_dm(tmp_path / "b.dm3", _pixels("<f4"), ((1.0, ""), (1.0, "")))
    assert 0.05 == pytest.approx(formats.read(stated, pixel_size_nm=7.0).pixel_size_nm)
    assert 7.0 == formats.read(silent, pixel_size_nm=7.0).pixel_size_nm


def test_dead_pixels_take_the_median(tmp_path, write_dm):
    """NaN and infinity do not reach the analysis."""
    pixels = _pixels("<f4")
    pixels[3, 4], pixels[5, 6], pixels[7, 8] = np.nan, np.inf, -np.inf
    image = formats.read(write_dm(tmp_path / "a.dm3", pixels)).image
    median = np.median(pixels[np.isfinite(pixels)])
    assert [median] * 3 == [image[3, 4], image[5, 6], image[7, 8]]
    assert np.isfinite(image).all()


def test_doubles_beyond_float32_do_not_become_infinite(tmp_path, write_dm):
    """1e300 overflows float32: it counts as a dead pixel, and no warning is given."""
    pixels = _pixels("<f8")
    pixels[3, 4] = 1e300
    assert np.isfinite(formats.read(write_dm(tmp_path / "a.dm3", pixels)).image).all()


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, "no_contrast"), (3.0, "no_contrast"), (0.0, "zero_filled")]
)
def test_a_blank_micrograph_is_refused(tmp_path, write_dm, value, code):
    """Nothing finite, one value everywhere, or zero everywhere."""
    path = write_dm(tmp_path / "a.dm3", np.full((32, 32), value, np.float32))
    with pytest.raises(Refused) as refusal:
        formats.read(path)
    assert code == refusal.value.code


def test_the_digest_is_that_of_the_file(tmp_path, write_dm):
    """sha256 of the bytes, and the path as it was given."""
    import hashlib

    path = write_dm(tmp_path / "a.dm3", _pixels("<f4"))
    micrograph = formats.read(str(path))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == micrograph.sha256
    assert path == micrograph.source


def test_a_stack_is_not_a_micrograph(tmp_path, write_dm):
    """The error names the function that reads it."""
    path = write_dm(tmp_path / "a.dm4", _pixels("<f4", (3, 24, 40)), [(0.05, "nm")] * 2 + [(1, "s")])
    with pytest.raises(UsageError, match=r"3 frames.*read_frames"):
        formats.read(path)
