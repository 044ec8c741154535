"""Which samples have come to rest: by a clock that nobody sets, since the last change that the ledger has."""

from __future__ import annotations

from collections.abc import Mapping

from temwatch.ledger.rest import SampleProgress


class RestClock:
    """Remembers since when each sample is as it is."""

    def __init__(self, rest_seconds: float) -> None:
        self._rest_seconds = rest_seconds
        self._since: dict[str, tuple[SampleProgress, float]] = {}

    def at_rest(self, samples: Mapping[str, SampleProgress], now_s: float) -> list[str]:
        """Samples without pending files whose progress has been the same for long enough.

        `now_s` is of the monotonic clock. A restart of the service begins anew.
        """
        self._since = {
            sample: earlier
            if (earlier := self._since.get(sample)) and earlier[0] == progress
            else (progress, now_s)
            for sample, progress in samples.items()
        }
        return [
            sample
            for sample, (progress, since_s) in self._since.items()
            if not progress.pending and now_s - since_s >= self._rest_seconds
        ]
