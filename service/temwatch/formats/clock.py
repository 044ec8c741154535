"""Acquisition times. Microscopes write local text in the format of their country, without a time zone.

A time that the file states in UTC is used unchanged. Local text is read in the time zone of this machine,
which is nearly always in the same laboratory as the microscope. A date that could mean two days is left
empty: a wrong date is worse than none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)  # Windows counts 100 ns from here
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 100  # characters of a date or a time
_EARLIEST, _LATEST = 1985, 2100  # years a digital micrograph can be of

_DATE = re.compile(r"(\d{1,4})\s*([./\- ])\s*(\d{1,2})\s*[./\- ]\s*(\d{1,4})")
_TIME = re.compile(r"(\d{1,2})\s*[:.h]\s*(\d{2})(?:\s*[:.]\s*(\d{2}))?")
_AFTERNOON = re.compile(r"p\.?\s*m\b|下午|午後|오후", re.IGNORECASE)
_MORNING = re.compile(r"a\.?\s*m\b|上午|午前|오전", re.IGNORECASE)


def from_filetime(value: float | None) -> datetime | None:
    """Moment of a Windows file time (100 ns since 1601, UTC)."""
    return _since(_FILETIME_EPOCH, None if value is None else value / 1e7)


def from_epoch_ms(value: float | None) -> datetime | None:
    """Moment of a Unix time in ms."""
    return _since(_UNIX_EPOCH, None if value is None else value / 1e3)


def from_iso(text: str | None, *, local: bool = False) -> datetime | None:
    """Moment of ISO 8601 text; without a zone it is UTC, or of this machine's zone where `local`."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None and not local:
        moment = moment.replace(tzinfo=UTC)
    return _plausible(moment)


def from_local_text(date: str | None, time: str | None) -> datetime | None:
    """Moment of a date and a time as DigitalMicrograph and others write them, in this machine's zone.

    Reads 27.08.2016, 27/08/2016, 8/27/2016, 2016-08-27 and the like with 20:54:33, 8:54:33 PM or
    08:54:33 p.m.; gives None where the order of day and month is not clear.
    """
    if not date or not time or max(len(date), len(time)) > _LONGEST:  # blanks can make a search take hours
        return None
    clock = _TIME.search(time)
    if clock is None:
        return None
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    afternoon, morning = bool(_AFTERNOON.search(time)), bool(_MORNING.search(time))
    if afternoon or morning:
        hour = hour % 12 + 12 * afternoon
    day = _day(date, american=(afternoon or morning) and bool(re.search(r"\b[AP]M\b", time)))
    if day is None:
        return None
    try:
        return _plausible(datetime(*day, hour, minute, second))
    except ValueError:
        return None


def _day(text: str, *, american: bool) -> tuple[int, int, int] | None:
    """Year, month and day of a numeric date."""
    match = _DATE.search(text)
    if match is None:
        return None
    first, separator, second, third = match[1], match[2], match[3], match[4]
    if len(first) == 4:
        return int(first), int(second), int(third)
    year = int(third) + (2000 if len(third) <= 2 else 0)
    a, b = int(first), int(second)
    if a > 12 or a == b or separator == ".":
        return year, b, a
    if b > 12:
        return year, a, b
    # both could be the month: en-US writes M/d/yyyy with AM and PM, countries with dd/MM/yyyy count to 24
    padded = text.strip().startswith("0") or (len(second) == 2 and second.startswith("0"))
    if american and not padded:
        return year, a, b
    if not american and padded and len(third) == 4:
        return year, b, a
    return None


def _since(epoch: datetime, seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return _plausible(epoch + timedelta(seconds=seconds))
    except (OverflowError, ValueError):
        return None


def _plausible(moment: datetime) -> datetime | None:
    if not _EARLIEST <= moment.year <= _LATEST:
        return None
    return moment.astimezone(UTC)
