"""The threshold on pictures with padding, apertures, defects and writing, on blank film, and its remarks."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture
from scipy import ndimage

from damaged_fields import (
    BLANKS,
    CROWDED,
    DAMAGES,
    SETTINGS,
    Damaged,
    bright,
    centres,
    clean,
    hits_and_false,
    resolved,
)
from temwatch.analysis.segmentation import build
from temwatch.analysis.segmentation.field import find_field
from temwatch.analysis.segmentation.remarks import looks_reversed
from temwatch.config import SegmentationSettings
from temwatch.domain import Reason, Segmentation
from temwatch.notes import Note
from temwatch.simulator import simulate_micrograph

SEEDS = [0, pytest.param(1, marks=pytest.mark.slow)]
SEEDS += [pytest.param(seed, marks=pytest.mark.soak) for seed in (2, 3)]
FAINT = replace(SETTINGS, attenuation_per_nm=-np.log(1 - 0.15) / SETTINGS.diameter_mean_nm)


def segment(image: np.ndarray, particles: str = "dark") -> Segmentation:
    segmenter = build(SegmentationSettings(method="threshold", particles=particles))
    return segmenter.segment([image.astype(np.float32)])[0]


def whole(found: Segmentation, damaged: Damaged) -> int:
    """Particles of a clean picture that lie whole in what is left of it, clear of its edges."""
    near = ndimage.binary_dilation(~damaged.seen, iterations=6)
    analysis = resolved(found)
    crops = [
        near[
            particle.region.origin_px[0] : particle.region.origin_px[0] + particle.region.mask.shape[0],
            particle.region.origin_px[1] : particle.region.origin_px[1] + particle.region.mask.shape[1],
        ][particle.region.mask]
        for particle in analysis.particles
    ]
    return sum(not crop.any() for crop in crops)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_picture_shows_the_particles_of_the_clean_one_and_no_others(kind, seed):
    """All but one of those that lie whole in the rest, and not one that is none."""
    simulated = clean(seed)
    random = np.random.default_rng(seed)
    damaged = DAMAGES[kind](simulated.image.astype(float), random)
    truth, expected = simulated.mask, whole(segment(simulated.image), damaged)
    if kind.startswith("turned"):
        truth = DAMAGES[kind](simulated.mask.astype(float), random).image == 1
        labels, count = ndimage.label(truth)
        outside = ndimage.binary_dilation(~damaged.seen, iterations=6)
        cut = set(np.unique(labels[outside])) | {0}
        border = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
        whole_ones = count - len((cut | set(np.unique(np.concatenate(border)))) - {0})
        # as many cannot be told apart as in the picture that was not turned
        told_apart, _ = hits_and_false(resolved(segment(simulated.image)), simulated.mask)
        merged = ndimage.label(simulated.mask)[1] - told_apart
        expected = whole_ones - merged

    found = segment(damaged.image)
    hits, others = hits_and_false(resolved(found), truth)

    assert 0 == others
    assert hits >= expected - 1
    assert () == found.notes


@pytest.mark.parametrize(
    "kind", ["40 black rows", "turned by 20 degrees", "aperture, noise", "30 dead pixels"]
)
def test_faint_particles_are_found_beside_what_is_far_darker(kind):
    """None of 24 was: the threshold lay between the padding and everything else."""
    simulated = simulate_micrograph(FAINT, 0)
    random = np.random.default_rng(0)
    damaged = DAMAGES[kind](simulated.image.astype(float), random)
    truth = simulated.mask
    if kind.startswith("turned"):
        truth = DAMAGES[kind](truth.astype(float), random).image == 1
    hits, others = hits_and_false(resolved(segment(damaged.image)), truth)
    assert 0 == others
    assert hits >= 0.8 * whole(segment(simulated.image), damaged)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", BLANKS)
def test_a_blank_field_has_no_particle_and_says_so(kind, seed):
    found = segment(BLANKS[kind](np.random.default_rng(seed)))
    assert not resolved(found).particles
    assert (Note.BLANK_FIELD,) == found.notes


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("noise", [0, 10])
def test_black_particles_with_razor_sharp_edges_are_found(seed, noise):
    """Black is one value, as writing is; on film without noise there are two values."""
    simulated = clean(seed)
    film = 200 + noise * np.random.default_rng(seed).normal(size=simulated.mask.shape)
    found = segment(np.rint(np.where(simulated.mask, 0, film)))
    hits, others = hits_and_false(resolved(found), simulated.mask)
    assert (len(centres(resolved(Segmentation(mask=simulated.mask)))), 0) == (hits, others)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crowded_field_stays_as_it_was(seed):
    """Particles over more than half of it; no note, and the mask is the truth's."""
    simulated = clean(seed, crowded=True)
    found = segment(simulated.image)
    both, either = found.mask & simulated.mask, found.mask | simulated.mask
    assert np.count_nonzero(both) > 0.9 * np.count_nonzero(either)
    assert () == found.notes


FIELDS = {
    "one": replace(SETTINGS, particles=1),
    "few": replace(SETTINGS, particles=4),
    "some": SETTINGS,
    "faint": FAINT,
    "strong fringes": replace(FAINT, defocus_nm=-6000.0),
    "crowded": CROWDED,
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", FIELDS)
def test_particles_of_the_other_sign_are_suspected(kind, seed):
    """Whichever sign was set, few or many; never where they have the sign that was set."""
    dark = simulate_micrograph(FIELDS[kind], seed).image.astype(np.float32)
    light = bright(dark).astype(np.float32)
    assert looks_reversed(light, dark=True)
    assert looks_reversed(dark, dark=False)
    assert not looks_reversed(dark, dark=True)
    assert not looks_reversed(light, dark=False)


@pytest.mark.slow
def test_gaps_in_a_dense_layer_are_no_bright_particles():
    """Half of its particles are parts of clumps, and the gaps are as round as they are."""
    dense = replace(CROWDED, particles=450, overlap="medium")
    assert not looks_reversed(simulate_micrograph(dense, 0).image.astype(np.float32), dark=True)


@pytest.mark.data
def test_published_figures_are_hardly_ever_noted_and_their_negatives_mostly(data_folder):
    """Of all 183 none, and 15 before the form of outlines had a say; here every twelfth."""
    folder = data_folder / "emps_bright_field" / "images"
    notes = {"dark": [], "bright": []}
    for path in sorted(folder.iterdir())[::12]:
        image = np.asarray(Picture.open(path).convert("L"), np.float32)
        notes["dark"] += segment(image).notes
        notes["bright"] += segment(255 - image).notes
    assert [] == notes["dark"]
    assert notes["bright"].count(Note.BRIGHT_PARTICLES_SUSPECTED) >= 8


def test_bright_particles_in_the_middle_are_no_aperture():
    """The dark film around a crowd is even, as what an aperture covers, but it ends at no circle."""
    simulated = clean(0)
    inside = np.hypot(*(np.indices(simulated.mask.shape) - 256)) < 170
    labels, _ = ndimage.label(simulated.mask)
    crowd = np.isin(labels, np.setdiff1d(labels[inside], labels[~inside])) & simulated.mask
    random = np.random.default_rng(0)
    image = 200 + 800 * crowd + random.normal(0, 20, crowd.shape)
    assert find_field(image.astype(np.float32)) is None
    found = segment(image, "bright")
    assert None is found.recorded
    assert (ndimage.label(crowd)[1], 0) == hits_and_false(resolved(found), crowd)


def test_particles_that_padding_cuts_are_rejected_as_on_the_border():
    """As many as in the picture without the padding."""
    image = clean(1).image.astype(float)
    padded = DAMAGES["200 black rows"](image, np.random.default_rng(0)).image
    alone = image[200:, : image.shape[1] - 100]

    def on_border(picture: np.ndarray) -> int:
        rejections = resolved(segment(picture)).rejections
        return sum(rejection.reason == Reason.TOUCHES_BORDER for rejection in rejections)

    assert 4 == on_border(alone)
    assert 4 == on_border(padded)


def test_the_notes_name_the_sign():
    dark = clean(0).image
    assert (Note.BRIGHT_PARTICLES_SUSPECTED,) == segment(bright(dark)).notes
    assert (Note.DARK_PARTICLES_SUSPECTED,) == segment(dark, "bright").notes
    assert () == segment(bright(dark), "bright").notes


def test_particles_on_a_ramp_and_on_waves_are_dark():
    simulated = clean(0)
    rows, columns = np.indices(simulated.mask.shape)
    for slope in (2 * columns, 300 * np.sin(rows / 90)):
        image = (simulated.image + slope).astype(np.float32)
        assert not looks_reversed(image, dark=True)
        assert 15 < hits_and_false(resolved(segment(image)), simulated.mask)[0]
