"""PNG and JPEG: read where a pixel size is given, grey alone, and never without their end."""

import io
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from temwatch import formats
from temwatch.acquisition.scan import KnownFiles, scan
from temwatch.commands import analyse
from temwatch.config import Config
from temwatch.errors import Refused
from temwatch.formats import png_jpeg

PIXELS = np.random.default_rng(31).integers(1, 250, (48, 64)).astype(np.uint8)
DEEP = np.random.default_rng(32).integers(1, 60000, (48, 64)).astype(np.uint16)


def picture(path, pixels=PIXELS, mode=None, **options):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def refusal(path, size=0.1) -> Refused:
    with pytest.raises(Refused) as found:
        formats.read(path) if size is None else formats.read(path, pixel_size_nm=size)
    return found.value


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [(PIXELS, None), (DEEP, None), (PIXELS, "P"), (PIXELS, "RGB"), (PIXELS, "RGBA"), (PIXELS, "LA")],
)
def test_grey_png(tmp_path, pixels, mode):
    """As grey, with a grey palette, in colour of equal channels, with a constant opacity."""
    path = picture(tmp_path / "a.png", pixels, mode)
    micrograph = formats.read(path, pixel_size_nm=0.25)
    assert (0.25, None, "user") == (
        micrograph.pixel_size_nm,
        micrograph.stated_pixel_size_nm,
        micrograph.pixel_size_source,
    )
    np.testing.assert_array_equal(pixels, micrograph.image)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
@pytest.mark.parametrize("options", [{}, {"mode": "RGB"}, {"progressive": True}])
def test_grey_jpeg(tmp_path, name, options):
    """As Pillow decodes it; pixels are those of the file, lossy as it is."""
    path = picture(tmp_path / name, quality=95, **options)
    with Image.open(path) as reference:
        expected = np.asarray(reference.convert("L"), np.float32)
    np.testing.assert_allclose(formats.read(path, pixel_size_nm=0.25).image, expected, atol=1)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_without_a_pixel_size_it_is_refused_with_the_remedy(tmp_path, name):
    """A resolution for printing is none."""
    reason = refusal(picture(tmp_path / name, dpi=(300, 300)), None)
    assert "no_pixel_size" == reason.code
    assert "--pixel-size" in str(reason)


def test_colour_and_masks(tmp_path):
    """A jpg of colours, a palette, an opacity that varies, a mask of 1 bit, CMYK."""
    colour = np.dstack([PIXELS, PIXELS, np.roll(PIXELS, 1)])
    for name, pixels, mode in (
        ("a.png", colour, None),
        ("b.jpg", colour, None),
        ("c.png", colour, "P"),
        ("d.png", np.dstack([PIXELS] * 4), None),
        ("e.png", PIXELS > 100, None),
        ("f.jpg", PIXELS, "CMYK"),
    ):
        assert "not_grey" == refusal(picture(tmp_path / name, pixels, mode)).code, name


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_cut_and_damaged_ones(tmp_path, name):
    """A decoder would fill the rest with grey; a flipped bit is seen, or is another picture."""
    whole = picture(tmp_path / name).read_bytes()
    path = tmp_path / f"cut_{name}"
    for length in [*range(1, 60), *range(60, len(whole), 97), len(whole) - 3]:
        path.write_bytes(whole[:length])
        assert refusal(path).code in {"truncated", "not_a_micrograph"}
    path.write_bytes(whole[:200] + bytes(len(whole) - 200))
    assert refusal(path).code in {"zero_filled", "truncated", "not_a_micrograph"}
    reasons = []
    for place in range(0, min(700, len(whole)), 3):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            assert np.isfinite(formats.read(path, pixel_size_nm=0.1).image).all()
        except Refused as error:
            reasons.append(str(error))
    assert reasons
    assert not any("\n" in reason for reason in reasons)


@pytest.mark.parametrize("sides", [(2**31 - 1, 2**31 - 1), (10**6, 10**6), (0, 5)])
def test_absurd_sizes_allocate_nothing(tmp_path, sides):
    """What a header declares is compared with the file."""
    content = bytearray(picture(tmp_path / "a.png").read_bytes())
    struct.pack_into(">II", content, 16, *sides)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Refused) as found:
        formats.open_source(tmp_path / "a.png", pixel_size_nm=0.1)
    assert "not_a_micrograph" == found.value.code


def test_a_jpeg_of_markers_alone_ends(tmp_path):
    """Segments without length, one behind the other."""
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + b"\xff\xd0" * 5000 + b"\xff" * 5000)
    assert refusal(tmp_path / "a.jpg").code in {"truncated", "not_a_micrograph"}


def test_an_intake_says_why_they_are_passed_over(tmp_path):
    """Of png only where no micrograph lies beside them: there they are masks and plots."""
    for name in ("a/mask.png", "a/Au.dm3", "b/Au.png", "b/Au.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for known in ({}, {"a/Au.dm3": (0, 0, 0)}):
        told = []
        list(scan(tmp_path, ["*.dm3"], skipped=told.append, known=KnownFiles(known, examined=False)))
        assert ["b/*.jpg", "b/*.png"] == sorted(entry.path for entry in told)
        assert all("pixel_size_nm" in entry.reason for entry in told)


def _found(folder, output, size, capsys):
    config = Config.model_validate({"watch": {"folder": str(output)}, "output": {"folder": str(output)}})
    arguments = SimpleNamespace(paths=[folder], pixel_size=size, sample=None, config=None)
    arrivals = analyse._find_files(arguments, config)
    return sorted(arrival.path for arrival in arrivals), capsys.readouterr().err


def test_analyse_reads_a_folder_of_them_with_a_pixel_size_alone(tmp_path, capsys):
    """Beside micrographs they are left out also then; one that is named is always taken."""
    folder, output = tmp_path / "b", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    picture(folder / "Au.png")
    found, said = _found(folder, output, None, capsys)
    assert ([], True) == (found, "--pixel-size" in said)
    assert (["Au.png"], "") == _found(folder, output, 0.1, capsys)
    assert ["Au.png"] == _found(folder / "Au.png", output, None, capsys)[0]
    (folder / "Au.dm3").write_bytes(b"x")
    assert (["Au.dm3"], "") == _found(folder, output, 0.1, capsys)


def test_a_stream_is_not_needed_twice(tmp_path):
    """Pillow writes a trailer for some cameras: bytes behind the end do no harm."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue() + b"trailer" * 100)
    np.testing.assert_array_equal(PIXELS, formats.read(tmp_path / "a.png", pixel_size_nm=0.1).image)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "RGB", "restart_marker_blocks": 5}])
def test_a_jpeg_without_a_part_of_its_picture_is_truncated(tmp_path, options):
    """Cut in the middle, with the end of a small picture in it or its own; it was filled with grey."""
    thumbnail = picture(tmp_path / "small.jpg", PIXELS[:16, :16]).read_bytes()
    path = picture(tmp_path / "a.jpg", quality=90, **options)
    whole = path.read_bytes()
    whole = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + whole[2:]
    path.write_bytes(whole + b"what programs add")
    assert PIXELS.shape == formats.read(path, pixel_size_nm=0.1).image.shape
    half = len(whole) - len(whole[-1500:])
    cuts = [whole[:half], whole[:half] + b"\xff\xd9", whole[:-9] + b"\xff\xd9"]
    for damaged in cuts + [whole[:half] + whole[-200:]] * (not options):
        path.write_bytes(damaged)
        assert "truncated" == refusal(path).code


def test_a_picture_with_more_beside_it_than_it_can_need_is_not_read(tmp_path, monkeypatch):
    """Before memory is taken for it."""
    monkeypatch.setattr(png_jpeg, "_BESIDES_BYTES", 2**20)
    path = picture(tmp_path / "a.png")
    whole = path.read_bytes()
    chunk = struct.pack(">I", 2**21) + b"teXt"
    with path.open("wb") as stream:
        stream.write(whole[:-12] + chunk)
        stream.seek(2**21 + 4, io.SEEK_CUR)
        stream.write(whole[-12:])
    assert "too much for its picture" in str(refusal(path))
