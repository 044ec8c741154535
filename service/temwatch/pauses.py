"""Pauses between tries of what goes on failing."""

from __future__ import annotations

_MOST_DOUBLINGS = 64  # a number that doubles for weeks is too large for a float in the end


def growing_pause_s(first_s: float, longest_s: float, failures: int) -> float:
    """Seconds to wait after so many failures: twice as long after each, up to the longest.

    Examples
    --------
    >>> [growing_pause_s(60.0, 3600.0, failures) for failures in (1, 2, 3, 10**6)]
    [60.0, 120.0, 240.0, 3600.0]
    """
    return min(first_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), longest_s)
