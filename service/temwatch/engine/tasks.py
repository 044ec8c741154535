"""What worker processes do: plain functions of an order that write files but never the ledger."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from temwatch import formats, memory
from temwatch.acquisition import spool
from temwatch.acquisition.departure import has_left
from temwatch.analysis import pipeline
from temwatch.analysis.appearance.min_confidence import min_confidence_of
from temwatch.analysis.exposures.fingerprint import take_fingerprint
from temwatch.choices import SeparationMethod, is_plausible_pixel_size
from temwatch.domain import Analysis, Frame, Image, Micrograph, PackedFingerprint, PixelSizeSource
from temwatch.engine import spooled_image
from temwatch.engine.job import MemoryShare
from temwatch.engine.orders import AnalyseOrder, PictureOrder, ReadOrder, ResolveOrder
from temwatch.engine.outcomes import NeedsMemory, PictureDone, ReadDone, Resolved, Traced
from temwatch.errors import Refused, Unreadable
from temwatch.formats.read_errors import unreadable
from temwatch.ledger import Result, pack
from temwatch.ledger.moves import FormerPlace
from temwatch.outputs import film, paths, pictures, sample_folder
from temwatch.outputs.files import replacing, writing

# of the frames of a stack that are read together
_BATCH_PIXELS = 16 * 1024**2

# The header of a larger file is read first, because copying and hashing it takes seconds or minutes.
_HEADER_FIRST_BYTES = 64 * 1024**2
# What a file may hold besides its picture: other pages, levels of a pyramid, what programs add.
_BESIDES_BYTES = 1024**3
_MOST_BYTES_PER_PX = 4 * 8

_COPIES_OF_CONTENT = 4  # on its way to a cluster: of this worker, pickled, in the main process, in a message


def trace(suspects: tuple[FormerPlace, ...]) -> Traced:
    """The first of the suspects that has left its path."""
    return Traced(former=next(filter(has_left, suspects), None))


def read(order: ReadOrder) -> ReadDone:
    """Copy, hash and read; raises InputError where the file cannot become a micrograph."""
    started = time.monotonic()
    try:
        if order.sha256 is None and (needs_bytes := check_header(order)) is not None:
            return ReadDone(sha256="", seconds=time.monotonic() - started, needs_bytes=needs_bytes)
        sha256 = order.sha256 or spool.fetch(order.source, order.spooled if order.copy else None)
        source = formats.open_source(
            order.spooled if order.copy else order.source,
            pixel_size_nm=order.pixel_size_nm,
            original=order.source,
        )
        if (needs_bytes := _check_memory(source, order)) is not None:
            return ReadDone(sha256=sha256, seconds=time.monotonic() - started, needs_bytes=needs_bytes)
        height, width = source.shape
        batch = range(1)
        if source.frames is not None:
            count = min(order.most_frames, max(1, _BATCH_PIXELS // (height * width)))
            batch = range(order.first, min(order.first + count, source.frames))
        size_nm, size_source = _pixel_size(source, order)
        micrographs = tuple(
            Micrograph(
                source=order.source,
                sha256=sha256,
                image=_image(source, index, order),
                pixel_size_nm=size_nm,
                pixel_size_source=size_source,
                stated_pixel_size_nm=source.stated_pixel_size_nm,
                acquired_at=source.acquired_at,
                metadata=source.metadata,
                frame=_frame(order, source, index),
            )
            for index in batch
        )
        if len(micrographs) == 1 and micrographs[0].frame is None:
            micrographs = (_with_fingerprint(micrographs[0]),)
    except OSError as error:
        raise unreadable(error) from None
    if order.small_pictures is not None:
        with writing():
            _write_small_pictures(
                order.small_pictures, order.name, micrographs, in_stack=source.frames is not None
            )
    return ReadDone(
        micrographs=micrographs,
        sha256=sha256,
        frames_total=source.frames,
        seconds=time.monotonic() - started,
    )


def read_again(order: ReadOrder) -> Micrograph:
    """Read a micrograph or frame that has its row once more, without a copy.

    Raises
    ------
    Unreadable
        vanished: it is no longer there, or another one is in its place.
    NeedsMemory
        It has to be read while no other is.
    """
    try:
        found = order.source.stat()
    except OSError as error:
        raise unreadable(error) from None
    if (found.st_size, found.st_mtime_ns) != (order.size_bytes, order.mtime_ns):
        raise Unreadable("vanished", "was replaced by another file")
    done = read(order)
    if done.needs_bytes is not None:
        raise NeedsMemory(f"needs {done.needs_bytes} bytes")
    if not done.micrographs:
        raise Unreadable("vanished", f"has no frame {order.first} any more")
    return done.micrographs[0]


def check_header(order: ReadOrder) -> int | None:
    """The bytes that a large file has to wait for, if any, found before it is copied and hashed.

    Raises
    ------
    InputError
        The file cannot be taken, whatever the rest of it holds.
    """
    source = _header(order)
    return None if source is None else _check_memory(source, order)


def _header(order: ReadOrder) -> formats.Source | None:
    """What the header of a large file says; None for a small one, which is read at once."""
    if order.size_bytes <= _HEADER_FIRST_BYTES:
        return None
    source = formats.open_source(order.source, pixel_size_nm=order.pixel_size_nm)
    _check_length(source, order.size_bytes)
    return source


def _pixel_size(source: formats.Source, order: ReadOrder) -> tuple[float, PixelSizeSource]:
    """Size and who states it: a correction before the file, and that before user and configuration."""
    stated_nm = source.stated_pixel_size_nm
    if stated_nm is None:
        return source.pixel_size_nm, order.pixel_size_source
    corrected_nm = None if order.correction is None else order.correction.size_nm(stated_nm)
    if corrected_nm is None or not is_plausible_pixel_size(corrected_nm):
        return source.pixel_size_nm, PixelSizeSource.FILE
    return corrected_nm, PixelSizeSource.CORRECTED


def _check_length(source: formats.Source, size_bytes: int) -> None:
    """Refuse a file that is far longer than its picture: hashing a sparse or damaged one takes minutes."""
    height, width = source.shape
    frames = source.frames or 1
    if size_bytes > _BESIDES_BYTES + _MOST_BYTES_PER_PX * frames * height * width:
        count = "" if source.frames is None else f"{frames} frames of "
        raise Refused(
            "not_a_micrograph",
            f"has {size_bytes / 1e9:.1f} GB, but holds no more than {count}{width} x {height} px;"
            " copy or save it again",
        )


def _check_memory(source: formats.Source, order: ReadOrder) -> int | None:
    """Bytes that the file needs, where it has to wait for others to be finished; checked before it is read.

    Raises
    ------
    Unreadable
        out_of_memory: it needs more than there is.
    """
    share = order.memory
    needed = memory.needed_bytes(source.shape, by_network=order.by_network)
    if source.frames is not None:  # one batch is read while the one before is analysed
        needed *= min(source.frames, 2)
    if share is None:
        here = memory.budget_bytes(workers=1)
        share = MemoryShare(here, here)
    if needed > share.alone_bytes:
        height, width = source.shape
        raise Unreadable(
            "out_of_memory",
            f"has {width} x {height} px and needs about {needed / 1e9:.1f} GB of memory;"
            f" {share.alone_bytes / 1e9:.1f} GB are there for pictures: crop it or add memory",
        )
    return needed if needed > share.now_bytes else None


def _image(source: formats.Source, index: int, order: ReadOrder) -> Image:
    image = source.load(index)
    if memory.is_large(source.shape):
        return spooled_image.put(image, order.pixels(index))
    return image


def _with_fingerprint(micrograph: Micrograph) -> Micrograph:
    """Frames of a sequence have none: a repeated frame is a point in time."""
    taken = take_fingerprint(micrograph.image)
    if taken is None:
        return micrograph
    return replace(micrograph, fingerprint=PackedFingerprint(coarse=taken.coarse, whole=taken.pack()))


def _write_small_pictures(
    folder: Path, name: str, micrographs: tuple[Micrograph, ...], *, in_stack: bool
) -> None:
    for micrograph in micrographs:
        if micrograph.frame is not None and micrograph.frame.index % film.every(micrograph.frame.index) == 0:
            path = paths.frame_picture(folder, name, micrograph.frame.index, in_stack=in_stack)
            film.write_frame_picture(path, micrograph.image)


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


def resolve(order: ResolveOrder) -> Analysis:
    """Separate and measure."""
    analysis = pipeline.resolve_segmentation(
        order.segmentation,
        pixel_size_nm=order.pixel_size_nm,
        settings=order.separation,
        min_confidence=min_confidence_of(order.method),
    )
    return replace(analysis, method=order.method, notes=order.segmentation.notes + analysis.notes)


def analyse(order: AnalyseOrder) -> Resolved:
    """Separate, measure and pack for the ledger; draw the pictures if the order has a `drawing`."""
    started = time.monotonic()
    analysis = resolve(order.resolve)
    found = Result(
        sha256=order.origin.sha256,
        segmentation=order.resolve.segmentation,
        analysis=analysis,
        analysed_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
        acquired_at=order.origin.acquired_at,
        frame=order.origin.frame,
        metadata=order.origin.metadata,
        pixel_size_source=order.origin.pixel_size_source,
        stated_pixel_size_nm=order.origin.stated_pixel_size_nm,
        fingerprint=order.origin.fingerprint,
    )
    packed = pack(found)
    resolved = time.monotonic()
    if order.drawing is not None:
        with writing():
            pictures.write_pictures(order.drawing.folder, order.drawing.name, order.drawing.image, analysis)
    return Resolved(
        index=order.index,
        packed=packed,
        diameters_nm=tuple(particle.equivalent_diameter_nm for particle in analysis.particles),
        seconds=resolved - started,
        seconds_pictures=time.monotonic() - resolved,
    )


def draw_micrograph(order: PictureOrder) -> PictureDone:
    """Write the picture of a micrograph, on which the others are drawn later."""
    started = time.monotonic()
    image = order.image
    if image is None:
        image = formats.open_source(order.path, pixel_size_nm=order.pixel_size_nm).load(0)
    with writing():
        pictures.write_micrograph(order.folder, order.name, image, order.pixel_size_nm)
    return PictureDone(index=0, seconds=time.monotonic() - started)


def write_drawn(folder: Path, micrographs_png: dict[str, bytes]) -> float:
    """Write pictures of micrographs that were drawn elsewhere; gives the seconds it took."""
    started = time.monotonic()
    for name, png in micrographs_png.items():
        with writing(), replacing(paths.picture(folder, name, "micrograph")) as stream:
            stream.write(png)
    return time.monotonic() - started


def read_content(order: ReadOrder) -> ReadDone:
    """The bytes of a file, for a worker that does not see it; raises as `read` does."""
    started = time.monotonic()
    _header(order)
    if _COPIES_OF_CONTENT * order.size_bytes > memory.budget_bytes(workers=1):
        raise Unreadable(
            "out_of_memory",
            f"has {order.size_bytes / 1e9:.1f} GB, too much to send to the cluster: mount its folder there",
        )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        sha256 = spool.fetch(order.source, copy)
        whole = copy.read_bytes()
    return ReadDone(sha256=sha256, seconds=time.monotonic() - started, content=whole)


def write_artifacts(state: Path, output: Path, sample: str, name: str) -> float:
    """Write all that lies in the output folder of a recorded file; gives the seconds it took."""
    started = time.monotonic()
    sample_folder.write_folder(state, paths.micrograph_folder(output, sample, name), sample)
    return time.monotonic() - started


def warm_up(method: SeparationMethod) -> None:
    """Load and compile what the first micrograph would otherwise wait for."""
    pipeline.warm_up((method,))
