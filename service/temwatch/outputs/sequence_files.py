"""frames.csv, tracks.csv and events.csv, appended to as frames are linked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from temwatch.columns import Column
from temwatch.ledger import Publication, Reader, publications
from temwatch.ledger.sequences import results
from temwatch.ledger.sequences.progress import Progress
from temwatch.outputs import film as films
from temwatch.outputs import growth_curves, paths
from temwatch.outputs.appending import Content
from temwatch.outputs.tables import csv_lines, header

_FEWEST_FRAMES = 16  # of a sequence that grows, before it is drawn
_SEQUENCE = Column("sequence", "text", "name of the sequence within its sample")

TABLES: dict[str, tuple[Column, ...]] = {
    paths.FRAMES: (
        _SEQUENCE,
        Column("frame", "integer", "number of the frame, from 0 or as in the file's name; a gap has no row"),
        Column("elapsed_s", "real", "time since the first frame, empty where it is not known"),
        Column("particles", "integer", "number of particles measured, 0 included"),
        Column("mean_equivalent_diameter_nm", "real", "mean over the particles, empty without any"),
        Column("sd_equivalent_diameter_nm", "real", "standard deviation (n - 1), empty below two particles"),
        Column("mean_area_nm2", "real", "mean area of the particles"),
        Column("particle_fraction", "real", "share of the frame that particles cover"),
        Column("drift_x_nm", "real", "how far the field has moved to the right since the first frame"),
        Column("drift_y_nm", "real", "how far it has moved down"),
        Column("temperature_C", "real", "temperature in °C, of a holder's log; empty without one"),
        Column("pressure_Pa", "real", "pressure of the gas in Pa, of a holder's log"),
        Column("bias_V", "real", "voltage at the sample in V, of a holder's log"),
    ),
    paths.TRACKS: (
        _SEQUENCE,
        Column("track", "integer", "number of the particle through time, from 1 within the sequence"),
        Column("frame", "integer", "number of the frame"),
        Column("particle", "integer", "number of the particle in the frame, as in particles.csv"),
        Column("x_nm", "real", "centre of mass from the left edge, corrected for drift"),
        Column("y_nm", "real", "centre of mass from the top edge, corrected for drift"),
        Column("equivalent_diameter_nm", "real", "diameter of the disc of equal area"),
    ),
    paths.EVENTS: (
        _SEQUENCE,
        Column("frame", "integer", "first frame after the event"),
        Column("event", "text", "appear, vanish, merge or split"),
        Column("track", "integer", "the track that appears, vanishes, absorbs others or loses parts"),
        Column("others", "text", "tracks that were absorbed or split off, joined by ;"),
    ),
}
"""Columns of every table by its file."""


def contents(reader: Reader, sample: str, before: Collection[str]) -> dict[str, Content]:
    """What each table of a sample should hold now; none without sequences, now and `before`."""
    last_id = results.last_id(reader, sample)
    if last_id == 0 and not TABLES.keys() & set(before):
        return {}
    generation = results.generation(reader, sample)
    return {
        file: Content(
            last_id=last_id,
            generation=generation,
            whole=partial(csv_text, reader, file, sample),
            new=partial(_lines, reader, file, sample),
        )
        for file in TABLES
    }


def csv_text(reader: Reader, file: str, sample: str) -> Iterator[str]:
    """A whole table of a sample, line by line."""
    yield header(TABLES[file])
    yield from _lines(reader, file, sample, 0)


def exported(reader: Reader, sample: str) -> tuple[str, ...]:
    """The tables that an export of a sample has: none without sequences."""
    return () if results.last_id(reader, sample) == 0 else tuple(TABLES)


def _lines(reader: Reader, file: str, sample: str, after_id: int) -> Iterator[str]:
    return csv_lines(TABLES[file], rows(reader, file, sample, after_id))


def rows(reader: Reader, file: str, sample: str, after_id: int = 0) -> Iterator[tuple[object, ...]]:
    """Rows of one table, those after the row `after_id` of frames.csv."""
    return results.rows(reader, Path(file).stem, sample, after_id=after_id)


def draw(reader: Reader, output: Path, sequence: Progress, *, film: bool) -> Publication:
    """Write the files that are never appended to: the film, and the curves with their plots.

    Raises
    ------
    OSError
        A file cannot be written, or the encoder does not run.
    """
    size = 0
    growth_curves.write(reader, paths.sequence_folder(output, sequence.sample, sequence.name), sequence)
    if film and (path := films.write_film(reader, output, sequence)) is not None:
        size = path.stat().st_size
    return Publication(
        file=paths.sequence_publication(sequence.name),
        bytes=size,
        through_id=sequence.last_id,
        generation=sequence.generation,
    )


def is_outdated(reader: Reader, sequence: Progress) -> bool:
    """Whether what was drawn shows tracks that were replaced since."""
    drawn = publications.published(reader, sequence.sample).get(paths.sequence_publication(sequence.name))
    return drawn is not None and sequence.last_id > 0 and drawn.generation != sequence.generation


def is_due(reader: Reader, sequence: Progress) -> bool:
    """Whether a sequence is worth drawing now.

    A growing sequence is drawn each time its number of frames has grown by half.
    """
    before = publications.published(reader, sequence.sample).get(paths.sequence_publication(sequence.name))
    if before and (before.through_id, before.generation) == (sequence.last_id, sequence.generation):
        return False
    if sequence.ended:
        return True
    there = results.span(reader, sequence, sequence.last_id)
    drawn = results.span(reader, sequence, before.through_id) if before else 0
    return there >= max(_FEWEST_FRAMES, 1.5 * drawn)
