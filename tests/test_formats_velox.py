"""EMD of Velox: pixels and sizes as ncempy reads them, what is no micrograph, and hostile HDF5."""

import resource
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from ncempy.io import emdVelox

from format_files import velox_metadata, write_velox
from temwatch import formats
from temwatch.errors import InputError, Refused

PIXELS = np.random.default_rng(24).integers(1, 30000, (48, 64, 1)).astype(np.uint16)
STACK = np.random.default_rng(25).integers(1, 30000, (48, 64, 4)).astype(np.int16)


def one(pixels=PIXELS, **said):
    return {"a1b2": (pixels, [velox_metadata(**said)] * pixels.shape[2])}


def refusal(path, size=None) -> Refused:
    with pytest.raises(Refused) as found:
        formats.open_source(path, pixel_size_nm=size)
    return found.value


@pytest.mark.parametrize("version", ["1", "9", "11"])
@pytest.mark.parametrize(
    "options", [{}, {"chunks": (48, 64, 1), "compression": "gzip"}, {"chunks": (8, 8, 1)}]
)
def test_ncempy_reads_the_same(tmp_path, version, options):
    """Pixels and pixel size of a picture of a camera; the rest of what it says."""
    path = write_velox(tmp_path / "a.emd", one(), version=version, **options)
    micrograph = formats.read(path)
    np.testing.assert_array_equal(PIXELS[..., 0], micrograph.image)
    with emdVelox.fileEMDVelox(str(path)) as reference:
        pixels, said = reference.get_dataset(0)
    np.testing.assert_array_equal(pixels.reshape(48, 64), micrograph.image)
    assert "nm" == said["pixelUnit"][0]
    assert said["pixelSize"][0] == pytest.approx(micrograph.pixel_size_nm)
    assert 0.25 == pytest.approx(micrograph.pixel_size_nm)
    assert datetime.fromtimestamp(1_700_000_000, UTC) == micrograph.acquired_at
    stated = micrograph.metadata
    assert (200.0, 80000.0, "FEI Company Talos F200X", 0.5) == (
        stated.voltage_kV,
        stated.magnification,
        stated.instrument,
        stated.exposure_s,
    )


@pytest.mark.parametrize("chunks", [None, (48, 64, 1), (48, 64, 4), (16, 16, 2)])
def test_a_stack_is_read_frame_by_frame(tmp_path, chunks):
    """However it is stored; the time of a frame of a scan is known, that of a camera is not."""
    path = write_velox(tmp_path / "a.emd", one(STACK, frame_time=0.75, detector="HAADF"), chunks=chunks)
    frames = list(formats.read_frames(path))
    for index, micrograph in enumerate(frames):
        np.testing.assert_array_equal(STACK[..., index], micrograph.image)
    assert [0.0, 0.75, 1.5, 2.25] == [micrograph.frame.elapsed_s for micrograph in frames]
    assert formats.open_source(write_velox(tmp_path / "b.emd", one(STACK))).interval_s is None


def test_of_several_detectors_one_is_read(tmp_path):
    """HAADF, else BF; never one at random, and never the pattern taken along."""
    haadf = (PIXELS + 1, [velox_metadata(detector="HAADF")])
    bf = (PIXELS + 2, [velox_metadata(detector="BF")])
    dark = (PIXELS + 3, [velox_metadata(detector="DF2")])
    pattern = (PIXELS, [velox_metadata(1e7, "1/m", "BM-Ceta")])
    complex_ = np.zeros((48, 64, 1), [("realFloat", "<f4"), ("imagFloat", "<f4")])
    fft = (complex_, [velox_metadata(1e7, "1/m", "HAADF")])
    for pictures, expected in (
        ({"a": dark, "b": haadf, "c": bf, "d": fft}, 1),
        ({"a": dark, "b": bf, "c": pattern}, 2),
        ({"a": dark, "b": pattern, "c": fft}, 3),
    ):
        path = write_velox(tmp_path / "a.emd", pictures)
        np.testing.assert_array_equal(PIXELS[..., 0] + expected, formats.read(path).image)
    reason = refusal(write_velox(tmp_path / "a.emd", {"a": dark, "b": dark}))
    assert ("not_a_sequence", True) == (reason.code, "DF2" in str(reason))
    assert "not_grey" == refusal(write_velox(tmp_path / "a.emd", {"a": fft})).code


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (bool, "a mask (true or false)"),
        (h5py.enum_dtype({"NONE": 0, "GOLD": 1}), "labels (an enumeration)"),
        ([("realFloat", "<f4"), ("imagFloat", "<f4")], "complex numbers"),
    ],
)
def test_what_is_no_grey_picture_is_named(tmp_path, dtype, words):
    """Not everything that is no grey value is a Fourier transform."""
    reason = refusal(
        write_velox(tmp_path / "a.emd", {"a": (np.zeros((48, 64, 1), dtype), [velox_metadata()])})
    )
    assert ("not_grey", True) == (reason.code, f"holds {words} alone" in str(reason))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("not_real_space", {"size_m": 2e7, "unit": "1/m"}),
        ("no_pixel_size", {"unit": ""}),
        ("no_pixel_size", {"size_m": float("nan")}),
        ("no_pixel_size", {"size_m": 1.0}),
    ],
)
def test_what_has_no_pixel_size(tmp_path, code, said):
    """A pattern; and nothing is invented."""
    path = write_velox(tmp_path / "a.emd", one(**said))
    assert code == refusal(path).code
    if code == "no_pixel_size":
        assert 0.3 == formats.open_source(path, pixel_size_nm=0.3).pixel_size_nm


def test_a_scale_that_changes_on_the_way(tmp_path):
    """The first frame does not speak for all."""
    said = [velox_metadata()] * 3 + [velox_metadata(5e-10)]
    assert "not_a_sequence" == refusal(write_velox(tmp_path / "a.emd", {"a": (STACK, said)})).code


@pytest.mark.parametrize(
    ("options", "named"), [({"version": "12"}, "12"), ({"version": "x"}, "x"), ({"program": "Else"}, "Else")]
)
def test_an_unknown_version_is_named(tmp_path, options, named):
    """Its layout may be another."""
    reason = refusal(write_velox(tmp_path / "a.emd", one(), **options), 0.3)
    assert ("not_a_micrograph", True) == (reason.code, named in str(reason))


def test_spectra_and_other_HDF5(tmp_path):
    """A spectrum image; the EMD of Berkeley; nothing in it at all."""
    assert "spectroscopy" == refusal(write_velox(tmp_path / "a.emd", one(), spectra=True), 0.3).code
    with h5py.File(tmp_path / "b.emd", "w") as file:
        file.attrs["version_major"] = 0
    assert "none of Velox" in str(refusal(tmp_path / "b.emd", 0.3))
    assert "not_a_micrograph" == refusal(write_velox(tmp_path / "c.emd", {}), 0.3).code


def _linked(path, place, link):
    """A good file with one of its parts elsewhere."""
    write_velox(path, one())
    with h5py.File(path, "r+") as file:
        del file[place]
        file[place] = link
    return path


@pytest.mark.parametrize(
    "place", ["Version", "Data", "Data/Image", "Data/Image/a1b2", "Data/Image/a1b2/Data"]
)
@pytest.mark.parametrize(
    "link",
    [h5py.SoftLink("/Data/Image"), h5py.SoftLink("/Data/Image/a1b2/Data"), h5py.ExternalLink("x", "/")],
)
def test_links_are_not_followed(tmp_path, place, link):
    """In a circle, into another file, to nothing."""
    path = _linked(tmp_path / "a.emd", place, link)
    write_velox(tmp_path / "x", one())
    assert refusal(path, 0.3).code == "not_a_micrograph"


def test_groups_in_a_circle(tmp_path):
    """A hard link of a group to itself."""
    path = write_velox(tmp_path / "a.emd", one())
    with h5py.File(path, "r+") as file:
        file["Data/Image/circle"] = file["Data"]
        file["Data/Image/Image"] = file["Data/Image"]
    np.testing.assert_array_equal(PIXELS[..., 0], formats.read(path).image)


def test_pixels_in_other_files_are_not_read(tmp_path):
    """HDF5 would read any file of this machine."""
    (tmp_path / "secret").write_bytes(PIXELS.tobytes())
    for kind in ("external", "virtual"):
        path = write_velox(tmp_path / f"{kind}.emd", one())
        with h5py.File(path, "r+") as file:
            del file["Data/Image/a1b2/Data"]
            if kind == "external":
                where = [(str(tmp_path / "secret"), 0, PIXELS.nbytes)]
                file.create_dataset("Data/Image/a1b2/Data", PIXELS.shape, PIXELS.dtype, external=where)
            else:
                layout = h5py.VirtualLayout(PIXELS.shape, PIXELS.dtype)
                layout[:] = h5py.VirtualSource(str(tmp_path / "x"), "Data/Image/a1b2/Data", PIXELS.shape)
                file.create_virtual_dataset("Data/Image/a1b2/Data", layout)
        assert "not_a_micrograph" == refusal(path, 0.3).code


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((10**6, 10**6, 1), {"chunks": (64, 64, 1)}),
        ((10**6, 10**6, 1), {}),
        ((64, 64, 2**40), {"chunks": (64, 64, 1)}),
        ((64, 64, 2**20), {"chunks": (64, 64, 2**18), "compression": "gzip"}),
        ((0, 64, 1), {}),
        ((64, 64), {}),
        ((64, 64, 1, 1), {}),
    ],
)
def test_absurd_shapes_allocate_nothing(tmp_path, shape, options):
    """A picture of which nothing was written, or whose blocks do not fit into memory."""
    path = write_velox(tmp_path / "a.emd", one())
    with h5py.File(path, "r+") as file:
        del file["Data/Image/a1b2/Data"]
        space = h5py.h5s.create_simple(shape)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if "chunks" in options:
            plist.set_chunk(options["chunks"])
        if "compression" in options:
            plist.set_deflate(9)
        kind = h5py.h5t.NATIVE_UINT16
        h5py.h5d.create(file["Data/Image/a1b2"].id, b"Data", kind, space, plist)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(path, 0.3).code == "not_a_micrograph"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024, "KiB"


@pytest.mark.parametrize("kind", [h5py.string_dtype(), h5py.vlen_dtype(np.uint8)])
@pytest.mark.parametrize("place", ["Version", "Data/Image/a1b2/Metadata"])
def test_texts_without_number_allocate_nothing(tmp_path, place, kind):
    """None of them was written; each would take some bytes all the same."""
    path = write_velox(tmp_path / "a.emd", one())
    with h5py.File(path, "r+") as file:
        del file[place]
        file.create_dataset(place, (1, 20_000_000), dtype=kind, chunks=(1, 1000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(path, 0.3).code == "not_a_micrograph"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024, "KiB"


@pytest.mark.parametrize("options", [{}, {"chunks": (1,)}])
@pytest.mark.parametrize("length", [2**20, 600 * 2**20, 2**32 - 1])
def test_a_text_that_is_longer_than_its_file_allocates_nothing(tmp_path, length, options):
    """Found by damaging files: the length of a text, 4 bytes, is believed by the HDF5 library."""
    path = write_velox(tmp_path / "a.emd", one())
    with h5py.File(path, "r+") as file:
        said = file["Version"][0]
        del file["Version"]
        kind = h5py.string_dtype()
        version = file.create_dataset("Version", data=[said], dtype=kind, **options)
        at = version.id.get_chunk_info(0).byte_offset if options else version.id.get_offset()
    content = bytearray(path.read_bytes())
    assert len(said) == int.from_bytes(content[at : at + 4], "little")
    formats.open_source(path).load(0)
    content[at : at + 4] = length.to_bytes(4, "little")
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(path, 0.3).code == "not_a_micrograph"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024, "KiB"


@pytest.mark.parametrize("length", [4, 100, 1000, 2000, 5000, -100, -1])
def test_a_cut_file(tmp_path, length):
    """At any length."""
    path = write_velox(tmp_path / "a.emd", one())
    path.write_bytes(path.read_bytes()[:length])
    assert refusal(path, 0.3).code in {"truncated", "not_a_micrograph"}


@pytest.mark.parametrize("said", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"[1]", b'{"BinaryResult": 3}'])
def test_metadata_that_make_no_sense(tmp_path, said):
    """Refused as damaged, or as without a size; never an error."""
    assert refusal(write_velox(tmp_path / "a.emd", {"a": (PIXELS, [said])})).code in {
        "not_a_micrograph",
        "no_pixel_size",
    }


def test_a_file_that_changes_after_it_was_opened(tmp_path):
    """The failure says so; nothing crashes."""
    path = write_velox(tmp_path / "a.emd", one(STACK))
    source = formats.open_source(path)
    source.load(3)
    write_velox(path, one())
    with pytest.raises(InputError) as found:
        source.load(3)
    assert "changed" == found.value.code
