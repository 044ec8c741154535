"""What people are told of: found by looking at the ledger and at the service's vitals now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from temwatch.config_messages import NotifySettings
from temwatch.daemon.outbox import Kind, News, Outbox
from temwatch.health import Vitals
from temwatch.ledger import Ledger, Publication, failures, publications, rest, sample_columns
from temwatch.ledger.rest import SampleProgress
from temwatch.names import as_text
from temwatch.outputs import population_summary
from temwatch.outputs.population_summary import View

_PUBLICATION = "enough"  # the name by which the ledger remembers that a sample was told of
_LOOK_SECONDS = 5.0
_SHARE = 0.02  # of the time goes into asking whether samples have enough
_MOST_FAILURES = 1000  # of one look


class NewsFinder:
    """Remembers what was told of; news from before the start are none."""

    def __init__(self, settings: NotifySettings, ledger: Ledger, vitals: Callable[[], Vitals]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._vitals = vitals
        with ledger.reader() as reader:
            self._row_id = failures.last_row(reader)
            self._asked = rest.progress(reader)
        self._ask_at_s: dict[str, float] = {}
        self._unsent: dict[str, Publication] = {}  # of samples with enough, until a target has taken it
        self._down_since_s: float | None = None
        self._is_down_told = False

    def look(self, now_s: float) -> list[News]:
        """What is new at this moment of the monotonic clock."""
        return [*self._folder(now_s), *self._failures(), *self._samples(now_s)]

    def note_sent(self, news: Sequence[News]) -> None:
        """Remember over restarts what a target has taken; what none has taken is found again after one."""
        for one in news:
            if one.kind is Kind.ENOUGH and one.sample in self._unsent:
                publications.record(self._ledger, one.sample, [self._unsent.pop(one.sample)])

    def _folder(self, now_s: float) -> list[News]:
        if self._vitals().watch_folder_up:
            was_told, self._is_down_told, self._down_since_s = self._is_down_told, False, None
            return [News(kind=Kind.OUTAGE, text="the watched folder is back")] if was_told else []
        if self._down_since_s is None:
            self._down_since_s = now_s
        away_s = now_s - self._down_since_s
        if self._is_down_told or away_s < self._settings.outage_minutes * 60:
            return []
        self._is_down_told = True
        text = f"the watched folder has been missing for {away_s / 60:.0f} min; nothing is analysed meanwhile"
        return [News(kind=Kind.OUTAGE, text=text)]

    def _failures(self) -> list[News]:
        with self._ledger.reader() as reader, reader.snapshot():
            last = failures.last_row(reader)
            found = failures.failures_after(reader, self._row_id, _MOST_FAILURES)
        self._row_id = found[-1].row_id if len(found) == _MOST_FAILURES else last
        return [News(kind=Kind.FAILED, text=f"{one.micrograph}: {one.reason}") for one in found]

    def _samples(self, now_s: float) -> list[News]:
        """Samples that have got enough micrographs; asked anew only where something has changed."""
        with self._ledger.reader() as reader:
            samples = rest.progress(reader)
        news: list[News] = []
        for sample, progress in samples.items():
            if _rows(self._asked.get(sample)) != _rows(progress) and now_s >= self._ask_at_s.get(sample, 0.0):
                self._asked[sample] = progress
                started_s = time.monotonic()
                news += self._enough(sample, progress)
                self._ask_at_s[sample] = now_s + (time.monotonic() - started_s) / _SHARE
        return news

    def _enough(self, sample: str, progress: SampleProgress) -> list[News]:
        with self._ledger.reader() as reader, reader.snapshot():
            if sample in self._unsent or _PUBLICATION in publications.published(reader, sample):
                return []
            fields = sample_columns.fields(reader, sample)
            names = [row.name for row in reader.samples(only=sample)]
        percent = self._settings.enough_percent
        answer = population_summary.convergence(fields, View(), percent, curve=False)
        if not names or not (answer["mean"]["enough"] and answer["d50"]["enough"]):
            return []
        self._unsent[sample] = Publication(
            file=_PUBLICATION, bytes=0, through_id=progress.last_id, generation=progress.generation
        )
        steps = answer["steps"]
        text = (
            f"{as_text(names[0])}: mean and D50 of the diameter within {percent:g} %, "
            f"{steps['particles'][-1]} particles in {steps['fields'][-1]} fields of view"
        )
        return [News(kind=Kind.ENOUGH, text=text, sample=sample)]


def _rows(progress: SampleProgress | None) -> tuple[int, int] | None:
    return None if progress is None else (progress.last_id, progress.generation)


def run(finder: NewsFinder, outbox: Outbox, stop: threading.Event) -> None:
    """Look and send until `stop` is set; what waits then is not sent."""
    while not stop.wait(_LOOK_SECONDS):
        outbox.add(finder.look(time.monotonic()), time.monotonic())
        finder.note_sent(outbox.turn(time.monotonic()))
