"""Whether a file in hand is one that the ledger knows at another path, and has been moved.

By inode, size and time before it is read, by its content after that. Whether it has left its former path is
asked of a worker, for a share may not answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from temwatch.acquisition.rules import rule_for
from temwatch.config import Config
from temwatch.engine import kinship
from temwatch.engine.job import Job
from temwatch.engine.outcomes import ReadDone, Traced
from temwatch.ledger import Ledger, moves
from temwatch.ledger.moves import FormerPlace

log = structlog.get_logger(__name__)

_SILENCE_SECONDS = 3600.0

_FileSystem = tuple[str, bool]


def _file_system(suspect: FormerPlace) -> _FileSystem:
    """Where a file lies: that of its root, or what is mounted below."""
    return suspect.root, suspect.mounted


class MovedFiles:
    """Finds out about files in hand, and has the ledger follow.

    Parameters
    ----------
    ledger, config
        As for the engine.
    trace : callable
        Has a worker look at suspects; its outcome is `Traced`.
    publish_soon : callable
        Called with each sample whose files are to be written again.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        *,
        trace: Callable[[Job, tuple[FormerPlace, ...]], None],
        publish_soon: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._config = config
        self._trace = trace
        self._publish_soon = publish_soon
        self._silent_until_s: dict[_FileSystem, float] = {}  # those that gave no answer

    def is_traced(self, job: Job, read: ReadDone | None = None) -> bool:
        """Whether there is something to find out first: then a worker does, and `read` is held meanwhile."""
        if job.held is not None or (read is None and job.file.source != moves.SOURCE):
            return False
        now_s = time.monotonic()
        found = moves.suspects(self._ledger, job.file, None if read is None else read.sha256)
        suspects = tuple(one for one in found if now_s >= self._silent_until_s.get(_file_system(one), 0.0))
        if not suspects:
            return False
        job.held, job.suspects = read, suspects
        self._trace(job, suspects)
        return True

    def gave_no_answer(self, job: Job) -> None:
        """The worker that looked at the suspects hangs: where they lie, nobody looks for a while.

        What cannot be looked at has not left, as far as is known.
        """
        for suspect in job.suspects:
            self._silent_until_s[_file_system(suspect)] = time.monotonic() + _SILENCE_SECONDS
        log.warning(
            "former place does not answer, taken for another file",
            **job.about,
            folders=sorted({suspect.root for suspect in job.suspects}),
        )

    def move(self, job: Job, traced: Traced) -> bool:
        """Give the file that this one was its new place; False where it is another one."""
        job.suspects = ()
        suspect, file = traced.former, job.file
        if suspect is None:
            return False
        rules = self._config.watch.exclude
        kin = kinship.find_again(self._ledger, suspect.file_id, file.sample, self._config.samples)
        former = moves.move(
            self._ledger,
            file.id,
            suspect.file_id,
            entered=rule_for(file.path, rules),
            left=rule_for(suspect.path, rules),
            kin=kin,
        )
        if former is None:
            return False
        log.info("micrograph was moved", id=former.id, path=former.path, to=file.path, sample=file.sample)
        for sample in {former.sample, file.sample}:
            self._publish_soon(sample)
        return True
