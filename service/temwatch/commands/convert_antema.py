"""`temwatch convert-antema`: converts the Keras weights of ANTEMA to weights of temwatch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import temwatch
from temwatch.analysis.segmentation import antema_network, deeplab, preprocessing, weights
from temwatch.errors import TemwatchError, UsageError

MAX_SIDE_PX = 1024
"""The original network was trained on pictures scaled to this size."""


def run(arguments: argparse.Namespace) -> int:
    """Convert; exit code 1 with a list of what does not match."""
    layers = read(arguments.weights)
    wrong = antema_network.mismatches(layers)
    if wrong:
        print(f"temwatch: {arguments.weights}: not the weights of ANTEMA's network", file=sys.stderr)  # noqa: T201
        for line in wrong:
            print(f"  {line}", file=sys.stderr)  # noqa: T201
        return 1
    net = antema_network.filled(layers, particle_first=arguments.particle_class == "first")
    description = weights.Description(
        architecture=weights.ANTEMA,
        classes=("mask",),
        preprocessing=preprocessing.ANTEMA,
        max_side_px=MAX_SIDE_PX,
        temwatch_version=temwatch.__version__,
        training=f"converted from {arguments.weights.name}",
    )
    try:
        deeplab.save(net, arguments.output, description, half=False)
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror or error}") from None
    print(arguments.output)  # noqa: T201
    return 0


def read(path: Path) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Variables by layer from an h5 of Keras, or of MATLAB's exporter.

    Both keep a variable in a group that bears its layer's name. MATLAB's exporter adds an underscore to each
    name, writes every variable as a vector in C order and keeps its shape in an attribute.

    Raises
    ------
    TemwatchError
        The file is missing, damaged or holds no such groups.
    """
    layers: dict[str, dict[str, NDArray[np.float32]]] = {}

    def take(name: str, item: object) -> None:
        folder, _, variable = name.rpartition("/")
        if not isinstance(item, h5py.Dataset) or not folder or "optimizer" in folder:
            return
        values = np.asarray(item[()])
        if values.dtype.kind != "f":
            return
        shape = item.attrs.get("Shape")
        if shape is not None and np.prod(shape) == values.size:
            values = values.reshape(np.asarray(shape).astype(int).ravel())
        layer = folder.rpartition("/")[2].removesuffix("_")
        layers.setdefault(layer, {})[variable.partition(":")[0]] = np.asarray(values, np.float32)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(take)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = "not a readable HDF5 file" if path.is_file() else "no such file"
        raise TemwatchError(f"{path}: {reason}: {' '.join(str(error).split())[:200]}") from None
    if not layers:
        raise TemwatchError(f"{path}: holds no named layers")
    return layers
