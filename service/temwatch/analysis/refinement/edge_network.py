"""The edge network: from strips along contours to the distance of the edge, learned from simulated truth.

Convolutions run along the contour, over profiles as channels. What a contour shows on the whole, and what all
contours of the micrograph show together, is added to each point: one picture has one focus and one noise.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from temwatch.analysis.refinement.contours import Contours, Floats
from temwatch.analysis.refinement.rows import blocks, means_of_rows, rectify, side_by_side
from temwatch.analysis.refinement.strips import CHANNELS
from temwatch.analysis.segmentation import weights
from temwatch.errors import WeightsError

FORMAT = "temwatch-edges-1"
"""In the header of every weights file of this network."""
WIDTH = 48
REACH = 10
"""Points to both sides that the convolutions see."""


class EdgeNetwork(nn.Module):
    """Offset of the edge from each point, along its normal in steps, and the scale of its error."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.inp, self.n1 = nn.Conv1d(CHANNELS, width, 3), nn.BatchNorm1d(width)
        self.c2, self.n2 = nn.Conv1d(width, width, 5), nn.BatchNorm1d(width)
        self.contour, self.field = nn.Linear(width, width), nn.Linear(width, width)
        self.c3, self.n3 = nn.Conv1d(width, width, 5, dilation=2), nn.BatchNorm1d(width)
        self.c4, self.n4 = nn.Conv1d(width, width, 3, dilation=3), nn.BatchNorm1d(width)
        self.out = nn.Conv1d(width, 2, 1)

    def forward(
        self, strips: torch.Tensor, owner: torch.Tensor, field: torch.Tensor, is_inner: torch.Tensor
    ) -> torch.Tensor:
        """Offsets and error scales, (2, n - 2 REACH).

        Parameters
        ----------
        strips : (1, CHANNELS, n)
            Closed contours one after the other, each with `REACH` points of its other end at both ends.
        owner, is_inner : (n,)
            The contour of each point, and whether it is not one of those that are there twice.
        field : (contours,)
            The micrograph of each contour.
        """
        first = torch.relu(self.n1(self.inp(strips)))
        own = torch.relu(self.n2(self.c2(first)))
        owner, weight = owner[3:-3], is_inner[3:-3].to(own.dtype)
        contour = _means((own[0] * weight).T, weight, owner, len(field))
        fields = int(field.max()) + 1
        whole = _means(contour, torch.ones_like(contour[:, 0]), field, fields)
        own = own + torch.relu(self.contour(contour) + self.field(whole)[field])[owner].T[None]
        wide = own[:, :, 4:-4] + torch.relu(self.n3(self.c3(own)))
        wider = wide[:, :, 3:-3] + torch.relu(self.n4(self.c4(wide)))
        found: torch.Tensor = self.out(wider)[0]
        return found


def _means(values: torch.Tensor, weight: torch.Tensor, owner: torch.Tensor, count: int) -> torch.Tensor:
    """Mean of the rows of each owner, (count, columns); `values` are already weighted."""
    total = values.new_zeros(count, values.shape[1]).index_add_(0, owner, values)
    return total / weight.new_zeros(count).index_add_(0, owner, weight).clamp(min=1)[:, None]


def wrapped(begin: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Points of closed contours with `REACH` of each contour's other end at both ends.

    Returns
    -------
    index, owner : int64, (n,)
        Number of the point, and of its contour.
    is_inner : bool, (n,)
        False for those that are there twice.
    """
    lengths = np.diff(begin)
    extended = lengths + 2 * REACH
    start = np.concatenate(([0], np.cumsum(extended)))
    owner = np.repeat(np.arange(len(lengths)), extended)
    place = np.arange(start[-1]) - start[owner] - REACH
    index = begin[:-1][owner] + place % lengths[owner]
    return index, owner, (place >= 0) & (place < lengths[owner])


def load(path: Path) -> tuple[EdgeNetwork, str]:
    """The network with the weights of a file, ready for inference, and the file's sha256.

    Raises
    ------
    WeightsError
        The file is missing, damaged, of another network, or differs from the digest in `<file>.sha256`.
    """
    content, sha256 = weights.read_checked(path)
    try:
        # the library reads tensors from memory, the header from a file only
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        if header["__metadata__"]["format"] != FORMAT:
            raise ValueError
        state = safetensors.torch.load(content)
        if not all(torch.isfinite(tensor).all() for tensor in state.values()):
            raise ValueError
        net = EdgeNetwork()
        net.load_state_dict(state)
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError, RuntimeError):
        raise WeightsError(
            f"{path}: damaged, or weights of another network than that of the edges ({FORMAT} safetensors)"
        ) from None
    return net.eval().requires_grad_(False), sha256


def save(net: torch.nn.Module, path: Path) -> None:
    """Write weights, and their sha256 beside them."""
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    weights.write(path, safetensors.torch.save(state, metadata={"format": FORMAT}))


def offsets(net: EdgeNetwork, strips: Floats, contours: Contours) -> tuple[Floats, Floats]:
    """Distance of the edge from each point along its normal, and the scale of its error, in px, (n,).

    What `EdgeNetwork.forward` says of the contours of one micrograph, in half the time: a convolution is one
    product of matrices over some contours at a time, which stay in the processor's cache.
    """
    rows, begin = np.ascontiguousarray(strips.T), contours.begin
    first, second, third, fourth = (
        _fused(convolution, normalisation)
        for convolution, normalisation in (
            (net.inp, net.n1),
            (net.c2, net.n2),
            (net.c3, net.n3),
            (net.c4, net.n4),
        )
    )
    parts = [
        (slice(low, high), slice(begin[low], begin[high]), begin[low : high + 1] - begin[low])
        for low, high in pairwise(blocks(begin, _POINTS_AT_ONCE))
    ]
    own = np.empty((len(rows), len(second.bias)), np.float32)
    means = np.empty((len(begin) - 1, len(second.bias)), np.float32)
    for members, here, ends in parts:
        own[here] = _along(second, _along(first, rows[here], ends), ends)
        means_of_rows(own[here], ends, means[members])
    with torch.inference_mode():
        contour = torch.from_numpy(means)
        shared = torch.relu(net.contour(contour) + net.field(contour.mean(0))).numpy()
        found = torch.empty((len(rows), 2))
        for members, here, ends in parts:
            wide = own[here] + np.repeat(shared[members], np.diff(ends), axis=0)
            wide += _along(third, wide, ends)
            wide += _along(fourth, wide, ends)
            found[here] = nn.functional.linear(torch.from_numpy(wide), net.out.weight[:, :, 0], net.out.bias)
        scale = nn.functional.softplus(found[:, 1]) + LEAST_SCALE
    step = np.repeat(contours.step_px, np.diff(begin))
    return np.asarray(found[:, 0].numpy() * step), np.asarray(scale.numpy() * step)


_POINTS_AT_ONCE = 1024
LEAST_SCALE = 0.05
"""Steps; no edge is known better."""


class _Layer(NamedTuple):
    """A convolution along contours with its normalisation: (taps x channels, width), and (width,)."""

    weight: Floats
    bias: Floats
    taps: int
    dilation: int


def _fused(convolution: nn.Conv1d, normalisation: nn.BatchNorm1d) -> _Layer:
    fused = fuse_conv_bn_eval(convolution, normalisation)
    width, channels, taps = fused.weight.shape
    weight = fused.weight.detach().permute(2, 1, 0).reshape(taps * channels, width)
    assert fused.bias is not None  # a fused one has it
    return _Layer(weight.contiguous().numpy(), fused.bias.detach().numpy(), taps, int(fused.dilation[0]))


def _along(layer: _Layer, rows: Floats, begin: NDArray[np.int64]) -> Floats:
    """The layer and its rectification, of points (n, channels): (n, width)."""
    product = np.asarray(side_by_side(rows, begin, layer.taps, layer.dilation) @ layer.weight)
    rectify(product, layer.bias)
    return product
