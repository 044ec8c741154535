"""What is no real-space micrograph is refused with what was found and what would help."""

import numpy as np
import pytest

from temwatch import formats
from temwatch.errors import Refused

PIXELS = np.random.default_rng(1).normal(100, 9, (32, 48)).astype(np.float32)
NM = ((0.1, "nm"), (0.1, "nm"))


def _refusal(path) -> Refused:
    with pytest.raises(Refused) as refusal:
        formats.open_source(path)
    assert "\n" not in str(refusal.value)
    return refusal.value


@pytest.mark.parametrize("unit", ["1/nm", "1/Å", "1 / nm", "nm^-1", "nm⁻¹", "mrad", "rad"])
def test_reciprocal_space(tmp_path, write_dm, unit):
    """Diffraction patterns and Fourier transforms, by the unit of their axes."""
    assert "not_real_space" == _refusal(write_dm(tmp_path / "a.dm4", PIXELS, ((0.1, unit),) * 2)).code


def test_a_diffraction_pattern_without_a_unit(tmp_path, write_dm):
    """Its mode says what it is, and a pixel size given for the folder must not turn it into a micrograph."""
    tags = {"Microscope Info": {"Operation Mode": "DIFFRACTION"}}
    path = write_dm(tmp_path / "a.dm4", PIXELS, ((1, ""), (1, "")), tags)
    with pytest.raises(Refused) as refusal:
        formats.open_source(path, pixel_size_nm=0.1)
    assert "not_real_space" == refusal.value.code


def test_a_STEM_image_is_taken_in_diffraction_mode(tmp_path, write_dm):
    """Imaging Mode is DIFFRACTION in every STEM image of an FEI microscope: it decides nothing."""
    tags = {"Microscope Info": {"Operation Mode": "SCANNING", "Imaging Mode": "DIFFRACTION"}}
    assert 0.1 == pytest.approx(
        formats.open_source(write_dm(tmp_path / "a.dm4", PIXELS, NM, tags)).pixel_size_nm
    )


@pytest.mark.parametrize(
    ("axes", "tags"),
    [
        (((0.5, "eV"), (0.1, "nm")), {}),
        (((0.1, "nm"), (10.0, "keV")), {}),
        (((0.1, "nm"), (2.0, "ms")), {}),
        (((0.1, "um"), (0.1, "um")), {"Meta Data": {"Format": "Spectrum image", "Signal": "CL"}}),
        (((0.002, "µm"), (0.5, "nm")), {"Meta Data": {"Format": "Spectrum image", "Signal": "CL"}}),
        (NM, {"Meta Data": {"Format": "Image", "Signal": "EELS"}}),
        (NM, {"Meta Data": {"Format": "Image", "Signal": "X-ray"}}),
        (NM, {"Meta Data": {"Experiment keywords": [{"Label": "Spectrum Imaging"}, {"Label": "EDS"}]}}),
        (NM, {"Acquisition": {"Monarc Spectrometer": {"Grating": "300"}}}),
        (NM, {"spim": {"eels": {"exposure": 0.1}}}),
    ],
)
def test_spectroscopy(tmp_path, write_dm, axes, tags):
    """By the unit of an axis or by the tags of the acquisition."""
    assert "spectroscopy" == _refusal(write_dm(tmp_path / "a.dm4", PIXELS, axes, tags)).code


def test_a_HAADF_image_beside_a_spectrum_image_is_a_micrograph(tmp_path, write_dm):
    """Its tags speak of spectrum imaging, its signal is that of the scan."""
    keywords = [{"Label": "Spectrum Imaging"}, {"Label": "Scan Signal"}]
    tags = {"Meta Data": {"Experiment keywords": keywords}, "SI": {"Acquisition": {"Date": "17/08/2018"}}}
    assert PIXELS.shape == formats.open_source(write_dm(tmp_path / "a.dm4", PIXELS, NM, tags)).shape


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (300,)])
def test_one_axis_is_a_profile(tmp_path, write_dm, shape):
    """A wavelength axis in nm looks like a length: the number of axes tells."""
    axes = ((0.5, "nm"), (1, ""))[: len(shape)]
    path = write_dm(tmp_path / "a.dm4", np.arange(300, dtype=np.float32).reshape(shape), axes)
    assert "spectroscopy" == _refusal(path).code


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_numbers(tmp_path, write_dm, dtype):
    """A wave or a Fourier transform is no micrograph."""
    assert "not_grey" == _refusal(write_dm(tmp_path / "a.dm4", PIXELS.astype(dtype), NM)).code


@pytest.mark.parametrize("data_type", [5, 8, 14, 23, 27, 28, 99])
def test_colour_masks_and_packed_data(tmp_path, write_dm, data_type):
    """Data types that hold no grey values are named."""
    path = write_dm(tmp_path / "a.dm4", PIXELS.view(np.int32), NM, data_type=data_type)
    assert "not_grey" == _refusal(path).code


@pytest.mark.parametrize("axes", [((1, ""), (1, "")), ((0.1, "µn"), (0.1, "µn")), ((0, "nm"), (0, "nm")), ()])
def test_no_pixel_size_names_the_remedies(tmp_path, write_dm, axes):
    """No unit, an unknown one, a scale of 0, no calibration at all."""
    refusal = _refusal(write_dm(tmp_path / "a.dm4", PIXELS, axes))
    assert "no_pixel_size" == refusal.code
    for remedy in ("--pixel-size", "[samples] pixel_size_nm", "retry --pixel-size"):
        assert remedy in str(refusal)


@pytest.mark.parametrize("scale", [1e-9, 1e12, float("inf"), float("nan")])
def test_an_impossible_pixel_size_is_none(tmp_path, write_dm, scale):
    """A damaged scale must not reach the results."""
    assert "no_pixel_size" == _refusal(write_dm(tmp_path / "a.dm4", PIXELS, ((scale, "nm"),) * 2)).code


def test_too_small(tmp_path, write_dm):
    """Three pixels leave no inside; four do."""
    assert "too_small" == _refusal(write_dm(tmp_path / "a.dm4", PIXELS[:3], NM)).code
    assert (4, 48) == formats.open_source(write_dm(tmp_path / "b.dm4", PIXELS[:4], NM)).shape


def test_four_axes(tmp_path, write_dm):
    """4D-STEM: a diffraction pattern at every position."""
    path = write_dm(tmp_path / "a.dm4", np.ones((4, 5, 8, 8), np.float32), NM * 2)
    assert "not_real_space" == _refusal(path).code


def test_a_stack_along_energy_or_angle_is_no_sequence(tmp_path, write_dm):
    """Third axis in eV: a spectrum image; in 1/nm: diffraction."""
    stack = np.ones((4, 8, 8), np.float32)
    for unit, code in (("eV", "spectroscopy"), ("1/nm", "not_real_space")):
        assert code == _refusal(write_dm(tmp_path / "a.dm4", stack, [*NM, (1.0, unit)])).code


def test_tags_without_an_image(tmp_path):
    """A workspace file holds tags only."""
    from nionswift_plugin.DM_IO import parse_dm3

    with (tmp_path / "a.dm3").open("wb") as stream:
        parse_dm3.dm_write_header(stream, 3, {"Layout": "none"})
    assert "not_a_micrograph" == _refusal(tmp_path / "a.dm3").code
