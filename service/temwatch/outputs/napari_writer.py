"""napari saves corrected labels: the writer that napari.yaml names. Nothing of napari is imported.

`temwatch corrections` takes what it writes into a training set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.choices import is_plausible_pixel_size
from temwatch.label_planes import Labels
from temwatch.outputs.exports import labels
from temwatch.outputs.napari_reader import UNIT


def write(path: str, data: Any, about: dict[str, Any]) -> list[str]:
    """Write a layer of labels as `temwatch export` does; gives the path.

    Parameters
    ----------
    path : str
        Named `<name>_labels.tif`, as the layer is, so that its micrograph is known by it.
    data : array
        Whole numbers, shape (y, x) or (planes, y, x); 0 is background.
    about : dict
        The layer's keywords. Its scale is the pixel size where the layer comes from temwatch's reader;
        of any other layer nobody knows in which unit it is.

    Raises
    ------
    ValueError
        The layer has another shape, or numbers that are no labels.
    """
    planes = np.asarray(data)
    if planes.ndim not in (2, 3):
        raise ValueError(
            f"the layer has {planes.ndim} axes; labels of temwatch have y and x, or planes before them"
        )
    if planes.dtype.kind not in "biu" or planes.min(initial=0) < 0 or planes.max(initial=0) >= 2**32:
        raise ValueError("labels must be whole numbers from 0")
    planes = planes.reshape(-1, *planes.shape[-2:])
    metadata: dict[str, object] = {"axes": "ZYX", "Name": str(about.get("name", ""))}
    if (size_nm := _pixel_size_nm(about)) is not None:
        metadata |= labels.physical_size(size_nm)
    labels.write_planes(Path(path), _as_labels(planes), planes.shape, metadata)
    return [path]


def _as_labels(planes: NDArray[Any]) -> Iterator[Labels]:
    for plane in planes:
        yield plane.astype(np.uint32)


def _pixel_size_nm(about: dict[str, Any]) -> float | None:
    sizes = [float(size) for size in about.get("scale", ())][-2:]
    is_ours = (about.get("metadata") or {}).get("unit") == UNIT
    if not is_ours or len(sizes) < 2 or sizes[0] != sizes[1] or not is_plausible_pixel_size(sizes[0]):
        return None
    return sizes[0]
