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
    *("error", "erreur", "ratio", "fraction", "number", "anzahl", "id", "visible"),
}
_OTHER_STEMS = (  # also within words: Flächenanteil
    *("anteil", "prozent", "percent", "porcent", "pourcent", "fehler", "abweich", "deviat", "ecart"),
    *("desviac", "varian"),
)
_SUMMARY = {  # words of the rows that programs add below a table
    *(
        "mean",
        "average",
        "avg",
        "sd",
        "std",
        "dev",
        "stdev",
        "standard",
        "deviation",
        "min",
        "max",
        "minimum",
    ),
    *("maximum", "sum", "total", "median", "count", "variance", "mittelwert", "mittel", "stdabw", "summe"),
    *(
        "standardabweichung",
        "abw",
        "anzahl",
        "gesamt",
        "moyenne",
        "somme",
        "ecart",
        "type",
        "mediane",
        "media",
    ),
    *("promedio", "suma", "desviacion", "estandar", "mediana", "minimo", "maximo"),
}

_NM_PER_UNIT = {"pm": 1e-3, "å": 0.1, "nm": 1.0, "um": 1e3, "μm": 1e3, "mm": 1e6, "cm": 1e7}
_NM_PER_STEM = {
    "picomet": 1e-3,
    **dict.fromkeys(("angstr", "ångstr"), 0.1),
    "nanomet": 1.0,
    **dict.fromkeys(("micromet", "mikromet", "micron", "mikron", "micra"), 1e3),
    **dict.fromkeys(("millimet", "milimet"), 1e6),
    **dict.fromkeys(("centimet", "zentimet"), 1e7),
}
_NM_IN_BRACKETS = {"a": 0.1, "m": 1e9, "in": 2.54e7}  # words or names elsewhere
_UNITS = ("unit", "einheit", "unidad")
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
    unit: str
    """Heading and what else states its unit."""


def diameters(text: str, chosen: str | None = None) -> tuple[NDArray[np.float64], str]:
    """Diameters in nm, and the name of the column they were in.

    Commas, semicolons, tabs and blanks separate; decimal commas and groups of three digits are understood.
    Columns are known by name: equivalent diameter, diameter, Feret diameter, length, radius, area, in
    English, German, French and Spanish. Radius and area become diameters. The unit is in the heading, in the
    row below or in a column of units; without one, values are in nm. Rows such as mean and SD at the end are
    left out.

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
    while len(rows) > 1 and _is_summary(rows[-1]):
        rows.pop()
    decimal_comma = (separator or _separator(lines)) != ","
    width = min(max(map(len, rows)), _MOST_COLUMNS)
    texts = [[row[index].strip() if index < len(row) else "" for row in rows] for index in range(width)]
    cells = [_numbers(column, decimal_comma=decimal_comma) for column in texts]
    has_heading = not any(column[0] is not None for column in cells)
    has_units = has_heading and len(rows) > 1 and not any(column[1] is not None for column in cells)
    of_table = " ".join(
        f"({unit})"
        for column in texts
        if has_heading and column[0].casefold().startswith(_UNITS)
        for unit in sorted({*column[1:]} - {""})[:20]
    )
    found = []
    for index, column in enumerate(cells):
        values = np.array([value for value in column if value is not None and value > 0])
        if len(values) < FEWEST_VALUES:
            continue
        heading = texts[index][0] if has_heading else ""
        unit = f"{heading} ({texts[index][1].strip('()[]')})" if has_units else heading
        unit = unit if _stated_units(unit) else f"{unit} {of_table}"
        found.append(_MeasuredValues(heading or _number_of(index), _quantity(heading), values, unit))
    if not found:
        raise NoColumn("no column holds three positive numbers")
    return found


def _is_summary(row: list[str]) -> bool:
    """Whether a row is of a summary below the table, such as ImageJ's Mean, SD, Min and Max."""
    return any((words := _words(cell)) and _SUMMARY.issuperset(words) for cell in row)


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


def _numbers(texts: list[str], *, decimal_comma: bool) -> list[float | None]:
    """Numbers of one column, in which points and commas mean the same in every cell."""
    cells = [_GROUPING_BLANK.sub("", text.strip('"').strip()) for text in texts]
    with_comma = [cell for cell in cells if re.search(r"\d,\d", cell)]
    both = next((cell for cell in with_comma if re.search(r"\d\.\d", cell)), None)
    if both is not None:
        decimal = max(".,", key=both.rfind)
    elif with_comma and not decimal_comma and not all(map(_GROUPED_BY_COMMA.fullmatch, with_comma)):
        decimal = ","
    else:
        decimal = "," if decimal_comma else "."
    group = "," if decimal == "." else "."
    if with_comma or decimal == ".":
        cells = [re.sub(rf"(?<=\d){re.escape(group)}(?=\d{{3}}(?!\d))", "", cell) for cell in cells]
    return [_number(cell.replace(",", ".") if decimal == "," else cell) for cell in cells]


_GROUPING_BLANK = re.compile(r"(?<=\d)[ '’\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_GROUPED_BY_COMMA = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")


def _number(cell: str) -> float | None:
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
    if _OTHER & set(words) or "%" in heading or any(stem in word for word in words for stem in _OTHER_STEMS):
        return None
    is_equivalent = any(word.startswith(_EQUIVALENT) for word in words)
    for quantity, stems in _STEMS.items():
        if any(stem in word if len(stem) > 4 else word.startswith(stem) for word in words for stem in stems):
            is_diameter = quantity is Quantity.DIAMETER and is_equivalent
            return Quantity.EQUIVALENT_DIAMETER if is_diameter else quantity
    return next((_WHOLE_WORDS[word] for word in words if word in _WHOLE_WORDS), None)


def _in_nm(column: _MeasuredValues) -> NDArray[np.float64]:
    if set(_words(column.unit)) & _PIXELS:
        raise NoColumn(f"the column {column.name} is in pixels; save it in nm")
    units = _stated_units(column.unit) or [1.0]
    if len(set(units)) > 1 or None in units:
        raise NoColumn(f"the column {column.name} is in a unit that is not clear; save it in nm")
    nm = units[0] or 1.0
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


def _stated_units(heading: str) -> list[float | None]:
    """Units in a heading, in nm; None for one in brackets that looks like a length and is not known."""
    found: list[float | None] = []
    for bracketed in re.findall(r"[\[(]([^\[\]()]*)[\])]", heading):
        words = _words(bracketed)
        if len(words) == 1 and (nm := _NM_IN_BRACKETS.get(words[0])):
            found.append(nm)
        elif len(words) == 1 and words[0] not in _NM_PER_UNIT and re.fullmatch(r"\w{1,3}m", words[0]):
            found.append(None)
    for word in _words(heading):
        stems = (nm for stem, nm in _NM_PER_STEM.items() if word.startswith(stem))
        nm = _NM_PER_UNIT.get(word) or _NM_PER_UNIT.get(word.removesuffix("s")) or next(stems, None)
        if nm is not None:
            found.append(nm)
    return found
