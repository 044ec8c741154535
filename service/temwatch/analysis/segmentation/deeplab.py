"""The trained segmenter: a network of `network.py`, its weights from a file, over micrographs of any size.

Nothing is downloaded: the network is built without weights and filled from a file.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch.nn.utils.fusion import fuse_conv_bn_eval

from temwatch.analysis.appearance.confidence import STEPS
from temwatch.analysis.appearance.domain import domain_distance, notes_of
from temwatch.analysis.refinement import edge_network
from temwatch.analysis.refinement.edge_network import EdgeNetwork
from temwatch.analysis.refinement.level import OUTLINE
from temwatch.analysis.refinement.refine import refined
from temwatch.analysis.segmentation import devices, openvino_network, preprocessing, weights
from temwatch.analysis.segmentation.best_sizes import at_best_sizes
from temwatch.analysis.segmentation.device_memory import within_memory
from temwatch.analysis.segmentation.masking import Candidates, candidates, particle_mask
from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.analysis.segmentation.network import network
from temwatch.analysis.segmentation.preprocessing import Prepared, PreparedBatch
from temwatch.analysis.segmentation.remarks import remarks
from temwatch.analysis.segmentation.tiled_inference import TILE_PX, device_of, tile_threads
from temwatch.choices import CpuEngine
from temwatch.config import SegmentationSettings
from temwatch.domain import Image, Mask, Probability, Segmentation, Segmenter
from temwatch.errors import WeightsError

Probabilities = NDArray[np.float32]

TOGETHER = 4
"""Micrographs that a GPU sees at once."""


def build(settings: SegmentationSettings, on_out_of_memory: Callable[[], None] = lambda: None) -> Segmenter:
    """Load the weights that the settings name, else those that come with temwatch.

    Raises
    ------
    WeightsError
        No weights, or weights that are damaged or of another network.
    StartError
        The device is not there.
    MissingExtra
        What is to compute on the CPU is not installed.
    """
    file = weights.read(weights.find_weights(settings))
    edges = None
    if file.description.architecture != weights.ANTEMA:
        edges, _ = edge_network.load(weights.find_edges())
    device = devices.find(settings.device)
    net = ready(file, device, settings.cpu_engine)
    together = TOGETHER if device.type == "cuda" else 1
    turn = threading.Lock() if device.type == "cuda" else contextlib.nullcontext()

    def segment(images: Sequence[Image], *, dark: bool) -> list[Segmentation]:
        found = segmentations(
            net,
            images,
            file.description,
            dark=dark,
            edges=edges,
            together=together,
            turn=turn,
            on_out_of_memory=on_out_of_memory,
        )
        return [
            replace(one, notes=remarks(image, one.mask, dark=dark) + notes_of(one.domain_distance))
            for one, image in zip(found, images, strict=True)
        ]

    def segmenter(dark: bool) -> Segmenter:
        of_particles = settings.model_copy(update={"particles": "dark" if dark else "bright"})
        return Segmenter(
            name="deeplab",
            segment=functools.partial(segment, dark=dark),
            parameters=weights.parameters(of_particles, file),
            model_sha256=file.sha256,
            probe=functools.partial(devices.probe, device) if device.type == "cuda" else None,
            together=together,
            helpers=tile_threads,
        )

    dark = settings.particles == "dark"
    return replace(segmenter(dark), opposite=segmenter(not dark))


def load(file: weights.WeightsFile) -> torch.nn.Module:
    """The network with these weights, ready for inference, on the CPU."""
    description = file.description
    if description.classes not in weights.ARCHITECTURES.get(description.architecture, ()):
        found = f"{description.architecture} with {','.join(description.classes)}"
        raise WeightsError(f"{file.path}: weights of another network: {found}")
    if description.preprocessing not in preprocessing.PREPROCESSINGS:
        raise WeightsError(f"{file.path}: made for another preprocessing: {description.preprocessing}")
    try:
        state = safetensors.torch.load(file.content)
    except (safetensors.SafetensorError, ValueError):
        raise WeightsError(f"{file.path}: damaged: the tensors cannot be read") from None
    net = network(description.architecture, len(description.classes))
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


def ready(file: weights.WeightsFile, device: torch.device, cpu_engine: CpuEngine) -> torch.nn.Module:
    """The network with these weights on its device, in the form that is fastest there.

    What the original's network says is torch's everywhere.

    Raises
    ------
    MissingExtra
        What is to compute on the CPU is not installed.
    """
    net = fused(load(file))
    is_original = file.description.architecture == weights.ANTEMA
    if device.type == "cpu" and not is_original and openvino_network.is_chosen(cpu_engine):
        return openvino_network.OpenVinoNetwork(net)
    return net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def fused(net: torch.nn.Module) -> torch.nn.Module:
    """The same function with every normalisation taken into the convolution before it; a sixth faster."""
    net = copy.deepcopy(net)
    for module in net.modules():
        for (name, before), (following, after) in pairwise(list(module.named_children())):
            if not isinstance(after, torch.nn.BatchNorm2d):
                continue
            if isinstance(before, torch.nn.Conv2d):
                setattr(module, name, fuse_conv_bn_eval(before, after))
            elif isinstance(before, torch.nn.Sequential) and isinstance(before[-1], torch.nn.Conv2d):
                before[-1] = fuse_conv_bn_eval(before[-1], after)  # a convolution in two steps
            else:
                continue
            setattr(module, following, torch.nn.Identity())
    return net


def save(net: torch.nn.Module, path: Path, description: weights.Description, *, half: bool = True) -> None:
    """Write weights, in half precision unless `half` is false, and their sha256 beside them."""
    state = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in net.state_dict().items()
    }
    weights.write(path, weights.with_header(safetensors.torch.save(state), description))


class _ImageMasks(NamedTuple):
    """What comes back from the device for one micrograph: pixels as the network saw them, and masks."""

    image: Prepared
    found: Candidates
    contacts: Mask | None
    probability: Probability | None


def segmentations(
    net: torch.nn.Module,
    images: Sequence[Image],
    description: weights.Description,
    *,
    dark: bool = True,
    edges: EdgeNetwork | None = None,
    together: int = 1,
    turn: contextlib.AbstractContextManager[object] | None = None,
    on_out_of_memory: Callable[[], None] = lambda: None,
) -> list[Segmentation]:
    """Mask, and contacts where the network has them, of micrographs.

    Parameters
    ----------
    net, description
        A network and what its weights say of themselves.
    images
        float32, (y, x) each.
    dark
        Whether particles are dark.
    edges
        Moves the outlines to where particles end; without it they lie where the network draws them.
    together
        So many of one shape, where they follow each other, are seen at once.
    turn
        Held while the device works: where a GPU's memory runs out the network moves, which two must not do at
        once. What needs connected parts and outlines is done by the CPU after the turn.
    on_out_of_memory
        As for `probabilities`.
    """
    see = functools.partial(_see, description=description)
    seen = []
    for batch in _of_one_shape(images, together):
        with turn or contextlib.nullcontext():
            seen += within_memory(see, net, _stacked(batch, dark=dark), TILE_PX, on_out_of_memory)
    return [_segmentation(one, description, edges) for one in seen]


def _stacked(images: Sequence[Image], *, dark: bool = True) -> NDArray[np.float32]:
    """Images of one shape in memory of their own, (n, y, x), particles dark."""
    stack = np.stack(images).astype(np.float32, copy=False)
    return stack if dark else np.negative(stack, out=stack)


def _see(
    net: torch.nn.Module, stack: NDArray[np.float32], tile_px: int, *, description: weights.Description
) -> list[_ImageMasks]:
    """The device's part: preparation, network, thresholds."""
    batch, found = _probabilities(net, stack, tile_px, description=description)
    images = (Prepared(*one) for one in zip(batch.pixels.cpu().numpy(), batch.noise, strict=True))
    return [
        _ImageMasks(image, *masks_of(one, image.noise, description), _kept_probability(one[0], description))
        for image, one in zip(images, found, strict=True)
    ]


def _probabilities(
    net: torch.nn.Module, stack: NDArray[np.float32], tile_px: int, *, description: weights.Description
) -> tuple[PreparedBatch, list[torch.Tensor]]:
    """Prepared images (n, y, x), and probabilities (class, y, x) of each, where the network is.

    The network does not look at images without contrast.
    """
    images = torch.tensor(stack, device=device_of(net))  # a copy: after lack of memory they are needed again
    batch = preprocessing.prepared_batch(images, description.preprocessing)
    has_contrast = [bool(low < high) for low, high in map(torch.aminmax, batch.pixels)]
    worth = batch
    if not all(has_contrast):
        noise = [noise for noise, worthy in zip(batch.noise, has_contrast, strict=True) if worthy]
        worth = PreparedBatch(batch.pixels[has_contrast], noise)
    found = iter(at_best_sizes(net, worth, description, tile_px) if any(has_contrast) else ())
    nothing = batch.pixels.new_zeros((len(description.classes), *batch.pixels.shape[1:]))
    return batch, [next(found) if worthy else nothing for worthy in has_contrast]


def masks_of(
    found: torch.Tensor, noise: float, description: weights.Description
) -> tuple[Candidates, Mask | None]:
    """Where particles may be, and contacts where there is a second class, from probabilities (class, y, x).

    The original's network is thresholded as the original does it: above one half.
    """
    if description.architecture == weights.ANTEMA:
        mask = (found[0] > PARAMETERS.threshold).cpu().numpy()
        return Candidates(mask, mask), None
    contacts = (found[1] > description.contacts_threshold).cpu().numpy() if len(found) > 1 else None
    return candidates(found[0], noise), contacts


def _kept_probability(found: torch.Tensor, description: weights.Description) -> Probability | None:
    """Probabilities (y, x) in `STEPS` steps; what the original's network says was not calibrated."""
    if description.architecture == weights.ANTEMA:
        return None
    kept: Probability = (found * STEPS).round_().to(torch.uint8).cpu().numpy()
    return kept


def _segmentation(
    seen: _ImageMasks, description: weights.Description, edges: EdgeNetwork | None
) -> Segmentation:
    """The CPU's part: connected parts, holes, outlines."""
    is_original = description.architecture == weights.ANTEMA
    mask = seen.found.mask if is_original else particle_mask(seen.found, seen.image.pixels)
    found = Segmentation(mask=mask, contacts=seen.contacts, probability=seen.probability)
    if edges is not None:
        found = with_true_edges(found, seen.image, edges)
    if found.probability is None:
        return found
    return replace(found, domain_distance=domain_distance(found.probability, found.mask, seen.image.noise))


def with_true_edges(found: Segmentation, image: Prepared, edges: EdgeNetwork) -> Segmentation:
    """The segmentation with every outline where the picture shows the edge, and between the pixels."""
    level = refined(image.pixels, image.noise, found.mask, edges)
    return replace(found, mask=level > OUTLINE, level=level)


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
    look = functools.partial(_look, description=description)
    return within_memory(look, net, _stacked([image]), tile_px, on_out_of_memory)[0]


def _look(
    net: torch.nn.Module, stack: NDArray[np.float32], tile_px: int, *, description: weights.Description
) -> list[Probabilities]:
    _, found = _probabilities(net, stack, tile_px, description=description)
    return [np.asarray(one.cpu().numpy()) for one in found]


def _of_one_shape(images: Sequence[Image], most: int) -> Iterator[list[Image]]:
    """Neighbours of one shape, up to so many."""
    for _, group in itertools.groupby(images, lambda image: image.shape):
        same = list(group)
        yield from (same[start : start + most] for start in range(0, len(same), most))
