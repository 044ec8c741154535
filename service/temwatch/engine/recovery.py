"""What becomes of a file in hand after a failure; `retry` decides, and this carries it out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from temwatch.domain import Stage, Status
from temwatch.engine import retry
from temwatch.engine.hooks import EngineHooks
from temwatch.engine.job import Job
from temwatch.engine.outcomes import Failed
from temwatch.engine.run_mode import RunMode
from temwatch.errors import InputError
from temwatch.ledger import Ledger, Recorded, queue, recording

log = structlog.get_logger(__name__)


class Recovery:
    """Part of the conductor, see `Engine`.

    Parameters
    ----------
    ledger, mode, hooks
        As for the engine.
    end : callable
        Called with a job that is no longer in hand.
    record : callable
        Called with a job that gives no result, and its row.
    """

    def __init__(
        self,
        ledger: Ledger,
        mode: RunMode,
        hooks: EngineHooks,
        *,
        end: Callable[[Job], None],
        record: Callable[[Job, Recorded], None],
    ) -> None:
        self._ledger = ledger
        self._mode = mode
        self._hooks = hooks
        self._end = end
        self._record = record
        self.paused_until_s = 0.0
        """Monotonic; nothing is begun before, because nothing can be written."""

    def recover(self, job: Job, failed: Failed) -> None:
        """Try a file again later, or turn the failure of its stage into a row with its reason."""
        action = retry.after_failure(
            failed,
            attempts=job.file.attempts,
            mode=self._mode,
            is_source_up=self._hooks.is_source_up(),
        )
        match action:
            case retry.Retry(after_s=wait_s, code=code):
                log.warning("cannot read, will retry", **job.about, reason=str(failed.error), wait_s=wait_s)
                self.put_back(job, wait_s, code)
            case retry.WaitForOutput() as wait:
                log.warning(wait.in_words, **job.about, reason=str(failed.error))
                is_down = wait.is_full or not self._hooks.check_output()
                if is_down:
                    self.paused_until_s = time.monotonic() + retry.OUTPUT_PAUSE_S
                self.put_back(job, 0 if is_down else retry.ONE_FOLDER_PAUSE_S)
            case retry.Suspect():
                self.set_back(job)
            case retry.Stop(error=reason):
                raise reason
            case retry.Reject(error=reason):
                if reason.code == "internal":
                    if failed.stage is Stage.SEGMENT:
                        self._hooks.check_device()  # a device that fails ends the service
                    log.error("internal error", **job.about, stage=failed.stage, exc_info=failed.error)
                self.reject(job, reason)

    def put_back(self, job: Job, wait_s: float = 0, reason: str | None = None) -> None:
        """Return a file to the queue; a `reason` counts as a failed attempt."""
        self._end(job)
        not_before = datetime.now(UTC) + timedelta(seconds=wait_s)
        queue.release(self._ledger, job.file.id, not_before=not_before, reason=reason)

    def reject(self, job: Job, error: InputError) -> None:
        """The row of a file that gives no result, with its reason."""
        started = time.monotonic()
        recorded = recording.reject_file(
            self._ledger,
            job.file.id,
            status=Status(error.status),
            code=error.code,
            reason=str(error),
            sha256=job.sha256,
            at=datetime.now(UTC),
            seconds=sum(job.stages.values()),
        )
        job.took(Stage.RECORD, time.monotonic() - started)
        job.reason = str(error)
        self._record(job, recorded)

    def set_back(self, job: Job) -> None:
        """A file that a worker may have died of or hung on is tried again, at last it is set aside."""
        waits_s = self._mode.retry_after_s
        wait_s = waits_s[job.file.crashes] if waits_s else 0
        not_before = datetime.now(UTC) + timedelta(seconds=wait_s)
        crashes = queue.release_crashed(self._ledger, job.file.id, not_before=not_before)
        if crashes >= retry.MAX_CRASHES:
            self.reject(job, retry.crashed(crashes, "the worker process"))
        else:
            self._end(job)
