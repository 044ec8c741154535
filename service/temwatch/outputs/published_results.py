"""Results in a folder, for Python: tables as DataFrames, outlines as polygons, each read when asked for."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from temwatch import descriptors, figures
from temwatch.columns import Column
from temwatch.config import STATE_FOLDER
from temwatch.domain import Analysis
from temwatch.errors import UsageError
from temwatch.ledger import MicrographRow, Reader, analyses
from temwatch.names import from_cell
from temwatch.outputs import paths, sequence_files
from temwatch.outputs.tables import TABLES

if TYPE_CHECKING:
    import pandas

_COLUMNS: dict[str, tuple[Column, ...]] = {table.file: table.columns for table in TABLES}
_COLUMNS |= sequence_files.TABLES
_EDGE_PX = 480  # of a picture in a notebook


def read_results(
    folder: str | Path, *, state_folder: str | Path | None = None
) -> SampleResults | OutputResults:
    """Open the results of a sample, or of all samples of an output folder.

    Parameters
    ----------
    folder : path
        `<output>/<sample>`, or the output folder.
    state_folder : path, optional
        Where the ledger lies, if the configuration says so; by default `.temwatch` in the output folder.
        It is only needed for outlines and analyses: tables are read from the csv files.

    Returns
    -------
    SampleResults or OutputResults
        Nothing is read before it is asked for.

    Raises
    ------
    UsageError
        There are no results in the folder.

    Examples
    --------
    >>> results = temwatch.read_results("results")  # doctest: +SKIP
    >>> results["Au"].particles["equivalent_diameter_nm"].mean()  # doctest: +SKIP
    """
    folder = Path(folder).absolute()
    if (folder / paths.MICROGRAPHS).is_file():
        return SampleResults(folder, Path(state_folder or folder.parent / STATE_FOLDER))
    results = OutputResults(folder, Path(state_folder or folder / STATE_FOLDER))
    if not len(results):
        raise UsageError(f"{folder}: no results of temwatch in it")
    return results


class SampleResults:
    """Results of one sample. Every table is a DataFrame with the columns of its csv file."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self._state = state

    @property
    def sample(self) -> str:
        """The sample's true name."""
        return str(self.summary["sample"])

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What summary.json holds: counts, and statistics of every descriptor."""
        found: dict[str, Any] = json.loads((self.folder / paths.SUMMARY).read_text(encoding="utf-8"))
        return found

    @cached_property
    def particles(self) -> pandas.DataFrame:
        """One row a particle."""
        return self._table(paths.PARTICLES)

    @cached_property
    def micrographs(self) -> pandas.DataFrame:
        """One row a file, or a frame."""
        return self._table(paths.MICROGRAPHS)

    @cached_property
    def rejections(self) -> pandas.DataFrame:
        """One row a region that was rejected."""
        return self._table(paths.REJECTIONS)

    @cached_property
    def frames(self) -> pandas.DataFrame:
        """One row a frame of a sequence; empty without sequences, as are tracks and events."""
        return self._table(paths.FRAMES)

    @cached_property
    def tracks(self) -> pandas.DataFrame:
        """One row for each particle of each frame."""
        return self._table(paths.TRACKS)

    @cached_property
    def events(self) -> pandas.DataFrame:
        """One row for each appearance, disappearance, merging and splitting."""
        return self._table(paths.EVENTS)

    def _table(self, file: str) -> pandas.DataFrame:
        return read_table(self.folder / file, _COLUMNS[file])

    def outlines(self, micrograph: str, frame: int | None = None) -> dict[int, NDArray[np.float64]]:
        """Outlines of the particles of a micrograph.

        Parameters
        ----------
        micrograph : str
            As in the column `micrograph`, or the name of its folder.
        frame : int, optional
            Number of the frame, of a stack.

        Returns
        -------
        dict
            By the particle's number: x and y of each corner in px from the micrograph's corner, (corners, 2).

        Raises
        ------
        UsageError
            There is no such micrograph with a result.
        LedgerMissing
            The ledger does not lie beside the results.
        """
        from temwatch.outputs.exports.detections import detections  # loads numba

        with Reader(self._state) as reader, reader.snapshot():
            return {
                one.number: one.polygon for one in detections(reader, self._row(reader, micrograph, frame))
            }

    def analysis(self, micrograph: str, frame: int | None = None) -> Analysis:
        """The analysis of a micrograph as it was recorded, with its published picture; see `outlines`.

        Excluded particles are left out, and the others count from 1 without a gap, as in `Analysis.labels`.
        particles.csv keeps the gap: behind an excluded particle its numbers are higher than those of the
        analysis. The keys of `outlines` are the numbers of particles.csv, in the order of the particles.
        """
        from temwatch.outputs.exports.detections import detections

        with Reader(self._state) as reader, reader.snapshot():
            row = self._row(reader, micrograph, frame)
            particles = tuple(one.particle for one in detections(reader, row))
            picture = self._picture(row, "micrograph")
            return replace(analyses.load(reader, row.id), particles=particles, image=picture)

    def file_name(self, micrograph: str, frame: int | None = None) -> str:
        """How the names of a micrograph's own files begin; see `outlines`."""
        with Reader(self._state) as reader:
            return paths.row_picture_name(self._row(reader, micrograph, frame))

    def _row(self, reader: Reader, micrograph: str, frame: int | None) -> MicrographRow:
        for row in reader.micrographs(self.folder.name):
            if row.has_result and micrograph in (row.micrograph, row.name) and frame in (None, row.frame):
                return row
        place = "" if frame is None else f", frame {frame}"
        raise UsageError(f"no result of {micrograph}{place} in {self.folder}")

    def _picture(self, row: MicrographRow, kind: paths.Picture) -> NDArray[np.float32] | None:
        from PIL import Image

        folder = paths.micrograph_folder(self.folder.parent, self.folder.name, row.name)
        path = paths.picture(folder, paths.row_picture_name(row), kind)
        if not path.is_file():
            return None
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"), np.float32)

    def __repr__(self) -> str:
        return f"<results of {self.sample}: {_counted(self.summary, 'particle')} in {self.folder}>"

    def _repr_html_(self) -> str:
        """The last overlay, and a table of the statistics."""
        overlays = paths.pictures_of(self.folder, "overlay")
        picture = figures.embedded(_reduced(overlays[-1])) if overlays else ""
        rows = [
            (
                one.label,
                one.unit,
                *(_figure(self.summary["statistics"].get(one.name, {}), name) for name in _SHOWN),
            )
            for one in descriptors.shown(descriptors.Shown.TERMINAL)
        ]
        count = f"{_counted(self.summary, 'particle')}, {_counted(self.summary, 'micrograph')}"
        table = _html_table(("", "unit", "mean", "SD", "median"), rows)
        return f"<h4>{html.escape(self.sample)}</h4>{picture}<p>{count}</p>{table}"


_SHOWN = ("mean", "sd", "median")


class OutputResults(Mapping[str, SampleResults]):
    """Results of all samples of an output folder, by the names of their folders."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self._state = state

    @cached_property
    def _samples(self) -> dict[str, SampleResults]:
        found = sorted(path.parent for path in self.folder.glob(f"*/{paths.MICROGRAPHS}"))
        return {folder.name: SampleResults(folder, self._state) for folder in found}

    def __getitem__(self, sample: str) -> SampleResults:
        return self._samples[sample]

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    @cached_property
    def particles(self) -> pandas.DataFrame:
        """Particles of all samples; the column `sample` tells them apart."""
        import pandas

        return pandas.concat([one.particles for one in self.values()], ignore_index=True)

    @cached_property
    def micrographs(self) -> pandas.DataFrame:
        """Micrographs of all samples."""
        import pandas

        return pandas.concat([one.micrographs for one in self.values()], ignore_index=True)

    def __repr__(self) -> str:
        return f"<results of {', '.join(self)} in {self.folder}>"

    def _repr_html_(self) -> str:
        """One line a sample."""
        rows = []
        for one in self.values():
            size = one.summary["statistics"].get(descriptors.SIZE, {})
            counts = (str(one.summary["micrographs"]), str(one.summary["particles"]))
            rows.append((one.sample, *counts, *(_figure(size, name) for name in _SHOWN)))
        head = ("sample", "micrographs", "particles", "mean diameter (nm)", "SD", "median")
        return _html_table(head, rows)


def read_table(path: Path, columns: Iterable[Column]) -> pandas.DataFrame:
    """A csv file of temwatch as DataFrame, each column with its type; without rows where there is no file.

    Names are the true ones: what guards them against being taken for a formula is removed.
    """
    import pandas

    kinds = {column.name: column.kind for column in columns}
    if not path.is_file():
        return pandas.DataFrame({name: [] for name in kinds})
    # a sample may be called NA
    table = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    for name, kind in kinds.items():
        if name in table:
            table[name] = _typed(table[name], kind)
    return table


def _typed(texts: pandas.Series[str], kind: str) -> pandas.Series[Any]:
    import pandas

    match kind:
        case "text" | "path":
            return texts.map(from_cell)
        case "boolean":
            return texts == "true"
        case "time":
            return pandas.to_datetime(texts.replace("", None), utc=True, format="ISO8601")
        case "integer":
            numbers = pandas.to_numeric(texts.replace("", None))
            return numbers.astype("Int64" if numbers.isna().any() else "int64")
        case _:
            return pandas.to_numeric(texts.replace("", None)).astype("float64")


def _counted(summary: Mapping[str, Any], noun: str) -> str:
    """A count of the summary in words."""
    count = summary[f"{noun}s"]
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _figure(figures_of_one: Mapping[str, float | None], name: str) -> str:
    value = figures_of_one.get(name)
    return "" if value is None else f"{value:.4g}"


def _html_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _reduced(path: Path) -> bytes:
    """A published picture as a smaller png."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((_EDGE_PX, _EDGE_PX))
        small.save(stream, "PNG")
    return stream.getvalue()
