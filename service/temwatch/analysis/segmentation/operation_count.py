"""How much a network has to compute, and how fast this machine computes: no code could be faster."""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from temwatch.analysis.segmentation import deeplab, tile_grid, weights
from temwatch.analysis.segmentation.tiled_inference import OVERLAP_PX, STRIDE_PX, TILE_PX, has_bfloat16
from temwatch.config import SegmentationSettings

_EDGE = 2048
_REPEATS = 3


def operations(size_px: int) -> float:
    """Multiplications and additions of one pass over a square micrograph, the tiles with their overlap."""
    file = weights.read(weights.find_weights(SegmentationSettings()))
    net = deeplab.fused(deeplab.load(file))
    edge = 256
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(torch.zeros((1, 1, edge, edge)))
    per_px = counter.get_total_flops() / edge**2
    places = tile_grid.tiles((size_px, size_px), tile_px=TILE_PX, overlap_px=OVERLAP_PX, stride_px=STRIDE_PX)
    return float(
        sum(per_px * (rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in places)
    )


def operations_per_second() -> float:
    """Of a large product of matrices on one core, in the precision that the network computes in."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        kind = torch.bfloat16 if has_bfloat16(torch.device("cpu")) else torch.float32
        matrix = torch.ones((_EDGE, _EDGE), dtype=kind)
        best = 0.0
        for _ in range(_REPEATS + 1):
            started = time.thread_time()
            matrix @ matrix
            best = max(best, 2 * _EDGE**3 / (time.thread_time() - started))
        return best
    finally:
        torch.set_num_threads(threads)
