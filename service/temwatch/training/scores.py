"""How good a segmentation is: in pixels, on outlines, and in particles.

Pixel measures are equations 1 to 4 of Gumbiowski et al., Nanoscale Adv. 2023, 5, 2318; boundary F1 is that of
Csurka et al., BMVC 2013, with a tolerance of 0.75 % of the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage import morphology, segmentation

from temwatch.analysis.measurement.shape import outline_of_region
from temwatch.domain import Mask, Region, Segmentation
from temwatch.training.datasets import Labels

BOUNDARY_TOLERANCE = 0.0075
WATERSHED_DEPTH_PX = 1.5
"""Depth of a maximum of the distance transform that counts as a particle."""

MIN_AREA_PX = 12
"""Smaller found particles are not counted; the limit is in px, as labelled pictures have no pixel size."""

_EIGHT = np.ones((3, 3), int)


@dataclass(frozen=True, slots=True)
class PixelConfusion:
    """Confusion of particle and background in pixels; add them up to pool micrographs."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    def __add__(self, other: PixelConfusion) -> PixelConfusion:
        """Pool two."""
        return PixelConfusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    def measures(self) -> dict[str, float]:
        """Accuracy, IoU and DICE for particle and background; NaN where a class does not occur."""
        tp, fp, fn, tn = self.true_positive, self.false_positive, self.false_negative, self.true_negative
        return {
            "global_accuracy": _ratio(tp + tn, tp + fp + fn + tn),
            "accuracy_particle": _ratio(tp, tp + fn),
            "accuracy_background": _ratio(tn, tn + fp),
            "iou_particle": _ratio(tp, tp + fp + fn),
            "iou_background": _ratio(tn, tn + fp + fn),
            "dice_particle": _ratio(2 * tp, 2 * tp + fp + fn),
            "dice_background": _ratio(2 * tn, 2 * tn + fp + fn),
        }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def pixel_confusion(found: Mask, truth: Mask) -> PixelConfusion:
    """Confusion of one micrograph."""
    both = int(np.count_nonzero(found & truth))
    found_count, truth_count = int(np.count_nonzero(found)), int(np.count_nonzero(truth))
    return PixelConfusion(
        both, found_count - both, truth_count - both, truth.size - found_count - truth_count + both
    )


def boundary_f1(found: Mask, truth: Mask) -> float:
    """Share of the outlines that lie within the tolerance of each other's; NaN where there is no outline."""
    tolerance_px = max(1.0, BOUNDARY_TOLERANCE * math.hypot(*truth.shape))
    outlines = [mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (found, truth)]
    if not outlines[1].any() or not outlines[0].any():
        return 0.0 if outlines[0].any() or outlines[1].any() else math.nan
    near = [ndimage.distance_transform_edt(~outline) <= tolerance_px for outline in outlines]
    precision = np.count_nonzero(outlines[0] & near[1]) / np.count_nonzero(outlines[0])
    recall = np.count_nonzero(outlines[1] & near[0]) / np.count_nonzero(outlines[1])
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@dataclass(frozen=True, slots=True)
class ParticleCounts:
    """Particles of the truth, found ones, and pairs of them with an IoU of at least one half; add to pool.

    `diameter_ratios` are found diameter / true diameter of the pairs, the found one as it is reported: of the
    outline between the pixels where that is known.
    """

    truth: int
    found: int
    matched: int
    diameter_ratios: tuple[float, ...] = ()

    def __add__(self, other: ParticleCounts) -> ParticleCounts:
        """Pool two."""
        return ParticleCounts(
            self.truth + other.truth,
            self.found + other.found,
            self.matched + other.matched,
            self.diameter_ratios + other.diameter_ratios,
        )

    def measures(self) -> dict[str, float]:
        """F1 with its recall and precision, relative error of the count, relative bias of the diameter."""
        ratios = self.diameter_ratios
        bias = math.expm1(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
        return {
            "particle_f1": _ratio(2 * self.matched, self.truth + self.found),
            "particle_recall": _ratio(self.matched, self.truth),
            "particle_precision": _ratio(self.matched, self.found),
            "count_error": _ratio(self.found - self.truth, self.truth),
            "diameter_bias": bias,
        }


def match_particles(
    found: Sequence[Region], truth: Sequence[Region], shape: tuple[int, int]
) -> ParticleCounts:
    """Match found particles to true ones, best IoU first.

    Particles on the border are not measured: found ones are left out, and so are true ones together with the
    particles found in their place.
    """
    inside = [region for region in found if not _on_border(region, shape)]
    ignored = [_on_border(region, shape) for region in truth]
    ious = sorted(_ious(truth, inside), reverse=True)
    best: dict[int, int] = {}
    for _, i, j in ious:
        best.setdefault(j, i)
    kept = {j for j in range(len(inside)) if not (j in best and ignored[best[j]])}
    used_truth: set[int] = set()
    used_found: set[int] = set()
    ratios: list[float] = []
    for iou, i, j in ious:
        if iou >= 0.5 and not ignored[i] and j in kept and i not in used_truth and j not in used_found:
            used_truth.add(i)
            used_found.add(j)
            ratios.append(math.sqrt(_area_px(inside[j]) / _area_px(truth[i])))
    return ParticleCounts(len(truth) - sum(ignored), len(kept), len(used_truth), tuple(ratios))


def _area_px(region: Region) -> float:
    return float(region.mask.sum()) if region.outline is None else outline_of_region(region).area


def _ious(truth: Sequence[Region], found: Sequence[Region]) -> list[tuple[float, int, int]]:
    boxes = np.array([_box(region) for region in found]).reshape(-1, 4)
    result = []
    for i, region in enumerate(truth):
        top, left, bottom, right = _box(region)
        meets = (boxes[:, 0] < bottom) & (boxes[:, 2] > top) & (boxes[:, 1] < right) & (boxes[:, 3] > left)
        for j in map(int, np.flatnonzero(meets)):
            rows = slice(max(top, boxes[j, 0]), min(bottom, boxes[j, 2]))
            columns = slice(max(left, boxes[j, 1]), min(right, boxes[j, 3]))
            mine = region.mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            row, column = boxes[j, :2]
            other = found[j].mask[
                rows.start - row : rows.stop - row, columns.start - column : columns.stop - column
            ]
            shared = int(np.count_nonzero(mine & other))
            if shared:
                union = int(region.mask.sum()) + int(found[j].mask.sum()) - shared
                result.append((shared / union, i, j))
    return result


def _box(region: Region) -> tuple[int, int, int, int]:
    (top, left), (height, width) = region.origin_px, region.mask.shape
    return top, left, top + height, left + width


def _on_border(region: Region, shape: tuple[int, int]) -> bool:
    top, left, bottom, right = _box(region)
    return top == 0 or left == 0 or bottom >= shape[0] or right >= shape[1]


def regions(labels: Labels) -> list[Region]:
    """The particles of a label image."""
    return [
        Region(
            origin_px=(part[0].start, part[1].start), mask=np.asarray(labels[part] == number), separated=False
        )
        for number, part in enumerate(ndimage.find_objects(np.asarray(labels, np.int32)), 1)
        if part is not None
    ]


def watershed(segmentation_: Segmentation) -> list[Region]:
    """A plain distance transform watershed; contacts, where known, cut first.

    The best weights are selected by it; the service separates with other methods.
    """
    mask = segmentation_.mask
    core = mask if segmentation_.contacts is None else mask & ~segmentation_.contacts
    distance = ndimage.distance_transform_edt(np.pad(core, 1))[1:-1, 1:-1]
    distance = ndimage.gaussian_filter(distance.astype(np.float32), 1)
    peaks = core & (morphology.h_maxima(distance, WATERSHED_DEPTH_PX) > 0)  # type: ignore[no-untyped-call]
    parts, count = ndimage.label(core, _EIGHT)
    shallow = np.ones(count + 1, bool)
    shallow[parts[peaks]] = shallow[0] = False
    markers, _ = ndimage.label(peaks | shallow[parts], _EIGHT)
    labels = segmentation.watershed(-distance, markers, mask=mask)  # type: ignore[no-untyped-call]
    return [region for region in regions(labels) if np.count_nonzero(region.mask) >= MIN_AREA_PX]
