"""What `temwatch simulate` promises: so many files, all different, one sample, the truth beside each."""

import csv
import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from temwatch import formats
from temwatch.acquisition.assignment import place
from temwatch.config import SampleSettings, SequenceSettings
from temwatch.errors import UsageError
from temwatch.simulator import write_series
from temwatch.simulator.evolution import SEQUENCE, evolve, visible_frames


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_exactly_so_many_files_and_all_different(tmp_path):
    """N dm3 files of the size asked for, each with its truth in both forms, of one sample."""
    paths = list(write_series(tmp_path, micrographs=4, overlap="medium", seed=3, size_px=192))
    found = sorted(tmp_path.glob("*.dm3"))
    assert paths == found
    assert 4 == len(found)
    assert 4 == len({hashlib.sha256(path.read_bytes()).hexdigest() for path in found})
    samples = {
        place(path.name, root_name="x", samples=SampleSettings(), sequences=SequenceSettings()).sample
        for path in found
    }
    assert {"Au_medium_seed3"} == samples
    for path in found:
        micrograph = formats.read(path)
        assert (192, 192) == micrograph.image.shape
        with np.load(path.with_name(f"{path.stem}_truth.npz")) as truth:
            assert (192, 192) == tuple(truth["shape"])
            assert micrograph.pixel_size_nm == float(truth["px"])
            assert len(truth["bbox"]) > 0
        assert path.with_name(f"{path.stem}_truth.png").is_file()


def test_ten_micrographs_or_more_sort_by_name(tmp_path):
    """The counter is as wide as it must be."""
    names = [path.name for path in write_series(tmp_path, micrographs=11, size_px=64)]
    assert sorted(names) == names


def test_the_seed_decides_every_byte(tmp_path):
    """Micrographs, stacks, truths and tables of one seed are the same on any day."""
    for folder in ("a", "b"):
        list(write_series(tmp_path / folder, micrographs=2, seed=5, size_px=96))
        list(write_series(tmp_path / folder, frames=4, seed=5, size_px=96))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    list(write_series(tmp_path / "c", micrographs=2, seed=6, size_px=96))
    assert not set(contents(tmp_path / "a").values()) & set(contents(tmp_path / "c").values())


def test_the_truth_is_in_register_with_the_image(tmp_path):
    """Particles are darker than what surrounds them, by the saved truth and the file alone."""
    (path,) = write_series(tmp_path, micrographs=1, seed=1, size_px=256)
    image = formats.read(path).image
    with np.load(path.with_name(f"{path.stem}_truth.npz")) as truth:
        mask = np.zeros(image.shape, bool)
        for number, (top, left, height, width) in enumerate(truth["bbox"].tolist()):
            bits = truth["bits"][slice(*truth["offset"][number : number + 2])]
            crop = np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
            mask[top : top + height, left : left + width] |= crop
    in_place = image[mask].mean() / image[~mask].mean()
    assert in_place < 0.95
    for shift in ((20, 0), (0, 20), (-20, 0), (0, -20)):
        moved = np.roll(mask, shift, (0, 1))
        assert in_place < image[moved].mean() / image[~moved].mean() - 0.02


@pytest.mark.parametrize(
    "arguments",
    [
        {"micrographs": 0},
        {"frames": 0},
        {"seed": -1},
        {"frames": 2, "drift_px": -1},
        {"frames": 2, "flicker": 1},
    ],
)
def test_impossible_series_are_refused(tmp_path, arguments):
    """At once, before anything is written."""
    with pytest.raises(UsageError):
        write_series(tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()


def test_a_stack_has_its_tracks_beside_it(tmp_path):
    """One dm4 with so many frames; tables with the columns of the results, one row a particle and frame."""
    (path,) = write_series(tmp_path, frames=6, seed=2, size_px=256)
    assert ".dm4" == path.suffix
    frames = list(formats.read_frames(path))
    assert 6 == len(frames)
    assert len({frame.image.tobytes() for frame in frames}) == 6
    tracks = rows(path.with_name(f"{path.stem}_tracks.csv"))
    assert ["sequence", "track", "frame", "particle", "x_nm", "y_nm", "equivalent_diameter_nm"] == list(
        tracks[0]
    )
    assert {path.stem} == {row["sequence"] for row in tracks}
    states = rows(path.with_name(f"{path.stem}_frames.csv"))
    for index, (frame, state) in enumerate(zip(frames, states, strict=True)):
        present = [row for row in tracks if row["frame"] == str(index)]
        assert state["particles"] == str(len(present))
        drift = np.array([float(state["drift_x_nm"]), float(state["drift_y_nm"])])
        for row in present:
            x, y = (np.array([float(row["x_nm"]), float(row["y_nm"])]) + drift) / frame.pixel_size_nm
            core = frame.image[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3]
            assert core.mean() < 0.95 * np.median(frame.image)


def test_lives_obey_their_rules():
    """Ripening conserves the volume, tracks end only by an event, a merged particle holds both volumes."""
    settings = SEQUENCE
    before, ended = None, set()
    moments = list(evolve(settings, 120, np.random.default_rng(1)))
    for moment in moments:
        now = {particle.track: particle for particle in moment.particles}
        assert not set(now) & ended
        if before is not None:
            gone = set(before) - set(now)
            stated = {
                track
                for event in moment.events
                for track in (event.others if event.event == "merge" else (event.track,))
            }
            assert stated == gone
            assert set(now) <= set(before)
            ended |= gone
            volume = sum(p.radius_nm**3 for p in before.values())
            vanished = [before[e.track].radius_nm ** 3 for e in moment.events if e.event == "vanish"]
            assert volume == pytest.approx(
                sum(p.radius_nm**3 for p in now.values()) + sum(vanished), rel=0.01
            )
        before = now
    kinds = [event.event for moment in moments for event in moment.events]
    assert {"vanish", "merge"} == set(kinds)


def test_drift_keeps_every_particle_in_the_field():
    """No particle touches the border in any frame, so that none is lost for another reason than its own."""
    field_nm = SEQUENCE.size_px * SEQUENCE.pixel_size_nm
    moments = list(evolve(SEQUENCE, 80, np.random.default_rng(2)))
    assert max(abs(m.drift_x_nm) for m in moments) > SEQUENCE.pixel_size_nm
    assert all(
        abs(second.drift_x_nm - first.drift_x_nm) < 0.02 * field_nm for first, second in pairwise(moments)
    )
    for moment in moments:
        for particle in moment.particles:
            for place_nm in (particle.x_nm + moment.drift_x_nm, particle.y_nm + moment.drift_y_nm):
                assert 1.1 * particle.radius_nm < place_nm < field_nm - 1.1 * particle.radius_nm


def test_a_field_that_travels_loses_particles_and_finds_others():
    """Every frame moves on by so many px; what enters and leaves is stated; nothing listed is cut."""
    settings = replace(SEQUENCE, size_px=384, particles=20)
    field_nm = settings.size_px * settings.pixel_size_nm
    before, place = None, None
    for moment in visible_frames(settings, 60, np.random.default_rng(3), drift_px=5.0):
        now = {particle.track for particle in moment.particles}
        drift = np.array([moment.drift_x_nm, moment.drift_y_nm])
        if before is not None:
            assert np.hypot(*(drift - place)) == pytest.approx(5 * settings.pixel_size_nm)
            stated = {
                kind: {event.track for event in moment.events if event.event == kind}
                for kind in ("appear", "vanish")
            }
            merged = {other for event in moment.events if event.event == "merge" for other in event.others}
            assert stated["appear"] == now - before
            assert stated["vanish"] | merged == before - now
        for particle in moment.particles:
            for place_nm in np.array([particle.x_nm, particle.y_nm]) + drift:
                assert particle.radius_nm < place_nm < field_nm - particle.radius_nm
        before, place = now, drift
    assert len(before) >= 10


def test_flicker_hides_the_share_that_is_asked_for():
    settings = replace(SEQUENCE, size_px=512, particles=40)
    whole = sum(len(m.particles) for m in visible_frames(settings, 20, np.random.default_rng(4)))
    shown = sum(len(m.particles) for m in visible_frames(settings, 20, np.random.default_rng(4), flicker=0.1))
    assert 0.85 * whole < shown < 0.95 * whole
