"""A network over micrographs of any size: the tiles of all of them are spread over the cores."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.nn import functional

from temwatch.analysis.segmentation import preprocessing, tile_grid, weights

STRIDE_PX = 16
TILE_PX = 1024
"""Edge of what the network sees at once, after enlarging; about 1 GB at most."""

MIN_INPUT_PX = 64
OVERLAP_PX = 96


def tiled(
    net: torch.nn.Module, work: torch.Tensor, description: weights.Description, tile_px: int
) -> torch.Tensor:
    """Probabilities (micrograph, class, y, x) of prepared images (micrograph, 1, y, x), tile by tile."""
    height, width = work.shape[-2:]
    overlap_px = min(OVERLAP_PX, tile_px // 4) // description.enlarge
    places = list(
        tile_grid.tiles(
            (height, width),
            tile_px=tile_px // description.enlarge,
            overlap_px=overlap_px,
            stride_px=STRIDE_PX,
        )
    )
    one_tile = functools.partial(_one_tile, net, enlarge=description.enlarge)
    run = map if work.device.type == "cuda" else _threads().map
    outcomes = run(one_tile, [work[:, :, *place] for place in places])
    if len(places) == 1:
        return next(iter(outcomes))
    total = work.new_zeros((len(work), len(description.classes), height, width))
    weight = work.new_zeros((height, width))
    for place, found in zip(places, outcomes, strict=True):
        blend = _blending_weights((found.shape[-2], found.shape[-1]), overlap_px, work.device)
        total[:, :, *place].addcmul_(found, blend)
        weight[place] += blend
    return total.div_(weight)


@functools.lru_cache(maxsize=16)
def _blending_weights(shape: tuple[int, int], overlap_px: int, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(tile_grid.blending_weights(shape, overlap_px)).to(device)


class _Threads:
    """A thread a core for the tiles of all micrographs, oldest first.

    A tile on one core takes less of the cores' time than one on several, which wait for each other in every
    layer; only where there are fewer tiles than cores several work on one. The result is the same to the bit.
    """

    def __init__(self) -> None:
        self._cores = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._cores, "tile", self._note_number)
        self.numbers: set[int] = set()
        self._lock = threading.Lock()
        self._tiles = 0

    def _note_number(self) -> None:
        self.numbers.add(threading.get_native_id())

    def map(
        self, task: Callable[[torch.Tensor], torch.Tensor], tiles: Iterable[torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """The outcomes of a task for every tile, in order."""
        orders = list(tiles)
        with self._lock:
            self._tiles += len(orders)
        return self._pool.map(functools.partial(self._run, task), orders)

    def _run(self, task: Callable[[torch.Tensor], torch.Tensor], tile: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(max(1, self._cores // self._tiles))
        try:
            return task(tile)
        finally:
            with self._lock:
                self._tiles -= 1


@functools.cache
def _threads() -> _Threads:
    return _Threads()


def tile_threads() -> frozenset[int]:
    """The threads that compute tiles on a CPU, by their number in the kernel.

    While OpenVINO computes for them they wait, and move on with every tile.
    """
    return frozenset(_threads().numbers)


def _one_tile(net: torch.nn.Module, tile: torch.Tensor, enlarge: int) -> torch.Tensor:
    """Probabilities (micrograph, class, y, x) of a tile (micrograph, 1, y, x).

    It is padded by reflection to what the network can divide.
    """
    height, width = tile.shape[-2:]
    inputs = tile
    for axis, extent in ((2, height), (3, width)):
        missing = max(MIN_INPUT_PX, -(-extent // STRIDE_PX) * STRIDE_PX) - extent
        if missing:
            index = preprocessing.mirrored(extent, 0, missing, twice=False, device=tile.device)
            inputs = inputs.index_select(axis, index)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    if enlarge > 1:
        inputs = functional.interpolate(inputs, scale_factor=enlarge, mode="bilinear")
    device = device_of(net)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        outputs = net(inputs)
    found = torch.sigmoid(outputs.float())
    if enlarge > 1:
        found = functional.avg_pool2d(found, enlarge)
    return found[:, :, :height, :width]


def device_of(net: torch.nn.Module) -> torch.device:
    """Where a network is."""
    return next(iter(net.parameters())).device


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16; where it emulates, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)
