"""The shift of a field against the particles known so far."""

import numpy as np
import pytest

from sequence_cases import discs
from temwatch.analysis.tracking.drift import Reference, coverage, measure_drift

SIDE = 400


def lattice(rng, disorder_px, spacing_px=14.0):
    """Particles in hexagonal order with some disorder and sizes of their own, as assemblies of gold have."""
    rows, columns = np.mgrid[0:50, 0:50]
    places = np.stack([rows * spacing_px * 0.866, (columns + 0.5 * (rows % 2)) * spacing_px], -1).reshape(
        -1, 2
    )
    places = places + rng.normal(0, disorder_px, places.shape) - 100
    return np.column_stack([places, np.clip(rng.normal(3.5, 0.5, len(places)), 2, 5)])


def scattered(rng, count=300):
    places = rng.uniform(-100, SIDE + 100, (4 * count, 2))
    kept = []
    for place in places:
        if all(np.hypot(*(place - other)) > 22 for other in kept):
            kept.append(place)
    return np.column_stack([np.array(kept), rng.uniform(5, 9, len(kept))])


def in_view(particles):
    y, x, radius = particles.T
    inside = (np.minimum(y, x) > radius + 2) & (np.maximum(y, x) < SIDE - radius - 2)
    return particles[inside]


def shift_of(before, after, last_px=(0.0, 0.0)):
    seen = discs(0, before, SIDE)
    known = Reference(seen.centroids_nm, seen.diameters_nm, np.ones(len(before)))
    now = discs(1, after, SIDE)
    return measure_drift(now.mask, now.centroids_nm, now.diameters_nm, known, np.array(last_px), 1.0)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.7), (3.3, 4.1), (-40.2, 7.6), (25.5, 33.25)])
@pytest.mark.parametrize("arrangement", ["lattice", "scattered"])
def test_shifts_are_found_to_a_tenth_of_a_pixel(arrangement, shift):
    """Small ones and jumps, though a fifth of the particles has gone and others have come into view."""
    rng = np.random.default_rng(1)
    particles = lattice(rng, 1.0) if arrangement == "lattice" else scattered(rng)
    stay = particles[rng.random(len(particles)) > 0.2]
    found = shift_of(in_view(particles), in_view(stay + np.array([*shift, 0.0])))
    assert np.hypot(*(found.shift_nm - shift)) < 0.1, found
    assert found.agreement > 0.5


def test_particles_that_move_together_are_outvoted():
    """A quarter of the particles migrates to one side; the field has not moved."""
    particles = in_view(scattered(np.random.default_rng(2)))
    after = particles.copy()
    after[::4, 1] += 2.5
    found = shift_of(particles, after)
    assert np.hypot(*found.shift_nm) < 0.15, found


def test_where_nothing_agrees_the_field_is_taken_to_have_stayed():
    """Another field of view, or none at all: no shift is invented."""
    first, second = (in_view(scattered(np.random.default_rng(seed), 40)) for seed in (3, 4))
    found = shift_of(first, second * (1, 1, 0.4), last_px=(5.0, -3.0))
    assert found.agreement < 0.4
    assert np.hypot(*(found.shift_nm - (5.0, -3.0))) < SIDE / 2
    nothing = shift_of(first, second[:0], last_px=(5.0, -3.0))
    assert 0.0 == nothing.agreement
    np.testing.assert_array_equal((5.0, -3.0), nothing.shift_nm)


def test_coverage_counts_every_pixel_once():
    """Cells at the far border are incomplete; nothing is lost there."""
    mask = np.random.default_rng(5).random((53, 41)) < 0.3
    cells = coverage(mask, 8)
    assert (7, 6) == cells.shape
    assert mask.sum() == pytest.approx(64 * cells.sum())
