"""Remarks on the particles of a micrograph: few pixels, or two kinds."""

import numpy as np
import pytest

from temwatch.analysis.measurement.oddities import are_two_kinds
from temwatch.analysis.pipeline import resolve
from temwatch.notes import Note

ONE_KIND = {
    "log-normal": lambda random, n: np.exp(random.normal(1, 0.3, n)),
    "monodisperse": lambda random, n: np.round(random.normal(10, 0.1, n), 1),
    "flat": lambda random, n: random.uniform(1, 10, n),
    "with some dust": lambda random, n: np.where(random.random(n) < 0.03, 1, random.normal(10, 1, n)),
    "with a few pairs": lambda random, n: (
        np.exp(random.normal(1, 0.1, n)) * np.where(random.random(n) < 0.05, 1.41, 1)
    ),
}


@pytest.mark.parametrize("name", ONE_KIND)
def test_one_kind_is_hardly_ever_taken_for_two(name):
    """In at most 2 of 50 micrographs of 100 particles."""
    random = np.random.default_rng(3)
    assert 2 >= sum(are_two_kinds(ONE_KIND[name](random, 100)) for _ in range(50))


def test_two_kinds_are_seen_where_they_hardly_overlap():
    """Of 3 and 6 nm, in at least 48 of 50; a few particles say nothing."""
    random = np.random.default_rng(4)

    def both(n):
        return np.exp(random.normal(0, 0.12, n)) * np.where(random.random(n) < 0.4, 3, 6)

    assert 48 <= sum(are_two_kinds(both(100)) for _ in range(50))
    assert not any(are_two_kinds(both(20)) for _ in range(10))
    assert not are_two_kinds(np.zeros(0))


def test_the_analysis_notes_particles_of_few_pixels_and_of_two_kinds():
    """Below 15 px in the median, whatever a pixel is in nm."""
    y, x = np.mgrid[:400, :400] % 40 - 20
    small = np.hypot(y, x) < 6.5
    large = np.hypot(y, x) < 12.5
    for pixel_size_nm in (0.1, 2.0):
        assert (Note.FEW_PX_PER_PARTICLE,) == resolve(small, pixel_size_nm=pixel_size_nm).notes
        assert () == resolve(large, pixel_size_nm=pixel_size_nm).notes
    beside = np.where(np.arange(400) < 200, small, large)
    assert Note.TWO_KINDS in resolve(beside, pixel_size_nm=1.0).notes
    assert () == resolve(np.zeros((64, 64), bool), pixel_size_nm=1.0).notes
