"""Contrast of particles: from the picture, and from what the ledger keeps of it."""

import time
from dataclasses import replace

import numpy as np
import pytest

import temwatch
from ledger_cases import METHOD, START, arrival
from temwatch.analysis import pipeline, segmentation
from temwatch.analysis.appearance.contrast import contrasts, find_background, surroundings
from temwatch.analysis.appearance.picture import keeping_pictures, take_picture
from temwatch.config import SegmentationSettings, SeparationSettings
from temwatch.domain import Region, Segmentation, Segmenter
from temwatch.errors import UsageError
from temwatch.kept_picture import KeptPicture
from temwatch.ledger import Result, analyses, open_ledger, queue, recording
from temwatch.ledger.packing import pack_picture, unpack_picture

SHAPE = (160, 200)
CENTRES = {0.2: (40, 50), 0.5: (40, 140), 0.8: (110, 60)}


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / ".temwatch") as ledger:
        yield ledger


def discs(radius=15):
    """A mask of one disc for each contrast, and a picture of them before 1000."""
    row, column = np.indices(SHAPE)
    picture = np.full(SHAPE, 1000.0, np.float32)
    mask = np.zeros(SHAPE, bool)
    for contrast, (at_row, at_column) in CENTRES.items():
        inside = np.hypot(row - at_row, column - at_column) <= radius
        mask |= inside
        picture[inside] *= 1 - contrast
    return mask, picture


def noisy(picture, electrons=30):
    """The same picture with shot noise, so many electrons a pixel where nothing is."""
    random = np.random.default_rng(5)
    return (random.poisson(picture * electrons / 1000) * 1000 / electrons).astype(np.float32)


def found(mask, image):
    """Contrasts in the order of reading."""
    return [
        particle.contrast for particle in temwatch.resolve(mask, pixel_size_nm=0.1, image=image).particles
    ]


@pytest.mark.parametrize("gain", [1.0, 1e-4, 60.0])
def test_contrast_is_the_share_of_the_brightness_that_is_missing(gain):
    """Whatever the gain of the detector is."""
    mask, picture = discs()
    assert found(mask, picture * gain) == pytest.approx(list(CENTRES), abs=0.01)


def test_noise_moves_it_little():
    mask, picture = discs()
    assert found(mask, noisy(picture)) == pytest.approx(list(CENTRES), abs=0.03)


def test_a_vignette_does_not_move_it():
    """What lies around a particle counts, not the picture as a whole."""
    mask, picture = discs()
    shade = np.linspace(0.6, 1.0, SHAPE[1], dtype=np.float32)
    assert found(mask, picture * shade) == pytest.approx(list(CENTRES), abs=0.03)


def test_a_negative_offset_is_taken_for_the_zero_of_the_detector():
    """Brightness cannot be negative: the darkest of what was recorded is then 0."""
    mask, picture = discs()
    shallow, middle, deep = found(mask, picture - 1000)
    assert 1.0 == pytest.approx(deep, abs=0.03)
    assert 0 < shallow < middle < deep


def test_what_is_brighter_has_none():
    mask, picture = discs()
    assert [0.0, 0.0, 0.0] == found(mask, 2000 - picture)


def test_without_a_picture_it_is_empty():
    mask, _ = discs()
    table = temwatch.resolve(mask, pixel_size_nm=0.1).table()
    assert table["contrast"].isna().all()
    with pytest.raises(UsageError, match="image: needs the shape of the mask"):
        temwatch.resolve(mask, pixel_size_nm=0.1, image=np.zeros((3, 3)))


def test_a_field_full_of_particle_has_none():
    """There are no surroundings; nor is there anything in an empty one."""
    mask = np.ones(SHAPE, bool)
    assert 0 == len(found(mask, np.ones(SHAPE)))
    picture = take_picture(np.ones(SHAPE, np.float32), np.zeros(SHAPE, bool))
    assert not picture.codes.any()


def test_pixels_without_a_value_do_no_harm():
    mask, picture = discs()
    picture[35:45, 45:50] = np.nan
    picture[0, 0] = np.inf
    assert found(mask, picture) == pytest.approx(list(CENTRES), abs=0.01)


def test_a_sphere_in_the_middle_of_a_heap_is_held_against_what_lies_around_the_heap():
    """Nothing but other particles is near it."""
    row, column = np.indices(SHAPE)
    mask = np.hypot(row - 80, column - 100) <= 70
    picture = np.where(mask, 400, 1000)
    seams = np.zeros(SHAPE, bool)
    seams[:, 85:87] = seams[:, 115:117] = seams[65:67] = seams[95:97] = True
    cut = temwatch.resolve(mask & ~seams, pixel_size_nm=0.1, image=picture)
    assert 9 == len(cut.particles)
    assert [particle.contrast for particle in cut.particles] == pytest.approx([0.6] * 9, abs=0.01)


def looked_for_by_windows(codes, box, reach, fewest):
    """The surroundings by their definition: every pixel of every window, for each particle anew."""
    row, column, height, width = box
    while True:
        top, left = max(row - reach, 0), max(column - reach, 0)
        window = codes[top : row + height + reach, left : column + width + reach]
        if np.count_nonzero(window) >= fewest or window.shape == codes.shape:
            break
        reach *= 2
    counts = np.bincount(window.ravel(), minlength=256)
    counts[0] = 0
    below = np.cumsum(counts) - counts
    half = counts.sum() / 2
    found = [code for code in range(1, 256) if counts[code] and below[code] + counts[code] >= half]
    return found[0] - 0.5 + (half - below[found[0]]) / counts[found[0]] if found else 0.0


@pytest.mark.parametrize("share", [0.0, 0.0002, 0.01, 0.5])
@pytest.mark.parametrize("shape", [(1, 1), (63, 200), (128, 64), (300, 257)])
def test_surroundings_are_those_of_the_window_whatever_the_field_is_like(share, shape):
    """Much background or hardly any, evenly or in one corner; windows along tiles and across them."""
    random = np.random.default_rng(int(1e4 * share) + shape[0])
    codes = random.integers(1, 256, shape, dtype=np.uint8)
    codes[random.random(shape) >= share] = 0
    corner = np.zeros(shape, np.uint8)
    corner[-9:, -8:] = random.integers(1, 9, corner[-9:, -8:].shape)
    for field in (codes, corner):
        background = find_background(field)
        for _ in range(40):
            row, column = (int(random.integers(0, extent)) for extent in shape)
            height, width = (
                int(random.integers(1, shape[0] - row + 1)),
                int(random.integers(1, shape[1] - column + 1)),
            )
            asked = ((row, column, min(height, 40), min(width, 40)), int(random.integers(1, 70)), 30)
            assert looked_for_by_windows(field, *asked) == surroundings(background, *asked)


def test_a_clump_over_the_whole_field_costs_little_more_than_single_particles():
    """The background of each of its particles is that of the whole picture."""
    shape = (2048, 2048)
    codes = np.full(shape, 100, np.uint8)
    picture = KeptPicture(codes=codes, offset=0.0, step=1.0)
    places = [(row, column) for row in range(900, 1100, 10) for column in range(900, 1100, 10)]
    regions = [Region(origin_px=place, mask=np.ones((8, 8), bool), separated=False) for place in places]
    single, clump = np.zeros(shape, bool), np.ones(shape, bool)
    clump[:20, :20] = False
    contrasts(regions[:1], single, picture)
    seconds = []
    for mask in (single, clump):
        began_s = time.thread_time()
        assert [0.0] * len(regions) == contrasts(regions, mask, picture).tolist()
        seconds.append(time.thread_time() - began_s)
    assert seconds[1] < 5 * seconds[0]


@pytest.mark.parametrize("dark", [True, False])
def test_segmenters_keep_the_picture(dark):
    """Of bright particles it is the background that lacks brightness; both polarities know it."""
    mask, picture = discs()
    polarity = ("particles", "dark" if dark else "bright")
    opposite = ("particles", "bright" if dark else "dark")
    fixed = Segmenter(
        name="fixed", segment=lambda images: [Segmentation(mask=mask) for _ in images], parameters=(polarity,)
    )
    both = keeping_pictures(replace(fixed, opposite=replace(fixed, parameters=(opposite,))))
    image = noisy(picture if dark else 1200 - picture, 300)
    expected = list(CENTRES) if dark else [1 - 200 / 400, 1 - 200 / 700, 1 - 200 / 1000]
    analysis = temwatch.analyse(image, pixel_size_nm=0.1, segmenter=both)
    assert [one.contrast for one in analysis.particles] == pytest.approx(expected, abs=0.03)
    wrong = temwatch.analyse(image, pixel_size_nm=0.1, segmenter=both.opposite)
    assert [0.0, 0.0, 0.0] == [one.contrast for one in wrong.particles]


def test_what_the_settings_build_keeps_the_picture():
    _, picture = discs()
    segmenter = segmentation.build(SegmentationSettings(method="threshold"))
    for one in (segmenter, segmenter.opposite):
        assert all(found.picture is not None for found in one.segment([noisy(picture)]))


def stored(image, mask):
    """A segmentation as a segmenter gives it."""
    segmenter = Segmenter(name="fixed", segment=lambda images: [Segmentation(mask=mask) for _ in images])
    return keeping_pictures(segmenter).segment([image])[0]


def test_the_ledger_gives_the_same_contrast_without_the_original(ledger):
    """With the separation of then and with another one."""
    mask, picture = discs()
    mask[100:120, 60:100] = True
    found = stored(noisy(picture), mask)
    resolved = pipeline.resolve_segmentation(found, pixel_size_nm=0.1, settings=SeparationSettings())
    file_id = queue.add(ledger, arrival("a.dm3"))
    queue.claim(ledger, 1000, START)
    result = Result(
        sha256="0" * 64,
        segmentation=found,
        analysis=replace(resolved, method=METHOD),
        analysed_at=START,
        seconds=0.1,
    )
    (micrograph,) = recording.record(ledger, file_id, [result]).micrograph_ids
    with ledger.reader() as reader:
        again = analyses.segmentation(reader, micrograph)
        rows = analyses.particles(reader, micrograph)
    assert [one.contrast for one in resolved.particles] == [one.contrast for one in rows]
    for method in ("uecs", "watershed", "none"):
        one, other = (
            pipeline.resolve_segmentation(each, pixel_size_nm=0.1, settings=SeparationSettings(method=method))
            for each in (found, again)
        )
        assert one.table().equals(other.table())
        assert one.table()["contrast"].notna().all()


def test_the_kept_picture_is_small_and_comes_back_whole():
    """Noise hardly counts: a quarter of a byte for each pixel of a field that is all particle."""
    random = np.random.default_rng(7)
    for electrons in (3, 300):
        image = random.poisson(electrons, (256, 256)).astype(np.float32)
        picture = take_picture(image, np.ones(image.shape, bool))
        packed = pack_picture(picture)
        assert len(packed) < 0.5 * image.size
        again = unpack_picture(packed, image.shape)
        assert (picture.offset, picture.step) == (again.offset, again.step)
        assert np.array_equal(picture.codes, again.codes)


def test_a_picture_is_kept_the_same_in_strips_of_rows(monkeypatch):
    """A mosaic is not in memory a second time."""
    from temwatch.analysis.appearance import picture as module

    mask, image = discs()
    whole = take_picture(noisy(image), mask)
    monkeypatch.setattr(module, "PARAMETERS", replace(module.PARAMETERS, rows=37))
    assert np.array_equal(whole.codes, take_picture(noisy(image), mask).codes)
