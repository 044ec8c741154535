"""Reading micrographs: one module per file format; each returns the same type, `Source`.

A new format is one module that satisfies `FormatReader` and a line in `READERS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.domain import Frame, Metadata, Micrograph, PixelSizeSource
from temwatch.errors import Refused, UsageError
from temwatch.formats import dm, hitachi, mrc, png_jpeg, read_errors, rosettasciio, ser, tia_emi, tiff, velox
from temwatch.formats.source import FormatReader, Source, TextBeside

__all__ = [
    "READERS",
    "UNCALIBRATED",
    "FormatReader",
    "Source",
    "complete",
    "open_source",
    "read",
    "read_frames",
]

READERS: dict[str, FormatReader] = {
    ".dm3": dm,
    ".dm4": dm,
    ".tif": tiff,
    ".tiff": tiff,
    ".emd": velox,
    ".mrc": mrc,
    ".ser": ser,
    ".png": png_jpeg,
    ".jpg": png_jpeg,
    ".jpeg": png_jpeg,
}
"""Module that reads a file, by its extension in lower case."""

UNCALIBRATED = frozenset({".png", ".jpg", ".jpeg"})
"""Extensions of READERS whose files never state a pixel size."""

_BESIDE: dict[str, Callable[[Path], TextBeside | None]] = {
    ".tif": hitachi.beside,
    ".tiff": hitachi.beside,
    ".jpg": hitachi.beside,
    ".jpeg": hitachi.beside,
    ".ser": tia_emi.beside,
}
"""What reads the text that a microscope writes beside such a file."""


def open_source(
    path: str | Path, *, pixel_size_nm: float | None = None, original: Path | None = None
) -> Source:
    """Understand a file without loading its pixels.

    Parameters
    ----------
    path : str or Path
        A file with an extension of READERS, in any case, or of RosettaSciIO where that is in use.
    pixel_size_nm : float, optional
        nm per pixel for a file that does not state it; it never overrides a stated one.
    original : Path, optional
        Where the file came from, if `path` is a copy: a text of the microscope may lie beside it.

    Raises
    ------
    InputError
        Refused or Unreadable; its code is in errors.REFUSAL_CODES or FAILURE_CODES and its text is one line
        that says what was found and what would help, without the file's name.
    """
    path = Path(path)
    python = rosettasciio.interpreter()
    if python is not None and path.suffix.lower() not in READERS:
        return rosettasciio.open_source(path, python=python, original=original, pixel_size_nm=pixel_size_nm)
    reader = _reader(path)
    beside = _beside(original or path)
    if beside is None:
        return reader.open_source(path, pixel_size_nm=pixel_size_nm)
    source = reader.open_source(path, pixel_size_nm=beside.pixel_size_nm or pixel_size_nm)
    is_of_it = beside.width_px in (None, source.shape[1])  # else it was cropped or resized since
    if source.stated_pixel_size_nm is None and beside.pixel_size_nm is not None:
        if not is_of_it:
            return reader.open_source(path, pixel_size_nm=pixel_size_nm)
        source = replace(source, stated_pixel_size_nm=beside.pixel_size_nm)
    metadata = {
        name: getattr(source.metadata, name) or getattr(beside.metadata, name)
        for name in Metadata.__dataclass_fields__
    }
    return replace(
        source, acquired_at=source.acquired_at or beside.acquired_at, metadata=Metadata(**metadata)
    )


def read(path: str | Path, *, pixel_size_nm: float | None = None) -> Micrograph:
    """Read a single micrograph: float32, shape (y, x), with its pixel size in nm.

    Parameters
    ----------
    path : str or Path
        A file with an extension of READERS, in any case.
    pixel_size_nm : float, optional
        nm per pixel for a file that does not state it; it never overrides a stated one.

    Raises
    ------
    InputError
        Why the file is no micrograph that can be measured, or cannot be read.
    UsageError
        The file is a stack; `read_frames` reads it. Or `pixel_size_nm` is not plausible.
    """
    _check_given(pixel_size_nm)
    source = open_source(path, pixel_size_nm=pixel_size_nm)
    if source.frames is not None:
        raise UsageError(
            f"{source.path.name} is a stack of {source.frames} frames; read them with temwatch.read_frames"
        )
    return _micrograph(source, _sha256(source.path), None)


def read_frames(path: str | Path, *, pixel_size_nm: float | None = None) -> Iterator[Micrograph]:
    """Read a stack frame by frame; only one frame is in memory. A single micrograph gives one frame.

    The file is opened and checked by the call itself, so that errors do not wait for the first frame.

    Parameters
    ----------
    path : str or Path
        A file with an extension of READERS, in any case.
    pixel_size_nm : float, optional
        nm per pixel for a file that does not state it; it never overrides a stated one.

    Raises
    ------
    InputError
        Why the file is no stack that can be measured, or cannot be read.
    UsageError
        `pixel_size_nm` is not plausible.
    """
    _check_given(pixel_size_nm)
    source = open_source(path, pixel_size_nm=pixel_size_nm)
    sha256 = _sha256(source.path)
    indices = [None] if source.frames is None else range(source.frames)
    return (_micrograph(source, sha256, index) for index in indices)


def complete(path: str | Path) -> bool | None:
    """Whether a file that is being written has all that it declares.

    Returns
    -------
    bool or None
        True: the declared length is reached and the data do not end in zeros. False: bytes are missing.
        None: the format, or this file, cannot tell; then only time without change can.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    return None if reader is None else reader.complete(path)


def _check_given(pixel_size_nm: float | None) -> None:
    if pixel_size_nm is not None and not is_plausible_pixel_size(pixel_size_nm):
        raise UsageError(f"pixel_size_nm: {implausible_pixel_size(pixel_size_nm)}")


def _beside(path: Path) -> TextBeside | None:
    read_text = _BESIDE.get(path.suffix.lower())
    return None if read_text is None else read_text(path)


def _reader(path: Path) -> FormatReader:
    try:
        return READERS[path.suffix.lower()]
    except KeyError:
        kinds = ", ".join(READERS)
        raise Refused(
            "not_a_micrograph", f"has the extension {path.suffix or '(none)'}; temwatch reads {kinds}"
        ) from None


def _micrograph(source: Source, sha256: str, index: int | None) -> Micrograph:
    frame = None
    if index is not None:
        elapsed_s = None if source.interval_s is None else index * source.interval_s
        frame = Frame(sequence=source.path.stem, index=index, elapsed_s=elapsed_s)
    return Micrograph(
        source=source.path,
        sha256=sha256,
        image=source.load(index or 0),
        pixel_size_nm=source.pixel_size_nm,
        acquired_at=source.acquired_at,
        frame=frame,
        metadata=source.metadata,
        pixel_size_source=PixelSizeSource.USER
        if source.stated_pixel_size_nm is None
        else PixelSizeSource.FILE,
        stated_pixel_size_nm=source.stated_pixel_size_nm,
    )


def _sha256(path: Path) -> str:
    with read_errors.opened(path, "micrograph") as (stream, _):
        return hashlib.file_digest(stream, "sha256").hexdigest()
