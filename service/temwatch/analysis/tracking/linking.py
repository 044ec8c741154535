"""Which particle of a frame is which track: the cheapest assignment by displacement and change of size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from temwatch.analysis.tracking.parameters import PARAMETERS

UNLINKED = -1
"""Instead of the row of a track: the particle continues none."""


def link(
    tracks_nm: NDArray[np.float64],
    track_diameters_nm: NDArray[np.float64],
    frames_missing: NDArray[np.int64],
    particles_nm: NDArray[np.float64],
    particle_diameters_nm: NDArray[np.float64],
    reach_nm: float,
) -> NDArray[np.int64]:
    """Row of the track that each particle continues, or `UNLINKED`.

    Parameters
    ----------
    tracks_nm, track_diameters_nm, frames_missing : (T, 2), (T,) and (T,)
        Where the tracks were seen last, drift-corrected, how large, and how many frames ago (0: the last).
    particles_nm, particle_diameters_nm : (N, 2) and (N,)
        The particles of the frame, drift-corrected.
    reach_nm : float
        Largest displacement between two sightings.

    Notes
    -----
    The sum over all links is minimal (Jonker and Volgenant, Computing 1987, 38, 325, in its sparse form):
    every track may stay without a particle at a fixed cost.
    """
    track_count, particle_count = len(tracks_nm), len(particles_nm)
    found = np.full(particle_count, UNLINKED)
    if not track_count or not particle_count:
        return found
    neighbours = min(PARAMETERS.neighbours, particle_count)
    distance_nm, particle = cKDTree(particles_nm).query(
        tracks_nm, k=np.arange(1, neighbours + 1), distance_upper_bound=reach_nm
    )
    track, column = np.nonzero(np.isfinite(distance_nm))
    particle = particle[track, column]
    sizes = np.log(particle_diameters_nm[particle] / track_diameters_nm[track]) / PARAMETERS.size_scale
    cost = (
        PARAMETERS.step_cost * (distance_nm[track, column] / reach_nm) ** 2
        + np.minimum(0.5 * sizes**2, PARAMETERS.max_size_cost)
        + PARAMETERS.missing_cost * frames_missing[track]
    )
    near = cost < PARAMETERS.unlinked_cost
    every = np.arange(track_count)
    # the sparse solver takes an explicit zero for no edge
    costs = csr_array(
        (
            np.concatenate([cost[near] + 1e-9, np.full(track_count, PARAMETERS.unlinked_cost)]),
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
