"""Whatever the directory of a TIFF says, there is a micrograph or a reason."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temwatch import formats
from temwatch.errors import FAILURE_CODES, REFUSAL_CODES, InputError

ROWS, COLUMNS = 24, 32
PIXELS = np.random.default_rng(8).integers(1, 60000, (ROWS, COLUMNS)).astype("<u2").tobytes()
START = 8  # of the pixels
WHOLE = {
    256: (4, [COLUMNS]),
    257: (4, [ROWS]),
    258: (3, [16]),
    259: (3, [1]),
    262: (3, [1]),
    273: (4, [START]),
    277: (3, [1]),
    278: (4, [ROWS]),
    279: (4, [len(PIXELS)]),
    282: (5, [(40, 1)]),
    283: (5, [(40, 1)]),
    296: (3, [5]),
}
"""Tags of a micrograph of 25 nm a pixel: type and values by number."""

PACKED = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q"}
EXTREMES = [0, 1, 2, 3, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
WORDS = st.sampled_from(
    [
        "ImageJ=1.53t\nimages=3\nslices=3\nunit=nm\nspacing=x\nloop=false",
        "ImageJ=1.11a\nimages=-1\nchannels=0\nframes=1e9\nunit=\\u00B5m\nyunit=s\nfinterval=nan",
        '{"shape": [0], "axes": 7}',
        '{"shape": [24, 32], "axes": "ZZZ"}',
        '<?xml version="1.0"?><OME><Image><Pixels SizeC="x" SizeZ="-3" SizeT="1e400" PhysicalSizeX="" '
        'PhysicalSizeXUnit="nm" TimeIncrement="nan"/></Image></OME>',
        "<OME",
        "[Scan]\r\nPixelWidth=\r\nPixelHeight=1e-400\r\n",
        "mode=diffraction",
        "XpixCal=150.0\nYpixCal=1e400\nUnit=um",
        "XpixCal=2.5YpixCal=2.5Unit=nm",
        "<TemReporter><Eos><EosMode>eosTEM</EosMode></Eos><ImageFormingSystem><ModeString>MAG</ModeString>"
        "<SelectorValue>1e-400</SelectorValue></ImageFormingSystem></TemReporter>",
        "<FeiImage><pixelWidth unit='nm'>x</pixelWidth></FeiImage>",
        "0\r\n0\r\n0\r\n1e400\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 0 nm",
        "JEOL Ltd.",
    ]
)
INTEGER = st.sampled_from(EXTREMES) | st.integers(0, 2**32 - 1)
VALUE = st.one_of(
    st.tuples(st.sampled_from([1, 3, 4, 6, 8, 9, 16]), st.lists(INTEGER, max_size=4)),
    st.tuples(st.sampled_from([5, 10]), st.lists(st.tuples(INTEGER, INTEGER), max_size=2)),
    st.tuples(st.sampled_from([11, 12]), st.lists(st.floats(width=32), max_size=3)),
    st.tuples(st.just(2), WORDS | st.text(max_size=30)),
    st.tuples(st.integers(0, 20), st.binary(max_size=24)),
)
OTHERS = [
    254, 255, 266, 270, 271, 274, 284, 306, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347,
    33550, 33560, 34118, 34361, 34680, 34682, 34683, 37706, 50838, 50839,
    65003, 65004, 65005, 65009, 65010, 65011,
]  # fmt: skip
NUMBER = st.sampled_from([*WHOLE, *OTHERS]) | st.integers(0, 2**16 - 1)


def packed(kind, values) -> tuple[int, bytes]:
    """Count and content of a tag."""
    if isinstance(values, bytes):
        return len(values), values
    if isinstance(values, str):
        content = values.encode("utf-8", "replace") + b"\0"
        return len(content), content
    if kind in (5, 10):
        return len(values), b"".join(struct.pack("<II", *pair) for pair in values)
    if kind in (11, 12):
        return len(values), struct.pack(f"<{len(values)}{PACKED[kind]}", *values)
    size = struct.calcsize(PACKED[kind])
    return len(values), b"".join((value % 256**size).to_bytes(size, "little") for value in values)


def tiff(pages) -> bytes:
    """A TIFF of these directories, each a dict of tags; pixels and long values lie where they belong."""
    content = bytearray(b"II*\0\0\0\0\0" + PIXELS)
    link = 4
    for tags in pages:
        entries = []
        for number, (kind, values) in sorted(tags.items()):
            count, value = packed(kind, values)
            if len(value) > 4:
                content += b"\0" * (len(content) % 2)
                place = len(content)
                content += value
                value = struct.pack("<I", place)
            entries.append(struct.pack("<HHI4s", number, kind, count, value.ljust(4, b"\0")))
        content += b"\0" * (len(content) % 2)
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<H", len(entries)) + b"".join(entries)
        link = len(content)
        content += bytes(4)
    return bytes(content)


def test_the_whole_one_is_read(tmp_path):
    """What is changed below is a good micrograph to begin with."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([WHOLE]))
    micrograph = formats.read(path)
    assert (25.0, (ROWS, COLUMNS)) == (micrograph.pixel_size_nm, micrograph.image.shape)
    path.write_bytes(tiff([WHOLE, WHOLE, WHOLE]))
    assert 3 == formats.open_source(path).frames


def outcome_of(path, pixel_size_nm) -> str:
    """Code of the refusal, or "read"."""
    try:
        source = formats.open_source(path, pixel_size_nm=pixel_size_nm)
        image = source.load(0)
    except InputError as error:
        return error.code
    assert 1e-4 <= source.pixel_size_nm <= 1e6
    assert source.shape == image.shape
    assert np.isfinite(image).all()
    return "read"


CHANGES = st.lists(st.dictionaries(NUMBER, VALUE, max_size=6), min_size=1, max_size=3)


@pytest.mark.parametrize(
    "cases", [300, pytest.param(20_000, marks=[pytest.mark.soak, pytest.mark.timeout(0)])]
)
def test_whatever_its_tags_say_there_is_a_micrograph_or_a_reason(tmp_path, cases):
    """Any tag with any type and value, on one page or several; with and without a given size."""
    path = tmp_path / "a.tif"

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        changes=CHANGES,
        without=st.sets(st.sampled_from(list(WHOLE)), max_size=1),
        size=st.none() | st.floats(),
    )
    def read(changes, without, size):
        kept = {number: value for number, value in WHOLE.items() if number not in without}
        path.write_bytes(tiff([kept | change for change in changes]))
        outcome = outcome_of(path, size)
        assert outcome == "read" or outcome in {*REFUSAL_CODES, *FAILURE_CODES}
        outcomes.add(outcome)

    outcomes = set()
    read()
    print(sorted(outcomes))
    assert {"read", "not_a_micrograph"} <= outcomes
