"""Move the outlines of a mask to the edges that the picture shows."""

from __future__ import annotations

import numpy as np

from temwatch.analysis.refinement.contours import Contours, Floats, find_contours, moved, subdivided
from temwatch.analysis.refinement.edge_network import EdgeNetwork, offsets
from temwatch.analysis.refinement.level import draw_level
from temwatch.analysis.refinement.strips import profiles
from temwatch.domain import Image, Level, Mask

MOST_STEPS = 8.0
"""An edge further from where the contour was is another one's."""


def refined(image: Image, noise: float, mask: Mask, net: EdgeNetwork) -> Level:
    """How deep each pixel lies in a particle, once every outline of the mask lies on its edge.

    Parameters
    ----------
    image : float32, (y, x)
        Particles dark; any offset and gain.
    noise : float
        Standard deviation of a pixel's noise, in the image's unit.
    mask : bool, (y, x)
        What is particle, within a few px.
    net : EdgeNetwork
        Finds the edges.
    """
    contours = find_contours(mask)
    if len(contours.step_px):
        contours = moved(contours, _distances(image, noise, mask, contours, net))
    points, begin = subdivided(contours)
    return draw_level(points, begin, mask.shape)


def _distances(image: Image, noise: float, mask: Mask, contours: Contours, net: EdgeNetwork) -> Floats:
    strips = profiles(image, noise, mask, contours)
    distance, _ = offsets(net, strips.channels, contours)
    counts = np.diff(contours.begin)
    limit = MOST_STEPS * np.repeat(contours.step_px, counts)
    distance = np.clip(distance, -limit, limit)
    distance[strips.is_open | np.repeat(contours.is_fixed, counts)] = 0
    return distance
