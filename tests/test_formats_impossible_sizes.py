"""Pixel sizes that cannot be, in every format that states one in a way that allows them."""

import math

import numpy as np
import pytest
import tifffile

from format_files import velox_metadata, write_mrc, write_ser, write_velox
from temwatch import formats
from temwatch.errors import Refused

PIXELS = np.random.default_rng(3).integers(0, 1000, (64, 48)).astype(np.int16)


def write_ome(path, nm):
    said = {f"PhysicalSize{axis}{what}": value for axis in "XY" for what, value in (("", nm), ("Unit", "nm"))}
    tifffile.imwrite(path, PIXELS, ome=True, metadata=said | {"axes": "YX"})


def write_gatan(path, nm):
    tags = [(code, "s", 3, "nm", True) for code in (65003, 65004)]
    tifffile.imwrite(path, PIXELS, extratags=tags + [(code, "d", 1, nm, True) for code in (65009, 65010)])


def write_fei(path, nm):
    text = f"[Scan]\r\nPixelWidth={nm * 1e-9!r}\r\nPixelHeight={nm * 1e-9!r}\r\n"
    tifffile.imwrite(path, PIXELS, extratags=[(34682, "s", len(text) + 1, text, True)])


WRITERS = {
    "a.ome.tif": write_ome,
    "gatan.tif": write_gatan,
    "fei.tif": write_fei,
    "a.ser": lambda path, nm: write_ser(path, [PIXELS], nm * 1e-9),
    "a.mrc": lambda path, nm: write_mrc(path, PIXELS, nm * 10),
    "a.emd": lambda path, nm: write_velox(path, {"a": (PIXELS[..., None], [velox_metadata(nm * 1e-9)])}),
}
MAY_BE_FLIPPED = ("gatan.tif", "a.ser")
"""An axis that runs backwards is a length all the same, as in dm3 and dm4."""


@pytest.mark.parametrize("nm", [-0.25, 0.0, math.nan, math.inf, -math.inf, 1e-9, 1e12])
@pytest.mark.parametrize("name", WRITERS)
def test_a_size_that_cannot_be_is_refused_with_a_reason(tmp_path, name, nm):
    """None is taken for its amount or for another one; a given size helps."""
    WRITERS[name](tmp_path / name, nm)
    if nm < 0 and name in MAY_BE_FLIPPED and math.isfinite(nm):
        assert -nm == pytest.approx(formats.open_source(tmp_path / name).pixel_size_nm)
        return
    with pytest.raises(Refused) as refused:
        formats.open_source(tmp_path / name)
    assert refused.value.code in ("no_pixel_size", "not_real_space")
    if refused.value.code == "no_pixel_size":
        assert 0.3 == formats.open_source(tmp_path / name, pixel_size_nm=0.3).pixel_size_nm


@pytest.mark.parametrize("name", WRITERS)
def test_a_size_that_can_be_is_read(tmp_path, name):
    WRITERS[name](tmp_path / name, 0.25)
    assert 0.25 == pytest.approx(formats.open_source(tmp_path / name).pixel_size_nm, rel=1e-6)
