"""Pixels and pixel sizes are those that RosettaSciIO gives of the same file; see TEMWATCH_RSCIIO."""

import numpy as np
import pytest
import tifffile

import rosettasciio_cases as cases
from format_files import fei_record, velox_metadata, write_mrc, write_ser, write_velox
from temwatch import formats
from temwatch.formats import rosettasciio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cases.PYTHON is None, reason="TEMWATCH_RSCIIO names no interpreter with RosettaSciIO"),
]
PIXELS = np.random.default_rng(5).integers(1, 4000, (48, 64)).astype(np.uint16)
STACK = np.random.default_rng(6).integers(1, 4000, (3, 48, 64)).astype(np.uint16)
FEI = "[Beam]\r\nHV=200000\r\n[Scan]\r\nPixelWidth=2.5e-10\r\nPixelHeight=2.5e-10\r\n"
GATAN = [
    (number, kind, count, value, True)
    for numbers, kind, count, value in (
        ((65003, 65004), "s", 0, "nm"),
        ((65006, 65007), "d", 1, 0.0),
        ((65009, 65010), "d", 1, 0.25),
    )
    for number in numbers
]
TIFFS = {
    "FEI": (PIXELS, {"metadata": None, "extratags": [(34682, "s", 0, FEI, True)]}),
    "DigitalMicrograph": (PIXELS, {"metadata": None, "extratags": GATAN}),
}


def assert_same(path, *, reference=None):
    """As temwatch reads it, and as RosettaSciIO does, which may want another extension."""
    own = formats.open_source(path)
    other = rosettasciio.open_source(reference or path, python=cases.PYTHON)
    assert (own.shape, own.frames) == (other.shape, other.frames)
    assert other.stated_pixel_size_nm == pytest.approx(own.stated_pixel_size_nm, rel=1e-6)
    last = (own.frames or 1) - 1
    assert np.array_equal(other.load(last), own.load(last))


@pytest.mark.parametrize("extension", ["dm3", "dm4"])
@pytest.mark.parametrize("unit", ["nm", "µm"])
def test_DigitalMicrograph(tmp_path, write_dm, extension, unit):
    axes = [(0.25, unit), (0.25, unit)]
    assert_same(write_dm(tmp_path / f"a.{extension}", PIXELS, axes=axes))


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["particlespy__JEOL HAADF Image.dm4", "rosettasciio__2D__test_STEM_image.dm3"]
)
def test_real_files_of_DigitalMicrograph(data_folder, name):
    assert_same(data_folder / "digital_micrograph" / name)


@pytest.mark.parametrize("written_by", TIFFS)
def test_TIFF(tmp_path, written_by):
    """ImageJ's are not among them: RosettaSciIO 0.15 gives their step without its unit."""
    pixels, options = TIFFS[written_by]
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    assert_same(tmp_path / "a.tif")


@pytest.mark.parametrize("frames", [1, 3])
def test_EMD_of_Velox(tmp_path, frames):
    pixels = np.moveaxis(STACK[:frames], 0, -1)
    assert_same(write_velox(tmp_path / "a.emd", {"a" * 32: (pixels, [velox_metadata()] * frames)}))


@pytest.mark.parametrize("pixels", [PIXELS.astype(np.int16), STACK.astype(np.float32)], ids=["one", "three"])
def test_MRC(tmp_path, pixels):
    """Two of its readers take `.mrc`, one `.ali`."""
    path = write_mrc(tmp_path / "a.mrc", pixels)
    (tmp_path / "a.ali").write_bytes(path.read_bytes())
    assert_same(path, reference=tmp_path / "a.ali")


def test_MRC_of_Thermo_Fisher(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", PIXELS.astype(np.int16), extended=fei_record())
    (tmp_path / "a.ali").write_bytes(path.read_bytes())
    assert_same(path, reference=tmp_path / "a.ali")


@pytest.mark.parametrize("pictures", [[PIXELS], list(STACK)], ids=["one", "three"])
def test_SER(tmp_path, pictures):
    assert_same(write_ser(tmp_path / "a.ser", pictures))
