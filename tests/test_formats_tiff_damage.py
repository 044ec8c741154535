"""Cut and flipped TIFF files: one line of reason, never a crash, never a word from the library."""

import resource
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temwatch import formats
from temwatch.errors import FAILURE_CODES, REFUSAL_CODES, InputError

PIXELS = np.random.default_rng(8).integers(1, 60000, (40, 48)).astype(np.uint16)
STACK = np.stack([PIXELS, PIXELS + 1, PIXELS + 2])
VARIANTS = {
    "plain": (PIXELS, {}),
    "lzw": (PIXELS, {"compression": "lzw"}),
    "tiles": (PIXELS, {"compression": "zlib", "tile": (16, 16)}),
    "imagej": (STACK, {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "nm", "axes": "TYX"}}),
    "ome": (
        STACK,
        {"ome": True, "metadata": {"axes": "TYX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "nm"}},
    ),
    "pages": (STACK, {"compression": "zlib", "photometric": "minisblack"}),
}
many = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=VARIANTS)
def whole(request, tmp_path) -> bytes:
    pixels, options = VARIANTS[request.param]
    tifffile.imwrite(tmp_path / "whole.tif", pixels, **options)
    return (tmp_path / "whole.tif").read_bytes()


def _outcome(path, content: bytes) -> str:
    """Code of the refusal, or "read"; anything but an InputError fails the test."""
    path.write_bytes(content)
    try:
        for _ in formats.read_frames(path, pixel_size_nm=0.1):
            pass
    except InputError as error:
        outcome, reason = error.code, str(error)
    else:
        return "read"
    assert outcome in REFUSAL_CODES or outcome in FAILURE_CODES
    assert "\n" not in reason
    return outcome


def test_a_cut_is_seen_or_lost_no_pixel(whole, tmp_path, capfd):
    """Directories, strips or pages that lie behind the end; a description may, it is no pixel."""
    path, shorter = tmp_path / "a.tif", 0
    assert "read" == _outcome(path, whole)
    expected = [micrograph.image for micrograph in formats.read_frames(path, pixel_size_nm=0.1)]
    for length in [*range(1, 600, 3), *range(600, len(whole), 97), len(whole) - 1]:
        if "read" == _outcome(path, whole[:length]):
            actual = [micrograph.image for micrograph in formats.read_frames(path, pixel_size_nm=0.1)]
            np.testing.assert_array_equal(expected, actual)
            shorter += 1
    assert shorter < 30
    assert ("", "") == tuple(capfd.readouterr())


@many
@given(flips=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_give_pictures_or_a_reason(whole, tmp_path, flips):
    """Whatever the damage, nothing but an InputError comes out."""
    content = bytearray(whole)
    for place, bit in flips:
        content[place % len(content)] ^= 1 << bit
    _outcome(tmp_path / "a.tif", bytes(content))


def test_every_flip_in_the_directories_gives_pictures_or_a_reason(whole, tmp_path, capfd):
    """The first 400 bytes hold header, tags and values; the last hold the directories of other writers."""
    for place in [*range(0, min(400, len(whole)), 2), *range(max(400, len(whole) - 200), len(whole), 2)]:
        content = bytearray(whole)
        content[place] ^= 1 << place // 2 % 8
        _outcome(tmp_path / "a.tif", bytes(content))
    assert ("", "") == tuple(capfd.readouterr())


@many
@given(content=st.binary(max_size=300), magic=st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"]))
def test_garbage_is_refused(tmp_path, content, magic):
    """Random bytes behind the first bytes of a TIFF."""
    assert "read" != _outcome(tmp_path / "a.tif", magic + content)


def test_pages_in_a_circle(tmp_path):
    """A directory that names itself as the next one does not hold the reader for ever."""
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * count, first)
    assert "not_a_micrograph" == _outcome(tmp_path / "a.tif", bytes(content))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_header_that_claims_a_terapixel_allocates_nothing(tmp_path, compression):
    """10^6 x 10^6 px in a file of a few kB."""
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, compression=compression)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        for code in (256, 257, 278):  # width, length, rows in a strip
            tag = tif.pages.first.tags[code]
            struct.pack_into("<HII", content, tag.offset + 2, 4, 1, 10**6)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert _outcome(tmp_path / "a.tif", bytes(content)) in {"truncated", "not_a_micrograph"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # kB


def test_a_strip_that_was_never_written(tmp_path):
    """An offset of 0 would be read as a black band."""
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, rowsperstrip=10)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        place = tif.pages.first.tags[273].valueoffset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place + 4 : place + 8] = bytes(4)
    assert "zero_filled" == _outcome(tmp_path / "a.tif", bytes(content))


def test_more_pages_than_anybody_acquires_are_not_listed(tmp_path):
    """Millions of empty ones fit into a small file."""
    place, pages = 8, []
    for _ in range(2**17 + 1):
        place += 6
        pages.append(struct.pack("<HI", 0, place))
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 8) + b"".join(pages))
    with pytest.raises(InputError, match="131,072 pages"):
        formats.open_source(tmp_path / "a.tif")


def test_a_stack_that_claims_a_billion_images_allocates_nothing(tmp_path):
    """ImageJ keeps their number in its own text."""
    path = tmp_path / "a.tif"
    said = "ImageJ=1.53t\nimages=999999999\nunit=nm\n"
    tifffile.imwrite(path, PIXELS, photometric="minisblack", description=said, metadata=None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as refused:
        formats.open_source(path, pixel_size_nm=0.1)
    assert "truncated" == refused.value.code
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17, "KiB"
