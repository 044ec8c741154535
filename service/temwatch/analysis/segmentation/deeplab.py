"""The trained segmenter: DeepLabv3+ on ResNet-18 (Chen et al., ECCV 2018), the only file here that knows torch.

Nothing is downloaded: the network is built without weights and filled from a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray

from temwatch.analysis.segmentation import preprocessing, tiling, weights
from temwatch.config import SegmentationSettings
from temwatch.domain import Image, Segmentation, Segmenter
from temwatch.errors import StartError, WeightsError

Probabilities = NDArray[np.float32]

STRIDE_PX = 16
TILE_PX = 1024
"""Edge of what the network sees at once, after enlarging; about 1 GB at most."""

MIN_TILE_PX = 256
OVERLAP_PX = 96
THRESHOLD = 0.5


def network(classes: int) -> torch.nn.Module:
    """DeepLabv3+ with one input channel and one output channel a class, random weights."""
    return smp.DeepLabV3Plus("resnet18", encoder_weights=None, in_channels=1, classes=classes)


def build(
    settings: SegmentationSettings, on_out_of_memory: Callable[[], None] = lambda: None
) -> Segmenter:
    """Load the weights that the settings name, else those that come with temwatch.

    Raises
    ------
    WeightsError
        No weights, or weights that are damaged or of another network.
    StartError
        The device is not there.
    """
    path = settings.weights or weights.default_weights()
    if path is None:
        raise WeightsError("this temwatch comes without weights: name a file, or use the method threshold")
    file = weights.read(path)
    device = _device(settings.device)
    net = load(file).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sign = np.float32(1 if settings.particles == "dark" else -1)

    def segment(images: Sequence[Image]) -> list[Segmentation]:
        return [
            _segmentation(
                probabilities(net, sign * image, file.description, on_out_of_memory=on_out_of_memory)
            )
            for image in images
        ]

    return Segmenter(
        name="deeplab",
        segment=segment,
        parameters=(("particles", settings.particles), ("threshold", THRESHOLD)),
        model_sha256=file.sha256,
    )


def load(file: weights.WeightsFile) -> torch.nn.Module:
    """The network with these weights, ready for inference, on the CPU."""
    description = file.description
    if description.architecture != weights.ARCHITECTURE or description.classes not in weights.CLASSES:
        found = f"{description.architecture} with {','.join(description.classes)}"
        raise WeightsError(f"{file.path}: weights of another network: {found}")
    if description.preprocessing != preprocessing.NAME:
        raise WeightsError(f"{file.path}: made for another preprocessing: {description.preprocessing}")
    try:
        state = safetensors.torch.load(file.content)
    except (safetensors.SafetensorError, ValueError):
        raise WeightsError(f"{file.path}: damaged: the tensors cannot be read") from None
    net = network(len(description.classes))
    expected = net.state_dict()
    wrong = [
        name
        for name in sorted(expected.keys() | state.keys())
        if name not in expected or name not in state or expected[name].shape != state[name].shape
    ]
    if wrong:
        raise WeightsError(
            f"{file.path}: weights of another network: {len(wrong)} layers do not match, first {wrong[0]}"
        )
    if not all(torch.isfinite(tensor).all() for tensor in state.values()):
        raise WeightsError(f"{file.path}: damaged: holds values that are not finite")
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


def save(net: torch.nn.Module, path: Path, description: weights.Description) -> None:
    """Write weights in half precision, and their sha256 beside them."""
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in net.state_dict().items()
    }
    path.write_bytes(safetensors.torch.save(state, metadata=description.header()))
    digest = weights.sha256_of(path)
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")


def probabilities(
    net: torch.nn.Module,
    image: Image,
    description: weights.Description,
    *,
    tile_px: int = TILE_PX,
    on_out_of_memory: Callable[[], None] = lambda: None,
) -> Probabilities:
    """Probability of each class in each pixel, (class, y, x).

    An image that does not fit the GPU's memory is done in tiles half as large, at last on the CPU;
    `on_out_of_memory` is called each time.
    """
    if image.size == 0 or not np.ptp(image[np.isfinite(image)], axis=None) if image.size else True:
        return np.zeros((len(description.classes), *image.shape), np.float32)
    while True:
        try:
            return _tiled(net, image, description, tile_px)
        except torch.OutOfMemoryError:
            on_out_of_memory()
        torch.cuda.empty_cache()
        if tile_px // 2 >= MIN_TILE_PX:
            tile_px //= 2
        elif _place(net).type != "cpu":
            net.to("cpu")
        else:
            raise MemoryError
