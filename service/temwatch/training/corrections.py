"""Corrected labels as a training set: label images of `temwatch export` that a person has edited."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from temwatch.domain import Image
from temwatch.errors import InputError, UsageError
from temwatch.formats import read_errors
from temwatch.label_planes import Labels
from temwatch.ledger import MicrographRow, Reader
from temwatch.names import folder_name, name_key, printable
from temwatch.outputs import originals, paths
from temwatch.outputs.exports import detections, labels
from temwatch.outputs.files import replacing
from temwatch.outputs.tables import Advance

_COLUMNS = ("id", "source", "micrograph", "sha256", "pixel_size_nm")
_SUFFIXES = (".tif", ".tiff")
_LARGEST_FLOAT = 2**24  # up to which a float32 holds every whole number


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the label images: names in the data set, how many are as exported, what is wrong."""

    written: tuple[str, ...]
    unchanged: int
    problems: tuple[str, ...]


def write(
    reader: Reader,
    sample: str,
    folder: Path,
    data: Path,
    *,
    unchanged_too: bool,
    bright: bool,
    advance: Advance,
) -> Outcome:
    """Add the corrected micrographs of a sample to a data set, in place of what it had of them.

    Parameters
    ----------
    reader, sample, advance
        As for an export: `advance` is called after each micrograph.
    folder : Path
        Where the label images lie, named as exported; folders in it are searched, too.
    data : Path
        The data set: `images/`, `instances/` and `index.csv`, whose source is the sample.
    unchanged_too : bool
        Add also what is as it was exported: somebody has looked at it and found nothing to correct.
    bright : bool
        The sample has bright particles: the network sees the negative of its micrographs.

    Raises
    ------
    UsageError
        There is no label image in the folder, or two of one micrograph; or the index cannot be read.
    OSError
        The data set cannot be written.
    """
    files = _files(folder)
    source = detections.sample_name(reader, sample)
    known = _index(data / "index.csv")
    written, problems, unchanged = [], [], 0
    rows: dict[str, dict[str, str]] = {}
    for row in detections.analysed(reader, sample, advance):
        path = files.pop(paths.row_picture_name(row), None)
        if path is None:
            continue
        try:
            planes = _read(path, row)
            if not unchanged_too and _is_as_exported(reader, row, planes):
                unchanged += 1
                continue
            image = originals.image(row)
            if image is None:
                raise UsageError(f"{path}: its micrograph {row.micrograph} is gone, or was changed since")
        except UsageError as error:
            problems.append(str(error))
            continue
        name = _free_name(known, source, row)
        _write(data / "images" / f"{name}.tif", -image if bright else image)
        _write(data / "instances" / f"{name}.tif", _flat(planes))
        size = "" if row.pixel_size_nm is None else f"{row.pixel_size_nm:.9g}"
        entry = dict(zip(_COLUMNS, (name, source, row.micrograph, row.sha256 or "", size), strict=True))
        rows[name] = known[name] = entry
        written.append(name)
    problems += [f"{path}: {sample} has no analysed micrograph of this name" for path in files.values()]
    if rows:
        _write_index(data / "index.csv", rows)
    return Outcome(tuple(written), unchanged, tuple(map(printable, problems)))


def _files(folder: Path) -> dict[str, Path]:
    """Label images by the names of their micrographs."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            name = path.stem.removesuffix(".ome").removesuffix("_labels")
            if name in found:
                raise UsageError(f"{path}: {found[name]} is of the same micrograph; leave one of them")
            found[name] = path
    if not found:
        raise UsageError(f"{folder}: holds no label image (<name>_labels.ome.tif, as export writes it)")
    return found


def _read(path: Path, row: MicrographRow) -> NDArray[np.uint32]:
    """The planes of a label image, shape (planes, y, x)."""
    try:
        with read_errors.guard("TIFF"):
            pixels = np.asarray(tifffile.imread(path))
    except InputError as error:
        raise UsageError(f"{path}: {error}") from None
    shape = (row.height_px, row.width_px)
    if pixels.ndim not in (2, 3) or pixels.shape[-2:] != shape:
        raise UsageError(
            f"{path}: has the shape {pixels.shape}; its micrograph has {shape}, with planes in front of it"
        )
    if pixels.dtype.kind == "f" and np.isfinite(pixels).all() and (pixels == np.rint(pixels)).all():
        pixels = pixels.astype(np.int64) if np.abs(pixels).max(initial=0) <= _LARGEST_FLOAT else pixels
    if pixels.dtype.kind not in "iu" or pixels.min(initial=0) < 0 or pixels.max(initial=0) >= 2**32:
        raise UsageError(f"{path}: labels must be whole numbers from 0, in one channel")
    return pixels.reshape(-1, *pixels.shape[-2:]).astype(np.uint32)


def _is_as_exported(reader: Reader, row: MicrographRow, planes: NDArray[np.uint32]) -> bool:
    exported = np.stack(list(labels.planes(reader, row)))
    if exported.shape != planes.shape:  # a program may have saved one plane of them
        return np.array_equal(_flat(exported), _flat(planes))
    return np.array_equal(exported, planes)


def _flat(planes: NDArray[np.uint32]) -> Labels:
    """One label image, as training takes it; where particles overlap, the pixel is of the first plane's."""
    flat: Labels = planes[0].copy()
    for plane in planes[1:]:
        np.copyto(flat, plane, where=flat == 0)
    return flat


def _write(path: Path, pixels: Image | Labels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        tifffile.imwrite(
            stream, _compact(pixels), photometric="minisblack", compression="zlib", metadata=None
        )


def _compact(pixels: NDArray[Any]) -> NDArray[Any]:
    """In 16 bits where nothing is lost."""
    with np.errstate(invalid="ignore"):
        short = pixels.astype(np.uint16)
    return short if np.array_equal(short, pixels) else pixels


def _free_name(known: Mapping[str, Mapping[str, str]], source: str, row: MicrographRow) -> str:
    """The name of a micrograph in a data set: the one it has there, or one that no other has.

    `a_b` of the sample `c` and `b` of the sample `c_a` would be one.
    """
    name = folder_name(f"{row.sample}_{paths.row_picture_name(row)}")
    others = {
        name_key(taken)
        for taken, entry in known.items()
        if entry.get("source") != source
        or (entry.get("micrograph") != row.micrograph and entry.get("sha256") != row.sha256)
    }
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if name_key(free) not in others)


def _index(path: Path) -> dict[str, dict[str, str]]:
    """The rows of the index of a data set by their names; none where there is no index yet."""
    try:
        rows = list(csv.DictReader(StringIO(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, csv.Error) as error:
        why = f" ({error})" if isinstance(error, csv.Error) else ""
        raise UsageError(f"{path}: is no csv text in UTF-8{why}") from None
    return {row.get("id") or "": row for row in rows}


def _write_index(path: Path, rows: Mapping[str, dict[str, str]]) -> None:
    """Add rows to the index of a data set, in place of those of the same micrographs."""
    merged = _index(path) | dict(rows)
    columns = list(dict.fromkeys([*(name for row in merged.values() for name in row if name), *_COLUMNS]))
    with replacing(path) as stream:
        text = StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(merged.values())
        stream.write(text.getvalue().encode("utf-8"))
