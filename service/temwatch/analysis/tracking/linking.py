"""Which particle of a frame is which track: the cheapest assignment by displacement and change of size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

NEIGHBOURS = 8
"""Particles near a track that are looked at."""

STEP_COST = 4.5
"""Cost of a displacement by the whole reach: the exponent of a normal distribution at three widths."""

SIZE_SCALE = 0.2
"""Difference of the logarithms of two diameters that costs as much as one width of the displacement."""

MOST_SIZE_COST = 3.0
"""A change of size alone never breaks a track: particles merge, and segmentation errs."""

MISSING_COST = 0.5
"""Cost for each frame that the track was missing, so that one just seen comes first."""

UNLINKED_COST = 6.0
"""Cost of leaving a track without a particle; a link that costs more is not made."""

NONE = -1


def link(
    tracks_px: NDArray[np.float64],
    track_diameters_px: NDArray[np.float64],
    missing: NDArray[np.int64],
    particles_px: NDArray[np.float64],
    particle_diameters_px: NDArray[np.float64],
    reach_px: float,
) -> NDArray[np.int64]:
    """Row of the track that each particle continues, or `NONE`.

    Parameters
    ----------
    tracks_px, track_diameters_px, missing : (T, 2), (T,) and (T,)
        Where the tracks were seen last, drift-corrected, how large, and how many frames ago (0: the last).
    particles_px, particle_diameters_px : (N, 2) and (N,)
        The particles of the frame, drift-corrected.
    reach_px : float
        Largest displacement between two sightings.

    Notes
    -----
    The sum over all links is minimal (Jonker and Volgenant, Computing 1987, 38, 325, in its sparse form):
    every track may stay without a particle at a fixed cost.
    """
    track_count, particle_count = len(tracks_px), len(particles_px)
    found = np.full(particle_count, NONE)
    if not track_count or not particle_count:
        return found
    neighbours = min(NEIGHBOURS, particle_count)
    distance_px, particle = cKDTree(particles_px).query(
        tracks_px, k=np.arange(1, neighbours + 1), distance_upper_bound=reach_px
    )
    track, column = np.nonzero(np.isfinite(distance_px))
    particle = particle[track, column]
    sizes = np.log(particle_diameters_px[particle] / track_diameters_px[track]) / SIZE_SCALE
    cost = (
        STEP_COST * (distance_px[track, column] / reach_px) ** 2
        + np.minimum(0.5 * sizes**2, MOST_SIZE_COST)
        + MISSING_COST * missing[track]
    )
    near = cost < UNLINKED_COST
    every = np.arange(track_count)
    # the sparse solver takes an explicit zero for no edge
    costs = csr_array(
        (
            np.concatenate([cost[near] + 1e-9, np.full(track_count, UNLINKED_COST)]),
            (
                np.concatenate([track[near], every]),
                np.concatenate([particle[near], particle_count + every]),
            ),
        ),
        shape=(track_count, particle_count + track_count),
    )
    rows, columns = min_weight_full_bipartite_matching(costs)
    linked = columns < particle_count
    found[columns[linked]] = rows[linked]
    return found
