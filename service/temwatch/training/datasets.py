"""Labelled micrographs on disk, and how they are divided by source.

A data set is a folder with `images/` and one of

- `instances/`  label images: 0 is background, every particle has a number of its own (png or tiff);
- `masks/` or `classes/`  8 bit: 255 is particle, anything else is background (0 and 1 are taken as well);

files of one micrograph share their stem. An optional `index.csv` has a column `id`, `name` or `file` and a
column `source` or `doi`: micrographs of one source never end up on both sides of a division. Without it the
folder is one source. A folder of such folders is all of them together.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError
from scipy import ndimage

from temwatch.domain import Image
from temwatch.errors import UsageError
from temwatch.names import plural

Labels = NDArray[np.integer]

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledMicrograph:
    """A micrograph as the network sees it, with its truth.

    `image` is normalised (float16 to save memory), `labels` gives every pixel to one particle, 0: none.
    `instances` is False where only a mask is known: then `labels` are its connected parts, and nothing is
    known about particles that touch.
    """

    name: str
    source: str
    image: NDArray[np.float16]
    labels: Labels
    instances: bool = True


def load(folder: Path) -> list[LabelledMicrograph]:
    """Every labelled micrograph of a data set or of the data sets in a folder, in order of their names.

    Raises
    ------
    UsageError
        Nothing is there, or something does not fit together; one line.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    sets = [folder] if (folder / "images").is_dir() else sorted(p.parent for p in folder.glob("*/images"))
    sets = [path for path in sets if _labels_folder(path)]
    if not sets:
        raise UsageError(f"{folder}: no data set: images/ with instances/, masks/ or classes/ beside it")
    found = [item for path in sets for item in _load_set(path)]
    if not found:
        raise UsageError(f"{folder}: images/ holds no picture")
    return found


def load_all(folders: Sequence[Path]) -> list[LabelledMicrograph]:
    """Every labelled micrograph of several folders.

    Raises
    ------
    UsageError
        As `load`, or two micrographs have the same name.
    """
    items = [item for folder in folders for item in load(folder)]
    (name, times), *_ = Counter(item.name for item in items).most_common(1)
    if times > 1:
        raise UsageError(f"--data: {name} is there twice: data sets need folders of different names")
    return items


def _labels_folder(folder: Path) -> Path | None:
    names = (folder / name for name in ("instances", "masks", "classes"))
    return next((path for path in names if path.is_dir()), None)


def _load_set(folder: Path) -> list[LabelledMicrograph]:
    from temwatch.analysis.segmentation import preprocessing  # torch: seconds to import

    labels_folder = _labels_folder(folder)
    assert labels_folder is not None  # load has looked
    instances = labels_folder.name == "instances"
    labels_of = {path.stem: path for path in _pictures(labels_folder)}
    sources = _sources(folder)
    result = []
    for path in _pictures(folder / "images"):
        if path.stem not in labels_of:
            raise UsageError(f"{path}: no labels of this name in {labels_folder.name}/")
        image = grey(path)
        labels = _labels(labels_of[path.stem], instances)
        if image.shape != labels.shape:
            raise UsageError(
                f"{labels_of[path.stem]}: {labels.shape} px do not fit the image's {image.shape}"
            )
        result.append(
            LabelledMicrograph(
                name=f"{folder.name}/{path.stem}",
                source=sources.get(path.stem, folder.name),
                image=preprocessing.normalised(image).astype(np.float16),
                labels=labels,
                instances=instances,
            )
        )
    return result


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)


def _sources(folder: Path) -> dict[str, str]:
    index = folder / "index.csv"
    if not index.is_file():
        return {}
    with index.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = set(rows[0]) if rows else set()
    name = next((key for key in ("id", "name", "file") if key in columns), None)
    source = next((key for key in ("source", "doi") if key in columns), None)
    if name is None or source is None:
        return {}
    return {Path(row[name]).stem if name == "file" else row[name]: row[source] or row[name] for row in rows}


def grey(path: Path) -> Image:
    """A picture as float32 (y, x); colour is brought to grey."""
    pixels = _pixels(path)
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels = pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
    if pixels.ndim != 2:
        raise UsageError(f"{path}: shape {pixels.shape} instead of (y, x), or (y, x, 3) for colour")
    return np.asarray(pixels, np.float32)


def _labels(path: Path, instances: bool) -> Labels:
    pixels = _pixels(path)
    if pixels.ndim != 2 or pixels.dtype.kind not in "ub":
        raise UsageError(f"{path}: labels must be whole numbers in one channel")
    if instances:
        # numbers may have holes or exceed 16 bit; 0 is background even where no pixel has it
        numbers, places = np.unique(pixels, return_inverse=True)
        return np.asarray(places.reshape(pixels.shape) + (numbers[0] > 0), np.int32)
    particle = 1 if pixels.max(initial=0) <= 1 else 255
    return np.asarray(ndimage.label(pixels == particle, np.ones((3, 3)))[0], np.int32)


def _pixels(path: Path) -> NDArray[np.generic]:
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            return np.asarray(tifffile.imread(path))
        with Pillow.open(path) as picture:
            return np.asarray(picture.convert("RGB") if picture.mode in ("P", "CMYK") else picture)
    except (OSError, UnidentifiedImageError, tifffile.TiffFileError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def divide(
    items: Sequence[LabelledMicrograph], shares: Sequence[float], seed: int
) -> list[list[LabelledMicrograph]]:
    """Divide by source, so that each part gets about its share of the micrographs.

    Which part a source goes to depends on its name, the seed and the sources before it in a shuffled order.
    """
    by_source: dict[str, list[LabelledMicrograph]] = {}
    for item in items:
        by_source.setdefault(item.source, []).append(item)
    order = sorted(by_source, key=lambda source: hashlib.sha256(f"{seed}/{source}".encode()).digest())
    parts: list[list[LabelledMicrograph]] = [[] for _ in shares]
    total = sum(shares)
    for source in order:
        lacks = [share / total * len(items) - len(part) for share, part in zip(shares, parts, strict=True)]
        parts[int(np.argmax(lacks))] += by_source[source]
    return parts


def divide_any(
    items: Sequence[LabelledMicrograph], shares: Sequence[float], seed: int
) -> tuple[list[list[LabelledMicrograph]], str]:
    """Divide by source; of too few sources by micrograph; of too few micrographs not at all.

    Returns
    -------
    list of list of LabelledMicrograph
        The parts, none of them empty.
    str
        What has to be known of their scores; empty where they are divided by source.
    """
    parts = divide(items, shares, seed)
    if all(parts):
        return parts, ""
    sources = sorted({item.source for item in items})
    names = f"one source ({sources[0]})" if len(sources) == 1 else f"{len(sources)} sources"
    known = {item.name: item for item in items}
    alone = [replace(item, source=item.name) for item in items]
    parts = [[known[item.name] for item in part] for part in divide(alone, shares, seed)]
    if all(parts):
        return parts, (
            f"the micrographs are of {names} for {len(shares)} parts, so they are divided by micrograph:"
            " scores on other samples will be lower"
        )
    return [list(items) for _ in shares], (
        f"{plural(len(items), 'micrograph')} of {names}, too few to be divided: every part has all of them,"
        " and scores are of what was learned from"
    )
