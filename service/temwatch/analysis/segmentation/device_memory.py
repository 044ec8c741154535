"""A network within the memory of its device, which other programs may use meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from temwatch.analysis.segmentation.tiled_inference import device_of

MIN_TILE_PX = 256

Result = TypeVar("Result")


def within_memory(
    task: Callable[[torch.nn.Module, NDArray[np.float32], int], list[Result]],
    net: torch.nn.Module,
    stack: NDArray[np.float32],
    tile_px: int,
    on_out_of_memory: Callable[[], None],
) -> list[Result]:
    """What a task makes of a network and images, in as large steps as the memory of a GPU takes.

    Where it does not suffice, images are taken one by one, then in tiles half as large, at last on the CPU.

    Parameters
    ----------
    task
        Has a result for each image; gets the network, images and the size of tiles.
    net
        Back on its device at the end.
    stack : float32, (n, y, x)
        Images on the CPU.
    tile_px
        Edge of the tiles at first.
    on_out_of_memory
        Called each time.

    Raises
    ------
    MemoryError
        The smallest tile does not fit into the memory of the CPU.
    """
    home = device_of(net)
    try:
        while True:
            try:
                return task(net, stack, tile_px)
            except torch.OutOfMemoryError:
                on_out_of_memory()
            torch.cuda.empty_cache()
            if len(stack) > 1:
                return [
                    found
                    for index in range(len(stack))
                    for found in within_memory(task, net, stack[index : index + 1], tile_px, on_out_of_memory)
                ]
            if tile_px // 2 >= MIN_TILE_PX:
                tile_px //= 2
            elif device_of(net).type != "cpu":
                net.to("cpu")
                torch.cuda.empty_cache()
            else:
                raise MemoryError("the network does not fit into memory")
    finally:
        net.to(home)
