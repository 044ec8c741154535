"""Is it enough yet? Half-widths of intervals against the number of micrographs, and the forecast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from temwatch.analysis.statistics.population import (
    FEWEST_FIELDS,
    Figure,
    Population,
    interval_factor,
)

ROUND_NUMBERS = tuple(
    math.ceil(digit * 10**power)
    for power in range(6)
    for digit in (1, 1.5, 2, 3, 5, 7)
    if digit * 10**power >= 2
)
"""Numbers of fields at which a step is computed."""

_MOST_FIELDS = 100_000

ISO_13322_1 = (
    "ISO 13322-1 (2004, scope): for a log-normal distribution of geometric standard deviation 1.6, more than "
    "6 000 particles for a repeatable volume-mean diameter, at least 61 000 for percentiles such as D90."
)
"""The standard's own numbers, for particles that are independent of each other."""


Earlier = dict[tuple[int, int], tuple[float | None, float | None]]
"""Relative half-widths of mean and D50 by number of fields and of their particles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Relative half-widths of the 95 % intervals of mean and D50 after the first `fields` fields of view."""

    fields: int
    particles: int
    mean: float | None
    d50: float | None


def steps(found: Population, known: Earlier | None = None) -> list[Step]:
    """How the half-widths shrank as fields of view came in, at round numbers of fields, now the last.

    What holds after the first fields does not change when more come in: `known` holds it between calls
    for one sample and one view, so that an update costs one step.
    """
    known = {} if known is None else known
    seen = np.cumsum(np.bincount(found.field, minlength=found.fields)).tolist()
    result = []
    for fields in (number for number in ROUND_NUMBERS if FEWEST_FIELDS <= number < found.fields):
        particles = seen[fields - 1]
        # a sequence is one field and grows: the number of particles tells its states apart
        if (fields, particles) not in known:
            known[fields, particles] = _half_widths(_first(found, fields))
        mean, d50 = known[fields, particles]
        result.append(Step(fields=fields, particles=particles, mean=mean, d50=d50))
    return [*result, *last_step(found)]


def last_step(found: Population) -> list[Step]:
    """The last of the steps alone; none where there are too few fields for an interval."""
    if found.fields < FEWEST_FIELDS:
        return []
    mean, d50 = _half_widths(found.figures)
    return [Step(fields=found.fields, particles=len(found.values), mean=mean, d50=d50)]


def _first(found: Population, fields: int) -> Mapping[str, Figure]:
    """The figures as they were after the first fields."""
    part = found.field < fields
    return Population(
        values=found.values[part], weights=found.weights[part], field=found.field[part], fields=fields
    ).figures


def _half_widths(figures: Mapping[str, Figure]) -> tuple[float | None, float | None]:
    """Relative half-widths of mean and D50."""
    mean, d50 = (_relative(figures[name].half_width, figures[name].value) for name in ("mean", "d50"))
    return mean, d50


def _relative(half_width: float | None, value: float | None) -> float | None:
    return half_width / value if value and half_width is not None else None


def fields_needed(relative_half_width: float, fields: int, target: float) -> int | None:
    """Number of fields of view after which the half-width will be at the target, if the spread stays.

    Parameters
    ----------
    relative_half_width : float
        Now, after `fields` fields.
    fields : int
        With fewer than `FEWEST_FIELDS` the answer is None.
    target : float
        Relative half-width that is wanted, for example 0.02.
    """
    factor = interval_factor(fields)
    if factor is None or target <= 0:
        return None
    # the standard error falls with the square root of the number, Student's factor on top of it
    spread = relative_half_width / factor * math.sqrt(fields)

    def half_width(number: int) -> float:
        return (interval_factor(number) or math.inf) * spread / math.sqrt(number)

    low, high = 2, _MOST_FIELDS
    if half_width(high) > target:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if half_width(middle) <= target else (middle + 1, high)
    return low


def independent_particles_needed(gsd: float, target: float) -> dict[str, int]:
    """Particles that a log-normal distribution would need if they were independent, for a relative error.

    With s = ln(gsd), to first order in the error: the variance of one particle, relative to the square of
    the figure, is exp(s^2) - 1 for the mean, (pi / 2) s^2 for D50, and exp(16 s^2) - 2 exp(12 s^2) +
    exp(9 s^2) for the volume-weighted mean diameter D[4, 3].
    """
    s2 = math.log(gsd) ** 2
    if s2 > 4:  # geometric standard deviation above 7: no number is of use
        return {}
    variance = {
        "mean": math.expm1(s2),
        "d50": math.pi / 2 * s2,
        "volume_mean": math.exp(16 * s2) - 2 * math.exp(12 * s2) + math.exp(9 * s2),
    }
    return {name: math.ceil(one * (1.96 / target) ** 2) for name, one in variance.items()}
