"""Sequences with their truth for the tests of tracking, and the measures of multiple-object tracking.

MOTA: K. Bernardin, R. Stiefelhagen, EURASIP J. Image Video Process. 2008, 246309. Identity F1: E. Ristani et
al., ECCV workshops 2016.
"""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from temwatch.analysis.tracking import tracker
from temwatch.domain import Region
from temwatch.simulator import evolution
from temwatch.simulator.specimen import project


@dataclass
class Sheet:
    """What was said of the particles of every frame: places in px, names; and of the field and the events."""

    places: list = field(default_factory=list)
    names: list = field(default_factory=list)
    radii: list = field(default_factory=list)
    drifts: list = field(default_factory=list)
    events: list = field(default_factory=list)


def true_sheet(moments, settings):
    """The truth of a simulated sequence, places as they are on the detector."""
    sheet = Sheet()
    for moment in moments:
        drift = np.array([moment.drift_y_nm, moment.drift_x_nm]) / settings.pixel_size_nm
        places = [(p.y_nm, p.x_nm) for p in moment.particles]
        sheet.places.append(np.array(places).reshape(-1, 2) / settings.pixel_size_nm + drift)
        sheet.names.append(np.array([p.track for p in moment.particles], int))
        sheet.radii.append(np.array([p.radius_nm for p in moment.particles]) / settings.pixel_size_nm)
        sheet.drifts.append(drift)
        sheet.events.extend(moment.events)
    return sheet


def true_observation(moment, settings, *, flicker=0.0, rng=None, noise_px=0.0):
    """A frame as a perfect segmentation would see it; `flicker` is the share of particles it misses."""
    mask = np.zeros((settings.size_px, settings.size_px), bool)
    regions, places, diameters = [], [], []
    for particle in moment.particles:
        if flicker and rng.random() < flicker:
            continue
        crop = project(evolution.body(particle, moment, settings)).region
        rows, columns = np.nonzero(crop.mask)
        if not len(rows):
            continue
        (top, left), (bottom, right) = crop.origin_px, np.add(crop.origin_px, crop.mask.shape)
        if top < 0 or left < 0 or bottom > settings.size_px or right > settings.size_px:
            continue
        mask[top:bottom, left:right] |= crop.mask
        regions.append(crop)
        places.append((top + rows.mean() + 0.5, left + columns.mean() + 0.5))
        diameters.append(math.sqrt(4 * len(rows) / math.pi))
    centroids = np.array(places, float).reshape(-1, 2)
    if noise_px:
        centroids = centroids + rng.normal(0, noise_px, centroids.shape)
    return tracker.ObservedFrame(
        index=moment.index,
        pixel_size_nm=1.0,
        mask=mask,
        centroids_nm=centroids,
        diameters_nm=np.array(diameters, float),
        regions=tuple(regions),
    )


def followed_sheet(observations, settings=None):
    """What the tracking says of observations, one after the other."""
    state, sheet = tracker.begin(settings), Sheet()
    for observation in observations:
        state, found = tracker.add_frame(state, observation)
        sheet.places.append(observation.centroids_nm / observation.pixel_size_nm)
        sheet.names.append(found.tracks)
        sheet.drifts.append(found.drift_nm / observation.pixel_size_nm)
        sheet.events.extend(found.events)
    sheet.events.extend(tracker.finish(state))
    return sheet


@dataclass(frozen=True)
class Scores:
    mota: float
    identity_f1: float
    switches: int
    missed: int
    false: int
    merge_f1: float
    merges: tuple[int, int, int]
    drift_rms_px: float


def score(truth: Sheet, found: Sheet) -> Scores:
    """Measures of a tracking; a particle counts as found within its own radius, and 2 px at least."""
    missed = false = switches = total = 0
    last: dict[int, int] = {}
    together: Counter = Counter()
    seen: dict[int, list] = {}  # of each number: what it was at last
    for frame, (places, names, radii, hits, said) in enumerate(
        zip(truth.places, truth.names, truth.radii, found.places, found.names, strict=True)
    ):
        total += len(names)
        distance = np.hypot(*(places[:, None] - hits[None, :]).transpose(2, 0, 1))
        far = distance > np.maximum(radii, 2)[:, None]
        # the correspondence of the last frame stands where it still holds
        kept = np.array([[last.get(int(n)) == int(s) for s in said] for n in names]).reshape(distance.shape)
        cost = np.where(far, 1e6, distance - 1e3 * kept)
        pairs = [(r, c) for r, c in zip(*linear_sum_assignment(cost), strict=True) if not far[r, c]]
        missed += len(names) - len(pairs)
        false += len(said) - len(pairs)
        for row, column in pairs:
            name, number = int(names[row]), int(said[column])
            switches += last.get(name, number) != number
            last[name] = number
            seen.setdefault(number, []).append((frame, name))
        for row, column in zip(*np.nonzero(~far), strict=True):
            together[int(names[row]), int(said[column])] += 1
    same = _identities(together)
    found_total = sum(len(said) for said in found.names)
    merges = _merges(truth.events, found.events, seen)
    error = np.array(found.drifts) - np.array(truth.drifts)
    error -= error[0]
    return Scores(
        mota=1 - (missed + false + switches) / total,
        identity_f1=2 * same / (total + found_total),
        switches=switches,
        missed=missed,
        false=false,
        merge_f1=2 * merges[0] / max(sum(merges) + merges[0], 1),
        merges=merges,
        drift_rms_px=float(np.sqrt((error**2).sum(axis=1).mean())),
    )


def _identities(together):
    """Frames that the best pairing of true and found tracks has in common."""
    names = sorted({name for name, _ in together})
    numbers = sorted({number for _, number in together})
    frames = np.zeros((len(names), len(numbers)))
    for (name, number), count in together.items():
        frames[names.index(name), numbers.index(number)] = count
    rows, columns = linear_sum_assignment(-frames)
    return int(frames[rows, columns].sum())


def _merges(truth, found, seen, frames=2):
    """Merges found, false and missed; one is found when both particles are right and the frame nearly so.

    Which of two equal ones goes on is not asked; a number stands for the particle it was before.
    """

    def before(number, frame):
        names = [name for at, name in seen.get(number, []) if at < frame]
        return names[-1] if names else -number

    def pairs(events, name):
        return [
            (frozenset((name(event.track, event.frame), name(other, event.frame))), event.frame)
            for event in events
            if event.event == "merge"
            for other in event.others
        ]

    open_ = pairs(truth, lambda track, _: track)
    said = pairs(found, before)
    hits = 0
    for both, frame in said:
        match = next((t for t in open_ if t[0] == both and abs(t[1] - frame) <= frames), None)
        if match:
            open_.remove(match)
            hits += 1
    return hits, len(said) - hits, len(open_)


def discs(index, places, side=160):
    """A frame with discs, given as (row, column, radius) in px; they are particles of their own."""
    mask, regions, centroids, diameters = np.zeros((side, side), bool), [], [], []
    for row, column, radius in places:
        top, left, reach = int(row - radius), int(column - radius), math.ceil(2 * radius) + 1
        y, x = np.mgrid[top : top + reach, left : left + reach] + 0.5
        disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
        regions.append(Region(origin_px=(top, left), mask=disc))
        centroids.append((y[disc].mean(), x[disc].mean()))
        diameters.append(math.sqrt(4 * disc.sum() / math.pi))
        mask[top : top + reach, left : left + reach] |= disc
    return tracker.ObservedFrame(
        index=index,
        pixel_size_nm=1.0,
        mask=mask,
        centroids_nm=np.array(centroids, float).reshape(-1, 2),
        diameters_nm=np.array(diameters, float),
        regions=tuple(regions),
    )
