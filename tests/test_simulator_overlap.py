"""Degrees of overlap are measurable, ordered, and those of the masks that separation is judged on."""

import numpy as np
import pytest
from scipy import ndimage

from temwatch.domain import Region
from temwatch.simulator import Settings, overlaps, simulate_mask
from temwatch.simulator.specimen import MAX_CLUMP, arrange

FAMILIES = ("ellipses", "facetted", "rods")


def statistics(particles):
    """Share of overlapping particles, overlaps a particle, median of the shared part of the smaller."""
    pairs = overlaps(particles)
    shared = [count / min(area(particles[i]), area(particles[j])) for i, j, count in pairs]
    overlapping = {number for i, j, _ in pairs for number in (i, j)}
    count = len(particles)
    return len(overlapping) / count, 2 * len(pairs) / count, float(np.median(shared))


def area(region):
    return np.count_nonzero(region.mask)


@pytest.fixture(scope="module")
def simulated():
    """Truth of a field of 1024 px for each family and degree."""
    return {
        (family, overlap): simulate_mask(family, overlap, 1024, 11)
        for family in FAMILIES
        for overlap in ("low", "medium", "high")
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_degrees_are_ordered(simulated, family):
    """More particles overlap, with more neighbours, and share more of themselves."""
    low, medium, high = (statistics(simulated[family, o].particles) for o in ("low", "medium", "high"))
    assert low < medium < high
    for smaller, larger in zip((*low, *medium), (*medium, *high), strict=True):
        assert smaller < larger + 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_no_particle_disappears_in_another(simulated, family):
    """At most six tenths of the smaller particle of any pair lies in the larger one."""
    for overlap in ("low", "medium", "high"):
        particles = simulated[family, overlap].particles
        for first, second, shared in overlaps(particles):
            pair = particles[first], particles[second]
            # the border of the field may cut a pair so that more of what is left is shared
            if not any(map(_cut, pair)):
                assert shared <= 0.6 * min(map(area, pair))


def _cut(region: Region, size_px: int = 1024) -> bool:
    (top, left), (height, width) = region.origin_px, region.mask.shape
    return top == 0 or left == 0 or top + height == size_px or left + width == size_px


def test_without_overlap_particles_lie_apart():
    """Degree none: no shared pixel and no contact, a gap of background between any two."""
    settings = Settings(size_px=512, particles=60, overlap="none")
    regions = [projection.region for _, projection in arrange(settings, np.random.default_rng(0))]
    assert [] == overlaps(regions)
    assert 60 == len(regions)


def test_a_crowded_field_returns_what_it_has_room_for():
    """Asking for more particles than fit ends, with fewer."""
    settings = Settings(size_px=128, particles=500, overlap="none")
    assert 3 < len(arrange(settings, np.random.default_rng(0))) < 30


@pytest.mark.parametrize("family", FAMILIES)
def test_particles_keep_their_sizes_at_any_overlap(simulated, family):
    """Crowding must not select the small ones, or diameters would be biased."""
    mean_px = [
        np.mean([np.sqrt(4 * area(r) / np.pi) for r in simulated[family, o].particles])
        for o in ("low", "medium", "high")
    ]
    assert np.ptp(mean_px) < 0.06 * np.mean(mean_px)


@pytest.mark.data
@pytest.mark.parametrize(
    ("family", "overlap", "reference"),
    [
        ("ellipses", "low", "B1024_low"),
        ("ellipses", "medium", "B1024_medium"),
        ("ellipses", "high", "B1024_high"),
        ("rods", "medium", "F1024_rods"),
    ],
)
def test_statistics_are_those_of_the_reference_masks(simulated, data_folder, family, overlap, reference):
    """Overlap share, overlaps a particle, shared part, number and diameters in px."""
    with np.load(data_folder / "separation" / f"{reference}_truth.npz") as saved:
        particles = []
        for number, (top, left, height, width) in enumerate(saved["bbox"].tolist()):
            bits = saved["bits"][slice(*saved["offset"][number : number + 2])]
            mask = np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
            particles.append(Region(origin_px=(top, left), mask=mask))
    ours, theirs = statistics(simulated[family, overlap].particles), statistics(particles)
    assert theirs[0] == pytest.approx(ours[0], abs=0.1)
    assert theirs[1] == pytest.approx(ours[1], rel=0.25)
    assert theirs[2] == pytest.approx(ours[2], abs=0.06)

    def diameters(regions):
        return [np.sqrt(4 * area(region) / np.pi) for region in regions]

    found = diameters(simulated[family, overlap].particles)
    assert len(particles) == pytest.approx(len(found), rel=0.02)
    assert np.mean(diameters(particles)) == pytest.approx(np.mean(found), rel=0.05)
    assert np.std(diameters(particles)) == pytest.approx(np.std(found), rel=0.2)


def test_clumps_stay_within_their_limit(simulated):
    """Particles that were joined number twenty at most; touching on the grid may add a neighbour clump."""
    for truth in simulated.values():
        labels, count = ndimage.label(truth.mask, np.ones((3, 3)))
        members = np.zeros(count + 1, int)
        for region in truth.particles:
            (top, left), (height, width) = region.origin_px, region.mask.shape
            members[labels[top : top + height, left : left + width][region.mask][0]] += 1
        assert members.max() <= 2 * MAX_CLUMP
