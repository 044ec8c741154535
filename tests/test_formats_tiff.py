"""TIFF in the dialects that microscopes and their users write."""

import struct
from datetime import UTC, datetime

import numpy as np
import pytest
import tifffile

from temwatch import formats
from temwatch.errors import Refused, UsageError

PIXELS = np.random.default_rng(6).integers(1, 60000, (48, 64)).astype(np.uint16)
STACK = np.random.default_rng(6).integers(1, 60000, (5, 48, 64)).astype(np.uint16)
PX_PER_CM = 1e7 / 0.25  # of 0.25 nm


def _write(path, pixels=PIXELS, **options):
    tifffile.imwrite(path, pixels, **options)
    return path


def _refusal(path) -> Refused:
    with pytest.raises(Refused) as refusal:
        formats.open_source(path)
    return refusal.value


@pytest.mark.parametrize(
    "dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">u2", ">f4"]
)
def test_every_number_type_becomes_float32(tmp_path, dtype):
    """Of both byte orders."""
    pixels = (PIXELS % 100).astype(dtype)
    path = _write(tmp_path / "a.tif", pixels, resolution=(PX_PER_CM, PX_PER_CM), resolutionunit="CENTIMETER")
    micrograph = formats.read(path)
    assert np.float32 == micrograph.image.dtype
    assert 0.25 == pytest.approx(micrograph.pixel_size_nm, rel=1e-6)
    np.testing.assert_array_equal(pixels.astype(np.float32), micrograph.image)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"tile": (16, 16)},
        {"tile": (32, 32), "compression": "zlib"},
        {"rowsperstrip": 7},
        {"bigtiff": True},
    ],
)
def test_layouts_and_compressions(tmp_path, options):
    """Strips, tiles, lossless compressions, BigTIFF."""
    micrograph = formats.read(_write(tmp_path / "a.tiff", **options), pixel_size_nm=0.1)
    np.testing.assert_array_equal(PIXELS.astype(np.float32), micrograph.image)


@pytest.mark.parametrize("rows", [48, 2**31, 2**32 - 1])
def test_one_strip_of_any_declared_height(tmp_path, rows):
    """RowsPerStrip defaults to 2^32 - 1, which some writers write out."""
    path = _write(tmp_path / "a.tif")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages.first.tags[278]
    struct.pack_into("<HII", content, tag.offset + 2, 4, 1, rows)
    path.write_bytes(content)
    np.testing.assert_array_equal(PIXELS.astype(np.float32), formats.read(path, pixel_size_nm=0.1).image)


def test_12_bits_in_one_and_a_half_bytes(tmp_path):
    """Cameras of 12 bit pack two pixels into three bytes."""
    pixels = (PIXELS >> 4).astype(np.uint16)
    path = _write(tmp_path / "a.tif", pixels, bitspersample=12, compression=None)
    np.testing.assert_array_equal(pixels.astype(np.float32), formats.read(path, pixel_size_nm=0.1).image)


def test_white_is_zero(tmp_path):
    """Photometric MINISWHITE is inverted, so that particles stay dark."""
    path = _write(tmp_path / "a.tif", photometric="miniswhite")
    np.testing.assert_array_equal(
        (65535 - PIXELS).astype(np.float32), formats.read(path, pixel_size_nm=0.1).image
    )


@pytest.mark.parametrize("unit", ["nm", "um", "µm", "\\u00B5m", "micron", "Angstrom", "pixel", "inch"])
def test_ImageJ(tmp_path, unit):
    """Unit in the description, pixels per unit in the resolution tags."""
    nm = {"nm": 1, "Angstrom": 0.1, "pixel": None, "inch": None}.get(unit, 1000.0)
    path = _write(
        tmp_path / "a.tif",
        imagej=True,
        resolution=(4.0, 4.0),
        metadata={"unit": unit.replace("µ", "\\u00B5")},
    )
    if nm is None:
        assert "no_pixel_size" == _refusal(path).code
    else:
        assert nm / 4 == pytest.approx(formats.open_source(path).pixel_size_nm, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "unit", "nm"), [(0.5, "nm", 0.5), (0.0005, "µm", 0.5), (5.0, "Å", 0.5), (0.5, "pm", 0.0005)]
)
def test_OME(tmp_path, size, unit, nm):
    """PhysicalSizeX and its unit; the date of acquisition is UTC."""
    metadata = {
        "PhysicalSizeX": size,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": size,
        "PhysicalSizeYUnit": unit,
    }
    metadata |= {"axes": "YX", "AcquisitionDate": "2024-05-06T07:08:09"}
    source = formats.open_source(_write(tmp_path / "a.ome.tif", ome=True, metadata=metadata))
    assert nm == pytest.approx(source.pixel_size_nm, rel=1e-6)
    assert datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC) == source.acquired_at


def test_OME_without_a_unit_is_in_micrometres(tmp_path):
    """The default of the OME schema."""
    metadata = {"PhysicalSizeX": 0.002, "PhysicalSizeY": 0.002, "axes": "YX"}
    source = formats.open_source(_write(tmp_path / "a.ome.tif", ome=True, metadata=metadata))
    assert 2.0 == pytest.approx(source.pixel_size_nm)


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600, 1200])
def test_a_resolution_for_printing_is_no_calibration(tmp_path, dpi):
    """Nobody has pixels of 85 µm in a TEM."""
    path = _write(tmp_path / "a.tif", resolution=(dpi, dpi), resolutionunit="INCH")
    assert "no_pixel_size" == _refusal(path).code
    assert 0.3 == formats.open_source(path, pixel_size_nm=0.3).pixel_size_nm


def test_resolution_in_inches_is_a_calibration_where_it_is_fine(tmp_path):
    """2.54e7 px per inch is 1 nm."""
    path = _write(tmp_path / "a.tif", resolution=(2.54e7, 2.54e7), resolutionunit="INCH")
    assert 1.0 == pytest.approx(formats.open_source(path).pixel_size_nm, rel=1e-6)


def test_Gatan_export(tmp_path):
    """GMS writes unit and scale of x and y to private tags; its resolution tags are for printing."""
    tags = [
        (65003, "s", 0, "nm", True),
        (65004, "s", 0, "nm", True),
        (65009, "d", 1, 0.125, True),
        (65010, "d", 1, 0.125, True),
    ]
    path = _write(tmp_path / "a.tif", extratags=tags, resolution=(72, 72), resolutionunit="INCH")
    assert 0.125 == formats.open_source(path).pixel_size_nm
    tags[0] = (*tags[0][:3], "1/nm", True)
    assert "not_real_space" == _refusal(_write(tmp_path / "b.tif", extratags=tags)).code


def test_FEI_export(tmp_path):
    """Helios and S-FEG: a text in the form of an ini file, lengths in m."""
    text = (
        "[User]\r\nDate=08/27/2016\r\nTime=08:54:33 PM\r\n[System]\r\nSystemType=Talos\r\n"
        "[Beam]\r\nHV=200000\r\n[Scan]\r\nPixelWidth=2.5e-010\r\nPixelHeight=2.5e-010\r\n"
    )
    source = formats.open_source(_write(tmp_path / "a.tif", extratags=[(34682, "s", 0, text, True)]))
    assert 0.25 == pytest.approx(source.pixel_size_nm)
    assert (200.0, "Talos") == (source.metadata.voltage_kV, source.metadata.instrument)
    assert (2016, 8, 27) == tuple(source.acquired_at.astimezone().timetuple()[:3])


def test_FEI_Titan_export(tmp_path):
    """XML with the size of a pixel in m."""
    xml = "<Root><Data/><PixelSize><X>2.5E-10</X><Y>2.5E-10</Y></PixelSize></Root>"
    path = _write(tmp_path / "a.tif", extratags=[(34683, "s", 0, xml, True)])
    assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)


def test_TVIPS_export(tmp_path):
    """EM-MENU 4: a record with the distance of two pixels in nm."""
    header = np.zeros(1, np.dtype(tifffile.TIFF.TVIPS_HEADER_V1))
    more = np.zeros(1, np.dtype(tifffile.TIFF.TVIPS_HEADER_V2))
    header["Version"], more["Magic"] = 2, 0xAAAAAAAA
    more["PixelSizeX"] = more["PixelSizeY"] = 0.25
    record = header.tobytes() + more.tobytes()
    path = _write(tmp_path / "a.tif", extratags=[(37706, "B", len(record), record, True)])
    assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)


def test_Olympus_export(tmp_path):
    """ITEM: a structure that points to another with the calibration in powers of ten of a metre."""
    path = _write(tmp_path / "a.tif", extratags=[(33560, "I", 1, 0, True)])
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack("<HHI", 33560, 4, 1)) + 8
    start = len(content)
    content += struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 54, 20, 27, 7, 116, b"camera", 1)
    content += struct.pack("<hhI", 1, 1, start + 100) + bytes(100 - 68)
    content += struct.pack("<10xhdd8xd2x34s32s", -9, 0.25, 0.25, 50000.0, b"camera", b"") + bytes(200)
    content[place : place + 4] = struct.pack("<I", start)
    path.write_bytes(content)
    assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)


def test_anisotropic_pixels(tmp_path):
    """As in every format."""
    path = _write(tmp_path / "a.tif", resolution=(PX_PER_CM, 2 * PX_PER_CM), resolutionunit="CENTIMETER")
    assert "anisotropic" == _refusal(path).code


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (np.dstack([(PIXELS % 251).astype(np.uint8), *STACK[:2] % 256]).astype("u1"), {"photometric": "rgb"}),
        (np.dstack([(PIXELS % 256).astype(np.uint8)] * 4), {"photometric": "rgb"}),
        (STACK[:3], {"photometric": "rgb", "planarconfig": "separate"}),
        ((PIXELS % 2).astype(bool), {}),
        (PIXELS.astype(np.complex64), {}),
        (
            (PIXELS % 256).astype(np.uint8),
            {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)},
        ),
        (STACK[:2], {"imagej": True, "metadata": {"axes": "CYX", "mode": "composite"}}),
    ],
)
def test_colour_masks_and_complex_data(tmp_path, pixels, options):
    """Also where opacity varies: the reason says how to save it as greyscale."""
    refusal = _refusal(_write(tmp_path / "a.tif", pixels, **options))
    assert "not_grey" == refusal.code
    assert "greyscale" in str(refusal)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"imagej": True}, {"ome": True}, {"bigtiff": True}]
)
def test_pages_are_frames(tmp_path, options):
    """Frame by frame, in order."""
    path = _write(tmp_path / "heating.tif", STACK, **options, photometric="minisblack")
    frames = list(formats.read_frames(path, pixel_size_nm=0.5))
    assert [0, 1, 2, 3, 4] == [micrograph.frame.index for micrograph in frames]
    for expected, micrograph in zip(STACK, frames, strict=True):
        np.testing.assert_array_equal(expected.astype(np.float32), micrograph.image)
    with pytest.raises(UsageError, match="read_frames"):
        formats.read(path, pixel_size_nm=0.5)


def test_an_ImageJ_stack_with_one_directory(tmp_path):
    """ImageJ writes stacks of more than 4 GB without the directories of the further frames."""
    path = _write(
        tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "TYX", "finterval": 0.5, "unit": "nm"}
    )
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        order = tif.byteorder
        first = tif.pages.first.offset
    (count,) = struct.unpack_from(order + "H", content, first)
    content[first + 2 + 12 * count : first + 6 + 12 * count] = bytes(4)
    path.write_bytes(content)
    source = formats.open_source(path, pixel_size_nm=0.5)
    assert (5, 0.5) == (source.frames, source.interval_s)
    for index, expected in enumerate(STACK):
        np.testing.assert_array_equal(expected.astype(np.float32), source.load(index))


def test_sub_levels_and_thumbnails_are_no_frames(tmp_path):
    """A pyramid in SubIFDs, one in the chain, and a small label behind the micrograph."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(PIXELS, subifds=1)
        tif.write(PIXELS[::2, ::2], subfiletype=1)
        tif.write(PIXELS[::2, ::2].copy(), subfiletype=1)
        tif.write(PIXELS[:20, :20].copy())
    source = formats.open_source(tmp_path / "a.tif", pixel_size_nm=0.1)
    assert (PIXELS.shape, None) == (source.shape, source.frames)


def test_date_and_instrument_of_the_standard_tags(tmp_path):
    """DateTime is local time; Make and Model name the instrument."""
    tags = [(271, "s", 0, "JEOL", True), (272, "s", 0, "JEM-2100", True)]
    source = formats.open_source(
        _write(tmp_path / "a.tif", datetime=datetime(2024, 5, 6, 7, 8, 9), extratags=tags), pixel_size_nm=0.1
    )
    assert datetime(2024, 5, 6, 7, 8, 9).astimezone(UTC) == source.acquired_at
    assert "JEOL JEM-2100" == source.metadata.instrument


def test_completeness_cannot_be_told(tmp_path):
    """A TIFF declares no length."""
    assert formats.complete(_write(tmp_path / "a.tif")) is None
