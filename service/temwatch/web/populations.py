"""Keeps the numbers of the samples that pages look at, so that an update costs what is new and no more."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from temwatch.ledger import Reader
from temwatch.ledger.population import Fields, fields, versions

_MOST_PARTICLES = 3_000_000  # about 250 MB; further samples are read again when somebody looks
_MOST_ANSWERS = 128

Make = Callable[[Fields], Any]


class Populations:
    """Particle values by sample and answers made of them; both follow the ledger.

    One answer is made at a time: five open pages ask for the same one, and the engine needs the cores.
    """

    def __init__(self, reader: Callable[[], Reader]) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._fields: OrderedDict[str, tuple[tuple[int, int], Fields]] = OrderedDict()
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()

    def fields(self, sample: str) -> Fields:
        """What was analysed of a sample until now."""
        with self._lock:
            return self._current(sample)[1]

    def answer(self, sample: str, question: Hashable, make: Make) -> bytes:
        """JSON of what `make` says of the sample, made once for every state of the ledger."""
        with self._lock:
            version, known = self._current(sample)
            key = (sample, version, question)
            if key not in self._answers:
                self._answers[key] = json.dumps(make(known), allow_nan=False, separators=(",", ":")).encode()
            self._answers.move_to_end(key)
            while len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
            return self._answers[key]

    def _current(self, sample: str) -> tuple[tuple[int, int], Fields]:
        known = self._fields.get(sample)
        with self._reader() as ledger, ledger.snapshot():
            version = versions(ledger, sample)
            if known is None or known[0] != version:
                if known is not None and known[0][0] == version[0]:
                    latest = known[1].followed_by(fields(ledger, sample, after_id=known[0][1]))
                else:
                    latest = fields(ledger, sample)
                known = version, latest
        self._fields[sample] = known
        self._fields.move_to_end(sample)
        while (
            len(self._fields) > 1
            and sum(len(one.number) for _, one in self._fields.values()) > _MOST_PARTICLES
        ):
            self._fields.popitem(last=False)
        return known
