"""Sequences as the page shows them: curves with a limited number of points, however many frames there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import accumulate
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

from temwatch.ledger import Reader
from temwatch.ledger.sequences import progress, results
from temwatch.ledger.sequences.progress import Progress
from temwatch.outputs import paths
from temwatch.outputs.population_summary import json_numbers
from temwatch.web.context import Context, known_sample

_MAX_POINTS = 1500
_MAX_TRACKS = 60
_TRACK_POINTS = 150
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "no such sample or sequence"}}
_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".csv": "text/csv; charset=utf-8"}
_COLUMNS = (
    "micrograph_id",
    "frame",
    "elapsed_s",
    "particles",
    "mean_equivalent_diameter_nm",
    "sd_equivalent_diameter_nm",
    "particle_fraction",
    "drift_x_nm",
    "drift_y_nm",
)
EVENTS = ("appear", "vanish", "merge", "split")


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""

    @app.get(
        "/api/samples/{sample}/sequences",
        responses=_UNKNOWN,
        summary="Sequences of the sample: counts, sizes, drift and events by frame",
    )
    def sequences(sample: str) -> list[dict[str, Any]]:
        with service.reader() as ledger, ledger.snapshot():
            known_sample(ledger, sample)
            return [_overview(ledger, one, service) for one in progress.sequences(ledger, sample=sample)]

    @app.get(
        "/api/samples/{sample}/sequences/{sequence}/tracks",
        responses=_UNKNOWN,
        summary="Equivalent diameters of the longest tracks",
    )
    def tracks(sample: str, sequence: str) -> dict[str, Any]:
        with service.reader() as ledger, ledger.snapshot():
            return _tracks(ledger, _find(ledger, sample, sequence))

    @app.get(
        "/api/samples/{sample}/sequences/{sequence}/{file}",
        responses=_UNKNOWN,
        response_class=FileResponse,
        summary="The latest film, plot or growth table",
    )
    def sequence_file(sample: str, sequence: str, file: paths.SequenceFile) -> FileResponse:
        with service.reader() as ledger:
            found = _find(ledger, sample, sequence)
        path = paths.sequence_folder(service.config.output.folder, found.sample, found.name) / file
        if not path.is_file():
            raise HTTPException(404, f"no {file} yet")
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})


def _find(ledger: Reader, sample: str, sequence: str) -> Progress:
    for one in progress.sequences(ledger, sample=sample):
        if one.name == sequence:
            return one
    raise HTTPException(404, f"no sequence {sequence!r} in {sample!r}")


def _overview(ledger: Reader, sequence: Progress, service: Context) -> dict[str, Any]:
    rows = results.curves(ledger, sequence, _COLUMNS, _MAX_POINTS)
    found = results.overview(ledger, sequence)
    folder = paths.sequence_folder(service.config.output.folder, sequence.sample, sequence.name)
    return {
        "sequence": sequence.name,
        "frames": found.frames,
        "waiting": found.pending,
        "gaps": found.gaps,
        "ended": sequence.ended,
        "tracks": found.tracks,
        "counts": {event: found.events.get(event, 0) for event in EVENTS},
        "film": _modified_at(folder / paths.FILM),
        "plots": _modified_at(folder / paths.GROWTH_PLOT),
        **{name: [json_numbers(row[index]) for row in rows] for index, name in enumerate(_COLUMNS)},
        "events": _cumulative_events(results.events_by_frame(ledger, sequence), [row[1] for row in rows]),
    }


def _modified_at(path: Path) -> int | None:
    """Time of the last change of a file, s since 1970; None where it does not exist."""
    return round(path.stat().st_mtime) if path.is_file() else None


def _cumulative_events(rows: list[tuple[int, str, int]], frames: list[int]) -> dict[str, list[int]]:
    """Number of events of each kind up to each of these frames."""
    by_kind: dict[str, dict[int, int]] = defaultdict(dict)
    for frame, event, count in rows:
        by_kind[event][frame] = count
    found = {}
    for event in EVENTS:
        at = sorted(by_kind[event])
        sums, index, line = [0, *accumulate(by_kind[event][frame] for frame in at)], 0, []
        for frame in frames:
            while index < len(at) and at[index] <= frame:
                index += 1
            line.append(sums[index])
        found[event] = line
    return found


def _tracks(ledger: Reader, sequence: Progress) -> dict[str, Any]:
    """The tracks present in most of a selection of frames, evenly spread over the sequence."""
    frames = results.curves(ledger, sequence, ("id", "frame", "elapsed_s"), _TRACK_POINTS)
    position = {row[0]: index for index, row in enumerate(frames)}
    appearances: Counter[int] = Counter()
    curves: dict[int, dict[int, float]] = defaultdict(dict)
    for followed_id, track, diameter_nm in results.points(ledger, list(position)):
        appearances[track] += 1
        curves[track][position[followed_id]] = diameter_nm
    longest = sorted(track for track, _ in appearances.most_common(_MAX_TRACKS))
    return {
        "frame": [row[1] for row in frames],
        "elapsed_s": [row[2] for row in frames],
        "tracks": [
            {
                "track": track,
                "equivalent_diameter_nm": [
                    json_numbers(curves[track][index]) if index in curves[track] else None
                    for index in range(len(frames))
                ],
            }
            for track in longest
        ],
    }
