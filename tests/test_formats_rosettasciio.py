"""What RosettaSciIO reads in a process of its own, and that nothing that happens there is an outage.

The library that crashes and hangs is a stand-in, because the real one cannot be made to; the program and its
pipe are the real ones.
"""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

import rosettasciio_cases as cases
import system
import temwatch
from temwatch import formats
from temwatch.commands import check
from temwatch.config import Config
from temwatch.domain import PixelSizeSource
from temwatch.engine import tasks
from temwatch.engine.orders import ReadOrder
from temwatch.errors import InputError, Refused, Unreadable
from temwatch.formats import calibration, rosettasciio

using = pytest.mark.usefixtures("in_use")
NM = (0.25, "nm", False)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return cases.stand_in(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture
def in_use(python, monkeypatch):
    """As the configuration sets it."""
    monkeypatch.delenv(rosettasciio.VARIABLE, raising=False)
    monkeypatch.setenv(rosettasciio.VARIABLE, "")
    rosettasciio.use(python)


def write(path, *signals, **said):
    path.write_text(json.dumps({"signals": signals} | said))
    return path


def pixel_size_nm(picture):
    return calibration.pixel_size_nm(picture.x, picture.y, given_nm=None)


def code_of(path, **options):
    with pytest.raises(InputError) as error:
        formats.open_source(path, **options)
    return error.value.code


@using
def test_a_micrograph_is_read_with_its_pixel_size_and_metadata(tmp_path):
    """What the library prints is no part of the answer."""
    found = formats.read(write(tmp_path / "a.ONE", cases.signal((5, 8), [NM, (250, "pm", False)])))
    assert np.array_equal(np.arange(40, dtype=np.float32).reshape(5, 8), found.image)
    assert (0.25, PixelSizeSource.FILE) == (found.pixel_size_nm, found.pixel_size_source)
    assert (200.0, 50000.0, "Talos") == (
        found.metadata.voltage_kV,
        found.metadata.magnification,
        found.metadata.instrument,
    )
    assert "2024-05-17" == f"{found.acquired_at:%Y-%m-%d}"


@using
def test_a_stack_is_read_frame_by_frame(tmp_path):
    """By a reader that cannot do so, too."""
    stack = cases.signal((3, 5, 8), [(500, "ms", True), NM, NM], "<f4")
    path = write(tmp_path / "a.one", stack, lazy=False)
    frames = list(formats.read_frames(path))
    assert [0.0, 0.5, 1.0] == [one.frame.elapsed_s for one in frames]
    assert np.array_equal(np.arange(80, 120).reshape(5, 8), frames[2].image)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([cases.signal((5, 8), [(1, "1/nm", False)] * 2)], "not_real_space"),
        ([cases.signal((5, 5, 8, 8), [(1, "nm", True)] * 2 + [NM] * 2)], "not_real_space"),
        ([cases.signal((5, 8, 9), [(1, "nm", True)] * 2 + [(1, "eV", False)])], "spectroscopy"),
        ([cases.signal((9,), [(1, "eV", False)])], "spectroscopy"),
        ([cases.signal((3, 5, 8), [(1, "nm", True), NM, NM])], "not_a_sequence"),
        ([cases.signal((5, 8), [NM, NM])] * 2, "not_a_sequence"),
        ([cases.signal((5, 8), [NM, NM], "<c8")], "not_grey"),
        ([cases.signal((5, 8), [(1, None, False)] * 2)], "no_pixel_size"),
        ([cases.signal((5, 8), [(None, "nm", False)] * 2)], "no_pixel_size"),
        ([cases.signal((5, 8), [NM, (0.3, "nm", False)])], "anisotropic"),
        ([], "not_a_micrograph"),
    ],
)
def test_what_is_no_micrograph_is_refused(signals, code):
    """By the same codes as in every format; the picture is chosen without the interpreter."""
    described = [
        {
            "shape": list(one["shape"]),
            "kind": np.dtype(one["dtype"]).kind,
            "axes": [
                {"scale": axis["scale"], "unit": axis["units"], "is_navigation": axis["navigate"]}
                for axis in reversed(one["axes"])
            ],
        }
        for one in signals
    ]
    said = {"version": "0", "readers": {}, "signals": described}
    with pytest.raises(Refused) as refusal:
        pixel_size_nm(rosettasciio.chosen(said, ".one"))
    assert code == refusal.value.code


@using
def test_of_a_picture_and_a_spectrum_the_picture_is_read(tmp_path):
    spectrum = cases.signal((9,), [(1, "eV", False)])
    path = write(tmp_path / "a.one", spectrum, cases.signal((5, 8), [NM, NM]))
    assert (5, 8) == formats.read(path).image.shape


@using
@pytest.mark.parametrize(
    ("does", "code", "reason"),
    [
        ("crash", "rosettasciio", "was ended by signal 6"),
        ("hang", "rosettasciio", "gave no answer within 3 s"),
        ("hoard", "out_of_memory", "needs more memory"),
        ("need", "rosettasciio", "No module named 'h5pyy'"),
        ("leave", "rosettasciio", "exit code 5"),
        ("", "not_a_micrograph", "KeyError"),
    ],
)
def test_whatever_happens_there_is_a_reason(tmp_path, monkeypatch, does, code, reason):
    """It crashes, hangs, wants all memory, or cannot make sense of the file."""
    if does == "hang":
        monkeypatch.setattr(rosettasciio, "_LONGEST_SECONDS", 3.0)
    (tmp_path / "a.one").write_text(json.dumps({"do": does}))
    with pytest.raises(InputError, match=reason) as error:
        formats.open_source(tmp_path / "a.one")
    assert code == error.value.code


def test_the_program_ends_with_the_process_that_started_it(python, tmp_path):
    """A worker that is killed leaves nothing behind."""
    path = write(tmp_path / "a.one", do="hang")
    command = [python, rosettasciio._PROGRAM, str(2**30), path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    time.sleep(0.2)
    assert process.poll() is None
    process.stdin.close()
    assert 1 == process.wait(timeout=60)


@pytest.mark.parametrize(
    ("named", "reason"),
    [(sys.executable, "has no RosettaSciIO; install it there"), ("/none/python", "cannot be started")],
)
def test_an_interpreter_without_it_is_a_reason(tmp_path, monkeypatch, named, reason):
    """A failure, not a refusal: once it is installed, the file is read."""
    monkeypatch.setenv(rosettasciio.VARIABLE, named)
    with pytest.raises(Unreadable, match=reason) as failure:
        formats.open_source(write(tmp_path / "a.one"))
    assert "rosettasciio" == failure.value.code


@using
def test_what_it_does_not_read_or_reads_in_several_ways_is_refused(tmp_path):
    (tmp_path / "a.dm5").write_text("x")
    with pytest.raises(Refused, match=r"RosettaSciIO 0\.0 does not read \.dm5"):
        formats.open_source(tmp_path / "a.dm5")
    (tmp_path / "a.two").write_text("x")
    with pytest.raises(Refused, match=r"has 2 readers for \.two"):
        formats.open_source(tmp_path / "a.two")


@using
def test_files_that_temwatch_reads_itself_never_go_there(tmp_path, monkeypatch, write_dm):
    """Nor does any without it."""
    monkeypatch.setenv(rosettasciio.VARIABLE, "/none/python")
    pixels = np.arange(600, dtype=np.float32).reshape(20, 30)
    assert pixels.shape == formats.read(write_dm(tmp_path / "a.dm3", pixels)).image.shape
    monkeypatch.delenv(rosettasciio.VARIABLE)
    assert "not_a_micrograph" == code_of(write(tmp_path / "a.one"))


@using
def test_no_folder_pipe_or_empty_file_is_passed_on(tmp_path):
    (tmp_path / "a.one").mkdir()
    (tmp_path / "b.one").touch()
    codes = [code_of(tmp_path / f"{name}.one") for name in "abc"]
    assert ["a_folder", "empty", "vanished"] == codes


@using
def test_a_worker_reads_the_copy_under_the_name_of_its_original(tmp_path):
    """Some readers go by the name; what the copy in the spool is called does not matter."""
    signal = cases.signal((5, 8), [NM, NM])
    source = write(tmp_path / "Au 1.one", signal, name="Au 1.one")
    order = ReadOrder(
        source=source,
        spooled=tmp_path / "spool-7.one",
        copy=True,
        size_bytes=source.stat().st_size,
        pixel_size_nm=None,
        pixel_size_source=PixelSizeSource.CONFIG,
        sequence=None,
        frame=None,
    )
    (micrograph,) = tasks.read(order).micrographs
    assert ((5, 8), 0.25) == (micrograph.image.shape, micrograph.pixel_size_nm)


def test_check_says_whether_it_is_there_and_reads_the_patterns(python, tmp_path, monkeypatch):
    monkeypatch.delenv(rosettasciio.VARIABLE, raising=False)

    def found(interpreter, *patterns):
        watch = {"folder": tmp_path, "patterns": patterns, "rosettasciio": interpreter}
        config = Config.model_validate({"watch": watch, "output": {"folder": tmp_path}})
        return list(check.other_formats(config))

    assert [] == found(None, "*.tif")
    ((level, text),) = found(None, "*.tif", "*.DM5")
    assert ("warning", True) == (level, text.startswith(".dm5: temwatch reads no such files"))
    assert [("ok", f"0.0 of {python}")] == found(python, "*.tif", "*.one")
    assert ("warning", "it does not read .two of [watch] patterns") == found(python, "*.two")[1]
    ((level, text),) = found(sys.executable, "*.one")
    assert ("error", True) == (level, text.startswith(f"{sys.executable} has no RosettaSciIO"))


real = pytest.mark.skipif(
    cases.PYTHON is None, reason="TEMWATCH_RSCIIO names no interpreter with RosettaSciIO"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Files that the real one has written, by their names."""
    folder = tmp_path_factory.mktemp("written")
    subprocess.run([cases.PYTHON, "-W", "ignore", cases.WRITER, folder], check=True)
    return folder


@real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.hspy", "a.zspy", "a.unf", "a_000.tvips"])
def test_the_real_one_reads_what_it_has_written(written, monkeypatch, name):
    """Micrographs and a film of 3 frames."""
    monkeypatch.setenv(rosettasciio.VARIABLE, cases.PYTHON)
    expected = np.load(written / "stack.npy").astype(np.float32)
    frames = list(formats.read_frames(written / name))
    assert [2.0] * len(frames) == pytest.approx([one.pixel_size_nm for one in frames])
    assert (3 if name.endswith(".tvips") else 1) == len(frames)
    for one, pixels in zip(frames, expected, strict=False):
        assert np.array_equal(pixels, one.image)


@real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a.blo", "not_real_space"),
        ("reciprocal.hspy", "not_real_space"),
        ("spectra.hspy", "spectroscopy"),
        ("without.hspy", "no_pixel_size"),
        ("damaged.hspy", "not_a_micrograph"),
        ("object.zspy", "not_a_micrograph"),
        ("a.dm5", "not_a_micrograph"),
    ],
)
def test_the_real_one_says_why_not(written, monkeypatch, name, code):
    """One of them would run a program, if old versions of zarr's codecs read it."""
    monkeypatch.setenv(rosettasciio.VARIABLE, cases.PYTHON)
    monkeypatch.setenv("NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE", "1")
    with pytest.raises(Refused) as refusal:
        formats.read(written / name)
    assert code == refusal.value.code
    assert not (written / "executed").exists()


@real
@pytest.mark.slow
@pytest.mark.system
def test_the_command_analyses_what_the_configuration_names(written, tmp_path):
    """From the configuration to the workers."""
    config = tmp_path / "temwatch.toml"
    config.write_text(
        f'[watch]\nfolder = "in"\nrosettasciio = "{cases.PYTHON}"\n[output]\nfolder = "out"\n'
        '[segmentation]\nmethod = "threshold"\n'
    )
    done = system.temwatch(
        "analyse", "--config", config, "--output", tmp_path / "out", written / "discs.hspy", fresh=True
    )
    assert 0 == done.returncode, done.stderr
    (sample,) = temwatch.read_results(tmp_path / "out").values()
    assert [2.0] == list(sample.micrographs["pixel_size_nm"])
    assert 4 == len(sample.particles)
