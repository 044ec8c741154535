"""Ensemble curves, laws of growth, and coalescence told apart from ripening."""

import math
from dataclasses import replace

import numpy as np
import pytest

from temwatch.analysis.statistics.ensemble import ensemble
from temwatch.analysis.statistics.growth import curves, shares
from temwatch.analysis.statistics.kinetics import best_exponent, kinetics, kinetics_over_time, power_law
from temwatch.analysis.tracking.track_events import TrackEvent
from temwatch.simulator.evolution import SEQUENCE, evolve


def test_an_ensemble_of_one_frame():
    """The values are what they say; the limits of a Poisson number of ten are Garwood's."""
    found = ensemble(np.arange(1.0, 11.0))
    assert pytest.approx((10, 4.795, 18.39), rel=1e-3) == found.count
    assert pytest.approx(5.5) == found.mean_diameter_nm.value
    assert (2.0, 9.0) == found.median_diameter_nm[1:]  # 97.9 % by the binomial distribution
    assert pytest.approx(math.pi / 4 * 385) == found.total_area_nm2.value
    assert pytest.approx(math.pi / 6 * 3025) == found.total_volume_nm3.value


def test_a_frame_without_particles_is_an_ensemble_too():
    found = ensemble(np.zeros(0))
    assert (0.0, 0.0) == found.count[:2]
    assert pytest.approx(3.689, rel=1e-3) == found.count.high
    assert 0.0 == found.total_volume_nm3.value
    assert math.isnan(found.mean_diameter_nm.value)


def test_bands_hold_the_truth_in_95_of_100_frames():
    """Poisson numbers of log-normal particles: each band covers the specimen's value as often as it says."""
    rng = np.random.default_rng(1)
    truth = {"count": 80.0, "median_diameter_nm": 5.0, "mean_diameter_nm": 5.0 * math.exp(0.03125)}
    truth["total_area_nm2"] = 80 * math.pi / 4 * 25 * math.exp(2 * 0.0625)
    truth["total_volume_nm3"] = 80 * math.pi / 6 * 125 * math.exp(4.5 * 0.0625)
    hits = dict.fromkeys(truth, 0)
    for _ in range(1000):
        found = ensemble(rng.lognormal(math.log(5), 0.25, rng.poisson(80)))
        for name, value in truth.items():
            band = getattr(found, name)
            hits[name] += band.low <= value <= band.high
    assert all(920 <= count <= 985 for count in hits.values()), hits


@pytest.mark.parametrize("exponent", [2.0, 3.0])
def test_the_law_of_growth_is_found(exponent):
    """Radii that follow r^n = r0^n + K t with noise: rate and n lie in their intervals, not the other n."""
    rng = np.random.default_rng(2)
    time = np.arange(400) * 0.5
    radius = (2.0**exponent + 0.5 * time) ** (1 / exponent) + rng.normal(0, 0.02, time.size)
    law = power_law(time, radius, exponent)
    assert law.rate.low <= 0.5 <= law.rate.high
    assert pytest.approx(0.5, rel=0.02) == law.rate.value
    assert pytest.approx(2.0, abs=0.05) == law.start_radius_nm
    found = best_exponent(time, radius)
    assert found.low <= exponent <= found.high
    assert not found.low <= 5 - exponent <= found.high


def test_intervals_allow_for_errors_with_a_memory():
    """The scatter of frames with the same particles persists; the rate lies in its interval nonetheless."""
    rng = np.random.default_rng(3)
    time = np.arange(300.0)
    hits = 0
    for _ in range(200):
        memory = np.zeros(time.size)
        for frame in range(1, time.size):
            memory[frame] = 0.8 * memory[frame - 1] + rng.normal(0, 0.01)
        law = power_law(time, (8 + 0.05 * time) ** (1 / 3) + memory, 3.0)
        hits += law.rate.low <= 0.05 <= law.rate.high
    assert hits >= 170, hits  # without the allowance it is about 100


def test_fits_run_along_with_the_frames():
    """The last of the running fits is the fit over all; frames without particles do not disturb."""
    time = np.arange(100) * 0.5
    radius = (8 + 0.1 * time) ** (1 / 3)
    radius[30] = math.nan
    fits = kinetics_over_time(time, radius, 10)
    assert fits[-1] == kinetics(time, radius)
    assert sorted({fit.frames for fit in fits}) == [fit.frames for fit in fits]
    assert kinetics_over_time(time[:4], radius[:4]) == []
    assert kinetics(time[:4], radius[:4]) is None


def test_coalescence_and_ripening_are_distinguished():
    """Volumes worked out by hand: 1 takes in 2 and ripens, 3 dissolves, 4 leaves the view."""
    volumes = {1: [8, 8, 8, 11, 11, 11], 2: [2, 2, 2], 3: [3, 2, 1], 4: [5, 5, 5], 5: [1]}
    rows = [(track, frame, v) for track, sizes in volumes.items() for frame, v in enumerate(sizes)]
    track, frame, volume = (np.array(column) for column in zip(*rows, strict=True))
    diameter = np.cbrt(6 / math.pi * volume)
    events = [
        TrackEvent(frame=3, event="merge", track=1, others=(2,)),
        *(TrackEvent(frame=3, event="vanish", track=number) for number in (3, 4, 5)),
    ]
    found = shares(track, frame, diameter, events, left_view={4})
    assert pytest.approx((2, 1, 2)) == (found.coalesced_nm3, found.ripened_nm3, found.lost_nm3)
    assert pytest.approx(2 / 3) == found.by_volume.value
    assert (1, 1, 0.5) == (found.merged, found.dissolved, found.by_number.value)
    curve = curves(track, frame, frame * 0.5, diameter)[0]
    assert (1, 0, 5, 6) == (curve.track, curve.first_frame, curve.last_frame, curve.sightings)
    assert pytest.approx((np.cbrt(48 / math.pi), np.cbrt(66 / math.pi))) == (
        curve.start_diameter_nm,
        curve.end_diameter_nm,
    )


def test_shares_of_a_simulated_sequence():
    """On true lives the volume gained by coalescence is that of the particles that were taken in."""
    settings = replace(SEQUENCE, size_px=512, particles=30)
    moments = list(evolve(settings, 40, np.random.default_rng(4)))
    rows = [(p.track, m.index, p.equivalent_diameter_nm) for m in moments for p in m.particles]
    track, frame, diameter = (np.array(column) for column in zip(*rows, strict=True))
    events = [
        TrackEvent(frame=e.frame, event=e.event, track=e.track, others=e.others)
        for m in moments
        for e in m.events
    ]
    last = {p.track: p.equivalent_diameter_nm for m in moments for p in m.particles}
    merges = [other for event in events if event.event == "merge" for other in event.others]
    found = shares(track, frame, diameter, events, fewest=1)
    absorbed = sum(math.pi / 6 * last[other] ** 3 for other in merges)
    assert merges
    assert pytest.approx(absorbed, rel=0.05) == found.coalesced_nm3
    assert len(merges) == found.merged
    assert found.by_volume.low <= found.by_volume.value <= found.by_volume.high
