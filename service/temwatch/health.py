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
_WORKER_STALLED_SECONDS = 180.0  # the engine replaces it after 120 s
_ENGINE_STALLED_SECONDS = 300.0  # rewriting the tables of a very large sample is one turn of its loop


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInHand:
    """A file that the engine works on: the stage it is in, and whether its picture is drawn already."""

    file_id: int
    stage: str
    has_picture: bool


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
    is_output_writable : bool
        Whether results can be written.
    output_free_bytes : int or None
        Free space for results, None where the file system does not say.
    workers_hung : int
        Workers that do not advance, and killed ones that have not ended yet.
    hanging_s : float
        How long a worker that was not replaced has not advanced; 0 if there is none.
    files_in_hand : tuple of FileInHand
        The same files as `in_hand` counts.
    writing_workbook : str
        Sample whose workbook is being written and takes a while, else empty.
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
    is_output_writable: bool
    output_free_bytes: int | None
    workers_hung: int
    hanging_s: float
    files_in_hand: tuple[FileInHand, ...] = ()
    writing_workbook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """State of the running service that the ledger does not hold, for page and metrics."""

    ready: bool
    watch_folder_up: bool
    gpu_healthy: bool
    output_writable: bool
    output_free_bytes: int | None
    workers_hung: int
    last_scan_at: datetime | None
    event_overflows: int
    entries_skipped: Mapping[str, int]
    files_in_hand: tuple[FileInHand, ...] = ()
    writing_workbook: str = ""


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
    works = seen.is_device_healthy and seen.is_output_writable and not seen.workers_hung
    return bool(is_folder_up(seen)) and works and is_complete


def is_advancing(seen: ServiceState) -> bool:
    """Whether loops and workers advance, for the watchdog.

    A restart does not mend a share that does not answer. A worker that hangs is replaced in time, else the
    engine cannot do it.
    """
    is_waiting = seen.pending_call_since_s is not None
    intake_turns = is_waiting or seen.now_s - seen.intake_turned_s < _INTAKE_STALLED_SECONDS
    workers_advance = seen.hanging_s < _WORKER_STALLED_SECONDS
    return intake_turns and workers_advance and seen.now_s - seen.engine_turned_s < _ENGINE_STALLED_SECONDS


def vitals(seen: ServiceState) -> Vitals:
    """The same for page and metrics."""
    return Vitals(
        ready=is_ready(seen),
        watch_folder_up=bool(is_folder_up(seen)),
        gpu_healthy=seen.is_device_healthy,
        output_writable=seen.is_output_writable,
        output_free_bytes=seen.output_free_bytes,
        workers_hung=seen.workers_hung,
        last_scan_at=seen.last_scan_at,
        event_overflows=seen.event_overflows,
        entries_skipped=seen.entries_skipped,
        files_in_hand=seen.files_in_hand,
        writing_workbook=seen.writing_workbook,
    )


def hung_in_words(workers: int) -> str:
    """How many workers do not advance."""
    return "1 worker hangs" if workers == 1 else f"{workers} workers hang"


def obstacles(current: Vitals) -> list[str]:
    """What keeps the service from being ready."""
    found = [] if current.watch_folder_up else ["the watched folder is missing"]
    if not current.output_writable:
        found.append("the results cannot be written")
    if current.workers_hung:
        found.append(hung_in_words(current.workers_hung))
    if not current.ready and not found:
        found.append("starting: the workers or the first scan are not ready yet")
    return found


def in_words(seen: ServiceState) -> str:
    """What the service does, in one line for systemd."""
    if not is_folder_up(seen):
        hangs = share_hangs(seen.pending_call_since_s, seen.now_s)
        return "the watched folder " + ("does not answer" if hangs else "is missing")
    if not seen.is_output_writable:
        return "results cannot be written"
    if seen.workers_hung:
        return f"{hung_in_words(seen.workers_hung)}, {seen.in_hand} in hand"
    last = f", last {seen.last_finished}" if seen.last_finished else ""
    return f"{seen.in_hand} in hand{last}"
