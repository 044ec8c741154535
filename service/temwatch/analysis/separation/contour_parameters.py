"""The tuned constants of the contour method, in one place.

They were set on simulated masks (`simulate_mask` with seed 11); tests hold what they reach on another seed
(23), on golden masks and on real outlines. How far a value may move before these bars break was not measured.

The compiled kernels contain these values, and numba's cache does not notice a change in this file.
`compiled_code.py` therefore names the cache folder by all sources.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ContourParameters:
    """Lengths in px where the name ends in `_px`; in radii, areas or shares of the particle else."""

    # Which regions are examined, and what is done if outlines are no evidence
    clump_convexity: float = 0.98
    """Regions below this convexity or solidity are examined. Two particles that overlap by more than half
    are above the usual threshold of 0.95; their outline shows them all the same."""
    dented_convexity: float = 0.9
    """Where the particles are not known to be ellipses, a region of this convexity and solidity may be
    one particle with a dent."""
    mostly_seen_share: float = 0.5
    """Where no more than this share of any outline is hidden, hulls of facetted particles are surer than
    ellipses."""
    bump_radii: float = 0.4
    """Radius of a part below which it may be a bump of the clump's outline, over that of the largest disc
    in the clump, or over the radius of the prior where that is known and smaller: a heap holds a large
    disc too."""
    max_arcs: int = 1500
    """Pairs of arcs are compared, so a clump of some 500 particles and more would take minutes: UECS
    separates it."""

    # What is expected before and while particles are learned from that stand alone
    prior_min_area_px: int = 60
    """px; the outline of a smaller particle is mostly pixel grid, and nothing is learned from it."""
    usual_spread: float = 0.35
    """Standard deviation of the logarithm of the radius that is expected before any particle was seen: a
    third."""
    usual_eccentricity: float = 0.15
    """The same of each component of half the logarithm of the aspect ratio: an aspect ratio of 1.3."""
    usual_weight: float = 4.0
    """Number of particles that this expectation counts as."""
    min_spread: float = 0.1
    """Least spread of sizes that is expected in a clump."""
    min_eccentricity: float = 0.05
    """Least eccentricity that is expected in a clump."""
    min_roughness: float = 0.01
    """Least roughness, over the radius, that is expected in a clump."""
    max_roughness: float = 0.07
    """An outline that is off by more than this share of its radius is no ellipse, and ellipses separate
    nothing."""
    rod_eccentricity: float = 0.2
    """Particles that are more elongated, with an aspect ratio of some 1.7 and more, ..."""
    rod_roughness: float = 0.03
    """... and rougher than this share of their radius are rods, not ellipses."""

    # Cutting outlines into arcs
    concave_turn_rad: float = 0.35
    """rad, 20 degrees; an outline bends inwards by this much where two particles cross; less is roughness."""
    smoothing_px: float = 1.5
    """px; standard deviation of the Gaussian that takes the steps of the pixel grid out of an outline."""
    smoothing_radii: float = 0.08
    """Larger particles have rougher outlines in px: the Gaussian grows by this share of the inscribed
    radius ..."""
    max_smoothing_px: float = 6.0
    """px; ... but no further than this."""
    cavity_px: float = 0.5
    """px; an arc that bends inwards on average by more than this is the outline of a cavity, of no
    particle."""
    arc_samples: int = 40
    """Points by which an arc is represented when arcs are compared."""
    outline_stride: int = 3
    """Every third point of the outlines stands for them where only their place matters."""

    # Hulls of arcs
    straight_ratio: float = 1.1
    """An edge of the hull runs along the outline where the outline between its ends is no longer than this
    over the edge ..."""
    straight_slack_px: float = 3.0
    """px; ... and this."""
    on_edge_px: float = 1.5
    """px; points this close to an edge lie on it."""
    direction_reach_px: float = 12.0
    """px; length over which the direction of an arc's end is taken."""

    # Joining arcs by hulls, where ellipses do not describe the particles
    hull_noise_px: float = 0.6
    """px; how far off a point of an outline on the pixel grid is: half a pixel, and a little by the
    segmentation."""
    hull_roughness: float = 0.02
    """The same for the roughness of a particle's outline, over its radius."""
    hull_slack: float = 1.5
    """Points may be off by this many of both together before arcs are taken for those of different
    particles."""
    max_inward_turn_rad: float = 0.35
    """rad; turn by which a hidden part may bend inwards where an arc ends."""
    shape_noise_px: float = 1.0
    """px; noise of the points by which the shape of a fitted ellipse is drawn towards a circle."""
    shape_eccentricity: float = 0.3
    """Ellipses are expected around the circle with this standard deviation of (a^2 - b^2) / (a^2 + b^2)."""
    max_hidden_share: float = 0.6
    """Where more of the outline is hidden, only an ellipse that fits joins arcs ..."""
    max_aspect_ratio: float = 2.2
    """... and only one that is no longer than this over its width."""
    max_outside_px: float = 2.0
    """px; a hidden outline may leave the clump by so much ..."""
    max_outside_share: float = 0.03
    """... and by this share of its length: that is noise. ..."""
    max_points_inside: int = 2
    """... A hull may hold so many points of the clump's outline, of every third."""
    max_misfit: float = 1.5
    """A shape that is off by this many tolerances is no ellipse; how far off does not matter then."""
    misfit_weight: float = 0.15
    """Cost of an ellipse that is off by the tolerance, in the unit of the hidden share of the outline."""
    uneven_weight: float = 1.0
    """Cost, in the same unit, of a hidden part that bends by a full turn at one of its ends and not at the
    other."""
    join_gain: float = 0.8
    """Two groups are joined where that costs less than this share of what both cost."""
    facetted_roughness: float = 0.03
    """Roughness, over the radius, from which on an ellipse is only a likeness: a join has to lie on one
    hull as well."""
    giant_areas: float = 3.0
    """A joined particle that is larger than this over its clump's median area, ..."""
    giant_deviations: float = 3.0
    """... or by so many standard deviations than the micrograph's other particles, ..."""
    giant_hidden_share: float = 0.3
    """... and hidden by more than this is taken apart again."""

    # The likelihood of ellipses
    ellipse_noise_px: float = 0.5
    """px; standard deviation of an outline on the pixel grid, with a little for the segmentation."""
    correlation_px: float = 3.0
    """px; points of an outline are independent from this far apart: the pixel grid, ..."""
    correlation_radii: float = 0.25
    """... and the bumps of a rough particle, which grow with its radius."""
    huber_deviations: float = 2.0
    """Beyond so many standard deviations a point counts by its distance, not by the square."""
    size_freedom: float = 4.0
    """Degrees of freedom of the t distribution of sizes: a sample may hold particles of a size never seen
    alone."""
    hidden_cost: float = 1.4
    """Cost of a whole outline that is hidden: in a clump, each half of an outline is seen or hidden as
    likely as not, and that costs ln 2."""
    max_outside_cost: float = 4.5
    """Most that a point may cost which lies outside the clump: three standard deviations."""
    background_cost: float = 2.0
    """Cost of a point of a 3 px grid inside the particle that is background."""
    particle_density: float = 0.5
    """Particles in an area of one radius squared: clumps are dense."""
    arc_trim_px: float = 2.5
    """px; the ends of an arc are rounded where it meets the next one, and left out."""
    max_fit_points: int = 12
    """Points of an arc that a fit takes into account."""
    max_iterations: int = 10
    """Steps of a fit at most."""
    settled_gain: float = 0.05
    """A fit has settled when a step gains less."""
    hopeless_cost: float = 25.0
    """A fit that costs so much more than allowed after three steps is given up."""

    # Completing what is hidden of a particle
    straight_hidden_share: float = 0.04
    """Share of the outline that a straight line completes."""
    ellipse_misfit: float = 1.3
    """An ellipse completes a particle whose points are off by this many tolerances."""
    mostly_hidden_share: float = 0.5
    """Where more is hidden, a rounder ellipse is tried as well, ..."""
    round_eccentricity: float = 0.12
    """... with this standard deviation around the circle, ..."""
    round_misfit: float = 2.0
    """... that may be off by so many tolerances."""
    min_ellipse_within: float = 0.85
    """Share of an ellipse that must lie in the clump."""
    curve_points: int = 12
    """Points of a curve that completes an outline."""
    ellipse_points: int = 72
    """Points of a whole ellipse."""
    min_new_area: float = 0.12
    """A particle that lies in better seen ones but for this share of its area explains nothing."""
    fragment_areas: float = 0.25
    """What has less than this share of the median area in its clump, ..."""
    fragment_seen_share: float = 0.5
    """... and of whose outline less is seen, is a fragment and left out."""
    speck_deviations: float = 4.0
    """What is smaller than the micrograph's particles by so many standard deviations is a speck on an
    outline."""
    left_over_radii: float = 0.5
    """What no particle explains is one itself where a disc fits in of this share of the others' median
    radius, ..."""
    left_over_px: float = 3.0
    """px; ... and of this radius; else it goes to the particles within this distance."""


PARAMETERS = ContourParameters()
