"""Which particles count: those that nobody has excluded, and of these those that fulfil a filter."""

from __future__ import annotations

from temwatch.descriptors import BY_NAME
from temwatch.particle_filter import LIMITS, ParticleFilter


def condition(chosen: ParticleFilter) -> str:
    """Condition on `particles p`; it is never NULL.

    Values are compared as csv writes them: who takes a limit from there gets that particle.
    """
    return " AND ".join(["NOT p.excluded", *(_limit(name, value) for name, value in chosen.limits.items())])


def _limit(name: str, value: float | bool) -> str:
    limit = LIMITS[name]
    if isinstance(value, bool):
        return f"p.{limit.column} = {int(value)}"
    digits = BY_NAME[limit.column].digits
    written = f"CAST(printf('%.{digits}g', p.{limit.column}) AS REAL)"
    return f"p.{limit.column} IS NOT NULL AND {written} {limit.compare} {value!r}"
