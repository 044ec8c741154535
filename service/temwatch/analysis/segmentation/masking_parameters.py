"""The tuned constants that turn a network's probabilities into a mask, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingParameters:
    """Probabilities, and shares of a Dice coefficient, between 0 and 1 unless a unit is given.

    `sure` and `hole_level` were tuned on 47 labelled figures (docs/network.md has what other values give). On
    what the others were tuned is not recorded, and how far they may move before the bars of the tests break
    was not measured.
    """

    threshold: float = 0.5
    """Probability above which a pixel is particle."""
    sure: float = 0.9
    """Probability that a particle reaches somewhere: hysteresis, as Canny's edges (IEEE PAMI 1986, 8, 679).
    Letters, debris and the grain of the film make the network doubt; a particle is doubtful at its outline
    only. Between 0.85 and 0.93 the choice matters little."""
    hole_level: float = 0.25
    """A hole is filled up to here on the way from the darkness of its particle (0) to that of the background
    (1). Bright-field contrast is mass and thickness: what is as dark as the particle around it is particle.
    A gap that touching particles enclose is as bright as the background."""
    ring_px: int = 4
    """px; reach of the ring around a hole, where the darkness of the particle is measured."""
    min_threshold: float = 0.06
    """In noise a pixel counts down to here, if the mask is worth it."""
    trusted_dice: float = 0.85
    """Where a mask may expect a lower Dice coefficient, the network understates what little it sees; ..."""
    doubted_dice: float = 0.6
    """... from there to here the threshold falls to nothing."""
    min_dice: float = 0.45
    """Of a noisy micrograph without particles the network expects less of its best mask: then nothing
    changes."""
    levels: int = 200
    """Thresholds that are tried for the best mask."""


PARAMETERS = MaskingParameters()
