"""Damaged pictures are drawn again; leftovers and spool are cleared, and nothing of others is touched."""

import hashlib
import os
import time

import numpy as np
import pytest
from PIL import Image

from ledger_cases import result
from temwatch.acquisition import spool
from temwatch.errors import Unwritable
from temwatch.ledger import Arrival, open_ledger, queue, recording
from temwatch.outputs import leftovers, paths, pictures, sample_folder
from web_cases import Site

KINDS = ("micrograph", "mask", "overlay")


@pytest.fixture
def output(tmp_path, write_dm):
    """One published micrograph, whose original is there."""
    random = np.random.default_rng(1)
    found = result(0)
    image = random.normal(100, 10, found.segmentation.mask.shape).astype(np.float32)
    original = write_dm(tmp_path / "acquisition.dm3", image, ((0.1, "nm"), (0.1, "nm")))
    (tmp_path / "acquisition").mkdir()
    original.rename(tmp_path / "acquisition" / "Au_01.dm3")
    content = (tmp_path / "acquisition" / "Au_01.dm3").read_bytes()
    output = tmp_path / "results"
    with open_ledger(output / ".temwatch") as ledger:
        arrival = Arrival(
            root=str(tmp_path / "acquisition"),
            path="Au_01.dm3",
            sample="Au",
            size_bytes=len(content),
            mtime_ns=1,
            source="event",
            detected_at=found.analysed_at,
        )
        queue.add(ledger, arrival)
        (file,) = queue.claim(ledger, 1, found.analysed_at)
        folder = paths.micrograph_folder(output, "Au", file.name)
        pictures.write_pictures(folder, file.name, image, found.analysis)
        sha256 = hashlib.sha256(content).hexdigest()
        recording.record(ledger, file.id, [type(found)(**{**as_dict(found), "sha256": sha256})])
        sample_folder.publish(ledger, output, "Au")
    return output


def as_dict(found):
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_picture_is_drawn_again(output, kind):
    """Also the micrograph, from the original file; the page never answers with 500."""
    folder = output / "Au" / "micrographs" / "Au_01"
    path = folder / f"Au_01_{kind}.png"
    before = np.asarray(Image.open(path))
    truncate(path)
    with Site(output) as site:
        assert 200 == site.get(f"/api/micrographs/1/{kind}.png").status_code
        assert 200 == site.get("/api/micrographs/1/preview.jpg").status_code
        assert 200 == site.get("/api/micrographs/1/particles/1.png").status_code
    assert (before == np.asarray(Image.open(path))).all()


def test_a_picture_whose_middle_is_damaged_is_drawn_again(output):
    """Its end is there, its content is not."""
    path = output / "Au" / "micrographs" / "Au_01" / "Au_01_micrograph.png"
    content = bytearray(path.read_bytes())
    content[60:-20] = bytes(len(content) - 80)
    path.write_bytes(content)
    with Site(output) as site:
        assert 200 == site.get("/api/micrographs/1/preview.jpg?edge_px=320").status_code
    assert pictures.is_whole(path)


@pytest.mark.parametrize("loss", ["gone", "another"])
def test_without_the_original_it_is_missing(output, loss):
    """A later content of the same name is not what was analysed."""
    original = output.parent / "acquisition" / "Au_01.dm3"
    if loss == "gone":
        original.unlink()
    else:
        original.write_bytes(original.read_bytes() + b"more")
    truncate(output / "Au" / "micrographs" / "Au_01" / "Au_01_micrograph.png")
    with Site(output) as site:
        assert 404 == site.get("/api/micrographs/1/preview.jpg").status_code
        assert 404 == site.get("/api/micrographs/1/micrograph.png").status_code
        assert 200 == site.get("/api/micrographs/1/outlines").status_code


def test_an_outdated_folder_with_a_damaged_picture_is_written(output):
    """The engine writes it in a worker, and would try for ever."""
    folder = output / "Au" / "micrographs" / "Au_01"
    truncate(folder / "Au_01_micrograph.png")
    sample_folder.write_folder(output / ".temwatch", folder, "Au")
    assert all(pictures.is_whole(folder / f"Au_01_{kind}.png") for kind in KINDS)


def test_leftovers_of_interrupted_drawings_are_removed_and_nothing_else(output):
    """What is younger than the start may be being written."""
    folder = output / "Au" / "micrographs" / "Au_01"
    frames = output / "Au" / "sequences" / "X" / "frames"
    frames.mkdir(parents=True)
    old = [folder / ".Au_01_overlay.png.new", output / "Au" / ".particles.csv.new", frames / "X_000001.new"]
    old += [frames.parent / ".new.film.mp4"]
    others = [output / "Au" / "notes.new", output / "Au" / ".hidden", output / ".temwatch" / ".x.png.new"]
    others += [folder / "Au_01_overlay.png"]
    young = folder / ".Au_01_mask.png.new"
    for path in (*old, *others, young):
        path.touch()
        os.utime(path, (1, 1))
    young.touch()
    assert len(old) == leftovers.remove(output, output / ".temwatch", time.time() - 60)
    assert [] == [path for path in old if path.exists()]
    assert all(path.exists() for path in (*others, young))


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "missing"])
def test_the_spool_is_cleared_wherever_it_is(tmp_path, kind):
    """Files of others stay."""
    folder, elsewhere = tmp_path / "state" / "spool", tmp_path / "elsewhere"
    folder.parent.mkdir()
    if "link" in kind:
        folder.symlink_to(elsewhere)
    if kind == "folder":
        folder.mkdir()
    if kind == "link":
        elsewhere.mkdir()
    if folder.is_dir():
        for name in ("12.dm3", "7", "9.TIF", "thesis.docx", "2024 results"):
            (folder / name).touch()
    spool.clear(folder)
    left = {path.name for path in folder.iterdir()}
    assert left == ({"thesis.docx", "2024 results"} if kind in ("folder", "link") else set())


def test_a_spool_that_cannot_be_written_is_no_fault_of_the_file(tmp_path):
    """A file in its place: the micrograph waits, see `retry`."""
    source = tmp_path / "Au_01.dm3"
    source.write_bytes(b"content")
    (tmp_path / "spool").touch()
    spool.clear(tmp_path / "spool")
    with pytest.raises(Unwritable):
        spool.fetch(source, tmp_path / "spool" / "1.dm3")
    assert hashlib.sha256(b"content").hexdigest() == spool.fetch(source, tmp_path / "new" / "1.dm3")
