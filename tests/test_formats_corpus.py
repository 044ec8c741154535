"""Every file of the readers' test suites: what is read, its pixel size, and why the rest is refused."""

from pathlib import Path

import numpy as np
import pytest

from temwatch import formats
from temwatch.errors import Refused

pytestmark = pytest.mark.data

# name: (shape (y, x), pixel size in nm, frames)
READ = {
    "particlespy__JEOL HAADF Image.dm4": ((112, 112), 1.2490136, None),
    "rosettasciio__2D__test_STEM_image.dm3": ((68, 68), 0.24853802, None),
    "rosettasciio__Fei HAADF-DE_location.dm3": ((4, 16), 5.5060731, None),
    "rosettasciio__Fei HAADF-FR_location.dm3": ((4, 16), 5.5060731, None),
    "rosettasciio__Fei HAADF-MX_location.dm3": ((4, 16), 5.5060731, None),
    "rosettasciio__test_dm_image_um_unit.dm3": ((68, 68), 168.67469, None),
}

REFUSED = {
    "spectroscopy": """
        nionswift__ref_F_0_1.dm4 nionswift__ref_F_1_1.dm3 nionswift__ref_F_1_1.dm4 nionswift__ref_F_2_1.dm3
        nionswift__ref_T_0_1.dm3 nionswift__ref_T_0_1.dm4 pytemlib__AL-DFoffset0.00.dm3
        rosettasciio__1D__test-1.dm4 rosettasciio__1D__test-2.dm4 rosettasciio__1D__test-3.dm4
        rosettasciio__1D__test-5.dm3 rosettasciio__1D__test-6.dm3 rosettasciio__1D__test-6.dm4
        rosettasciio__1D__test-7.dm4 rosettasciio__1D__test-8.dm3 rosettasciio__1D__test-9.dm3
        rosettasciio__1D__test-9.dm4 rosettasciio__1D__test-10.dm3 rosettasciio__1D__test-11.dm3
        rosettasciio__1D__test-11.dm4 rosettasciio__1D__test-12.dm4 rosettasciio__1D__test-13.dm3
        rosettasciio__1D__test-14.dm3 rosettasciio__1D__test-14.dm4 rosettasciio__1D__test-23.dm3
        rosettasciio__1D__test-27.dm4 rosettasciio__1D__test-28.dm4 rosettasciio__1D__test-EELS_spectrum.dm3
        rosettasciio__1D__test-MonarcCL_spectrum-ccd.dm4 rosettasciio__1D__test-MonoCL_spectrum-ccd.dm4
        rosettasciio__1D__test-MonoCL_spectrum-pmt.dm4 rosettasciio__2D__test-MonarcCL_mono-image.dm4
        rosettasciio__3D__EELS_SI.dm4
    """,
    "no_pixel_size": """
        nionswift__ref_F_0_2.dm3 nionswift__ref_F_1_2.dm4 nionswift__ref_T_0_2.dm4
        rosettasciio__2D__test-1.dm3 rosettasciio__2D__test-1.dm4 rosettasciio__2D__test-2.dm3
        rosettasciio__2D__test-2.dm4 rosettasciio__2D__test-6.dm3 rosettasciio__2D__test-7.dm3
        rosettasciio__2D__test-7.dm4 rosettasciio__2D__test-9.dm3 rosettasciio__2D__test-10.dm4
        rosettasciio__2D__test-11.dm3 rosettasciio__2D__test-12.dm3 rosettasciio__2D__test-12.dm4
        rosettasciio__3D__test-1.dm4 rosettasciio__3D__test-2.dm4 rosettasciio__3D__test-6.dm3
        rosettasciio__3D__test-6.dm4 rosettasciio__3D__test-7.dm4 rosettasciio__3D__test-9.dm3
        rosettasciio__3D__test-9.dm4 rosettasciio__3D__test-10.dm3 rosettasciio__3D__test-11.dm3
        rosettasciio__3D__test-11.dm4 rosettasciio__3D__test-12.dm4
    """,
    "not_grey": """
        rosettasciio__2D__test-3.dm3 rosettasciio__2D__test-3.dm4 rosettasciio__2D__test-5.dm4
        rosettasciio__2D__test-8.dm4 rosettasciio__2D__test-13.dm4 rosettasciio__2D__test-14.dm3
        rosettasciio__2D__test-23.dm4 rosettasciio__2D__test-27.dm4
        rosettasciio__2D__test_fft_packed_complex8.dm4
        rosettasciio__3D__test-3.dm4 rosettasciio__3D__test-5.dm3 rosettasciio__3D__test-8.dm3
        rosettasciio__3D__test-13.dm3 rosettasciio__3D__test-14.dm3 rosettasciio__3D__test-14.dm4
        rosettasciio__3D__test-23.dm3 rosettasciio__3D__test-27.dm4 rosettasciio__3D__test-28.dm4
    """,
    "not_real_space": "rosettasciio__2D__test_diffraction_pattern.dm3",
    "anisotropic": """
        openncem__dmTest_3D_int16_64,65,66.dm4 openncem__dmTest_float32_nonSquare_diffPixelSize.dm3
    """,
}
CODES = {name: code for code, names in REFUSED.items() for name in names.split()}


@pytest.fixture
def corpus(data_folder: Path) -> Path:
    return data_folder / "digital_micrograph"


def test_the_table_has_every_file(corpus):
    """86 files, each with one expectation."""
    assert sorted([*READ, *CODES]) == sorted(path.name for path in corpus.iterdir())


@pytest.mark.parametrize("name", READ)
def test_calibrated_micrographs_are_read(corpus, name):
    """Shape, pixel size and pixels of what is a micrograph."""
    shape, pixel_size_nm, frames = READ[name]
    source = formats.open_source(corpus / name)
    micrograph = formats.read(corpus / name)
    assert (shape, frames) == (source.shape, source.frames)
    assert pixel_size_nm == pytest.approx(micrograph.pixel_size_nm, rel=1e-6)
    assert (shape, np.float32) == (micrograph.image.shape, micrograph.image.dtype)


@pytest.mark.parametrize("name", CODES)
def test_everything_else_is_refused_in_one_line(corpus, name):
    """The code of the refusal, and a text of one line without the file's name."""
    with pytest.raises(Refused) as refusal:
        formats.open_source(corpus / name)
    assert CODES[name] == refusal.value.code
    assert "\n" not in str(refusal.value)
    assert name not in str(refusal.value)


def test_a_pixel_size_from_the_caller_helps_the_uncalibrated_alone(corpus):
    """With the remedy the one that is large enough is read; the other test images are too small."""
    outcomes = {}
    for name in (name for name, code in CODES.items() if code == "no_pixel_size"):
        try:
            source = formats.open_source(corpus / name, pixel_size_nm=0.1)
            outcomes[name] = (source.shape, source.frames, source.pixel_size_nm)
        except Refused as refusal:
            outcomes[name] = refusal.code
    assert ((4, 5), 3, 0.1) == outcomes.pop("nionswift__ref_T_0_2.dm4")
    assert {"too_small"} == set(outcomes.values())


def test_every_file_is_complete(corpus):
    """The declared length is reached in all of them, whatever they hold."""
    assert [] == [path.name for path in corpus.iterdir() if formats.complete(path) is not True]


def test_the_pixels_are_those_that_ncempy_reads(corpus):
    """An independent reading of a real micrograph."""
    from ncempy.io import dm

    path = corpus / "rosettasciio__2D__test_STEM_image.dm3"
    reference = dm.dmReader(str(path), on_memory=False)["data"]
    np.testing.assert_array_equal(reference.astype(np.float32), formats.read(path).image)


def test_metadata_and_time_of_real_files(corpus):
    """Voltage, magnification, instrument, exposure; times in UTC though the text is local."""
    stem = formats.open_source(corpus / "rosettasciio__2D__test_STEM_image.dm3")
    assert (200.0, 225000.0, "FEI Titan", None) == (
        stem.metadata.voltage_kV,
        stem.metadata.magnification,
        stem.metadata.instrument,
        stem.metadata.exposure_s,
    )
    assert "2016-08-08T15:26:37" == stem.acquired_at.isoformat()[:19]  # 4:26:37 PM in British summer
    camera = formats.open_source(corpus / "rosettasciio__test_dm_image_um_unit.dm3")
    assert 0.5 == camera.metadata.exposure_s
    assert "2015-07-20T16:48:21" == camera.acquired_at.isoformat()[:19]  # 6:48:25 PM, exposure before
    countries = [f"rosettasciio__Fei HAADF-{code}_location.dm3" for code in ("DE", "FR", "MX")]
    times = [formats.open_source(corpus / name).acquired_at for name in countries]
    assert ["19:54:33", "19:55:20", "19:55:59"] == [f"{time:%H:%M:%S}" for time in times]
