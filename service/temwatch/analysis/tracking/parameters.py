"""The tuned constants of tracking, in one place.

docs/tracking.md says what these values reach on simulated sequences (`simulator.evolution`) and on gold
at 750 C. On which of them each was tuned is not recorded, and how far it may move before the bars of the
tests break was not measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingParameters:
    """What drift, linking and events are decided with; what a user may choose is in `TrackingSettings`.

    Attributes
    ----------
    correlation_cells
        Cells that the longer side of a mask is reduced to at most before it is correlated.
    cell_diameters
        Side of a cell in median diameters: finer cells locate a particle no better.
    correlation_peaks
        Maxima of the correlation that are tried: in a regular array the highest need not be the true one.
    convincing_agreement
        Agreement, 0 to 1, from which the field is taken to have stayed where it was, without a correlation.
    credible_agreement
        Agreement, 0 to 1, below which no shift is believed: the field is taken to have stayed where it was.
    match_spacings
        Distance in median spacings up to which a particle can lie on a known one.
    refinement_rounds
        Rounds in which the mean displacement is refined; the robust mean takes up to four times as many.
    refinement_step
        A round that moves the mean by less than this share of the match distance is the last.
    robust_step_px
        The same for the robust mean, px.
    min_scatter_px
        Least scatter of displacements, px, that the robust mean reckons with.
    anchor_frames
        Frames over which the position is averaged that drift is measured against.
    smooth_frames
        Frames over which a diameter is averaged before sizes are compared.
    running_share
        Share that a frame has in the running medians of displacement and change of size.
    size_scale
        Difference of the logarithms of two diameters that counts as much as one standard deviation of the
        displacement; between two particles that differ by more there is hardly an identity.
    neighbours
        Particles near a track that are looked at.
    step_cost
        Cost of a displacement by the whole reach: the exponent of a normal distribution at three standard
        deviations.
    max_size_cost
        Most that a change of size costs. It never breaks a track alone: particles merge, segmentation errs.
    missing_cost
        Cost for each frame that the track was missing, so that one just seen comes first.
    unlinked_cost
        Cost of leaving a track without a particle; a link that costs more is not made.
    step_motions
        Typical displacements that a particle may move at once.
    step_diameters
        Median diameters that a particle may move at once, however quiet the others are.
    min_reach_px
        Least distance, px, that a particle may move at once.
    contact_px
        Distance in px between two regions that meet: the segmentation separates what touches.
    same_overlap
        Share of a region that must lie in another for both to be the same, or one a part of the other.
    part_overlap
        Share of a region that must lie in another one for the one to be a half of the other.
    confirmed_frames
        Frames that a particle must be seen in before it can have split off another or merge with one.
    frames_to_meet
        Frames in which the gap to another particle would have closed at the pace of the approach.
    approach_motions
        Pace of an approach, in typical displacements, that leaves no doubt about it.
    max_size_change
        Largest change of the logarithm of a diameter for what lies on the place of a track to be that track.
    min_size_noise
        Least standard deviation that the logarithm of a measured diameter is given.
    max_size_evidence
        Most that sizes count for, in units of a log likelihood: segmentation errs more often than a normal
        distribution.
    contact_weight
        What full contact counts for beside the sizes, in the same units.
    merge_threshold
        What has to be outweighed before two particles are said to have merged, in the same units.
    """

    correlation_cells: int = 512
    cell_diameters: float = 0.25
    correlation_peaks: int = 6
    convincing_agreement: float = 0.6
    credible_agreement: float = 0.25
    match_spacings: float = 0.35
    refinement_rounds: int = 6
    refinement_step: float = 0.02
    robust_step_px: float = 1e-3
    min_scatter_px: float = 0.1
    anchor_frames: int = 10
    smooth_frames: int = 3
    running_share: float = 0.1
    size_scale: float = 0.2
    neighbours: int = 8
    step_cost: float = 4.5
    max_size_cost: float = 3.0
    missing_cost: float = 0.5
    unlinked_cost: float = 6.0
    step_motions: float = 8.0
    step_diameters: float = 0.35
    min_reach_px: float = 1.0
    contact_px: int = 2
    same_overlap: float = 0.5
    part_overlap: float = 0.2
    confirmed_frames: int = 3
    frames_to_meet: float = 4
    approach_motions: float = 3.0
    max_size_change: float = math.log(2)
    min_size_noise: float = 0.01
    max_size_evidence: float = 8.0
    contact_weight: float = 4.0
    merge_threshold: float = 1.0


PARAMETERS = TrackingParameters()
