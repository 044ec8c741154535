"""What a TIFF says of its axes: exact units of resolution, pages that are no frames, diffraction."""

import numpy as np
import pytest
import tifffile

from temwatch import formats
from temwatch.errors import Refused
from temwatch.formats import units

PIXELS = np.random.default_rng(7).integers(1, 60000, (48, 64)).astype(np.uint16)
STACK = np.random.default_rng(7).integers(1, 60000, (6, 48, 64)).astype(np.uint16)


def write(path, pixels=PIXELS, **options):
    """A TIFF, greyscale."""
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return path


def escaped(text) -> str:
    """As ImageJ writes what is not ASCII."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in text)


def code(path, pixel_size_nm=None) -> str:
    """Why it is refused; with a given size, too."""
    with pytest.raises(Refused) as refusal:
        formats.open_source(path, pixel_size_nm=pixel_size_nm)
    return refusal.value.code


@pytest.mark.parametrize(
    ("unit", "px", "nm"),
    [
        ("INCH", 2.54e8, 0.1),
        ("CENTIMETER", 1e8, 0.1),
        ("MILLIMETER", 1e7, 0.1),
        ("MICROMETER", 1e4, 0.1),
        ("MICROMETER", 250.0, 4.0),
    ],
)
def test_units_of_resolution_are_exact(tmp_path, unit, px, nm):
    """Also those that later versions of the standard added."""
    path = write(tmp_path / "a.tif", resolution=(px, px), resolutionunit=unit)
    assert nm == pytest.approx(formats.open_source(path).pixel_size_nm, rel=1e-9)


def test_a_resolution_without_a_unit_is_no_calibration(tmp_path):
    """NONE gives the ratio of the sides only, unless another tag has the unit."""
    path = write(tmp_path / "a.tif", resolution=(4e7, 4e7), resolutionunit="NONE")
    assert "no_pixel_size" == code(path)
    assert 0.3 == formats.open_source(path, pixel_size_nm=0.3).pixel_size_nm
    options = {"resolution": (4.0, 4.0), "resolutionunit": "NONE", "metadata": {"unit": "nm"}}
    path = tmp_path / "b.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, **options)
    assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)


def test_a_resolution_unit_is_inch_where_the_tag_is_missing(tmp_path):
    """The standard's default; the other private numbers mean nothing."""
    path = write(tmp_path / "a.tif", resolution=(2.54e8, 2.54e8), resolutionunit="INCH")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages.first.tags[296]
    content[tag.offset : tag.offset + 2] = (65111).to_bytes(2, "little")
    (tmp_path / "b.tif").write_bytes(content)
    assert 0.1 == pytest.approx(formats.open_source(tmp_path / "b.tif").pixel_size_nm)
    content = bytearray(path.read_bytes())
    content[tag.valueoffset : tag.valueoffset + 2] = (9).to_bytes(2, "little")
    (tmp_path / "c.tif").write_bytes(content)
    assert "no_pixel_size" == code(tmp_path / "c.tif")


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("nanometers", 1),
        ("Nanometre", 1),
        ("nanómetros", 1),
        ("nm/pixel", 1),
        ("[nm]", 1),
        ("micrometre", 1e3),
        ("Mikrometer", 1e3),
        ("\\u00B5m", 1e3),
        ("Âµm", 1e3),
        ("Angstroms", 0.1),
        ("Ångström", 0.1),
        ("Å", 0.1),
        ("picometers", 1e-3),
        ("millimetres", 1e6),
        ("inches", 2.54e7),
        ("pixel", None),
        ("furlong", None),
    ],
)
def test_words_for_units_of_length(unit, nm):
    """English of both kinds, plurals, other languages, escapes, wrong encodings."""
    assert nm == units.nm_per(unit)
    assert units.kind(unit) is None


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("1/nm", "reciprocal"),
        ("nm⁻¹", "reciprocal"),
        ("Å^-1", "reciprocal"),
        ("cycles/nm", "reciprocal"),
        ("mrad", "reciprocal"),
        ("deg", "reciprocal"),
        ("°", "reciprocal"),
        ("eV", "energy"),
        ("keV", "energy"),
        ("electron volts", "energy"),
        ("s", "time"),
        ("seconds", "time"),
        ("kV", "other quantity"),
        ("Hz", "other quantity"),
    ],
)
def test_axes_that_are_no_length_are_refused_even_with_a_given_size(tmp_path, unit, kind):
    """Along x, along y, or both."""
    assert kind == units.kind(unit)
    for name, metadata in {
        "x": {"unit": escaped(unit), "yunit": "nm"},
        "y": {"unit": "nm", "yunit": escaped(unit)},
    }.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, PIXELS, imagej=True, resolution=(4.0, 4.0), metadata=metadata)
        assert code(path, 0.3) in {"not_real_space", "spectroscopy"}


def test_axes_of_different_lengths(tmp_path):
    """Each has its own unit; equal numbers are no equal sizes."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(4.0, 4.0), metadata={"unit": "nm", "yunit": "um"})
    assert "anisotropic" == code(path, 0.25)
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(4, 0.4), metadata={"unit": "nm", "yunit": "A"})
    assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)


def test_a_given_size_does_not_override_what_one_axis_states(tmp_path):
    """The other axis is silent."""
    tags = [
        (65003, "s", 0, "nm", True),
        (65009, "d", 1, 0.125, True),
        (65010, "d", 1, 1.0, True),
    ]
    path = write(tmp_path / "a.tif", extratags=tags)
    assert "no_pixel_size" == code(path)
    assert "anisotropic" == code(path, 0.5)
    assert 0.125 == formats.open_source(path, pixel_size_nm=0.125).pixel_size_nm


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (STACK[:2], {"imagej": True, "metadata": {"axes": "CYX"}}),
        (STACK.reshape(3, 2, 48, 64), {"imagej": True, "metadata": {"axes": "TCYX"}}),
        (STACK.reshape(3, 2, 48, 64), {"imagej": True, "metadata": {"axes": "TZYX"}}),
        (STACK, {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 5.0, "unit": "nm"}}),
        (STACK[:3], {"ome": True, "metadata": {"axes": "CYX"}}),
        (STACK, {"ome": True, "metadata": {"axes": "CYX", "Channel": {"Name": list("abcdef")}}}),
        (STACK, {"ome": True, "metadata": {"axes": "ZYX"}}),
        (STACK, {"metadata": {"axes": "ZYX"}}),
        (STACK, {"metadata": {"axes": "CYX"}}),
        (STACK, {"metadata": {"axes": "EYX"}}),
    ],
)
def test_channels_and_slices_in_depth_are_no_sequence(tmp_path, pixels, options):
    """As ImageJ, OME and tifffile state them."""
    options = {"resolution": (4.0, 4.0)} | options
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    assert "not_a_sequence" == code(path, 0.25)


def test_a_stack_of_spectra_is_refused_and_one_of_time_read(tmp_path):
    """The third axis of a stack, as ImageJ and GMS export it."""
    path = tmp_path / "a.tif"
    scale = {"axes": "ZYX", "unit": "nm", "spacing": 0.5}
    tifffile.imwrite(path, STACK, imagej=True, resolution=(4.0, 4.0), metadata=scale | {"zunit": "eV"})
    assert "spectroscopy" == code(path)
    tifffile.imwrite(path, STACK, imagej=True, resolution=(4.0, 4.0), metadata=scale | {"zunit": "s"})
    source = formats.open_source(path)
    assert (6, 0.5) == (source.frames, source.interval_s)
    tags = [(65003, "s", 0, "nm", True), (65004, "s", 0, "nm", True), (65005, "s", 0, "eV", True)]
    tags += [(number, "d", 1, 0.25, True) for number in (65009, 65010, 65011)]
    assert "spectroscopy" == code(write(path, STACK, extratags=tags))
    tags[2] = (65005, "s", 0, "s", True)
    source = formats.open_source(write(path, STACK, extratags=tags))
    assert (6, 0.25) == (source.frames, source.interval_s)


def test_a_film_that_ImageJ_calls_slices_is_read(tmp_path):
    """Setting a scale makes the depth of a slice as large as a pixel."""
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": 0.25}
    tifffile.imwrite(path, STACK, imagej=True, resolution=(4.0, 4.0), metadata=metadata)
    source = formats.open_source(path)
    assert (6, None) == (source.frames, source.interval_s)


def test_pages_of_different_scale_are_refused(tmp_path):
    """The first page does not speak for all; pages that state nothing take its size."""
    path = tmp_path / "a.tif"

    def pages(*sizes_nm):
        with tifffile.TiffWriter(path) as tif:
            for page, nm in zip(STACK, sizes_nm, strict=False):
                scale = {"resolution": (1e7 / nm, 1e7 / nm), "resolutionunit": "CENTIMETER"} if nm else {}
                tif.write(page, photometric="minisblack", metadata=None, **scale)
        return path

    assert "not_a_sequence" == code(pages(0.5, 0.25))
    assert "not_a_sequence" == code(pages(0.5, 0.5, 0.6), 0.5)
    assert "not_a_sequence" == code(pages(None, 0.5), 0.25)
    assert 0.5 == pytest.approx(formats.open_source(pages(0.5, 0.501, None)).pixel_size_nm)


@pytest.mark.parametrize(
    "options",
    [
        {"extratags": [(34682, "s", 0, "[Beam]\r\nHV=200000\r\nOperationMode=Diffraction\r\n", True)]},
        {"description": "<Root><ProjectorMode>Diffraction</ProjectorMode></Root>"},
        {"description": '{"mode": "SAED"}', "metadata": None},
        {"imagej": True, "metadata": {"Info": "Microscope Info.Operation Mode = DIFFRACTION\n"}},
        {"extratags": [(34683, "s", 0, "<R><PixelSize><X unit='1/m'>2</X><Y>2</Y></PixelSize></R>", True)]},
    ],
)
def test_diffraction_by_its_own_metadata_is_refused_even_with_a_given_size(tmp_path, options):
    """Whatever program wrote it."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, **options)
    assert "not_real_space" == code(path, 0.3)


def test_a_scan_in_diffraction_mode_that_states_a_length_is_read(tmp_path):
    """The projector of a STEM is in diffraction mode; differential phase contrast is no diffraction."""
    text = "[Beam]\r\nProjectorMode=Diffraction\r\n[Scan]\r\nPixelWidth=2e-10\r\nPixelHeight=2e-10\r\n"
    path = write(tmp_path / "a.tif", extratags=[(34682, "s", 0, text, True)])
    assert 0.2 == pytest.approx(formats.open_source(path).pixel_size_nm)
    text = "Operation Mode = SCANNING\nImaging Mode = DIFFRACTION\n"
    path = write(tmp_path / "c.tif", description=text, metadata=None)
    assert 0.3 == formats.open_source(path, pixel_size_nm=0.3).pixel_size_nm
    path = write(tmp_path / "b.tif", description="mode: differential phase contrast", metadata=None)
    assert 0.2 == formats.open_source(path, pixel_size_nm=0.2).pixel_size_nm
