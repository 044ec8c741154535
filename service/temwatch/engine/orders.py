"""Orders for workers: frozen values that are sent to them, made from a job and the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from temwatch import memory
from temwatch.config import Config, SeparationSettings
from temwatch.domain import (
    Frame,
    Image,
    Metadata,
    Method,
    Micrograph,
    PackedFingerprint,
    PixelSizeSource,
    Segmentation,
)
from temwatch.engine.job import Job, MemoryShare
from temwatch.ledger import File, MicrographRow
from temwatch.ledger.correction import Correction
from temwatch.outputs import paths


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOrder:
    """Bring one file from the share and read it, or the next frames of a stack from `first` on.

    `size_bytes` is that of the file when it was found. `pixel_size_nm` is for a file that states none, and
    comes from `pixel_size_source`. `small_pictures` is the folder of the small pictures for the film, None
    where there are none; `name` is the file's output name. `memory` is None where the process that reads
    finds out by itself how much it may take. `most_frames` of a stack are read together: more of them would
    only come later to page and tables. `mtime_ns` is for a file that is read once more. What is segmented
    `by_network` needs more memory.
    """

    source: Path
    spooled: Path
    copy: bool
    size_bytes: int
    pixel_size_nm: float | None
    pixel_size_source: PixelSizeSource
    sequence: str | None
    frame: int | None
    elapsed_s: float | None = None
    interval_s: float | None = None
    first: int = 0
    sha256: str | None = None
    small_pictures: Path | None = None
    name: str = ""
    memory: MemoryShare | None = None
    mtime_ns: int | None = None
    most_frames: int = 64
    correction: Correction | None = None
    by_network: bool = False

    def pixels(self, index: int) -> Path:
        """Where a large micrograph `index` of the file waits until it is segmented."""
        return self.spooled.with_name(f"{self.spooled.stem}_{index}.pixels")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolveOrder:
    """Turn a segmentation into particles."""

    pixel_size_nm: float
    segmentation: Segmentation
    separation: SeparationSettings
    method: Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the ledger stores of a micrograph in addition to its analysis."""

    sha256: str
    acquired_at: datetime | None
    frame: Frame | None
    metadata: Metadata
    pixel_size_source: PixelSizeSource
    stated_pixel_size_nm: float | None
    fingerprint: PackedFingerprint | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """All pictures of a micrograph: their folder, the beginning of their names, and what is drawn on."""

    folder: Path
    name: str
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalyseOrder:
    """Turn the segmentation of micrograph `index` of a file into rows of the ledger.

    `drawing` is None where the pictures are drawn by another task.
    """

    resolve: ResolveOrder
    origin: Origin
    index: int = 0
    drawing: Drawing | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureOrder:
    """Draw the single micrograph of a file in the spool; a large `image` need not be read again."""

    path: Path
    image: Image | None
    pixel_size_nm: float
    folder: Path
    name: str


def read_order(job: Job, config: Config) -> ReadOrder:
    """What a worker needs in order to read a file, or the next frames of a stack."""
    file = job.file
    small_pictures = None
    if config.output.pictures:
        small_pictures = paths.sequence_folder(config.output.folder, file.sample, file.sequence or file.name)
    return ReadOrder(
        source=file.location,
        spooled=job.spooled,
        copy=job.is_copied,
        size_bytes=file.size_bytes,
        pixel_size_nm=file.pixel_size_nm or config.samples.pixel_size_nm,
        pixel_size_source=PixelSizeSource.USER if file.pixel_size_nm else PixelSizeSource.CONFIG,
        sequence=file.sequence,
        frame=file.frame,
        elapsed_s=file.elapsed_s,
        interval_s=config.sequences.frame_interval_s,
        small_pictures=small_pictures,
        name=file.name,
        memory=job.memory,
        first=job.next_index,
        sha256=job.sha256,
        correction=file.correction,
        by_network=config.segmentation.method == "deeplab",
    )


def read_again_order(file: File, row: MicrographRow, config: Config, share: MemoryShare | None) -> ReadOrder:
    """What a worker needs in order to read one micrograph or frame once more, where it lies."""
    return ReadOrder(
        source=file.location,
        spooled=paths.spool(config.output.state) / f"again-{row.id}{file.location.suffix}",
        copy=False,
        size_bytes=file.size_bytes,
        mtime_ns=file.mtime_ns,
        pixel_size_nm=row.pixel_size_nm,
        pixel_size_source=PixelSizeSource.FILE,
        sequence=None,
        frame=None,
        first=row.frame or 0,
        most_frames=1,
        sha256=row.sha256,
        name=file.name,
        memory=share,
        by_network=config.segmentation.method == "deeplab",
    )


def picture_order(job: Job, micrograph: Micrograph, config: Config) -> PictureOrder:
    """The picture of a single micrograph, which others are drawn on later."""
    return PictureOrder(
        path=job.spooled,
        image=micrograph.image if memory.is_large(micrograph.image.shape) else None,
        pixel_size_nm=micrograph.pixel_size_nm,
        folder=artifact_folder(config, job.file),
        name=job.file.name,
    )


def drawing(job: Job, micrograph: Micrograph, config: Config) -> Drawing:
    """Where the pictures of a micrograph or frame go, and what is drawn on."""
    name = picture_name(job.file.name, micrograph, in_stack=job.frames_total is not None)
    return Drawing(folder=artifact_folder(config, job.file), name=name, image=micrograph.image)


def origin(micrograph: Micrograph) -> Origin:
    """Everything of a micrograph but its pixels."""
    return Origin(
        sha256=micrograph.sha256,
        acquired_at=micrograph.acquired_at,
        frame=micrograph.frame,
        metadata=micrograph.metadata,
        pixel_size_source=micrograph.pixel_size_source,
        stated_pixel_size_nm=micrograph.stated_pixel_size_nm,
        fingerprint=micrograph.fingerprint,
    )


def artifact_folder(config: Config, file: File) -> Path:
    """Where the pictures of a file go."""
    return paths.micrograph_folder(config.output.folder, file.sample, file.name)


def picture_name(name: str, micrograph: Micrograph, *, in_stack: bool) -> str:
    """Beginning of the names of a micrograph's pictures; `name` is that of its file."""
    frame = micrograph.frame if in_stack else None
    return paths.picture_name(name, None if frame is None else frame.index)


def picture_every_frames(config: Config) -> int | None:
    """Every how many frames pictures are drawn; None for no pictures at all."""
    return config.sequences.picture_every_frames if config.output.pictures else None


def is_drawn(micrograph: Micrograph, every: int | None) -> bool:
    """Whether a micrograph, or a frame of a sequence, gets pictures."""
    return every is not None and (micrograph.frame is None or micrograph.frame.index % every == 0)
