"""Compiled kernels of the contour method: how likely it is that arcs are the outline of one particle.

The micrograph's particles that stand alone say what is to be expected: sizes, aspect ratios, and how far an
outline is off an ellipse. The cost of arcs is the negative logarithm of the probability of their points,
whatever the ellipse (Laplace's approximation: best fit times the volume that fits as well). So arcs are
joined where they agree on one ellipse better than two particles would by chance, and no weight is set by hand
between the number of particles and their misfit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from temwatch.analysis.separation.arcs import Arcs
from temwatch.analysis.separation.contour_parameters import PARAMETERS
from temwatch.analysis.separation.ellipse_fitting import Floats, Integers, total_sums

ELLIPSE_NOISE_PX = PARAMETERS.ellipse_noise_px
CORRELATION_PX = PARAMETERS.correlation_px
CORRELATION_RADII = PARAMETERS.correlation_radii
HUBER_DEVIATIONS = PARAMETERS.huber_deviations
SIZE_FREEDOM = PARAMETERS.size_freedom
HIDDEN_COST = PARAMETERS.hidden_cost
MAX_OUTSIDE_COST = PARAMETERS.max_outside_cost
BACKGROUND_COST = PARAMETERS.background_cost
PARTICLE_DENSITY = PARAMETERS.particle_density
ARC_TRIM_PX = PARAMETERS.arc_trim_px
MAX_FIT_POINTS = PARAMETERS.max_fit_points
MAX_ITERATIONS = PARAMETERS.max_iterations
SETTLED_GAIN = PARAMETERS.settled_gain
HOPELESS_COST = PARAMETERS.hopeless_cost


@njit(cache=True, nogil=True)
def stretch(p: float, q: float) -> tuple[float, float, float]:
    """Symmetric matrix ((a, b), (b, d)) in (x, y) that makes an ellipse of area pi of the unit circle.

    It is the exponential of ((p, q), (q, -p)); that of (-p, -q) is its inverse.
    """
    size = math.hypot(p, q)
    ch = math.cosh(size)
    sh = math.sinh(size) / size if size > 1e-9 else 1.0
    return ch + sh * p, sh * q, ch - sh * p


@njit(cache=True, nogil=True)
def group_cost(
    arcs: Arcs,
    members: NDArray[np.bool_],
    prior: Floats,
    mask: NDArray[np.bool_],
    away: Integers,
    allowed: float,
) -> float:
    """Cost of taking arcs for one particle, in units of e.

    Parameters
    ----------
    arcs, members
        Arcs of a clump, and which of them are meant.
    prior
        (4,) mean and spread of the logarithm of the radius, eccentricity and roughness, from
        `ParticlePrior.in_clump`.
    mask, away
        The clump, and the squared distance of what lies outside to it.
    allowed
        What is above this is not reckoned to the end.
    """
    points, weights, start, length = _sampled(arcs, members, prior)
    cost, ellipse = _fitted(points, weights, start, prior, allowed)
    if cost > allowed:
        return cost
    size = math.exp(ellipse[2])
    sigma = math.sqrt(ELLIPSE_NOISE_PX**2 + (prior[3] * size) ** 2)
    elongation = math.hypot(ellipse[3], ellipse[4])
    perimeter = 2 * math.pi * size * (1 + 0.75 * elongation * elongation)
    cost += HIDDEN_COST * max(0.0, 1 - length / perimeter)
    a, b, d = stretch(ellipse[3], ellipse[4])
    spacing = _correlation(prior)
    steps = max(12, int(perimeter / spacing))
    for step in range(steps):
        angle = 2 * math.pi * step / steps
        x, y = size * math.cos(angle), size * math.sin(angle)
        row, column = math.floor(ellipse[0] + b * x + d * y), math.floor(ellipse[1] + a * x + b * y)
        far = 1e3
        if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
            far = math.sqrt(away[row, column])
        # a pixel outside is a pixel from the clump at least; the points have paid for the first deviation
        z = max(far - 1, 0.0) / sigma - 1
        if z > 0:
            cost += perimeter / steps / spacing * min(0.5 * z * z, MAX_OUTSIDE_COST)
    inner = max(size - 2 * sigma - 1, 0.0)
    steps = int(inner / 3)
    for i in range(-steps, steps + 1):
        for j in range(-steps, steps + 1):
            if 0 < i * i + j * j <= steps * steps:
                x, y = inner * j / steps, inner * i / steps
                row, column = math.floor(ellipse[0] + b * x + d * y), math.floor(ellipse[1] + a * x + b * y)
                inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
                if not (inside and mask[row, column]):
                    cost += BACKGROUND_COST
    return cost


@njit(cache=True, nogil=True)
def most_likely_ellipse(arcs: Arcs, members: NDArray[np.bool_], prior: Floats) -> Floats:
    """(5,) row, column, logarithm of the radius, and the two elongations of `stretch`."""
    points, weights, start, _ = _sampled(arcs, members, prior)
    return _fitted(points, weights, start, prior, math.inf)[1]


@njit(cache=True, nogil=True)
def largest_extent(prior: Floats) -> float:
    """No two points of a particle are farther apart, px."""
    return 2 * math.exp(prior[0] + 3 * prior[1] + 3 * prior[2])


@njit(cache=True, nogil=True)
def _correlation(prior: Floats) -> float:
    return math.hypot(CORRELATION_PX, CORRELATION_RADII * math.exp(prior[0]))


@njit(cache=True, nogil=True)
def _sampled(arcs: Arcs, members: NDArray[np.bool_], prior: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Points of arcs, how many independent ones each stands for, an ellipse to begin with, and the length."""
    count = 0
    for arc in range(len(members)):
        if members[arc]:
            count += min(arcs.starts[arc + 1] - arcs.starts[arc], MAX_FIT_POINTS)
    points, weights = np.empty((count, 2), np.float64), np.empty(count, np.float64)
    spacing = _correlation(prior)
    at = 0
    length = middle_row = middle_column = inward_row = inward_column = 0.0
    for arc in range(len(members)):
        if not members[arc]:
            continue
        begin, last = arcs.starts[arc], arcs.starts[arc + 1] - 1
        way = (arcs.along[last, 1] - arcs.along[begin, 1]) % arcs.along[begin, 2]
        if way == 0:
            way = arcs.along[begin, 2]
        length += way
        number = min(last - begin + 1, MAX_FIT_POINTS)
        trim = min(ARC_TRIM_PX / way, 0.15) * (last - begin)
        for index in range(number):
            chosen = begin + int(trim + 0.5 + index * (last - begin - 2 * trim) / max(number - 1, 1))
            points[at] = arcs.points[chosen]
            weights[at] = way / spacing / number
            middle_row += points[at, 0] * way / number
            middle_column += points[at, 1] * way / number
            at += 1
        inward_row += arcs.points[last, 1] - arcs.points[begin, 1]
        inward_column -= arcs.points[last, 0] - arcs.points[begin, 0]
    middle_row, middle_column = middle_row / length, middle_column / length
    # a circle: x^2 + y^2 + d x + e y + f = 0
    sums = total_sums(arcs.sums, members)
    matrix, right = sums[3:, 3:].copy(), -sums[3:, 0].copy()
    for index in range(3):
        matrix[index, index] = matrix[index, index] * (1 + 1e-9) + 1e-9
    _solve(matrix, right)
    row, column = arcs.centre[0] - right[1] / 2, arcs.centre[1] - right[0] / 2
    radius = math.sqrt(max((right[0] ** 2 + right[1] ** 2) / 4 - right[2], 1e-6))
    smallest, largest = math.exp(prior[0] - 1.5 * prior[1]), math.exp(prior[0] + 1.5 * prior[1])
    chord = math.hypot(inward_row, inward_column)
    inwards = (row - middle_row) * inward_row + (column - middle_column) * inward_column
    if chord > 0 and (inwards < 0 or not smallest <= radius <= largest):
        # too short to tell: an expected circle; the middle of a bow lies a little within it
        radius = min(max(radius, smallest), largest)
        row = middle_row + inward_row / chord * radius * 0.9
        column = middle_column + inward_column / chord * radius * 0.9
    return points, weights, np.array([row, column, math.log(radius), 0.0, 0.0]), length


@njit(cache=True, nogil=True)
def _fitted(
    points: Floats, weights: Floats, start: Floats, prior: Floats, allowed: float
) -> tuple[float, Floats]:
    """Cost of points, and the most likely ellipse (Levenberg and Marquardt)."""
    now = start
    normal, gradient = np.empty((5, 5), np.float64), np.empty(5, np.float64)
    new_normal, new_gradient = np.empty((5, 5), np.float64), np.empty(5, np.float64)
    value = _expanded(points, weights, now, prior, gradient, normal)
    damping = 1e-3
    for iteration in range(MAX_ITERATIONS):
        if iteration >= 3 and value > allowed + HOPELESS_COST:
            return math.inf, now
        matrix, step = normal.copy(), -gradient
        for index in range(5):
            matrix[index, index] *= 1 + damping
        _solve(matrix, step)
        step *= min(1.0, 0.7 / max(np.abs(step).max(), 1e-9))
        trial = now + step
        size = math.exp(now[2])
        trial[0], trial[1] = now[0] + step[0] * size, now[1] + step[1] * size
        new_value = _expanded(points, weights, trial, prior, new_gradient, new_normal)
        if new_value < value:
            gained = value - new_value
            now, value = trial, new_value
            gradient, new_gradient = new_gradient, gradient
            normal, new_normal = new_normal, normal
            damping *= 0.3
            if gained < SETTLED_GAIN:
                break
        else:
            damping *= 10
            if damping > 1e2:
                break
    step = -gradient
    log_determinant = _solve(normal, step)
    # five dimensions are integrated over, three have a normalised prior
    cost = value + 0.5 * log_determinant - math.log(2 * math.pi)
    return cost + math.log(prior[1]) + 2 * math.log(prior[2]) - math.log(PARTICLE_DENSITY), now


@njit(cache=True, nogil=True)
def _expanded(
    points: Floats, weights: Floats, ellipse: Floats, prior: Floats, gradient: Floats, normal: Floats
) -> float:
    """Negative logarithm of the probability of points and ellipse, and what Gauss and Newton need of it.

    The position counts in radii.
    """
    normal[:] = 0.0
    gradient[:] = 0.0
    size = math.exp(ellipse[2])
    p, q = ellipse[3], ellipse[4]
    a, b, d = stretch(-p, -q)
    sigma = math.sqrt(ELLIPSE_NOISE_PX**2 + (prior[3] * size) ** 2)
    value: float = 0.0
    slope = np.empty(5, np.float64)
    for index in range(len(points)):
        y, x = (points[index, 0] - ellipse[0]) / size, (points[index, 1] - ellipse[1]) / size
        u, v = a * x + b * y, b * x + d * y
        length = max(math.sqrt(u * u + v * v), 1e-6)
        to_x, to_y = (a * u + b * v) / length, (b * u + d * v) / length
        steep = max(math.sqrt(to_x * to_x + to_y * to_y), 1e-6)
        scale = size / steep
        distance = (length - 1) * scale
        slope[0] = -to_y * scale
        slope[1] = -to_x * scale
        slope[2] = -length * scale
        slope[3] = -(u * u - v * v) / length * scale
        slope[4] = -2 * u * v / length * scale
        z = abs(distance) / sigma
        weight = weights[index]
        value += weight * (
            math.log(sigma)
            + (0.5 * z * z if z <= HUBER_DEVIATIONS else HUBER_DEVIATIONS * (z - 0.5 * HUBER_DEVIATIONS))
        )
        weight *= (1.0 if z <= HUBER_DEVIATIONS else HUBER_DEVIATIONS / z) / sigma**2
        for i in range(5):
            gradient[i] += weight * distance * slope[i]
            for j in range(i + 1):
                normal[i, j] += weight * slope[i] * slope[j]
    off = (ellipse[2] - prior[0]) / prior[1]
    value += 0.5 * (SIZE_FREEDOM + 1) * math.log(1 + off * off / SIZE_FREEDOM)
    weight = (SIZE_FREEDOM + 1) / (SIZE_FREEDOM + off * off)
    gradient[2] += weight * off / prior[1]
    normal[2, 2] += weight / prior[1] ** 2
    value += 0.5 * (p * p + q * q) / prior[2] ** 2
    gradient[3] += p / prior[2] ** 2
    gradient[4] += q / prior[2] ** 2
    normal[3, 3] += 1 / prior[2] ** 2
    normal[4, 4] += 1 / prior[2] ** 2
    # it lies within some ten radii: keeps the matrix regular
    normal[0, 0] += 0.01
    normal[1, 1] += 0.01
    for i in range(5):
        for j in range(i):
            normal[j, i] = normal[i, j]
    return value


@njit(cache=True, nogil=True)
def _solve(matrix: Floats, right: Floats) -> float:
    """Solve in place for a symmetric positive matrix (Cholesky); the logarithm of its determinant."""
    size = len(right)
    result = 0.0
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                matrix[i, i] = math.sqrt(max(total, 1e-12))
                result += 2 * math.log(matrix[i, i])
            else:
                matrix[i, j] = total / matrix[j, j]
    for i in range(size):
        total = right[i]
        for k in range(i):
            total -= matrix[i, k] * right[k]
        right[i] = total / matrix[i, i]
    for i in range(size - 1, -1, -1):
        total = right[i]
        for k in range(i + 1, size):
            total -= matrix[k, i] * right[k]
        right[i] = total / matrix[i, i]
    return result
