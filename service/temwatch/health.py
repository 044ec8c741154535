"""Health of the service: whether its parts run and advance, from what they report.

Times are those of the local monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

SHARE_TIMEOUT_SECONDS = 15.0
"""A share that leaves one call unanswered for so long counts as gone."""

_INTAKE_STALLED_SECONDS = 30.0  # its loop sleeps for a second at most
_ENGINE_STALLED_SECONDS = 300.0  # rewriting the tables of a very large sample is one turn of its loop


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """The service at one moment.

    Parameters
    ----------
    now_s : float
        This moment.
    intake_turned_s, engine_turned_s : float
        Last turn of the loop; 0 before the first.
    is_listed : bool or None
        Whether the watched folder could be listed; None before the first scan.
    is_scanned : bool
        Whether a scan has found all there was at the start.
    pending_call_since_s : float or None
        Start time of the pending file-system call, if there is one.
    last_scan_at : datetime or None
        UTC.
    event_overflows : int
        Times that file-system events were lost.
    entries_skipped : mapping
        Entries of the watched folder that were not examined, by reason.
    in_hand, last_finished
        Files that the engine works on, and its last result in words.
    is_device_healthy : bool
        Whether the segmenter's device works.
    """

    now_s: float
    intake_turned_s: float
    engine_turned_s: float
    is_listed: bool | None
    is_scanned: bool
    pending_call_since_s: float | None
    last_scan_at: datetime | None
    event_overflows: int
    entries_skipped: Mapping[str, int]
    in_hand: int
    last_finished: str
    is_device_healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """State of the running service that the ledger does not hold, for page and metrics."""

    ready: bool
    watch_folder_up: bool
    gpu_healthy: bool
    last_scan_at: datetime | None
    event_overflows: int
    entries_skipped: Mapping[str, int]


def share_hangs(pending_call_since_s: float | None, now_s: float) -> bool:
    """Whether a file-system call has been pending for too long."""
    return pending_call_since_s is not None and now_s - pending_call_since_s > SHARE_TIMEOUT_SECONDS


def is_folder_up(seen: ServiceState) -> bool | None:
    """Whether the watched folder answers; None before it is known."""
    return False if share_hangs(seen.pending_call_since_s, seen.now_s) else seen.is_listed


def has_started(seen: ServiceState) -> bool:
    """Whether everything runs: workers have compiled their code, and the first scan was tried."""
    return bool(seen.engine_turned_s) and is_folder_up(seen) is not None


def is_ready(seen: ServiceState) -> bool:
    """Whether a file that arrives now will be analysed."""
    is_complete = seen.is_scanned and bool(seen.engine_turned_s)
    return bool(is_folder_up(seen)) and seen.is_device_healthy and is_complete


def is_advancing(seen: ServiceState) -> bool:
    """Whether both loops turn, for the watchdog; a restart does not mend a share that does not answer."""
    is_waiting = seen.pending_call_since_s is not None
    intake_turns = is_waiting or seen.now_s - seen.intake_turned_s < _INTAKE_STALLED_SECONDS
    return intake_turns and seen.now_s - seen.engine_turned_s < _ENGINE_STALLED_SECONDS


def vitals(seen: ServiceState) -> Vitals:
    """The same for page and metrics."""
    return Vitals(
        ready=is_ready(seen),
        watch_folder_up=bool(is_folder_up(seen)),
        gpu_healthy=seen.is_device_healthy,
        last_scan_at=seen.last_scan_at,
        event_overflows=seen.event_overflows,
        entries_skipped=seen.entries_skipped,
    )


def in_words(seen: ServiceState) -> str:
    """What the service does, in one line for systemd."""
    if not is_folder_up(seen):
        hangs = share_hangs(seen.pending_call_since_s, seen.now_s)
        return "the watched folder " + ("does not answer" if hangs else "is missing")
    last = f", last {seen.last_finished}" if seen.last_finished else ""
    return f"{seen.in_hand} in hand{last}"
