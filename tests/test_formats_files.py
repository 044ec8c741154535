"""Files that cannot be opened, are no files, or have another extension."""

import os
import pickle

import numpy as np
import pytest
import tifffile

from temwatch import formats
from temwatch.errors import FAILURE_CODES, InputError, Refused, Unreadable, UsageError
from temwatch.formats.read_errors import unreadable

PIXELS = np.random.default_rng(4).normal(100, 9, (32, 48)).astype(np.float32)


@pytest.mark.parametrize("extension", formats.READERS)
class TestEveryReader:
    """The contract of READERS."""

    def test_an_empty_file(self, tmp_path, extension):
        path = tmp_path / f"a{extension}"
        path.touch()
        with pytest.raises(Refused, match="0 bytes") as refusal:
            formats.read(path)
        assert "empty" == refusal.value.code
        assert formats.complete(path) is None

    def test_a_folder(self, tmp_path, extension):
        path = tmp_path / f"a{extension}"
        path.mkdir()
        with pytest.raises(Refused) as refusal:
            formats.read(path)
        assert "a_folder" == refusal.value.code
        assert formats.complete(path) is None

    def test_a_file_that_is_gone(self, tmp_path, extension):
        with pytest.raises(Unreadable) as failure:
            formats.read(tmp_path / f"a{extension}")
        assert "vanished" == failure.value.code
        assert formats.complete(tmp_path / f"a{extension}") is None

    def test_a_named_pipe(self, tmp_path, extension):
        """Opening it would wait for ever."""
        os.mkfifo(tmp_path / f"a{extension}")
        with pytest.raises(Refused) as refusal:
            formats.read(tmp_path / f"a{extension}")
        assert "not_a_micrograph" == refusal.value.code

    def test_text(self, tmp_path, extension):
        path = tmp_path / f"a{extension}"
        path.write_text("Dear reader, this is no micrograph. " * 20)
        with pytest.raises(Refused) as refusal:
            formats.read(path)
        assert "not_a_micrograph" == refusal.value.code
        assert formats.complete(path) is None

    def test_zeros(self, tmp_path, extension):
        path = tmp_path / f"a{extension}"
        path.write_bytes(bytes(5000))
        with pytest.raises(Refused) as refusal:
            formats.read(path)
        assert "zero_filled" == refusal.value.code
        assert formats.complete(path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path, write_dm):
    """The failure can be mended, so it is no refusal."""
    path = write_dm(tmp_path / "a.dm3", PIXELS)
    path.chmod(0)
    with pytest.raises(Unreadable) as failure:
        formats.read(path)
    assert "permission_denied" == failure.value.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied"), "permission_denied"),
        (FileNotFoundError(2, "No such file or directory"), "vanished"),
        (OSError(5, "Input/output error"), "input_output"),
        (TimeoutError(110, "Connection timed out"), "input_output"),
    ],
)
def test_errors_of_the_file_system_have_codes(error, code):
    """Each is a failure that trying again may mend."""
    failure = unreadable(error)
    assert code == failure.code
    assert code in FAILURE_CODES


def test_another_extension(tmp_path):
    """The reason names what temwatch reads."""
    (tmp_path / "a.bmp").write_bytes(b"BM")
    with pytest.raises(Refused, match=r"\.bmp; temwatch reads \.dm3, \.dm4, \.tif, \.tiff, \."):
        formats.open_source(tmp_path / "a.bmp")
    assert formats.complete(tmp_path / "a.bmp") is None


def test_case_and_spaces_of_a_name_do_not_matter(tmp_path, write_dm):
    """Gold 07 (copy).DM3, and text as well as a path."""
    path = write_dm(tmp_path / "Gold 07 (µ copy).DM3", PIXELS)
    assert PIXELS.shape == formats.read(str(path)).image.shape


def test_reasons_travel_between_processes(tmp_path):
    """Workers hand them back to the engine by pickle."""
    with pytest.raises(InputError) as refusal:
        formats.open_source(tmp_path)
    copy = pickle.loads(pickle.dumps(refusal.value))
    assert (refusal.value.code, str(refusal.value)) == (copy.code, str(copy))


def test_importing_the_readers_is_quiet_and_light():
    """No torch, no pandas, nothing on either output."""
    import subprocess
    import sys

    code = "import sys, temwatch.formats; print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert ("set()\n", "") == (run.stdout, run.stderr)


@pytest.mark.parametrize("size", [0.0, -0.1, 5e-10, 5e7, float("nan"), float("inf")])
def test_a_given_size_obeys_the_range_of_a_stated_one(tmp_path, size):
    """Whoever gives it: a caller, an old ledger, a folder's configuration."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.arange(1, 1001, dtype=np.uint16).reshape(25, 40))
    with pytest.raises(Refused) as refusal:
        formats.open_source(path, pixel_size_nm=size)
    assert "no_pixel_size" == refusal.value.code
    for read in (formats.read, formats.read_frames):
        with pytest.raises(UsageError, match="pixel_size_nm"):
            read(path, pixel_size_nm=size)
    assert 0.05 == formats.read(path, pixel_size_nm=0.05).pixel_size_nm
