"""Runs the loops of the service until a signal or until one ends, and tells systemd how they are doing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping

import structlog

from temwatch import health, signals
from temwatch.daemon import systemd
from temwatch.errors import StartError, TemwatchError

log = structlog.get_logger(__name__)

_LEFT_BEHIND_SECONDS = 5.0  # a thread that hangs with a share or a device ends with the process
_STARTING_POLL_SECONDS = 0.05


def run(
    loops: Mapping[str, Callable[[threading.Event, threading.Event], None]],
    observe: Callable[[], health.ServiceState],
    *,
    on_start: Callable[[], None],
    wake_engine: Callable[[], None],
) -> None:
    """Run every loop in a thread of its name; return once all have ended after SIGTERM or SIGINT.

    Parameters
    ----------
    loops : mapping
        Called with an event that is set at the end, and one that wakes the intake. The one named "engine" is
        waited for without a limit: it finishes what is in hand.
    observe : callable
        Gives the state of the service now.
    on_start : callable
        Called when signals no longer kill the process.
    wake_engine : callable
        Makes the engine look at the first event.

    Raises
    ------
    TemwatchError
        What a loop has ended with.
    StartError
        A loop has ended with an internal error or a full disk.
    """
    stop, wake = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def guarded(loop: Callable[[threading.Event, threading.Event], None]) -> None:
        try:
            loop(stop, wake)
        except BaseException as error:
            errors.append(error)
            if not isinstance(error, TemwatchError):
                raise  # to the log, see logs.set_up
        finally:
            stop.set()

    def end() -> None:
        stop.set()
        wake.set()
        wake_engine()

    def on_signal(number: int) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        end()

    signals.call_on((signal.SIGTERM, signal.SIGINT), on_signal)
    on_start()
    threads = [
        threading.Thread(target=guarded, args=(loop,), name=name, daemon=True) for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    _report(stop, observe)
    systemd.notify(STOPPING="1", STATUS="finishing what is in hand")
    end()
    for thread in threads:
        thread.join(None if thread.name == "engine" else _LEFT_BEHIND_SECONDS)
    if errors and isinstance(errors[0], TemwatchError):
        raise errors[0]
    if errors:
        raise StartError(
            f"stopped by an internal error or a full disk: {type(errors[0]).__name__}: {errors[0]}"
        )


def _report(stop: threading.Event, observe: Callable[[], health.ServiceState]) -> None:
    """Tell systemd that the service is ready, that it advances, and what it does."""
    is_ready, status, was_hanging = False, "", False
    beat_s = min(1.0, systemd.watchdog_seconds() or 1.0)
    while not stop.wait(beat_s if is_ready else _STARTING_POLL_SECONDS):
        seen = observe()
        hangs = health.share_hangs(seen.pending_call_since_s, seen.now_s)
        if hangs != was_hanging:
            log.warning("the watched folder does not answer" if hangs else "the watched folder answers again")
            was_hanging = hangs
        fields = {}
        if not is_ready and health.has_started(seen):
            is_ready = True
            systemd.notify(READY="1")
        if (words := health.in_words(seen)) != status:
            fields["STATUS"] = status = words
        if is_ready and health.is_advancing(seen):
            fields["WATCHDOG"] = "1"
        if fields:
            systemd.notify(**fields)
