"""SER of TIA: pixels and sizes as ncempy reads them, what is no micrograph, and damage."""

import struct
from datetime import UTC, datetime

import numpy as np
import pytest
from ncempy.io import ser as ncempy_ser

from format_files import write_ser
from temwatch import formats
from temwatch.errors import InputError, Refused

PICTURES = list(np.random.default_rng(23).integers(1, 30000, (3, 48, 64)).astype(np.uint16))


def refusal(path, size=None) -> Refused:
    with pytest.raises(Refused) as found:
        formats.open_source(path, pixel_size_nm=size)
    return found.value


@pytest.mark.parametrize("version", [0x210, 0x220])
def test_ncempy_reads_the_same(tmp_path, version):
    """Of both versions: every picture, and the size of a pixel in m."""
    path = write_ser(tmp_path / "a_1.ser", PICTURES, version=version)
    frames = list(formats.read_frames(path))
    with ncempy_ser.fileSER(str(path)) as reference:
        for index, micrograph in enumerate(frames):
            pixels, said = reference.getDataset(index)
            np.testing.assert_array_equal(pixels, micrograph.image)
            size_nm = said["Calibration"][0]["CalibrationDelta"] * 1e9
            assert size_nm == pytest.approx(micrograph.pixel_size_nm)
    assert [0.25] * 3 == pytest.approx([micrograph.pixel_size_nm for micrograph in frames])
    assert datetime.fromtimestamp(1_700_000_000, UTC) == frames[0].acquired_at


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"])
def test_every_number_type(tmp_path, dtype):
    """One picture is a micrograph."""
    picture = (PICTURES[0] % 120).astype(dtype)
    micrograph = formats.read(write_ser(tmp_path / "a.ser", [picture]))
    assert micrograph.frame is None
    np.testing.assert_array_equal(picture.astype(np.float32), micrograph.image)


def test_the_time_between_the_pictures(tmp_path):
    """Where the axis along which they lie is time."""
    path = write_ser(tmp_path / "a.ser", PICTURES, dimensions=[(3, 0.5, "s")])
    assert 0.5 == formats.open_source(path).interval_s


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("not_real_space", {"step_m": 2.3e7}),
        ("no_pixel_size", {"step_m": 1.0}),
        ("no_pixel_size", {"step_m": 0.0}),
        ("no_pixel_size", {"step_m": float("nan")}),
        ("spectroscopy", {"kind": 0x4120}),
        ("not_a_micrograph", {"kind": 0x4125}),
        ("not_a_micrograph", {"version": 0x230}),
        ("not_real_space", {"dimensions": [(2, 1.0, "m"), (2, 1.0, "m")]}),
        ("not_a_sequence", {"steps": [(2.5e-10, 2.5e-10)] * 2 + [(5e-10, 5e-10)]}),
        ("anisotropic", {"steps": [(2.5e-10, 5e-10)] * 3}),
    ],
)
def test_what_is_no_micrograph(tmp_path, code, options):
    """A pattern has steps in 1/m; an unknown version is named."""
    reason = refusal(write_ser(tmp_path / "a.ser", PICTURES, **options))
    assert code == reason.code
    if "version" in options:
        assert "0x0230" in str(reason)
    if code == "no_pixel_size":
        assert 0.3 == formats.open_source(tmp_path / "a.ser", pixel_size_nm=0.3).pixel_size_nm


def test_complex_numbers(tmp_path):
    """A Fourier transform."""
    assert "not_grey" == refusal(write_ser(tmp_path / "a.ser", [PICTURES[0].astype(np.complex64)])).code


def test_an_acquisition_that_ended_before_its_first_picture(tmp_path):
    """It declares three, and none is valid."""
    path = write_ser(tmp_path / "a.ser", PICTURES)
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 18, 0)
    path.write_bytes(content)
    assert "no picture" in str(refusal(path))
    struct.pack_into("<i", content, 18, 1)  # one is
    path.write_bytes(content)
    np.testing.assert_array_equal(PICTURES[0], formats.read(path).image)


EMI = """junk<ObjectInfo><AcquireDate>Wed Mar 25 10:53:55 2015</AcquireDate>
<Manufacturer>FEI Company</Manufacturer>
<AcquireInfo><DwellTimePath>0.5</DwellTimePath></AcquireInfo><ExperimentalDescription><Root>
<Data><Label>High tension</Label><Value>200</Value><Unit>kV</Unit></Data>
<Data><Label>Magnification</Label><Value>80000</Value><Unit>x</Unit></Data></Root></ExperimentalDescription>
</ObjectInfo>\0\1junk"""


def test_the_emi_beside_it_describes_it(tmp_path):
    """Also where the .ser is a copy in the spool; a damaged one says nothing."""
    write_ser(tmp_path / "Au_1.ser", PICTURES[:1])
    (tmp_path / "Au.emi").write_text(EMI)
    copy = write_ser(tmp_path / "17.ser", PICTURES[:1])
    said = formats.open_source(copy, original=tmp_path / "Au_1.ser").metadata
    assert (200.0, 80000.0, "FEI Company", 0.5) == (
        said.voltage_kV,
        said.magnification,
        said.instrument,
        said.exposure_s,
    )
    many = "<ObjectInfo>" * 20_000  # a pattern would search them for minutes
    not_finite = EMI.replace("200<", "nan<")
    for damaged in ("", "<ObjectInfo></Object", EMI.replace("</Root>", ""), many, not_finite):
        (tmp_path / "Au.emi").write_text(damaged)
        assert formats.open_source(tmp_path / "Au_1.ser").metadata.voltage_kV is None


@pytest.mark.parametrize("length", [0, 3, 20, 30, 60, 200, 7000, -30])
def test_a_cut_file_is_truncated(tmp_path, length):
    """The tags at the end may be missing, they are no pixels."""
    path = write_ser(tmp_path / "a.ser", PICTURES)
    path.write_bytes(path.read_bytes()[:length])
    assert refusal(path, 0.3).code in {"empty", "truncated", "not_a_micrograph"}


@pytest.mark.parametrize(
    ("place", "form", "value"),
    [
        (14, "ii", (2**31 - 1, 2**31 - 1)),
        (18, "i", (-1,)),
        (22, "q", (2**63 - 1,)),
        (22, "q", (-5,)),
        (30, "i", (2**31 - 1,)),
        (58, "i", (2**31 - 1,)),
        (-1, "ii", (2**31 - 1, 2**31 - 1)),
    ],
)
def test_absurd_numbers_allocate_nothing(tmp_path, place, form, value):
    """Counts, offsets, axes, lengths of texts, sizes in px."""
    path = write_ser(tmp_path / "a.ser", PICTURES)
    content = bytearray(path.read_bytes())
    if place < 0:
        place = content.index(PICTURES[0][::-1].tobytes()) - 8
    struct.pack_into("<" + form, content, place, *value)
    path.write_bytes(content)
    assert refusal(path, 0.3).code in {"truncated", "not_a_micrograph"}


def test_a_file_that_shrinks_after_it_was_opened(tmp_path):
    """The failure says so; nothing crashes."""
    path = write_ser(tmp_path / "a.ser", PICTURES)
    source = formats.open_source(path)
    path.write_bytes(path.read_bytes()[:7000])
    with pytest.raises(InputError) as found:
        source.load(2)
    assert "changed" == found.value.code
