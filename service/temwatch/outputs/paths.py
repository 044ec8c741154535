"""Where every result lies: only this module names the files and folders below the output folder."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from temwatch.domain import Status
from temwatch.ledger import File, MicrographRow

PARTICLES = "particles.csv"
MICROGRAPHS = "micrographs.csv"
REJECTIONS = "rejections.csv"
FRAMES = "frames.csv"
TRACKS = "tracks.csv"
EVENTS = "events.csv"
SUMMARY = "summary.json"
WORKBOOK = "{sample}.xlsx"
PARQUET = "particles.parquet"
RECORD = "record.json"
REPORT = "report.html"

EXCEL_CSV = "{table}-excel.csv"
COCO = "{sample}_coco.json"
NEXUS = "{sample}.nxs"
ENANOMAPPER = "{sample}_enanomapper.xlsx"
TRACKPY = "trackpy.csv"

FILM = "film.mp4"
ENSEMBLE_TABLE = "ensemble.csv"
GROWTH_TABLE = "growth.csv"
KINETICS_TABLE = "kinetics.csv"
SHARES_TABLE = "shares.csv"
ENSEMBLE_PLOT = "ensemble.png"
GROWTH_PLOT = "growth.png"

ExportKind = Literal["RoiSet.zip", "labels.ome.tif", "particles.geojson"]
"""Exports of one file a micrograph, each named behind the micrograph's own name."""

SequenceFile = Literal[
    "film.mp4", "ensemble.png", "growth.png", "ensemble.csv", "growth.csv", "kinetics.csv", "shares.csv"
]
"""What lies in the folder of a sequence, beside the small pictures for the film."""

Picture = Literal["micrograph", "mask", "overlay"]
PICTURES: tuple[Picture, ...] = ("micrograph", "mask", "overlay")


def sample_folder(output: Path, sample: str) -> Path:
    """The tables of a sample, and the folders below."""
    return output / sample


def report_folder(output: Path, sample: str) -> Path:
    """The report of a sample and its charts."""
    return sample_folder(output, sample) / "report"


def micrograph_folder(output: Path, sample: str, name: str) -> Path:
    """The pictures and the table of one file; `name` is its name in the ledger."""
    return sample_folder(output, sample) / "micrographs" / name


def picture_name(name: str, frame: int | None) -> str:
    """Beginning of the picture names of a micrograph, or of one frame of a stack."""
    return name if frame is None else f"{name}_{frame:06d}"


def row_picture_name(row: MicrographRow) -> str:
    """The same for a row of the ledger; frames that are files of their own have the names of their files."""
    return picture_name(row.name, None if row.frames_total is None else row.frame or 0)


def picture(folder: Path, name: str, kind: Picture) -> Path:
    """A picture in the folder of a file; `name` is made by `picture_name`."""
    return folder / f"{name}_{kind}.png"


def row_picture(output: Path, row: MicrographRow, kind: Picture) -> Path:
    """A picture of a row of the ledger."""
    return picture(micrograph_folder(output, row.sample, row.name), row_picture_name(row), kind)


def shown_picture(output: Path, row: MicrographRow) -> Path:
    """The picture of a row, or the small one for the film where a frame has no other."""
    large = row_picture(output, row, "micrograph")
    if row.frame is None or large.is_file():
        return large
    folder = sequence_folder(output, row.sample, row.sequence or row.name)
    small = frame_picture(folder, row.name, row.frame, in_stack=row.frames_total is not None)
    return small if small.is_file() else large


def micrograph_export(folder: Path, row: MicrographRow, kind: ExportKind) -> Path:
    """An export of one micrograph or frame; below `folder` as its pictures lie below the sample's folder."""
    return folder / "micrographs" / row.name / f"{row_picture_name(row)}_{kind}"


def newest_picture(output: Path, file: File) -> Path | None:
    """The picture of a file that may not be analysed yet; of a stack or a frame the last that was drawn.

    Frames have pictures of their own, or small ones for the film. What was drawn before the file was found is
    of an earlier revision.
    """
    folder = micrograph_folder(output, file.sample, file.name)
    stack = f"{glob.escape(file.name)}_{'[0-9]' * 6}*"  # `a_2` is another file than `a`
    found = [picture(folder, file.name, "micrograph"), *folder.glob(f"{stack}_micrograph.png")]
    frames = frames_folder(sequence_folder(output, file.sample, file.sequence or file.name))
    found += [frames / f"{file.name}.jpg", *frames.glob(f"{stack}.jpg")]
    times = {}
    for path in found:
        with suppress(OSError):
            times[path] = path.stat().st_mtime
    newest = max(times, key=times.__getitem__, default=None)
    is_earlier = newest is not None and times[newest] < file.detected_at.timestamp()
    return None if file.status is Status.PENDING and is_earlier else newest


def pictures_of(folder: Path, kind: Picture) -> list[Path]:
    """All pictures of one kind in the folder of a sample, by name."""
    return sorted((folder / "micrographs").glob(f"*/*_{kind}.png"))


def micrograph_table(folder: Path) -> Path:
    """The particles of one file, in its folder."""
    return folder / f"{folder.name}_{PARTICLES}"


def micrograph_files(folder: Path) -> Iterator[Path]:
    """Everything that temwatch has written into the folder of a file."""
    for kind in PICTURES:
        yield from folder.glob(f"*_{kind}.png")
    yield from folder.glob(f"*_{PARTICLES}")


def sequence_folders(output: Path, sample: str) -> list[Path]:
    """Those of all sequences of a sample, whether or not it has them still."""
    return sorted((sample_folder(output, sample) / "sequences").glob("*"))


def sequence_folder(output: Path, sample: str, sequence: str) -> Path:
    """The film, the tables and the plots of a sequence."""
    return sample_folder(output, sample) / "sequences" / sequence


def frames_folder(folder: Path) -> Path:
    """The small pictures for the film, in the folder of a sequence."""
    return folder / "frames"


def frame_picture(folder: Path, name: str, frame: int, *, in_stack: bool) -> Path:
    """The small picture of a frame for the film, in the sequence's folder; `name` is that of its file."""
    return frames_folder(folder) / f"{picture_name(name, frame if in_stack else None)}.jpg"


def sequence_publication(sequence: str) -> str:
    """The name by which the ledger remembers how far a sequence was drawn."""
    return f"sequences/{sequence}"


def spool(state: Path) -> Path:
    """Copies of the files that are being analysed, in the state folder."""
    return state / "spool"
