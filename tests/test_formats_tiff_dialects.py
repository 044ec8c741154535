"""TIFF as microscopes write it: grey pictures stored as colour, and where each maker puts the pixel size."""

import time

import numpy as np
import pytest
import tifffile

from temwatch import formats
from temwatch.domain import Metadata
from temwatch.errors import Refused

PIXELS = np.random.default_rng(11).integers(1, 60000, (48, 64)).astype(np.uint16)
BYTES = (PIXELS % 256).astype(np.uint8)
STACK = np.random.default_rng(12).integers(1, 60000, (4, 48, 64)).astype(np.uint16)
RAMP = np.tile((np.arange(256) * 257).astype(np.uint16), (3, 1))


def write(path, pixels=PIXELS, **options):
    tifffile.imwrite(path, pixels, **({"photometric": "minisblack", "metadata": None} | options))
    return path


def refusal(path, size=None) -> Refused:
    with pytest.raises(Refused) as found:
        formats.open_source(path, pixel_size_nm=size)
    return found.value


class TestGrey:
    """Pictures that are grey, whatever they are stored as."""

    @pytest.mark.parametrize(
        ("pixels", "options"),
        [
            (np.dstack([BYTES] * 3), {}),
            (np.dstack([PIXELS] * 3), {"compression": "lzw"}),
            (np.stack([PIXELS] * 3), {"planarconfig": "separate"}),
            (np.dstack([BYTES] * 3 + [np.full_like(BYTES, 255)]), {"extrasamples": ["unassalpha"]}),
            (np.dstack([BYTES] * 3), {"tile": (16, 16), "compression": "zlib"}),
        ],
    )
    def test_colour_of_three_equal_channels(self, tmp_path, pixels, options):
        """As screenshots and exports of several programs are; a constant opacity says nothing."""
        path = write(tmp_path / "a.tif", pixels, photometric="rgb", **options)
        expected = pixels[0] if "planarconfig" in options else pixels[..., 0]
        np.testing.assert_array_equal(expected, formats.read(path, pixel_size_nm=0.1).image)

    @pytest.mark.parametrize("palette", [RAMP, RAMP[:, ::-1], RAMP // 257 * 256])
    def test_a_grey_palette(self, tmp_path, palette):
        """DigitalMicrograph and others write one; the grey values are those of the palette."""
        path = write(tmp_path / "a.tif", BYTES, photometric="palette", colormap=palette)
        np.testing.assert_array_equal(palette[0][BYTES], formats.read(path, pixel_size_nm=0.1).image)

    def test_a_coloured_palette_is_refused(self, tmp_path):
        """One entry that is not grey is enough."""
        palette = RAMP.copy()
        palette[1, 7] += 1
        path = write(tmp_path / "a.tif", BYTES, photometric="palette", colormap=palette)
        assert "not_grey" == refusal(path, 0.1).code

    def test_a_large_coloured_picture_is_refused_when_it_is_loaded(self, tmp_path, monkeypatch):
        """Its pixels are not read to open it."""
        monkeypatch.setattr("temwatch.formats.tiff_grey._LARGEST_EXAMINED_BYTES", 1000)
        path = write(tmp_path / "a.tif", np.dstack([BYTES, BYTES, BYTES + 1]), photometric="rgb")
        source = formats.open_source(path, pixel_size_nm=0.1)
        with pytest.raises(Refused) as found:
            source.load(0)
        assert "not_grey" == found.value.code

    @pytest.mark.parametrize("is_first", [True, False])
    def test_of_two_pages_the_grey_one_counts(self, tmp_path, is_first):
        """JEOL: a coloured page of 8 bit with a scale bar burned into it, a grey one of 16 bit."""
        coloured = np.dstack([BYTES] * 3)
        coloured[40:44, 4:20] = (255, 0, 0)
        coloured = np.vstack([coloured, np.zeros((6, 64, 3), np.uint8)])
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            pages = [(coloured, "rgb"), (PIXELS, "minisblack")]
            for pixels, photometric in pages if is_first else pages[::-1]:
                tif.write(pixels, photometric=photometric, metadata=None)
        micrograph = formats.read(tmp_path / "a.tif", pixel_size_nm=0.1)
        assert micrograph.frame is None
        np.testing.assert_array_equal(PIXELS, micrograph.image)

    def test_a_grey_thumbnail_does_not_stand_for_a_coloured_picture(self, tmp_path):
        """It is much smaller."""
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            tif.write(np.dstack([BYTES, BYTES, BYTES + 1]), photometric="rgb", metadata=None)
            tif.write(PIXELS[::2, ::2].copy(), photometric="minisblack", metadata=None)
        assert "not_grey" == refusal(tmp_path / "a.tif", 0.1).code


AMT = "AMT Camera System\n11/18/09\n14:12\n8000\nImaging\n\nXpixCal={x}\nYpixCal={y}\nUnit={unit}\n##fv3\n"


class TestMakers:
    """Where each of them puts the pixel size."""

    @pytest.mark.parametrize(
        ("description", "nm"),
        [
            (AMT.format(x="65.569", y="65.569", unit="micron"), 1000 / 65.569),
            ("BNL JEM-1400 XpixCal=2520.415000YpixCal=2520.415000Unit=um 80 kV", 1000 / 2520.415),
            (AMT.format(x="1.25e1", y="1.25e1", unit="nm"), 0.08),
        ],
    )
    def test_AMT(self, tmp_path, description, nm):
        """Pixels per unit in the description, on lines or in one row."""
        path = write(tmp_path / "a.tif", description=description)
        source = formats.open_source(path)
        assert nm == pytest.approx(source.pixel_size_nm, rel=1e-9)
        assert source.stated_pixel_size_nm == source.pixel_size_nm

    @pytest.mark.parametrize("number", ["150.000000", "1", "0.0"])
    def test_the_template_of_AMT_is_no_calibration(self, tmp_path, number):
        """Seen at every magnification of a microscope; resolution tags beside it repeat it."""
        description = AMT.format(x=number, y=number, unit="um")
        path = write(
            tmp_path / "a.tif",
            description=description,
            resolution=(1.5e6, 1.5e6),
            resolutionunit="CENTIMETER",
        )
        reason = refusal(path)
        assert "no_pixel_size" == reason.code
        assert "template" in str(reason)
        assert 0.3 == formats.open_source(path, pixel_size_nm=0.3).pixel_size_nm

    def test_AMT_of_different_axes_and_without_a_unit(self, tmp_path):
        """As in every dialect."""
        path = write(tmp_path / "a.tif", description=AMT.format(x="65.5", y="70.5", unit="um"))
        assert "anisotropic" == refusal(path).code
        path = write(tmp_path / "b.tif", description="XpixCal=65.5")
        assert "no_pixel_size" == refusal(path).code

    def _sightx(self, eos="eosTEM", mode="MAG", value="40000"):
        return (
            f"<TemReporter><Eos><EosMode>{eos}</EosMode></Eos><ImageFormingSystem><ModeString>{mode}</ModeString>"
            f"<SelectorValue>{value}</SelectorValue></ImageFormingSystem></TemReporter>"
        )

    @pytest.mark.parametrize(("unit", "px"), [("CENTIMETER", 1000.0), ("INCH", 2540.0)])
    def test_JEOL_SightX(self, tmp_path, unit, px):
        """10 µm of the camera at 40,000 times are 0.25 nm."""
        options = {"resolution": (px, px), "resolutionunit": unit}
        tags = [(271, "s", 0, "JEOL Ltd.", True)]
        path = write(tmp_path / "a.tif", description=self._sightx(), extratags=tags, **options)
        source = formats.open_source(path)
        assert 0.25 == pytest.approx(source.pixel_size_nm, rel=1e-6)
        assert "JEOL Ltd." == source.metadata.instrument
        stem = write(tmp_path / "b.tif", description=self._sightx("modeASID"), extratags=tags, **options)
        assert "no_pixel_size" == refusal(stem).code
        pattern = write(tmp_path / "c.tif", description=self._sightx(mode="DIFF"), extratags=tags, **options)
        assert "not_real_space" == refusal(pattern, 0.3).code

    @pytest.mark.parametrize(
        ("number", "text", "nm"),
        [
            (2e-10, "Image Pixel Size = 250.0 pm", 0.25),  # they disagree: the text counts
            (3.996e-9, "Image Pixel Size = 64 nm", 63.936),  # they agree: the exact number counts
            (4e-9, "", 64.0),
        ],
    )
    def test_Zeiss(self, tmp_path, number, text, nm):
        """SmartSEM: the unnamed number is for a width of 1024 px, here 64."""
        lines = ["0", "0", "0", f"{number:g}", "0", "AP_WIDTH", "Width = 5 µm"]
        lines += ["AP_IMAGE_PIXEL_SIZE", text] if text else []
        content = "\r\n".join(lines).encode("latin-1")
        path = write(tmp_path / "a.tif", extratags=[(34118, "s", 0, content, True)])
        assert nm == pytest.approx(formats.open_source(path).pixel_size_nm, rel=1e-6)

    def test_Phenom(self, tmp_path):
        """XML with its own unit, in the tag of FEI's."""
        xml = (
            '<FeiImage><databarHeight>0</databarHeight><pixelWidth unit="um">0.00025</pixelWidth>'
            '<pixelHeight unit="um">0.00025</pixelHeight></FeiImage>'
        )
        path = write(tmp_path / "a.tif", extratags=[(34683, "s", 0, xml, True)])
        assert 0.25 == pytest.approx(formats.open_source(path).pixel_size_nm)

    def test_DigitalMicrograph_without_a_calibration_invents_none(self, tmp_path):
        """Scale 1.0 without a unit, a grey palette, a resolution for printing."""
        tags = [(65003, "s", 0, "", True), (65004, "s", 0, "", True)]
        tags += [(number, "d", 1, 1.0, True) for number in (65009, 65010)]
        options = {
            "photometric": "palette",
            "colormap": RAMP,
            "resolution": (72, 72),
            "resolutionunit": "INCH",
        }
        path = write(tmp_path / "a.tif", BYTES, extratags=tags, **options)
        assert "no_pixel_size" == refusal(path).code
        micrograph = formats.read(path, pixel_size_nm=0.3)
        assert (0.3, None) == (micrograph.pixel_size_nm, micrograph.stated_pixel_size_nm)
        np.testing.assert_array_equal(BYTES * 257.0, micrograph.image)

    def test_a_stack_of_DigitalMicrograph_without_a_calibrated_third_axis(self, tmp_path):
        """Frames; the time between them is not known."""
        tags = [(number, "s", 0, "nm", True) for number in (65003, 65004)] + [(65005, "s", 0, "", True)]
        tags += [
            (number, "d", 1, scale, True) for number, scale in ((65009, 0.25), (65010, 0.25), (65011, 1.0))
        ]
        source = formats.open_source(write(tmp_path / "a.tif", STACK, extratags=tags))
        assert (4, 0.25, None) == (source.frames, source.pixel_size_nm, source.interval_s)


HITACHI = """[SemImageFile]
InstructName=HT7800
Date=2024/05/27
Time=14:03:11
AcceleratingVoltage=100000 Volt
Magnification=50000
DataSize=64x48
PixelSize=0.25
MicronMarker=200
"""


class TestHitachi:
    """A text beside the picture."""

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
    def test_the_text_beside_a_picture(self, tmp_path, encoding):
        """Pixel size in nm, voltage, magnification, time; whatever program wrote it."""
        path = write(tmp_path / "a.tif")
        path.with_suffix(".txt").write_bytes(HITACHI.replace("\n", "\r\n").encode(encoding))
        source = formats.open_source(path, pixel_size_nm=9.9)
        assert (0.25, 0.25) == (source.pixel_size_nm, source.stated_pixel_size_nm)
        assert (100.0, 50000.0, "HT7800") == (
            source.metadata.voltage_kV,
            source.metadata.magnification,
            source.metadata.instrument,
        )
        assert (2024, 5, 27, 14, 3) == source.acquired_at.astimezone().timetuple()[:5]

    def test_it_is_found_beside_the_original_of_a_copy(self, tmp_path):
        """The service reads a copy in its spool."""
        write(tmp_path / "share.tif")
        (tmp_path / "share.txt").write_text(HITACHI)
        copy = write(tmp_path / "17.tif")
        assert 0.25 == formats.open_source(copy, original=tmp_path / "share.tif").pixel_size_nm

    def test_the_file_counts_before_it(self, tmp_path):
        """A calibration in the file itself."""
        path = write(tmp_path / "a.tif", resolution=(2e7, 2e7), resolutionunit="CENTIMETER")
        path.with_suffix(".txt").write_text(HITACHI)
        assert 0.5 == pytest.approx(formats.open_source(path).pixel_size_nm)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "notes about PixelSize=0.25",
            HITACHI.replace("PixelSize=0.25", "PixelSize="),
            HITACHI.replace("PixelSize=0.25", "PixelSize=nan"),
            HITACHI.replace("64x48", "1280x960"),
            "[SemImageFile]" + "x" * 10**6 + "\nPixelSize=0.25",
        ],
    )
    def test_other_texts_say_nothing(self, tmp_path, text):
        """Notes, damaged ones, one of a picture of another width, one too long."""
        path = write(tmp_path / "a.tif")
        path.with_suffix(".txt").write_text(text)
        assert "no_pixel_size" == refusal(path).code
        assert 0.3 == formats.open_source(path, pixel_size_nm=0.3).pixel_size_nm

    def test_a_text_made_of_blanks_costs_no_time(self, tmp_path):
        """A pattern would search it for minutes."""
        path = write(tmp_path / "a.tif")
        blanks = "1" + " " * 15_000 + "x"
        hostile = HITACHI.replace("2024/05/27", blanks).replace("HT7800", blanks)
        path.with_suffix(".txt").write_text(hostile)
        started_s = time.process_time()
        assert 0.25 == formats.open_source(path).pixel_size_nm
        assert time.process_time() - started_s < 2

    def test_what_is_no_number_or_not_printed_is_left_out(self, tmp_path):
        """The page, reports and workbooks could not hold it."""
        path = write(tmp_path / "a.tif")
        hostile = HITACHI.replace("=100000", "=nan").replace("=50000", "=inf").replace("HT7800", "HT\1")
        path.with_suffix(".txt").write_text(hostile)
        assert Metadata(instrument="HT") == formats.open_source(path).metadata

    def test_a_folder_or_pipe_in_its_place_is_passed_over(self, tmp_path):
        """Nothing waits for it."""
        path = write(tmp_path / "a.tif")
        (tmp_path / "a.txt").mkdir()
        assert "no_pixel_size" == refusal(path).code
