"""Whether the device of the network works: a small computation at the start and then regularly.

A sick GPU does not always say so: a call may never return. The probe therefore has a deadline, and where it
fails the process ends, since nothing but a new process gets a device back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from temwatch.errors import StartError

log = structlog.get_logger(__name__)

EVERY_SECONDS = 30.0
DEADLINE_SECONDS = 30.0  # the probe waits behind whatever the network computes


class Device:
    """The device of the network; without a `probe` (a CPU) it is healthy."""

    def __init__(
        self,
        probe: Callable[[], None] | None,
        *,
        every_s: float = EVERY_SECONDS,
        deadline_s: float = DEADLINE_SECONDS,
    ) -> None:
        self.healthy = True
        self._probe = probe
        self._every_s = every_s
        self._deadline_s = deadline_s

    def check(self) -> None:
        """Probe it once.

        Raises
        ------
        StartError
            The probe failed, or has not come back within the deadline.
        """
        if self._probe is None:
            return
        trouble: list[str] = [f"no answer within {self._deadline_s:g} s"]
        attempt = threading.Thread(target=self._attempt, args=(trouble,), name="probe", daemon=True)
        attempt.start()
        attempt.join(self._deadline_s)
        if trouble:
            self.healthy = False
            raise StartError(f"the device of the network does not work: {trouble[-1]}")

    def _attempt(self, trouble: list[str]) -> None:
        assert self._probe is not None
        try:
            self._probe()
        except (RuntimeError, OSError) as error:  # torch's errors are RuntimeErrors
            trouble.append(" ".join(str(error).split())[:200] or type(error).__name__)
        else:
            trouble.clear()

    def run(self, stop: threading.Event) -> None:
        """Probe until `stop` is set; StartError as for `check`."""
        while not stop.wait(self._every_s):
            self.check()
