"""What happens to a file after a failure: another attempt later, a wait for space, or a row with the reason.

A fault of the file's own (it is short, it is no micrograph) is final. A share that falters, a writer that
still holds the file, a worker that died may be better later. Results that cannot be written and a share that
is gone are no fault of any file: everything waits, and no attempt is counted.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from temwatch.engine.outcomes import Failed, Hung
from temwatch.engine.run_mode import RunMode
from temwatch.errors import InputError, StartError, Unreadable, Unwritable

MAX_CRASHES = 3
"""After so many workers, or whole services, died on a file, an output folder or a sequence, it is given up.

From the first death on, a file runs alone.
"""

STUCK_SECONDS = 1800.0
"""A worker that takes longer for one task is killed; a large stack on a slow share takes minutes."""

OUTPUT_PAUSE_S = 2.0
"""Seconds before the engine tries to write again."""

ONE_FOLDER_PAUSE_S = 30.0
"""The same for a file whose own folder cannot be written, while other results can."""

_MAY_PASS = {"input_output", "permission_denied", "vanished", "changed"}


def crashed(times: int, process: str) -> Unreadable:
    """Why a file is set aside on which a process died too often."""
    return Unreadable("crashed", f"{process} died on it {times} times; see the log")


@dataclass(frozen=True, slots=True)
class Reject:
    """The file gets a row with this reason."""

    error: InputError


@dataclass(frozen=True, slots=True)
class Retry:
    """The file is tried again; where `code` is None, the failure does not count as an attempt."""

    after_s: float
    code: str | None


@dataclass(frozen=True, slots=True)
class WaitForOutput:
    """The file waits until spool and results can be written again, which is no fault of its own."""

    is_full: bool

    @property
    def in_words(self) -> str:
        """What the log says about it."""
        return "disk full, waiting for space" if self.is_full else "cannot write, waiting"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A task gave no sign of life: the next attempts run alone, and the file is set aside after the last."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The run ends, and the file stays pending."""

    error: StartError


def after_failure(
    failed: Failed, *, attempts: int, mode: RunMode, is_source_up: bool
) -> Reject | Retry | WaitForOutput | Suspect | Stop:
    """What to do with a file whose stage has failed.

    Parameters
    ----------
    failed : Failed
        Not the death of a worker, which says nothing of the error.
    attempts : int
        Failures of the file that counted so far.
    mode : RunMode
        Says whether there are further attempts at all.
    is_source_up : bool
        While the share is gone no attempt counts.
    """
    match failed.error:
        case InputError() as error if mode.retry_after_s and error.code in _MAY_PASS:
            if not is_source_up:
                return Retry(mode.retry_after_s[0], None)
            if attempts < len(mode.retry_after_s):
                return Retry(mode.retry_after_s[attempts], error.code)
            return Reject(error)
        case InputError() as error:
            return Reject(error)
        case MemoryError():
            return Reject(Unreadable("out_of_memory", "needs more memory than there is"))
        case Unwritable() as error:
            if mode.retry_after_s:
                return WaitForOutput(error.errno in (errno.ENOSPC, errno.EDQUOT))
            return Stop(StartError(f"spool or results cannot be written: {error}"))
        case Hung():
            return Suspect()
        case error:
            return Reject(Unreadable("internal", f"{failed.stage}: {type(error).__name__}: {error}"))
