"""The two ways to run the engine: as a service, or once over what is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_RETRY_AFTER_S = (2.0, 10.0, 60.0, 600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMode:
    """How a service differs from a single run.

    Parameters
    ----------
    ends_when_empty : bool
        Return when nothing is pending; else only when stopped. Such a run writes every format before it
        returns, waits for no frame that is missing, and leaves what cannot be written to the next run.
    retry_after_s : tuple of float
        Seconds before the second, third ... attempt at a file; where it is empty, every failure is final.
    grace_s : float
        Time to finish what is in hand once stopped; what is left then goes back to the ledger.
    """

    ends_when_empty: bool
    retry_after_s: tuple[float, ...]
    grace_s: float

    @property
    def longest_wait(self) -> timedelta:
        """No file waits for longer before its next attempt."""
        return timedelta(seconds=max(self.retry_after_s, default=0.0))

    @classmethod
    def service(cls) -> RunMode:
        """Run until stopped; files, frames and disks get time."""
        return cls(ends_when_empty=False, retry_after_s=_RETRY_AFTER_S, grace_s=20.0)

    @classmethod
    def one_shot(cls) -> RunMode:
        """Analyse what is pending, then return; stop at once when interrupted."""
        return cls(ends_when_empty=True, retry_after_s=(), grace_s=0.0)
