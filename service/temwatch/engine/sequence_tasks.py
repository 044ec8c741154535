"""What the worker processes of sequences do: link the particles of a batch of frames, and draw."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from temwatch import operating_system
from temwatch.analysis.tracking import tracker
from temwatch.config import TrackingSettings
from temwatch.domain import Analysis
from temwatch.ledger import MicrographRow, Publication, Reader, analyses, exclusions
from temwatch.ledger.sequences import progress
from temwatch.ledger.sequences.progress import LinkedFrame, PendingFrame, Progress, SequenceEvent
from temwatch.outputs import sequence_files

_DRAWING_NICENESS = 10  # frames come first


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOrder:
    """Link these frames to what was tracked of their sequence, see `progress`."""

    ledger: Path
    progress: Progress
    waiting: tuple[PendingFrame, ...]
    settings: TrackingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawOrder:
    """Draw film, curves and plots of a sequence as far as it has got."""

    ledger: Path
    progress: Progress
    output: Path
    film: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinkResult:
    """What the frames have, and the state of the tracker after them."""

    frames: tuple[LinkedFrame, ...]
    state: bytes


class StaleState(Exception):
    """The tracker's state in the ledger is of another version of temwatch."""


def link(order: LinkOrder) -> LinkResult:
    """Link a batch; frames that are gone by now are left out: they come again, or are gaps."""
    found = []
    with Reader(order.ledger) as reader:
        state = _state(reader, order)
        for waiting in order.waiting:
            if waiting.micrograph_id is None:
                continue
            try:
                with reader.snapshot():
                    analysis, numbers = _included(reader, waiting.micrograph_id)
                    row = reader.micrograph(waiting.micrograph_id)
            except KeyError:
                continue
            assert row is not None
            state, tracked = tracker.add_frame(state, tracker.observe(analysis, waiting.frame))
            found.append(_row(row, analysis, numbers, tracked, state.next_track - 1))
    return LinkResult(frames=tuple(found), state=tracker.dump(state))


def close(order: LinkOrder) -> tuple[SequenceEvent, ...]:
    """What only the end of a sequence shows."""
    with Reader(order.ledger) as reader:
        return tuple(_event(event) for event in tracker.finish(_state(reader, order)))


def draw(order: DrawOrder) -> Publication:
    """Film, curves and plots; OSError where one cannot be written."""
    operating_system.lower_priority(_DRAWING_NICENESS)
    with Reader(order.ledger) as reader, reader.snapshot():
        return sequence_files.draw(reader, order.output, order.progress, film=order.film)


def _state(reader: Reader, order: LinkOrder) -> tracker.TrackerState:
    dumped = progress.tracker_state(reader, order.progress)
    if dumped is None:
        return tracker.begin(order.settings)
    try:
        return tracker.load(dumped)
    except ValueError as error:
        raise StaleState(str(error)) from None


def _included(reader: Reader, micrograph_id: int) -> tuple[Analysis, list[int]]:
    """The analysis of a frame without excluded particles, and the numbers of the others."""
    analysis = analyses.load(reader, micrograph_id)
    excluded = exclusions.excluded_numbers(reader, micrograph_id)
    kept = {
        number: particle for number, particle in enumerate(analysis.particles, 1) if number not in excluded
    }
    return dataclasses.replace(analysis, particles=tuple(kept.values())), [*kept]


def _row(
    row: MicrographRow, analysis: Analysis, numbers: list[int], tracked: tracker.TrackedFrame, tracks: int
) -> LinkedFrame:
    diameters_nm = np.array([particle.equivalent_diameter_nm for particle in analysis.particles])
    areas_nm2 = [particle.area_nm2 for particle in analysis.particles]
    y_nm, x_nm = tracked.positions_nm.T.tolist() if len(diameters_nm) else ([], [])
    drift_y_nm, drift_x_nm = tracked.drift_nm.tolist()
    return LinkedFrame(
        frame=tracked.index,
        micrograph_id=row.id,
        elapsed_s=row.elapsed_s,
        particles=len(diameters_nm),
        mean_equivalent_diameter_nm=float(diameters_nm.mean()) if len(diameters_nm) else None,
        sd_equivalent_diameter_nm=float(diameters_nm.std(ddof=1)) if len(diameters_nm) > 1 else None,
        mean_area_nm2=math.fsum(areas_nm2) / len(areas_nm2) if areas_nm2 else None,
        particle_fraction=analysis.particle_fraction,
        drift_x_nm=drift_x_nm,
        drift_y_nm=drift_y_nm,
        tracks=tracks,
        points=tuple(zip(numbers, tracked.tracks.tolist(), x_nm, y_nm, diameters_nm.tolist(), strict=True)),
        events=tuple(_event(event) for event in tracked.events),
    )


def _event(event: tracker.TrackEvent) -> SequenceEvent:
    return SequenceEvent(
        frame=event.frame, event=event.event, track=event.track, others=tuple(map(int, event.others))
    )
