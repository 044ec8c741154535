"""Evidence decides clump by clump: the parts of UECS, contour, watershed and contacts compete.

Every proposal is judged by one likelihood (`evidence`). Proposals are compared place by place: parts that
mostly lie in each other form a group, and a group is a decision of its own. So the result may combine parts
of several methods. UECS comes first, and another proposal has to be better by a margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from temwatch.analysis.measurement.outline import convexity
from temwatch.analysis.separation import contour, uecs, watershed
from temwatch.analysis.separation.contacts import cut
from temwatch.analysis.separation.contour_parameters import PARAMETERS as CONTOUR
from temwatch.analysis.separation.evidence import probabilities
from temwatch.analysis.separation.prior import NO_PRIOR, ParticlePrior
from temwatch.analysis.separation.separator import Separator
from temwatch.config import SeparationSettings
from temwatch.domain import Mask, Reason, Region, Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoParameters:
    """The tuned constants of the choice, set on the masks of `EvidenceParameters`."""

    margin: float = 0.05
    """By so much, of 1, the value of another group must be above that of the present one; between two
    outlines of one particle, the more probable is taken."""
    same_share: float = 0.5
    """Two parts belong to one group if so much of the smaller one lies in the other."""
    addition: float = 0.55
    """Probability from which on a part is added that lies in no other."""
    probable: float = 0.8
    """Where all parts are at least as probable, the watershed is not asked: it changes hardly anything."""
    implausible: float = 0.05
    """A part that is less probable is given up: of such parts, one in eight is a particle."""
    min_convexity: float = 0.5
    """A clump that no method separates is given up below this convexity: a net or a dendrite (the limit is
    ANTEMA's)."""


PARAMETERS = AutoParameters()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _JudgedRegion:
    """A part with its number of pixels, its probability, and whether its method itself gave it up."""

    region: Region
    area: int
    probability: float
    given_up: bool


def separate(
    clump: Region,
    *,
    shape: tuple[int, int],
    min_area_px: int,
    settings: SeparationSettings,
    prior: ParticlePrior = NO_PRIOR,
    contacts: Mask | None = None,
) -> tuple[list[Region], list[Rejection]]:
    """Separate a clump; see `SeparateClump`."""
    eroded = uecs.separate(clump, shape=shape, min_area_px=min_area_px, settings=settings)
    chosen = _judged(*eroded, "uecs", clump, prior, contacts)
    outlined = contour.propose(clump, shape=shape, min_area_px=min_area_px, settings=settings, prior=prior)
    if outlined is not None:
        chosen = _combined(chosen, _judged(*outlined, "contour", clump, prior, contacts))
    if any(part.probability < PARAMETERS.probable for part in chosen):
        basins = watershed.separate(clump, shape=shape, min_area_px=min_area_px, settings=settings)
        chosen = _combined(chosen, _judged(*basins, "watershed", clump, prior, contacts))
    if contacts is not None:
        parts = cut(clump, contacts, min_area_px, "contacts")
        chosen = _combined(chosen, _judged(parts, [], "contacts", clump, prior, contacts))
    regions = []
    rejections = []
    for part in chosen:
        if part.given_up or _is_implausible(part, prior):
            rejections.append(Rejection(region=part.region, reason=Reason.NOT_SEPARABLE))
        else:
            regions.append(part.region)
    return regions, rejections


def _judged(
    found: Sequence[Region],
    given_up: Sequence[Rejection],
    name: str,
    clump: Region,
    prior: ParticlePrior,
    contacts: Mask | None,
) -> list[_JudgedRegion]:
    """What a method proposes, with the probability of every part."""
    regions = [*found, *(rejection.region for rejection in given_up)]
    likely = probabilities(regions, clump, prior, contacts)
    return [
        _JudgedRegion(
            region=replace(region, separated_by=region.separated_by or name) if region.separated else region,
            area=int(np.count_nonzero(region.mask)),
            probability=probability,
            given_up=number >= len(found),
        )
        for number, (region, probability) in enumerate(zip(regions, likely, strict=True))
    ]


def _combined(present: list[_JudgedRegion], proposed: list[_JudgedRegion]) -> list[_JudgedRegion]:
    """The present parts, with those groups of the proposed ones that are better."""
    chosen = []
    for one, other in _groups(present, proposed):
        if not one:
            chosen += [part for part in other if part.probability >= PARAMETERS.addition]
        elif not other:
            chosen += one
        else:
            margin = 0.0 if len(one) == len(other) == 1 else PARAMETERS.margin
            expected = (sum(part.probability for part in one) + sum(part.probability for part in other)) / 2
            chosen += other if _value(other, expected) > _value(one, expected) + margin else one
    return chosen


def _value(parts: list[_JudgedRegion], expected: float) -> float:
    """Mean of the F1 score that parts are expected to reach and of the share of their area that is right.

    `expected` is the number of particles to be found.
    """
    right = sum(part.probability for part in parts)
    area = sum(part.area for part in parts)
    share = sum(part.probability * part.area for part in parts) / area
    return (2 * right / (len(parts) + expected) + share) / 2


def _groups(
    present: list[_JudgedRegion], proposed: list[_JudgedRegion]
) -> Iterator[tuple[list[_JudgedRegion], list[_JudgedRegion]]]:
    """Parts of both that lie in each other, and what lies in nothing, in the order of the present ones."""
    group = list(range(len(present) + len(proposed)))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = group[group[index]]
            index = group[index]
        return index

    boxes = np.array([_box(part) for part in proposed]).reshape(-1, 4)
    for index, part in enumerate(present):
        top, left, bottom, right = _box(part)
        meets = (boxes[:, 0] < bottom) & (boxes[:, 2] > top) & (boxes[:, 1] < right) & (boxes[:, 3] > left)
        for other in np.flatnonzero(meets).tolist():
            least = PARAMETERS.same_share * min(part.area, proposed[other].area)
            if _shared(part.region, proposed[other].region) > least:
                group[root(len(present) + other)] = root(index)
    members: dict[int, tuple[list[_JudgedRegion], list[_JudgedRegion]]] = {}
    for index in range(len(group)):
        both = members.setdefault(root(index), ([], []))
        if index < len(present):
            both[0].append(present[index])
        else:
            both[1].append(proposed[index - len(present)])
    yield from members.values()


def _box(part: _JudgedRegion) -> tuple[int, int, int, int]:
    row, column = part.region.origin_px
    height, width = part.region.mask.shape
    return row, column, row + height, column + width


def _shared(one: Region, other: Region) -> int:
    """Number of pixels that two regions share."""
    (row, column), (other_row, other_column) = one.origin_px, other.origin_px
    top, left = max(row, other_row), max(column, other_column)
    bottom = min(row + one.mask.shape[0], other_row + other.mask.shape[0])
    right = min(column + one.mask.shape[1], other_column + other.mask.shape[1])
    first = one.mask[top - row : bottom - row, left - column : right - column]
    second = other.mask[top - other_row : bottom - other_row, left - other_column : right - other_column]
    return int(np.count_nonzero(first & second))


def _is_implausible(part: _JudgedRegion, prior: ParticlePrior) -> bool:
    """Whether a part is not reported: nothing explains it."""
    if part.region.separated:
        return part.probability < PARAMETERS.implausible
    if prior.is_known and part.probability < PARAMETERS.implausible:
        return True
    return convexity(np.ascontiguousarray(part.region.mask)) < PARAMETERS.min_convexity


SEPARATOR = Separator(
    separate=separate,
    description="the likeliest parts of ultimate erosion, arcs of the outline, watershed and contacts",
    clump_convexity=CONTOUR.clump_convexity,
    weighs_contacts=True,
    uses_prior=True,
    uses_sample=True,
)
