"""Particle values of the samples that pages look at, and the answers computed from them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from temwatch.analysis.statistics.convergence import Earlier
from temwatch.ledger import Reader
from temwatch.ledger.sample_columns import Fields, choose, fields, renewed, versions
from temwatch.outputs.population_summary import View
from temwatch.particle_filter import NO_FILTER, ParticleFilter
from temwatch.web.cache import SingleFlightCache

_MAX_PARTICLES = 3_000_000  # about 250 MB; samples beyond that are read again when a page asks for them
_MAX_FILTERED = 1_000_000
_MAX_ANSWERS = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedSample:
    """A sample at one state of the ledger.

    `version` holds its generation and its last row; `earlier_steps` the points of convergence curves that
    no further micrograph changes.
    """

    version: tuple[int, int]
    fields: Fields
    earlier_steps: defaultdict[View, Earlier]


Compute = Callable[[LoadedSample], Any]


class PopulationCache:
    """Keeps up with the ledger: an update reads only new micrographs, and each answer is computed once.

    Threads that ask for the same sample or the same answer wait for each other; all others go on.
    """

    def __init__(self, reader: Callable[[], Reader]) -> None:
        self._reader = reader
        self._samples = SingleFlightCache[LoadedSample](_MAX_PARTICLES, lambda one: len(one.fields.number))
        self._filtered = SingleFlightCache[LoadedSample](_MAX_FILTERED, lambda one: len(one.fields.number))
        self._computed = SingleFlightCache[bytes](_MAX_ANSWERS, lambda _: 1)

    def fields(self, sample: str, chosen: ParticleFilter = NO_FILTER) -> Fields:
        """Everything analysed of a sample until now, with those of its particles that fulfil a filter."""
        return self._chosen(sample, chosen).fields

    def answer(
        self, sample: str, question: Hashable, compute: Compute, chosen: ParticleFilter = NO_FILTER
    ) -> bytes:
        """JSON of what `compute` returns for the sample, computed once for each state of the ledger."""
        loaded = self._chosen(sample, chosen)

        def encode() -> bytes:
            return json.dumps(compute(loaded), allow_nan=False, separators=(",", ":")).encode()

        return self._computed.get((sample, loaded.version, chosen, question), encode)

    def _chosen(self, sample: str, chosen: ParticleFilter) -> LoadedSample:
        loaded = self._current(sample)
        if not chosen.limits:
            return loaded

        def choose_again(_: LoadedSample | None) -> LoadedSample:
            return LoadedSample(
                version=loaded.version,
                fields=choose(loaded.fields, chosen),
                earlier_steps=defaultdict(dict),
            )

        return self._filtered.get_current(
            (sample, chosen), lambda one: one.version == loaded.version, choose_again
        )

    def _current(self, sample: str) -> LoadedSample:
        with self._reader() as ledger, ledger.snapshot():
            version = versions(ledger, sample)

        def load(before: LoadedSample | None) -> LoadedSample:
            with self._reader() as ledger, ledger.snapshot():
                return _load(ledger, sample, before)

        return self._samples.get_current(sample, lambda loaded: loaded.version == version, load)


def _load(ledger: Reader, sample: str, before: LoadedSample | None) -> LoadedSample:
    version = versions(ledger, sample)
    if before is not None and before.version == version:  # another thread loaded it meanwhile
        return before
    if before is None:
        return LoadedSample(version=version, fields=fields(ledger, sample), earlier_steps=defaultdict(dict))
    if before.version[0] != version[0]:  # somebody has decided something, or rows were measured again
        now = renewed(ledger, sample, before.fields)
        return LoadedSample(version=version, fields=now, earlier_steps=defaultdict(dict))
    later = fields(ledger, sample, after_id=before.version[1])
    return LoadedSample(
        version=version, fields=before.fields.extended_by(later), earlier_steps=before.earlier_steps
    )
