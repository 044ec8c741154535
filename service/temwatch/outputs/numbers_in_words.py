"""A number and, apart from it, its 95 % interval, as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from temwatch.analysis.statistics.population import FEWEST_FIELDS


def significant(number: float, digits: int = 3) -> str:
    """A number with so many significant digits, zeros at its end included and never as a power of ten.

    Examples
    --------
    >>> significant(3.5), significant(15.288), significant(0.009181), significant(12345.0)
    ('3.50', '15.3', '0.00918', '12345')
    """
    if not number or not math.isfinite(number):
        return f"{number:g}"
    return f"{number:.{min(8, max(0, digits - 1 - math.floor(math.log10(abs(number)))))}f}"


def number_in_words(value: Mapping[str, float | None]) -> str:
    """A number, rounded to two digits of the half-width of its interval; without one, to three digits.

    Examples
    --------
    >>> number_in_words({"value": 3.5642, "half_width": 0.0731})
    '3.564'
    >>> number_in_words({"value": 3.5642, "half_width": None})
    '3.56'
    """
    number, half = value["value"], value["half_width"]
    if number is None:
        return "–"
    return significant(number) if not half else f"{number:.{_decimals(half)}f}"


def interval_in_words(value: Mapping[str, float | None]) -> str:
    """The 95 % interval of a number, from its lower to its upper limit.

    Examples
    --------
    >>> interval_in_words({"value": 3.5642, "half_width": 0.0731})
    '3.491 to 3.637'
    """
    number, half = value["value"], value["half_width"]
    if number is None or not half:
        return "–"
    return f"{number - half:.{_decimals(half)}f} to {number + half:.{_decimals(half)}f}"


def _decimals(half_width: float) -> int:
    return min(8, max(0, 1 - math.floor(math.log10(float(f"{half_width:.1e}")))))


def mean_interval(mean: Mapping[str, float | None], fields: int, unit: str) -> str:
    """A line on the interval of a mean, from so many independent fields of view.

    Examples
    --------
    >>> mean_interval({"value": 3.5642, "half_width": 0.0731}, 7, "nm")
    '95 % interval of the mean: 3.491 to 3.637 nm, from 7 independent fields of view'
    >>> mean_interval({"value": 3.5642, "half_width": None}, 1, "nm")
    'too few fields of view for an interval of the mean: 1 of at least 4'
    """
    if fields < FEWEST_FIELDS:
        return f"too few fields of view for an interval of the mean: {fields} of at least {FEWEST_FIELDS}"
    words = interval_in_words(mean)
    return f"95 % interval of the mean: {words} {unit}, from {fields} independent fields of view"
