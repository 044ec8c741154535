"""Keeps the numbers of the samples that pages look at, so that an update costs what is new and no more."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from temwatch.analysis.statistics.convergence import Earlier
from temwatch.ledger import Reader
from temwatch.ledger.sample_columns import Fields, fields, versions
from temwatch.outputs.population_summary import View

_MOST_PARTICLES = 3_000_000  # about 250 MB; further samples are read again when somebody looks
_MOST_ANSWERS = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """A sample as the ledger had it: generation and last row, particles, and steps that will not change."""

    version: tuple[int, int]
    fields: Fields
    earlier: defaultdict[View, Earlier]


Make = Callable[[Known], Any]


class Populations:
    """Particle values by sample and answers made of them; both follow the ledger.

    One answer is made at a time: five open pages ask for the same one, and the engine needs the cores.
    """

    def __init__(self, reader: Callable[[], Reader]) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()

    def fields(self, sample: str) -> Fields:
        """What was analysed of a sample until now."""
        with self._lock:
            return self._current(sample).fields

    def answer(self, sample: str, question: Hashable, make: Make) -> bytes:
        """JSON of what `make` says of the sample, made once for every state of the ledger."""
        with self._lock:
            known = self._current(sample)
            key = (sample, known.version, question)
            if key not in self._answers:
                self._answers[key] = json.dumps(make(known), allow_nan=False, separators=(",", ":")).encode()
            self._answers.move_to_end(key)
            while len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            return self._answers[key]

    def _current(self, sample: str) -> Known:
        known = self._known.get(sample)
        with self._reader() as ledger, ledger.snapshot():
            version = versions(ledger, sample)
            if known is None or known.version[0] != version[0]:
                known = Known(version=version, fields=fields(ledger, sample), earlier=defaultdict(dict))
            elif known.version != version:
                later = fields(ledger, sample, after_id=known.version[1])
                known = Known(version=version, fields=known.fields.followed_by(later), earlier=known.earlier)
        self._known[sample] = known
        self._known.move_to_end(sample)
        while (
            len(self._known) > 1
            and sum(len(one.fields.number) for one in self._known.values()) > _MOST_PARTICLES
        ):
            self._known.popitem(last=False)
        return known
