"""Diameters that a person measured, compared with those of temwatch."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PREFERRED = ("equivalent_diameter", "diameter", "feret", "size", "length")
_FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sets of diameters and two tests of whether they could be of one distribution.

    `welch_p` is of Welch's t-test of the means (unequal variances), `ks_p` of the two-sample test of
    Kolmogorov and Smirnov, whose statistic is the largest distance of the cumulative distributions.
    """

    count: tuple[int, int]
    mean: tuple[float, float]
    sd: tuple[float, float]
    median: tuple[float, float]
    difference: float
    welch_t: float
    welch_p: float
    ks_distance: float
    ks_p: float


def compare(automatic: NDArray[np.float64], manual: NDArray[np.float64]) -> Comparison | None:
    """Compare two sets of diameters in nm; None where one of them has fewer than three values."""
    from scipy import stats

    sets = (automatic, manual)
    if min(map(len, sets)) < _FEWEST:
        return None
    if all(float(np.ptp(one)) == 0 for one in sets):  # no spread, no test
        same = bool(automatic[0] == manual[0])
        t, p = (0.0, 1.0) if same else (math.inf, 0.0)
    else:
        t, p = (float(value) for value in stats.ttest_ind(automatic, manual, equal_var=False))
    ks = stats.ks_2samp(automatic, manual, method="asymp")

    def both(statistic: Callable[[NDArray[np.float64]], float]) -> tuple[float, float]:
        return float(statistic(automatic)), float(statistic(manual))

    return Comparison(
        count=(len(automatic), len(manual)),
        mean=both(np.mean),
        sd=both(lambda values: values.std(ddof=1)),
        median=both(np.median),
        difference=float(manual.mean() - automatic.mean()),
        welch_t=t,
        welch_p=p,
        ks_distance=float(ks.statistic),
        ks_p=float(ks.pvalue),
    )


def diameters(text: str) -> tuple[NDArray[np.float64], str]:
    """Diameters out of a table that somebody exported, and the name of the column they were in.

    Commas, semicolons, tabs and blanks separate; a decimal comma is understood where they are not commas.
    The column is the one whose heading speaks of a diameter, else the last that holds numbers. A unit in the
    heading (pm, Å, nm, µm) is brought to nm.

    Raises
    ------
    ValueError
        No column holds three positive numbers; the text is for a person.
    """
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    if not lines:
        raise ValueError("the file is empty")
    separator = _separator(lines)
    if separator == " ":
        rows = [line.split() for line in lines]
    else:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    decimal_comma = separator != ","
    columns = [
        [_number(row[index], decimal_comma) if index < len(row) else None for row in rows]
        for index in range(min(max(map(len, rows)), 200))
    ]
    heading = [cell.strip() for cell in rows[0]] if not any(column[0] for column in columns) else []
    good = [
        index
        for index, column in enumerate(columns)
        if sum(value is not None and value > 0 for value in column) >= _FEWEST
    ]
    if not good:
        raise ValueError("no column holds three positive numbers")
    index = _choose(heading, good)
    name = heading[index] if index < len(heading) else f"column {index + 1}"
    values = np.array([value for value in columns[index] if value is not None and value > 0])
    return values * _nm_per_unit(name), name


def _separator(lines: list[str]) -> str:
    sample = lines[:20]
    for separator in (";", "\t"):
        if all(separator in line for line in sample):
            return separator
    # one column of numbers with decimal commas is no table of two columns
    if all(re.fullmatch(r'\s*"?-?\d+,\d+"?\s*', line) for line in sample[1:] or sample):
        return ";"
    if any("," in line for line in sample):
        return ","
    return " " if all(" " in line.strip() for line in sample[1:]) else ";"


def _choose(heading: list[str], good: list[int]) -> int:
    for word in _PREFERRED:
        for index in good:
            if index < len(heading) and word in heading[index].lower():
                return index
    return good[-1]


def _nm_per_unit(name: str) -> float:
    unit = re.search(r"(?:[\[(/,_]\s*|\s)(µm|μm|um|nm|å|angstroms?|pm)\b", name.lower())
    return {"µm": 1e3, "μm": 1e3, "um": 1e3, "å": 0.1, "pm": 1e-3}.get(
        unit[1] if unit else "nm", 0.1 if unit and unit[1].startswith("angstrom") else 1.0
    )


def _number(cell: str, decimal_comma: bool) -> float | None:
    cell = cell.strip().strip('"')
    if decimal_comma and "." not in cell:
        cell = cell.replace(",", ".")
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
