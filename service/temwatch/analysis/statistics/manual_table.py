"""Diameters out of a table that somebody measured: which column holds them, and in which unit."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FEWEST_VALUES = 3
_MOST_COLUMNS = 200
_LARGEST_NM = 1e9  # a metre: no particle, and its square would overflow


class Quantity(Enum):
    """What a column holds, the best first."""

    EQUIVALENT_DIAMETER = "equivalent diameter"
    DIAMETER = "diameter"
    FERET = "Feret diameter"
    LENGTH = "length"
    RADIUS = "radius"
    AREA = "area"


# beginnings of words in English, German, French and Spanish, without accents
_STEMS: dict[Quantity, tuple[str, ...]] = {
    Quantity.FERET: ("feret",),
    Quantity.DIAMETER: ("diamet", "durchmess"),
    Quantity.RADIUS: ("radius", "radien", "rayon", "radio"),
    Quantity.AREA: ("area", "flache", "flaeche", "aire", "surface", "superficie"),
    Quantity.LENGTH: (
        *("length", "size", "lange", "laenge", "grosse", "groesse"),
        *("longueur", "taille", "longitud", "tamano"),
    ),
}
_WHOLE_WORDS = {
    **dict.fromkeys(("d", "dia", "diam", "ø", "⌀"), Quantity.DIAMETER),
    **dict.fromkeys(("ecd", "deq"), Quantity.EQUIVALENT_DIAMETER),
}
_EQUIVALENT = ("equiv", "aquiv", "aequiv")
_OTHER = {  # the smaller of two, a bound, a place, an angle, an error
    *("x", "y", "z", "bx", "by", "start", "angle", "winkel", "angulo", "min", "minimum", "minimal"),
    *("kleinster", "minimaler", "minimo", "low", "lower", "high", "upper", "sd", "std", "stdev", "se"),
    *("error", "fehler", "erreur", "ratio", "fraction", "anteil", "number", "anzahl", "id", "visible"),
}

_NM_PER_UNIT = {
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-3),
    **dict.fromkeys(("å", "angstrom", "angstroem"), 0.1),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometro"), 1.0),
    **dict.fromkeys(
        ("um", "µm", "μm", "micron", "micrometer", "micrometre", "micrometro", "mikrometer"), 1e3
    ),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "milimetro"), 1e6),
}
_PIXELS = {"px", "pixel", "pixels", "pixeles", "pixeln"}


class NoColumn(ValueError):
    """No column can be used; the text is for a person."""


class ChoiceNeeded(ValueError):
    """Several columns might hold the diameters, or none is named as one; `candidates` are their names."""

    def __init__(self, candidates: Sequence[str]) -> None:
        super().__init__(f"choose the column that holds the diameters: {', '.join(candidates)}")
        self.candidates = tuple(candidates)


@dataclass(frozen=True, slots=True, eq=False)
class _MeasuredValues:
    name: str
    quantity: Quantity | None
    values: NDArray[np.float64]


def diameters(text: str, chosen: str | None = None) -> tuple[NDArray[np.float64], str]:
    """Diameters in nm, and the name of the column they were in.

    Commas, semicolons, tabs and blanks separate; a decimal comma is understood where they are not commas.
    Columns are known by name: equivalent diameter, diameter, Feret diameter, length, radius, area, in
    English, German, French and Spanish. Radius and area become diameters. Without a unit in the heading,
    values are in nm.

    Parameters
    ----------
    text
        The table.
    chosen
        Name of the column to use, where a person has chosen one.

    Raises
    ------
    NoColumn
        No column holds three positive numbers, or the chosen one does not; the text is for a person.
    ChoiceNeeded
        It is not clear which column to use.
    """
    columns = _columns(text)
    if chosen is not None:
        found = [column for column in columns if column.name == chosen]
        if not found:
            raise NoColumn(f"no column {chosen[:60]!r} holds three positive numbers")
    else:
        found = _best(columns)
    column = found[0]
    return _in_nm(column), column.name


def _best(columns: list[_MeasuredValues]) -> list[_MeasuredValues]:
    for quantity in Quantity:
        named = [column for column in columns if column.quantity is quantity]
        if len(named) == 1:
            return named
        if named:
            raise ChoiceNeeded([column.name for column in named])
    if len(columns) == 1 and columns[0].name == _number_of(0):
        return columns  # nothing but numbers
    without_counter = [column for column in columns if not _is_counter(column.values)]
    if len(without_counter) == 1 and without_counter[0].name.startswith(_number_of(-1)[:-1]):
        return without_counter
    raise ChoiceNeeded([column.name for column in columns])


def _number_of(index: int) -> str:
    """Name of a column without a heading."""
    return f"column {index + 1}"


def _is_counter(values: NDArray[np.float64]) -> bool:
    return bool(values[0] in (1.0, 2.0) and (np.diff(values) == 1).all())


def _columns(text: str) -> list[_MeasuredValues]:
    """Columns that hold enough positive numbers."""
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    separator = None
    if lines and (stated := re.fullmatch(r'"?sep=(.)"?', lines[0].strip())):
        separator, lines = stated[1], lines[1:]
    if not lines:
        raise NoColumn("the file is empty")
    rows = _rows(lines, separator or _separator(lines))
    decimal_comma = (separator or _separator(lines)) != ","
    width = min(max(map(len, rows)), _MOST_COLUMNS)
    cells = [
        [_number(row[index], decimal_comma=decimal_comma) if index < len(row) else None for row in rows]
        for index in range(width)
    ]
    has_heading = not any(column[0] is not None for column in cells)
    found = []
    for index, column in enumerate(cells):
        values = np.array([value for value in column if value is not None and value > 0])
        if len(values) < FEWEST_VALUES:
            continue
        heading = rows[0][index].strip() if has_heading and index < len(rows[0]) else ""
        found.append(_MeasuredValues(heading or _number_of(index), _quantity(heading), values))
    if not found:
        raise NoColumn("no column holds three positive numbers")
    return found


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    if separator == " ":
        return [line.split() for line in lines]
    try:
        return list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    except (csv.Error, TypeError, ValueError) as error:
        raise NoColumn(f"no column can be read: {error}") from None


def _separator(lines: list[str]) -> str:
    sample = lines[:20]
    for separator in (";", "\t"):
        if all(separator in line for line in sample):
            return separator
    # one column of numbers with decimal commas is no table of two columns
    is_number = [bool(re.fullmatch(r'\s*"?-?\d+,\d+"?\s*', line)) for line in sample]
    if all(is_number[1:]) and (is_number[0] or (len(sample) > 1 and "," not in sample[0])):
        return ";"
    if any("," in line for line in sample):
        return ","
    return " " if all(" " in line.strip() for line in sample[1:]) else ";"


def _number(cell: str, *, decimal_comma: bool) -> float | None:
    cell = cell.strip().strip('"')
    if decimal_comma and "." not in cell:
        cell = cell.replace(",", ".")
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _words(heading: str) -> list[str]:
    """Words of a heading in lower case without accents; `MinFeret` and `min_feret` are two words."""
    apart = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])", " ", heading)
    plain = unicodedata.normalize("NFKD", apart.replace("Å", "å").replace("å", "\0")).replace("\0", "å")
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()
    return re.findall(r"[^\W\d_]+|[ø⌀]", plain)


def _quantity(heading: str) -> Quantity | None:
    words = _words(heading)
    if _OTHER & set(words):
        return None
    is_equivalent = any(word.startswith(_EQUIVALENT) for word in words)
    for quantity, stems in _STEMS.items():
        if any(stem in word if len(stem) > 4 else word.startswith(stem) for word in words for stem in stems):
            is_diameter = quantity is Quantity.DIAMETER and is_equivalent
            return Quantity.EQUIVALENT_DIAMETER if is_diameter else quantity
    return next((_WHOLE_WORDS[word] for word in words if word in _WHOLE_WORDS), None)


def _in_nm(column: _MeasuredValues) -> NDArray[np.float64]:
    words = set(_words(column.name))
    if words & _PIXELS:
        raise NoColumn(f"the column {column.name} is in pixels; save it in nm")
    names = (unit for unit in _NM_PER_UNIT if {unit, f"{unit}s"} & words)
    nm = _NM_PER_UNIT[next(names, "nm")]
    with np.errstate(over="ignore"):
        match column.quantity:
            case Quantity.AREA:
                found = 2 * np.sqrt(column.values / math.pi) * nm
            case Quantity.RADIUS:
                found = 2 * column.values * nm
            case _:
                found = column.values * nm
    if not (found < _LARGEST_NM).all():
        raise NoColumn(f"the column {column.name} holds numbers that are too large")
    return found
