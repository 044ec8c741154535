"""napari opens results and micrographs: the reader that napari.yaml names. Nothing of napari is imported.

A layer is a tuple of data, its keywords, and its kind; lengths are in nm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temwatch import descriptors, formats, label_planes
from temwatch.outputs import paths
from temwatch.outputs.published_results import SampleResults, read_results

Layer = tuple[Any, dict[str, Any], str]

UNIT = "nm"
"""Of the scale of each layer, which says so in its metadata."""

_MOST_MICROGRAPHS = 20  # of a sample that are opened at once; each is two layers


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Layer]] | None:
    """What reads a micrograph, a sample's results or one of their folders; None for any other path."""
    first = Path(path if isinstance(path, str) else path[0])
    if first.is_dir():
        return read if (first / paths.MICROGRAPHS).is_file() or _sample_of(first) else None
    return read if first.suffix.lower() in formats.READERS and first.is_file() else None


def read(path: str | Sequence[str]) -> list[Layer]:
    """Layers of one path or of several."""
    given = [path] if isinstance(path, str) else path
    return [layer for one in given for layer in _read(Path(one))]


def _read(path: Path) -> list[Layer]:
    if not path.is_dir():
        return [_micrograph(path)]
    sample = _sample_of(path)
    if sample is not None:
        return _result(_results(sample), path.name, visible=True)
    results = _results(path)
    done = results.micrographs.query("status == 'done'")
    names = list(dict.fromkeys(done["micrograph"]))[:_MOST_MICROGRAPHS]
    return [
        layer for number, name in enumerate(names) for layer in _result(results, name, visible=number == 0)
    ]


def _sample_of(folder: Path) -> Path | None:
    """The sample's folder, where this is the folder of one of its micrographs."""
    sample = folder.parent.parent
    is_of_sample = folder.parent.name == "micrographs" and (sample / paths.MICROGRAPHS).is_file()
    return sample if is_of_sample else None


def _results(folder: Path) -> SampleResults:
    found = read_results(folder)
    assert isinstance(found, SampleResults)
    return found


def _micrograph(path: Path) -> Layer:
    """A micrograph, or a stack with its frames first."""
    source = formats.open_source(path)
    frames = [micrograph.image for micrograph in formats.read_frames(path)]
    image = frames[0] if source.frames is None else np.stack(frames)
    return image, _about(path.stem, source.pixel_size_nm, image.ndim) | {"colormap": "gray"}, "image"


def _result(results: SampleResults, micrograph: str, *, visible: bool) -> list[Layer]:
    """Picture and label image of one micrograph; particles that overlap lie on further planes."""
    analysis = results.analysis(micrograph)
    name = results.file_name(micrograph)
    layers: list[Layer] = []
    if analysis.image is not None:
        about = _about(name, analysis.pixel_size_nm, 2) | {"visible": visible, "colormap": "gray"}
        layers.append((analysis.image, about, "image"))
    numbers = list(results.outlines(micrograph))  # those of particles.csv, in the order of the particles
    regions = [one.region for one in analysis.particles]
    planes = label_planes.assign_planes(regions)
    drawn = []
    for plane in range(max(planes, default=0) + 1):
        own = [
            pair for pair, at in zip(zip(numbers, regions, strict=True), planes, strict=True) if at == plane
        ]
        drawn.append(label_planes.draw_labels(analysis.mask.shape, own))
    data = drawn[0] if len(drawn) == 1 else np.stack(drawn)
    features = {key: [one.descriptors.get(key) for one in analysis.particles] for key in descriptors.NAMES}
    about = _about(f"{name}_labels", analysis.pixel_size_nm, data.ndim) | {"visible": visible}
    layers.append((data, about | {"features": {"index": numbers} | features}, "labels"))
    return layers


def _about(name: str, pixel_size_nm: float, dimensions: int) -> dict[str, Any]:
    scale = (1.0,) * (dimensions - 2) + (pixel_size_nm, pixel_size_nm)
    return {"name": name, "scale": scale, "metadata": {"unit": UNIT}}
