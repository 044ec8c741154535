"""What worker processes do with a micrograph. Plain functions of their arguments: no ledger, no log."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from temwatch import formats
from temwatch.analysis import pipeline
from temwatch.config import SeparationMethod, SeparationSettings
from temwatch.domain import Analysis, Frame, Image, Method, Micrograph, Segmentation
from temwatch.engine import spool
from temwatch.formats.damage import unreadable
from temwatch.outputs import film, pictures

# frames of a stack that are in memory together; more of them would only come later to page and tables
_BATCH_PIXELS = 32 * 1024**2
_BATCH_FRAMES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOrder:
    """Bring one file from the share and read it, or the next frames of a stack from `first` on.

    `small_pictures` is where those for the film go, if any are wanted; `name` is the file's output name.
    """

    source: Path
    spooled: Path
    copy: bool
    pixel_size_nm: float | None
    sequence: str | None
    frame: int | None
    elapsed_s: float | None = None
    interval_s: float | None = None
    first: int = 0
    sha256: str | None = None
    small_pictures: Path | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadResult:
    """What was read; `frames_total` is None for a single micrograph."""

    micrographs: tuple[Micrograph, ...]
    sha256: str
    frames_total: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolveOrder:
    """Turn a segmentation into particles; `drawing` says which pictures to make, if any."""

    pixel_size_nm: float
    segmentation: Segmentation
    separation: SeparationSettings
    method: Method
    drawing: Drawing | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """Pictures of a micrograph: their folder, the beginning of their names, and what is drawn on."""

    folder: Path
    name: str
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolveResult:
    """What was found."""

    analysis: Analysis
    seconds: float
    seconds_pictures: float


def read(order: ReadOrder) -> ReadResult:
    """Copy, hash and read; raises InputError where the file cannot become a micrograph."""
    started = time.monotonic()
    sha256 = order.sha256 or spool.fetch(order.source, order.spooled if order.copy else None)
    try:
        source = formats.open_source(
            order.spooled if order.copy else order.source, pixel_size_nm=order.pixel_size_nm
        )
        height, width = source.shape
        batch = range(1)
        if source.frames is not None:
            count = min(_BATCH_FRAMES, max(1, _BATCH_PIXELS // (height * width)))
            batch = range(order.first, min(order.first + count, source.frames))
        micrographs = tuple(
            Micrograph(
                source=order.source,
                sha256=sha256,
                image=source.load(index),
                pixel_size_nm=source.pixel_size_nm,
                acquired_at=source.acquired_at,
                metadata=source.metadata,
                frame=_frame(order, source, index),
            )
            for index in batch
        )
    except OSError as error:
        raise unreadable(error) from None
    if order.small_pictures is not None:
        _write_small_pictures(
            order.small_pictures, order.name, micrographs, of_stack=source.frames is not None
        )
    return ReadResult(
        micrographs=micrographs,
        sha256=sha256,
        frames_total=source.frames,
        seconds=time.monotonic() - started,
    )


def _write_small_pictures(
    folder: Path, name: str, micrographs: tuple[Micrograph, ...], *, of_stack: bool
) -> None:
    for micrograph in micrographs:
        if micrograph.frame is not None and micrograph.frame.index % film.every(micrograph.frame.index) == 0:
            path = film.small_picture(folder, name, micrograph.frame.index, of_stack=of_stack)
            film.write_small_picture(path, micrograph.image)


def _frame(order: ReadOrder, source: formats.Source, index: int) -> Frame | None:
    if source.frames is not None:
        return Frame(
            sequence=order.source.stem,
            index=index,
            elapsed_s=_elapsed_s(index, source.interval_s or order.interval_s),
        )
    if order.sequence is not None and order.frame is not None:
        elapsed_s = order.elapsed_s
        if elapsed_s is None:
            elapsed_s = _elapsed_s(order.frame, order.interval_s)
        return Frame(sequence=order.sequence, index=order.frame, elapsed_s=elapsed_s)
    return None


def _elapsed_s(index: int, interval_s: float | None) -> float | None:
    return None if interval_s is None else index * interval_s


def resolve(order: ResolveOrder) -> ResolveResult:
    """Separate and measure, then draw."""
    started = time.monotonic()
    analysis = pipeline.resolve(
        order.segmentation.mask,
        pixel_size_nm=order.pixel_size_nm,
        contacts=order.segmentation.contacts,
        settings=order.separation,
    )
    analysis = replace(analysis, method=order.method)
    resolved = time.monotonic()
    if order.drawing is not None:
        pictures.write_pictures(order.drawing.folder, order.drawing.name, order.drawing.image, analysis)
    return ResolveResult(
        analysis=analysis, seconds=resolved - started, seconds_pictures=time.monotonic() - resolved
    )


def warm_up(method: SeparationMethod) -> None:
    """Load and compile what the first micrograph would otherwise wait for."""
    pipeline.warm_up((method,))
