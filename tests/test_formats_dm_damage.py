"""Cut, zero-filled and flipped dm files: one line of reason, never a crash, never taken for whole."""

import resource
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temwatch import formats
from temwatch.errors import REFUSAL_CODES, InputError, Refused

PIXELS = np.random.default_rng(3).normal(1000, 50, (64, 80)).astype(np.int16)
TAGS = {
    "DataBar": {"Acquisition Date": "27.08.2016", "Acquisition Time": "20:54:33"},
    "Microscope Info": {"Voltage": 300e3, "Name": "µ-scope", "Items": [{"Label": "a"}, {"Label": "b"}]},
}
many = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=[".dm3", ".dm4"])
def whole(request, tmp_path, write_dm) -> bytes:
    """Bytes of a complete file as DigitalMicrograph lays it out, with a thumbnail."""
    path = tmp_path / f"whole{request.param}"
    return write_dm(path, PIXELS, tags=TAGS, thumbnail=True).read_bytes()


def _outcome(path, content: bytes) -> str:
    """Code of the refusal, or "read"; anything but an InputError fails the test."""
    path.write_bytes(content)
    try:
        formats.read(path)
    except InputError as error:
        outcome, reason = error.code, str(error)
    else:
        return "read"
    assert outcome in REFUSAL_CODES
    assert "\n" not in reason
    return outcome


def test_any_cut_is_seen(whole, tmp_path):
    """One byte short, the end mark missing, cut within the pixels, the tags, the header."""
    path = tmp_path / "cut.dm3"
    end = len(whole)
    for length in [*range(1, 40), *range(40, 1200, 7), *range(1200, end, 101), *range(end - 40, end)]:
        outcome = _outcome(path, whole[:length])
        assert outcome == "truncated" if length >= 4 else outcome != "read"
        assert formats.complete(path) is not True
    assert "read" == _outcome(path, whole)
    assert formats.complete(path) is True


def test_a_cut_says_how_much_is_missing(whole, tmp_path):
    """Bytes there, bytes declared."""
    (tmp_path / "a.dm3").write_bytes(whole[:5000])
    with pytest.raises(Refused, match=rf"5000 of {len(whole)} bytes"):
        formats.open_source(tmp_path / "a.dm3")


@many
@given(data=st.data())
def test_a_growing_file_is_complete_only_when_whole(whole, tmp_path, data):
    """While a writer is at work, `complete` never says True and reading never succeeds."""
    path = tmp_path / "growing.dm4"
    length = data.draw(st.integers(0, len(whole) - 1))
    assert "read" != _outcome(path, whole[:length])
    assert formats.complete(path) is not True


def test_a_reserved_file_is_not_complete(whole, tmp_path):
    """A writer that reserves the length first: zeros from anywhere to the end."""
    path = tmp_path / "a.dm4"
    for written in [0, 3, *range(20, len(whole) - 600, 211)]:
        outcome = _outcome(path, whole[:written] + bytes(len(whole) - written))
        assert outcome in {"zero_filled", "not_a_micrograph"}
        assert formats.complete(path) is None
        if written == 0 or len(whole) - written > 300:
            assert "zero_filled" == outcome


def test_a_few_zeros_at_the_end_never_change_what_is_read(whole, tmp_path):
    """Where the last tags alone are lost, the file is refused or read as the same micrograph."""
    path, original = tmp_path / "a.dm3", tmp_path / "b.dm3"
    original.write_bytes(whole)
    for lost in range(8, 600, 3):
        if "read" == _outcome(path, whole[:-lost] + bytes(lost)):
            expected, actual = formats.read(original), formats.read(path)
            assert expected.pixel_size_nm == actual.pixel_size_nm
            np.testing.assert_array_equal(expected.image, actual.image)


@many
@given(flips=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_give_a_micrograph_or_a_reason(whole, tmp_path, flips):
    """Whatever the damage, nothing but an InputError comes out."""
    content = bytearray(whole)
    for place, bit in flips:
        content[place % len(content)] ^= 1 << bit
    _outcome(tmp_path / "a.dm3", bytes(content))
    formats.complete(tmp_path / "a.dm3")


def test_flips_all_over_the_tags_give_a_micrograph_or_a_reason(whole, tmp_path):
    """Every other byte outside of the pixels, one bit each, in turn."""
    path, start = tmp_path / "a.dm3", whole.index(PIXELS.tobytes())
    for place in [*range(start), *range(start + PIXELS.nbytes, len(whole))][::2]:
        content = bytearray(whole)
        content[place] ^= 1 << place // 2 % 8
        _outcome(path, bytes(content))


@many
@given(content=st.binary(max_size=400), magic=st.sampled_from([b"", b"\0\0\0\3", b"\0\0\0\4"]))
def test_garbage_is_refused(tmp_path, content, magic):
    """Random bytes, with and without the first bytes of a dm file."""
    assert "read" != _outcome(tmp_path / "a.dm4", magic + content)


def test_a_header_that_claims_a_terapixel_allocates_nothing(tmp_path, write_dm):
    """10^6 x 10^6 px in a file of 10 kB, in the dimensions alone and in the length of the data too."""
    small = write_dm(tmp_path / "a.dm4", PIXELS).read_bytes()
    side, length = struct.pack("<I", 10**6), struct.pack(">Q", PIXELS.size)
    huge = small.replace(struct.pack("<I", 80), side).replace(struct.pack("<I", 64), side)
    if huge == small:  # nionswift-io writes dimensions as signed integers
        huge = small.replace(struct.pack("<i", 80), side).replace(struct.pack("<i", 64), side)
    assert huge != small
    assert length in small
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "not_a_micrograph" == _outcome(tmp_path / "b.dm4", huge)
    claimed = huge.replace(length, struct.pack(">Q", 10**12))
    assert _outcome(tmp_path / "b.dm4", claimed) in {"truncated", "not_a_micrograph"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # kB


def test_zeros_in_the_picture_are_not_taken_for_missing_data(tmp_path, write_dm):
    """Black borders, counting detectors and masks-like pictures are read."""
    random = np.random.default_rng(5)
    border = PIXELS.copy()
    border[-12:] = 0
    frame = PIXELS.copy()
    frame[-9:], frame[:9], frame[:, :9], frame[:, -9:] = 0, 0, 0, 0
    counts = random.poisson(0.02, PIXELS.shape).astype(np.int16)
    counts[0, 0] = 1
    binary = np.zeros_like(PIXELS)
    binary[10:30, 10:30] = 255
    for name, pixels in {"border": border, "frame": frame, "counts": counts, "binary": binary}.items():
        np.testing.assert_array_equal(
            pixels.astype(np.float32), formats.read(write_dm(tmp_path / f"{name}.dm3", pixels)).image
        )


@pytest.mark.parametrize("written", [80 * 20 + 33, 80 * 60 + 1, 80 * 40])
def test_a_picture_that_stops_in_zeros_is_refused(tmp_path, write_dm, written):
    """Within a row, or for more than a quarter of the rows: the last pixels were never written."""
    pixels = PIXELS.copy()
    pixels.flat[written:] = 0
    path = write_dm(tmp_path / "a.dm3", pixels)
    assert formats.complete(path) is None
    with pytest.raises(Refused, match="of 64 rows") as refusal:
        formats.read(path)
    assert "zero_filled" == refusal.value.code


def test_nothing_is_printed(tmp_path, capfd):
    """The libraries' remarks on damaged files reach neither output."""
    for content in (
        b"",
        b"\0" * 50,
        b"\0\0\0\3" + b"\xff" * 100,
        b"\0\0\0\4" + bytes(7) + b"\x10\0\0\0\1" + bytes(99),
    ):
        _outcome(tmp_path / "a.dm4", content)
    assert ("", "") == tuple(capfd.readouterr())


def test_another_format_under_the_name_is_named(tmp_path):
    """A TIFF called dm3 is refused, and the reason helps."""
    import tifffile

    tifffile.imwrite(tmp_path / "a.dm3", PIXELS)
    with pytest.raises(Refused, match="looks like a TIFF") as refusal:
        formats.read(tmp_path / "a.dm3")
    assert "not_a_micrograph" == refusal.value.code


def test_a_dm4_called_dm3_is_read(tmp_path, write_dm):
    """The version is in the file; the extension only says that it is DigitalMicrograph's."""
    path = write_dm(tmp_path / "a.dm4", PIXELS).rename(tmp_path / "a.DM3")
    assert PIXELS.shape == formats.read(path).image.shape


def test_a_macintosh_file_is_named(whole, tmp_path):
    """Big-endian files of the 1990s are refused with a way out."""
    place = 8 if whole[3] == 3 else 12
    (tmp_path / "a.dm3").write_bytes(whole[:place] + bytes(4) + whole[place + 4 :])
    with pytest.raises(Refused, match="Macintosh"):
        formats.read(tmp_path / "a.dm3")
