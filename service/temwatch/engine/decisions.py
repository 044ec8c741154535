"""Decisions of people, from the command line or the API, carried out in the ledger at once.

Each is one short transaction: it waits for no worker and for no other request. The views of the ledger
follow, see `Publisher.publish_soon`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temwatch import setting_keys
from temwatch.errors import UsageError
from temwatch.ledger import (
    File,
    Ledger,
    calibrations,
    dismissals,
    exclusions,
    sample_remarks,
    sample_settings,
    undoing,
)
from temwatch.ledger.changes import Author
from temwatch.ledger.selection import (
    Selection,
    are_newest,
    file_of,
    micrographs_of,
    numbers_within,
    particle_numbers,
    select,
)
from temwatch.names import as_text

KINDS = ("exclude", "include", "calibrate", "settings", "dismiss", "show", "undo")
"""What can be decided; the names of the requests and of the commands."""

_RETRY = "temwatch retry --pixel-size gives it one"

_OF_FILE = {"exclude": exclusions.exclude_file, "include": exclusions.include_file}
_OF_NOTES = {"dismiss": dismissals.dismiss, "show": dismissals.show_again}
_OF_SAMPLE = {"dismiss": sample_remarks.dismiss, "show": sample_remarks.show_again}
_OF_PARTICLES = {"exclude": exclusions.exclude_particles, "include": exclusions.include_particles}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a decision has changed, and the samples to publish again; where it was `refused`, nothing.

    `changes` are ids of the history, `micrographs` and `particles` how many changed, and `unknown` says in
    words what nothing was done about.
    """

    changes: tuple[int, ...] = ()
    micrographs: int = 0
    particles: int = 0
    unknown: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    refused: str | None = None

    @property
    def answer(self) -> dict[str, Any]:
        """The answer to whoever made it, as JSON has it."""
        if self.refused is not None:
            return {"refused": self.refused}
        return {
            "changes": list(self.changes),
            "micrographs": self.micrographs,
            "particles": self.particles,
            "unknown": list(self.unknown),
        }


class _NothingDone(Exception):
    """Nothing is to be changed; the text says why."""


Settle = Callable[[sqlite3.Connection, Decided], None]
"""Writes what follows from a decision, in the transaction of the decision itself."""


def _nothing(_: sqlite3.Connection, __: Decided) -> None:
    pass


def decide(ledger: Ledger, kind: str, arguments: Mapping[str, Any], settle: Settle = _nothing) -> Decided:
    """Carry out a decision, and `settle` it in the same transaction: a kill leaves both or neither.

    It names files by `paths` and perhaps one `frame` of a stack, or a row of micrographs.csv by its id
    `micrograph`; `particles` (numbers) or `polygon` (corners x, y in px) mean particles of that micrograph.
    `by`, `source` and `reason` go into the history. "calibrate" takes `paths` or a `sample`, and `factor`,
    `pixel_size_nm` or `undo`; the number of `micrographs` is then of those that are measured again. "undo"
    takes the ids of `changes`, and undoes all of them or none. "settings" takes a `sample` and `values` by
    key, None for what is unset; the number of `micrographs` is that of the rows that are measured again.
    "dismiss" and "show" are about remarks, on micrographs or on a `sample`: those in `notes`, or all of them.

    The answer holds the ids of the `changes`, the number of `micrographs` and `particles` that changed, and
    what is `unknown`; or why it was `refused`, and then nothing has changed.
    """
    author = Author(
        by=str(arguments["by"]),
        at=datetime.now(UTC),
        source=str(arguments["source"]),
        reason=str(arguments.get("reason") or ""),
    )
    chosen = None
    if arguments.get("paths") is not None:
        # many paths take long to find, and others may write meanwhile
        with ledger.reader() as reader, reader.snapshot():
            chosen = select(reader.connection, arguments["paths"])
    try:
        with ledger.transaction() as connection:
            if chosen is not None and not are_newest(connection, chosen.files):
                chosen = select(connection, arguments["paths"])
            decision = _Decision(connection, kind, author, chosen)
            if kind == "undo":
                decision.undo(arguments["changes"])
            elif kind == "calibrate":
                decision.calibrate(arguments)
            elif kind == "settings":
                decision.set_values(arguments["sample"], arguments["values"])
            elif kind in _OF_NOTES:
                decision.about_notes(arguments)
            elif (micrograph_id := arguments.get("micrograph")) is not None:
                decision.about_micrograph(micrograph_id, arguments)
            else:
                decision.about_paths(arguments)
            decided = decision.decided()
            settle(connection, decided)
    except (_NothingDone, calibrations.CannotCalibrate, undoing.CannotUndo) as refused:
        decided = Decided(refused=str(refused))
        with ledger.transaction() as connection:
            settle(connection, decided)
    return decided


class _Decision:
    """One decision in its transaction, and what it has changed so far."""

    def __init__(
        self, connection: sqlite3.Connection, kind: str, author: Author, chosen: Selection | None
    ) -> None:
        self._connection = connection
        self._kind = kind
        self._author = author
        self._chosen = chosen
        self.changes: list[int] = []
        self.micrographs = 0
        self.particles = 0
        self.unknown: list[str] = []
        self.samples: dict[str, None] = {}

    def decided(self) -> Decided:
        """What was changed."""
        return Decided(
            changes=tuple(self.changes),
            micrographs=self.micrographs,
            particles=self.particles,
            unknown=tuple(self.unknown),
            samples=tuple(self.samples),
        )

    def about_paths(self, arguments: Mapping[str, Any]) -> None:
        """Files, or particles of one of them."""
        found = self._named()
        if arguments.get("particles") and len(found.files) > 1:
            raise _NothingDone(f"--particle needs one micrograph, but {len(found.files)} are named")
        for file in found.files:
            self._about_file(file, arguments.get("frame"), arguments.get("particles"))

    def about_micrograph(self, micrograph_id: int, arguments: Mapping[str, Any]) -> None:
        """A micrograph or frame, or particles of it."""
        file_id, frame, sample = self._known(micrograph_id)
        numbers: list[int] | set[int] | None = arguments.get("particles")
        if (polygon := arguments.get("polygon")) is not None:
            numbers = numbers_within(self._connection, micrograph_id, polygon)
        if numbers is None:
            self._change_file(file_id, frame, sample)
        else:
            self._change_particles(micrograph_id, numbers, sample, "")

    def about_notes(self, arguments: Mapping[str, Any]) -> None:
        """Remarks on a sample, on a micrograph, or on all that are named; no table changes."""
        if (sample := arguments.get("sample")) is not None:
            self._add(
                _OF_SAMPLE[self._kind](self._connection, sample, arguments.get("notes"), self._author), sample
            )
            return
        if (micrograph_id := arguments.get("micrograph")) is not None:
            rows = {micrograph_id: self._known(micrograph_id)[2]}
        else:
            frame = arguments.get("frame")
            rows = {}
            for file in self._named().files:
                of_file = micrographs_of(self._connection, file.id)
                mine = [number for number, own in of_file.items() if frame is None or own == frame]
                if not mine:
                    self.unknown.append(f"{as_text(file.path)}: no result yet")
                rows |= dict.fromkeys(mine, file.sample)
        for row, sample in rows.items():
            change = _OF_NOTES[self._kind](self._connection, row, arguments.get("notes"), self._author)
            self.micrographs += change is not None
            self._add(change, sample)

    def _known(self, micrograph_id: int) -> tuple[int, int | None, str]:
        """File, frame in a stack, and sample of a row; its id may be gone by now."""
        found = file_of(self._connection, micrograph_id)
        if found is None:
            raise _NothingDone(f"no micrograph {micrograph_id}")
        return found

    def undo(self, changes: Sequence[int]) -> None:
        """Take changes back, the last one first."""
        for change in sorted(set(changes), reverse=True):
            undone = undoing.undo(self._connection, change, self._author)
            self.micrographs += undone.micrographs
            self.particles += undone.particles
            self._add(undone.change, undone.sample)

    def set_values(self, sample: str, values: Mapping[str, Any]) -> None:
        """Settings of a sample."""
        try:
            checked = setting_keys.check(values)
        except UsageError as error:
            raise _NothingDone(str(error)) from None
        if (reason := sample_settings.why_not(self._connection, sample, checked)) is not None:
            raise _NothingDone(reason)
        change, outdated = sample_settings.change(self._connection, self._author, sample, checked)
        self.micrographs += outdated
        self._add(change, sample)

    def calibrate(self, arguments: Mapping[str, Any]) -> None:
        """Correct stated pixel sizes, or undo that: of a sample, or of files."""
        if (sample := arguments.get("sample")) is not None:
            self._calibrate(sample, None, arguments)
            return
        if (micrograph_id := arguments.get("micrograph")) is not None:
            file_id, _, sample = self._known(micrograph_id)
            self._calibrate(sample, [file_id], arguments)
            return
        by_sample: dict[str, list[int]] = {}
        for file in self._named().files:
            by_sample.setdefault(file.sample, []).append(file.id)
        for sample, ids in by_sample.items():
            self._calibrate(sample, ids, arguments)

    def _named(self) -> Selection:
        """The files that the paths name."""
        assert self._chosen is not None
        if self._chosen.ambiguous:
            raise _NothingDone("; ".join(self._chosen.ambiguous))
        self.unknown += [f"{word}: no such micrograph" for word in self._chosen.unknown]
        return self._chosen

    def _calibrate(self, sample: str, file_ids: list[int] | None, arguments: Mapping[str, Any]) -> None:
        if arguments.get("undo"):
            made, waiting = calibrations.undo(
                self._connection, self._author, sample=sample, file_ids=file_ids
            )
        else:
            made, waiting, without = calibrations.calibrate(
                self._connection,
                self._author,
                sample=sample,
                file_ids=file_ids,
                factor=arguments.get("factor"),
                pixel_size_nm=arguments.get("pixel_size_nm"),
            )
            self.unknown += [f"{path}: states no pixel size, nothing changed; {_RETRY}" for path in without]
        self.changes += made
        self.micrographs += waiting
        self.samples[sample] = None

    def _about_file(self, file: File, frame: int | None, particles: list[int] | None) -> None:
        path = as_text(file.path)
        rows = micrographs_of(self._connection, file.id)
        if frame is not None:
            rows = {number: own for number, own in rows.items() if own == frame}
            if not rows:
                self.unknown.append(f"{path}: no frame {frame}")
                return
        if not particles:
            # a frame that is a file of its own is excluded with its file
            self._change_file(file.id, frame if file.frame is None else None, file.sample)
        elif len(rows) > 1:
            raise _NothingDone(f"{path} has many frames; give --frame")
        elif not rows:
            self.unknown.append(f"{path}: no result yet")
        else:
            self._change_particles(next(iter(rows)), particles, file.sample, f"{path}: ")

    def _change_file(self, file_id: int, frame: int | None, sample: str) -> None:
        change = _OF_FILE[self._kind](self._connection, file_id, frame, self._author)
        self.micrographs += change is not None
        self._add(change, sample)

    def _change_particles(
        self, micrograph_id: int, numbers: list[int] | set[int], sample: str, where: str
    ) -> None:
        there = particle_numbers(self._connection, micrograph_id)
        if self._kind == "include":  # what was excluded may be lost, and its exclusion is ended all the same
            there |= exclusions.excluded_by_number(self._connection, micrograph_id)
        self.unknown += [f"{where}no particle {number}" for number in numbers if number not in there]
        change = _OF_PARTICLES[self._kind](self._connection, micrograph_id, numbers, self._author)
        self.particles += 0 if change is None else exclusions.particles_of(self._connection, change)
        self._add(change, sample)

    def _add(self, change: int | None, sample: str) -> None:
        if change is not None:
            self.changes.append(change)
            self.samples[sample] = None
