"""Logs of holders (temperature, gas, bias) joined with the frames of a sequence by time."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from temwatch.errors import UsageError

if TYPE_CHECKING:
    import pandas

_DELIMITERS = "\t;,"
_TIME = re.compile(r"\W*(?:(?i:time|timestamp|elapsed|zeit)|t)(?![A-Za-z])")  # T is a temperature
_DATE = re.compile(r"\W*(?:date|datum)(?![a-z])", re.IGNORECASE)
_DATE_AND_TIME = re.compile(r"\W*date\s*[-/_]?\s*time", re.IGNORECASE)
_SECONDS = (
    (re.compile(r"\bms\b|milli"), 1e-3),
    (re.compile(r"\bmin"), 60.0),
    (re.compile(r"\bh\b|hour"), 3600.0),
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?")
_DAY, _HALF_DAY = timedelta(days=1), timedelta(hours=12)
_SET_BACK = timedelta(hours=2)  # a clock that goes back further has passed midnight
_MOST_ROWS = 2_000_000  # days at ten a second


def join_log(
    frames: pandas.DataFrame,
    log: str | Path,
    *,
    start: datetime | str | None = None,
    gap_s: float | None = None,
) -> pandas.DataFrame:
    """The frames of one sequence with the columns of a holder's log behind their own.

    Parameters
    ----------
    frames : DataFrame
        Rows of frames.csv, as `read_results(...).frames` gives them, of one sequence.
    log : path
        A csv file with a header, separated by commas, semicolons or tabs (with decimal commas then, too). A
        column `time`, `date` or `elapsed` has seconds since the first frame (or min, h, ms, if its name says
        so), moments as 2026-01-31 14:05:00, or times of the day. Lines before the header are passed over.
    start : datetime or str, optional
        When the first frame was taken, such as the earliest `acquired_at`; only where the log has moments or
        times of the day. Without a zone it is of this machine's zone, and so are moments of the log.
    gap_s : float, optional
        Only rows of the log count that are at most so many seconds from a frame; between two of them numbers
        are interpolated, otherwise the nearest is taken.

    Returns
    -------
    DataFrame
        A copy: numbers of the log are interpolated between the times before and after a frame, texts are the
        last before it; nothing is stated outside the log, or for a frame whose time is not known.

    Raises
    ------
    UsageError
        The log cannot be read or has no times, `start` is needed, or there are several sequences.
    """
    path = Path(log)
    if frames["sequence"].nunique() > 1:
        raise UsageError("frames of several sequences: join those of each with its own log")
    header, rows, decimal_comma = _read(path)
    seconds = _seconds(path, header, rows, _moment(path, start))
    order = np.argsort(seconds, kind="stable")
    order = order[np.isfinite(seconds[order])]
    at, elapsed = seconds[order], frames["elapsed_s"].to_numpy(float, na_value=np.nan)
    joined = frames.copy()
    for place, name in enumerate(header):
        if not name or _is_of_time(name):
            continue
        texts = [rows[index][place] for index in order]
        column = name if name not in joined.columns else f"{name} (log)"
        numbers = np.array([_number(text, decimal_comma=decimal_comma) for text in texts])
        if any(text and np.isnan(number) for text, number in zip(texts, numbers, strict=True)):
            joined[column] = _last_before(elapsed, at, texts, gap_s)
            continue
        joined[column] = _interpolated(elapsed, at, numbers, gap_s)
    return joined


def frame_values(
    logs: Sequence[Path], elapsed_s: NDArray[np.float64], start: datetime | None, gap_s: float
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """What logs say of frames, by the columns of frames.csv, in their units.

    Each quantity is taken from the first log and column that has it with a unit: none is guessed. Numbers
    that no holder reaches, such as a temperature below absolute zero, are left out.

    Parameters
    ----------
    logs : sequence of Path
        See `join_log`.
    elapsed_s : float64, (F,)
        Time of each frame, s since the first; NaN where it is not known.
    start, gap_s
        As for `join_log`.

    Returns
    -------
    values : dict of float64, (F,)
        NaN where a log says nothing.
    last_s : float
        The time up to which all these logs reach.

    Raises
    ------
    UsageError
        A log cannot be used.
    """
    values: dict[str, NDArray[np.float64]] = {}
    last_s = np.inf
    for path in logs:
        header, rows, decimal_comma = _read(path)
        seconds = _seconds(path, header, rows, start)
        order = np.argsort(seconds, kind="stable")
        order = order[np.isfinite(seconds[order])]
        for place, name in enumerate(header):
            found = None if _is_of_time(name) else quantity(name)
            if found is None or found[0] in values or not order.size:
                continue
            column, factor, offset = found
            numbers = np.array([_number(rows[index][place], decimal_comma=decimal_comma) for index in order])
            with np.errstate(over="ignore"):
                numbers = numbers * factor + offset
            least, most = _POSSIBLE[column]
            numbers[~((numbers >= least) & (numbers <= most))] = np.nan
            values[column] = _interpolated(elapsed_s, seconds[order], numbers, gap_s)
            last_s = min(last_s, float(seconds[order[-1]]))
    return values, last_s


_UNIT = re.compile(r"[(\[/_ ]\s*([^()\[\]/_\s]+)\s*[)\]]?\s*$")
_NAMES = (
    ("temperature_C", re.compile(r"temp|^t\b", re.IGNORECASE)),
    ("pressure_Pa", re.compile(r"press|gas", re.IGNORECASE)),
    ("bias_V", re.compile(r"bias|volt", re.IGNORECASE)),
)
_UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "temperature_C": {"c": (1, 0), "°c": (1, 0), "degc": (1, 0), "celsius": (1, 0), "k": (1, -273.15)},
    "pressure_Pa": {
        "pa": (1, 0),
        "hpa": (100, 0),
        "kpa": (1e3, 0),
        "mbar": (100, 0),
        "bar": (1e5, 0),
        "torr": (101325 / 760, 0),
        "mtorr": (101.325 / 760, 0),
        "atm": (101325, 0),
    },
    "bias_V": {"v": (1, 0), "mv": (1e-3, 0), "kv": (1e3, 0)},
}
_POSSIBLE = {"temperature_C": (-273.15, 1e4), "pressure_Pa": (0.0, 1e8), "bias_V": (-1e6, 1e6)}


def quantity(name: str) -> tuple[str, float, float] | None:
    """Column of frames.csv for a column of a log, with factor and offset to its unit; None without a unit."""
    unit = _UNIT.search(name)
    for column, words in _NAMES:
        if unit and words.search(name) and (found := _UNITS[column].get(unit[1].lower())):
            return column, *found
    return None


def _interpolated(
    elapsed: NDArray[np.float64], at: NDArray[np.float64], numbers: NDArray[np.float64], gap_s: float | None
) -> NDArray[np.float64]:
    """Numbers of a log, (L,) at ascending times, at the times of frames, (F,)."""
    at, numbers = at[np.isfinite(numbers)], numbers[np.isfinite(numbers)]
    if not at.size:
        return np.full(elapsed.shape, np.nan)
    between: NDArray[np.float64] = np.interp(elapsed, at, numbers, left=np.nan, right=np.nan)
    if gap_s is None:
        return between
    after = np.searchsorted(at, elapsed)
    before, behind = np.maximum(after - 1, 0), np.minimum(after, at.size - 1)
    has_before = (after > 0) & (elapsed - at[before] <= gap_s)
    has_behind = (after < at.size) & (at[behind] - elapsed <= gap_s)
    alone = np.where(has_before, numbers[before], np.where(has_behind, numbers[behind], np.nan))
    return np.where(has_before & has_behind, between, alone)


def _read(path: Path) -> tuple[list[str], list[list[str]], bool]:
    """Names of the columns, the rows with as many fields, and whether commas may be decimal."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if max(content.count(b"\n"), content.count(b"\r")) > _MOST_ROWS:
        raise UsageError(f"{path}: has more than {_MOST_ROWS:,} rows")
    lines = _text(content).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines):
        delimiter = max(_DELIMITERS, key=line.count)
        header = _fields(line, delimiter)
        if len(header) > 1 and any(map(_is_of_time, header)):
            found = (_fields(one, delimiter) for one in lines[number + 1 :])
            rows = [row for row in found if len(row) >= len(header)]
            if delimiter == "," and any(row[-1].isdigit() for row in rows if len(row) > len(header)):
                raise UsageError(f"{path}: has rows with more numbers than columns, as of decimal commas")
            return header, rows, delimiter != ","
    raise UsageError(f"{path}: has no header with a column of times (time, date or elapsed)")


def _text(content: bytes) -> str:
    """UTF-8, UTF-16 also without its mark or last byte, else latin-1, which decodes any byte."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "ignore")
    if content[1:4:2] == b"\0\0":
        return content.decode("utf-16-le", "ignore")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _fields(line: str, delimiter: str) -> list[str]:
    """Fields of one line, so that an open quotation mark costs no other; none of one that is far too long."""
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _is_of_time(name: str) -> bool:
    return any(pattern.match(name) for pattern in (_TIME, _DATE, _DATE_AND_TIME))


def _seconds(
    path: Path, header: Sequence[str], rows: list[list[str]], start: datetime | None
) -> NDArray[np.float64]:
    """Time of each row, s since the first frame; NaN where it has none."""
    whole = next((place for place, name in enumerate(header) if _DATE_AND_TIME.match(name)), None)
    times = [place for place, name in enumerate(header) if _TIME.match(name)]
    dates = [place for place, name in enumerate(header) if _DATE.match(name)]
    places = [whole] if whole is not None else [*dates[:1], *times[:1]]
    texts = [" ".join(row[place] for place in places).strip() for row in rows]
    numbers = np.array([_number(text, decimal_comma=True) for text in texts])
    if np.isfinite(numbers).any() or not any(texts):
        name = header[places[-1]].lower()
        return numbers * next((factor for words, factor in _SECONDS if words.search(name)), 1.0)
    if start is None:
        raise UsageError(f"{path}: has moments, so that start is needed: when the first frame was taken")
    seconds = []
    before: datetime | None = None
    for text in texts:
        is_clock = _CLOCK.fullmatch(text) is not None
        moment = _clock(text, before, start) if is_clock else _moment(path, text or None)
        before = moment or before
        seconds.append(np.nan if moment is None else (moment - start).total_seconds())
    return np.array(seconds)


def _clock(text: str, before: datetime | None, start: datetime) -> datetime | None:
    """A time of the day, on the day of the row before it or the next; the first may be of the day before."""
    try:
        clock = time.fromisoformat(text.replace(",", ".").zfill(5))
        day = (before or start).astimezone().date()
        moment = _on(day, clock)
        if before is None:
            return _on(day - _DAY, clock) if moment - start > _HALF_DAY else moment
        return _on(day + _DAY, clock) if before - moment > _SET_BACK else moment
    except (ValueError, OverflowError):
        return None


def _on(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock).astimezone(UTC)


def _moment(path: Path, said: datetime | str | None) -> datetime | None:
    """A moment in UTC; without a zone it is of this machine's."""
    if said is None or said != said:
        return None
    try:
        said = said.to_pydatetime() if hasattr(said, "to_pydatetime") else said
        moment = said if isinstance(said, datetime) else datetime.fromisoformat(said.replace("/", "-"))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # years 1 and 9999 have moments that are none in another zone
        raise UsageError(f"{path}: {said!r} is no moment; write it as 2026-01-31 14:05:00") from None


def _number(text: str, *, decimal_comma: bool) -> float:
    try:
        return float("nan" if "_" in text else text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        return float("nan")


def _last_before(
    elapsed: NDArray[np.float64], at: NDArray[np.float64], texts: Sequence[str], gap_s: float | None
) -> list[str | None]:
    places = np.searchsorted(at, elapsed, side="right") - 1
    last_s, most_s = (at[-1], np.inf) if gap_s is None else (np.inf, gap_s)
    return [
        texts[place]
        if np.isfinite(moment) and place >= 0 and moment <= last_s and moment - at[place] <= most_s
        else None
        for moment, place in zip(elapsed, places, strict=True)
    ]
