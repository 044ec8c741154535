"""Sequences as the page shows them: curves of at most so many points, whatever the number of frames."""

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
from temwatch.outputs.population_summary import short
from temwatch.web.context import Context, known_sample

_MOST_POINTS = 1500
_MOST_TRACKS = 60
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
    """Put the routes into the application."""

    @app.get(
        "/api/samples/{sample}/sequences",
        responses=_UNKNOWN,
        summary="The sample's sequences: counts, sizes, drift and events over their frames",
    )
    def all_of(sample: str) -> list[dict[str, Any]]:
        with service.reader() as ledger, ledger.snapshot():
            known_sample(ledger, sample)
            known = progress.sequences(ledger, sample=sample)
            return [_sequence(ledger, sequence, service) for sequence in known]

    @app.get(
        "/api/samples/{sample}/sequences/{sequence}/tracks",
        responses=_UNKNOWN,
        summary="Equivalent diameters of the tracks that were seen longest",
    )
    def tracks(sample: str, sequence: str) -> dict[str, Any]:
        with service.reader() as ledger, ledger.snapshot():
            return _tracks(ledger, _known(ledger, sample, sequence))

    @app.get(
        "/api/samples/{sample}/sequences/{sequence}/{file}",
        responses=_UNKNOWN,
        response_class=FileResponse,
        summary="The film, a plot, or a table of the growth, as drawn last",
    )
    def drawn(sample: str, sequence: str, file: paths.SequenceFile) -> FileResponse:
        with service.reader() as ledger:
            known = _known(ledger, sample, sequence)
        path = paths.sequence_folder(service.config.output.folder, known.sample, known.name) / file
        if not path.is_file():
            raise HTTPException(404, f"there is no {file} yet")
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})


def _known(ledger: Reader, sample: str, name: str) -> Progress:
    for sequence in progress.sequences(ledger, sample=sample):
        if sequence.name == name:
            return sequence
    raise HTTPException(404, f"no sequence {name!r} in {sample!r}")


def _sequence(ledger: Reader, sequence: Progress, service: Context) -> dict[str, Any]:
    rows = results.curves(ledger, sequence, _COLUMNS, _MOST_POINTS)
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
        "film": _made(folder / paths.FILM),
        "plots": _made(folder / paths.GROWTH_PLOT),
        **{name: [short(row[index]) for row in rows] for index, name in enumerate(_COLUMNS)},
        "events": _events(results.events_by_frame(ledger, sequence), [row[1] for row in rows]),
    }


def _made(path: Path) -> int | None:
    """When a file was written, s since 1970, None where it is not there."""
    return round(path.stat().st_mtime) if path.is_file() else None


def _events(rows: list[tuple[int, str, int]], frames: list[int]) -> dict[str, list[int]]:
    """How many events of each kind there were up to each of these frames."""
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
    """The tracks seen in most of some frames, spread evenly over the sequence."""
    frames = results.curves(ledger, sequence, ("id", "frame", "elapsed_s"), _TRACK_POINTS)
    place = {row[0]: index for index, row in enumerate(frames)}
    seen: Counter[int] = Counter()
    curves: dict[int, dict[int, float]] = defaultdict(dict)
    for followed_id, track, diameter_nm in results.points(ledger, list(place)):
        seen[track] += 1
        curves[track][place[followed_id]] = diameter_nm
    longest = sorted(track for track, _ in seen.most_common(_MOST_TRACKS))
    return {
        "frame": [row[1] for row in frames],
        "elapsed_s": [row[2] for row in frames],
        "tracks": [
            {
                "track": track,
                "equivalent_diameter_nm": [
                    short(curves[track][index]) if index in curves[track] else None
                    for index in range(len(frames))
                ],
            }
            for track in longest
        ],
    }
