"""Sequences through the real commands: trees, stacks, kills, and what has no pixel size."""

import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile

import sequence_files
from browser_cases import ARGUMENTS, CHROMIUM, until
from system import Service, command, rows, temwatch, threshold, wait_until
from web_cases import Site

pytestmark = pytest.mark.system

RATES = (5, 6, 5, 6)
FRAMES = sum(RATES)
BLANK = (9,)


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    """Gatan's tree with a rate that is no whole number, and a blank frame; analysed once."""
    root = tmp_path_factory.mktemp("tree")
    for index, path in enumerate(sequence_files.tree(root / "in", RATES)):
        sequence_files.write(path, index, blank=BLANK)
    (root / "c.toml").write_text(
        f'[watch]\nfolder = "{root}/in"\n[output]\nfolder = "{root}/out"\n'
        '[segmentation]\nmethod = "threshold"\n'
    )
    done = temwatch("analyse", root / "in", "--output", root / "out", "--config", root / "c.toml")
    assert 0 == done.returncode, done.stderr
    return root


def tables(output, sample="X"):
    """What tracking wrote, by file."""
    names = ("frames.csv", "tracks.csv", "events.csv")
    return {name: (output / sample / name).read_text() for name in names if (output / sample / name).exists()}


def test_a_tree_is_a_sequence_by_itself(acquisition):
    """Frames count through the whole acquisition; time comes from the names of the folders."""
    output = acquisition / "out" / "X"
    frames = rows(output / "frames.csv")
    assert [str(index) for index in range(FRAMES)] == [row["frame"] for row in frames]
    assert {"X"} == {row["sequence"] for row in frames}
    assert ["9", "0", "9"] == [frames[index]["particles"] for index in (8, 9, 10)]
    elapsed = [float(row["elapsed_s"]) for row in frames]
    assert (0.0, 1.0, 2.0, 3.0) == tuple(elapsed[index] for index in (0, 5, 11, 16))
    assert elapsed == sorted(elapsed)
    assert pytest.approx(0.5 * 0.6 * 19, abs=0.3) == float(frames[19]["drift_y_nm"])
    tracks = Counter(row["track"] for row in rows(output / "tracks.csv"))
    assert 9 == len({track for track, seen in tracks.items() if seen >= 18})
    micrographs = rows(output / "micrographs.csv")
    assert list(range(FRAMES)) == sorted(int(row["frame"]) for row in micrographs)
    film = output / "sequences" / "X" / "film.mp4"
    assert film.read_bytes()[4:8] == b"ftyp"


def test_rebuild_gives_the_same_bytes(acquisition):
    """Tables, curves and film."""
    output = acquisition / "out" / "X"
    files = [*output.glob("*.csv"), *(output / "sequences" / "X").glob("*.*")]
    before = {path: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    done = temwatch("rebuild", "--config", acquisition / "c.toml")
    assert 0 == done.returncode, done.stderr
    assert f"1 sample rebuilt in {acquisition / 'out'}\n" == done.stdout
    assert before == {path: path.read_bytes() for path in files if path.exists()}


@pytest.mark.parametrize("lives", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_in_the_middle_no_frame_is_lost_or_doubled(acquisition, tmp_path, lives):
    """Frames come out of order over several lives of the service: every identity is as without the kills."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    service = Service(tmp_path, watch={"scan_interval_seconds": 0.5}, sequences={"gap_seconds": 6.0})
    paths = list(
        zip(
            sequence_files.tree(acquisition / "in", RATES),
            sequence_files.tree(service.watched, RATES),
            strict=True,
        )
    )
    for life in range(lives):
        service.start(ready=False)
        part = paths[life * FRAMES // lives : (life + 1) * FRAMES // lives]
        chance.shuffle(part)
        for source, target in part:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            time.sleep(chance.uniform(0, 0.1))
        wait_until(service.page, what="the page's address")
        time.sleep(chance.uniform(0, 3))
        service.kill()
    expected = tables(acquisition / "out")
    with service:
        wait_until(
            lambda: tables(service.output) == expected,
            what=lambda: f"the same tables (seed {seed}): {tables(service.output)}",
        )
    found = rows(service.output / "X" / "micrographs.csv")
    assert list(range(FRAMES)) == sorted(int(row["frame"]) for row in found), f"seed {seed}"
    particles = Counter(row["frame"] for row in rows(service.output / "X" / "particles.csv"))
    assert {row["frame"]: int(row["particles"]) for row in found if row["particles"] != "0"} == particles


def test_without_a_pixel_size_it_is_refused_and_taken_up_when_that_is_given(tmp_path):
    """Numbered files of a folder that is configured as a sequence, and a stack of pages."""
    service = Service(tmp_path, sequences={"folders": ["run"], "frame_interval_s": 0.25, "gap_seconds": 1.0})
    for index in range(4):
        folder = service.watched / "run"
        folder.mkdir(exist_ok=True)
        sequence_files.write_tiff(folder / f"f_{index:03d}.tif", 1)
    sequence_files.write_tiff(service.watched / "pages.tif", 3)
    with service:
        service.count_of(refused=5)
        assert all("--pixel-size" in row["reason"] for row in service.micrographs("run"))
        for name in ("run", "pages.tif"):
            done = command("retry", name, "--pixel-size", "0.5", "--config", service.config)
            assert 0 == done.returncode, done.stderr
        service.count_of(done=5)
        wait_until(
            lambda: (
                [
                    len(tables(service.output, name).get("frames.csv", "").splitlines())
                    for name in ("run", "pages")
                ]
                == [5, 4]
            ),
            what="all frames",
        )
    frames = rows(service.output / "run" / "frames.csv")
    assert [("0", "0"), ("1", "0.25"), ("2", "0.5"), ("3", "0.75")] == [
        (row["frame"], row["elapsed_s"]) for row in frames
    ]


def test_the_page_tells_what_the_tables_hold(acquisition):
    """Counts, drift and events by frame, single tracks, the film, and the tables themselves."""
    frames = rows(acquisition / "out" / "X" / "frames.csv")
    events = rows(acquisition / "out" / "X" / "events.csv")
    with Site(acquisition / "out") as site:
        (one,) = site.json("/api/samples/X/sequences")
        assert ("X", FRAMES, 0, [], True) == tuple(
            one[key] for key in ("sequence", "frames", "waiting", "gaps", "ended")
        )
        assert [int(row["particles"]) for row in frames] == one["particles"]
        assert [float(row["drift_x_nm"]) for row in frames] == pytest.approx(one["drift_x_nm"], rel=1e-5)
        assert one["counts"] == {
            kind: sum(row["event"] == kind for row in events)
            for kind in ("appear", "vanish", "merge", "split")
        }
        for kind, line in one["events"].items():
            happened = [int(row["frame"]) for row in events if row["event"] == kind]
            assert line == [sum(at <= frame for at in happened) for frame in range(FRAMES)]
        tracks = site.json("/api/samples/X/sequences/X/tracks")["tracks"]
        longest = tracks[0]["equivalent_diameter_nm"]
        found = {
            row["frame"]: float(row["equivalent_diameter_nm"])
            for row in rows(acquisition / "out" / "X" / "tracks.csv")
            if row["track"] == str(tracks[0]["track"])
        }
        assert {int(frame): pytest.approx(value, rel=1e-5) for frame, value in found.items()} == {
            frame: value for frame, value in enumerate(longest) if value is not None
        }
        part = site.get("/api/samples/X/sequences/X/film.mp4", headers={"Range": "bytes=4-7"})
        assert (206, b"ftyp") == (part.status_code, part.content)
        assert 404 == site.get("/api/samples/X/sequences/Y/film.mp4").status_code
        for name, text in tables(acquisition / "out").items():
            assert text == site.get(f"/api/samples/X/tables/{name}").text
    said = command("status", "--config", acquisition / "c.toml").stdout
    assert f"sequence X/X: {FRAMES} frames, {one['tracks']} tracks" in said


@pytest.mark.slow
def test_the_view_in_a_browser(acquisition):
    """Film, charts and plots are there, and the browser has nothing to complain of."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    said = []
    with Site(acquisition / "out") as site, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 2600})
        page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(site.url)
        page.get_by_text("Sequences", exact=True).click(timeout=60_000)
        view = "document.querySelector('.view.sequences')"
        until(page, f"{view}.querySelectorAll('.chart .main-svg').length >= 4")
        until(
            page,
            f"[...{view}.querySelectorAll('.plots img')].filter((plot) => plot.naturalWidth > 0).length == 2",
        )
        until(
            page,
            f"{view}.querySelector('video').readyState > 0 || {view}.querySelector('video').error !== null",
        )
        assert f"{FRAMES} frames" in page.inner_text(".view.sequences .lead")
        browser.close()
    assert [] == said


def test_of_a_stack_with_a_damaged_page_the_frames_before_it_are_kept(tmp_path):
    """Two batches of 64 are recorded, whatever was in hand when the third could not be read."""
    path, count, bad = tmp_path / "run.tif", 160, 150
    pages = np.stack([sequence_files.frame(index, side_px=64) for index in range(count)])
    tifffile.imwrite(path, pages, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start, size = tif.pages[bad].dataoffsets[0], tif.pages[bad].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + size] = bytes(size)
    path.write_bytes(content)
    config = threshold(tmp_path, pictures=False)
    options = ("--output", tmp_path / "out", "--config", config, "--pixel-size", 0.5)
    done = temwatch("analyse", path, *options)
    assert (1, True) == (done.returncode, "run.tif: refused: is damaged" in done.stderr)
    found = [(row["frame"], row["status"]) for row in rows(tmp_path / "out" / "run" / "micrographs.csv")]
    assert [*((str(index), "done") for index in range(128)), ("", "refused")] == found
    assert [str(index) for index in range(128)] == [
        row["frame"] for row in rows(tmp_path / "out" / "run" / "frames.csv")
    ]
