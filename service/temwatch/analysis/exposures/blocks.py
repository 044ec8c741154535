"""Small blocks spread over an image: what the comparison of exposures looks at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Image

BLOCK_PX = 8
"""Side of a block: that of JPEG."""

MOST_ROWS = 48
MOST_COLUMNS = 32


def spread_blocks(image: Image, *, halved: bool = False) -> Image:
    """Blocks of an image, or of it at half size, shape (rows, columns, y, x).

    Their places follow from the width alone: a bar that is added or cut off below moves none.
    """
    scale = 2 if halved else 1
    height, width = (side // scale for side in image.shape)
    pitch = max(BLOCK_PX, width // MOST_COLUMNS // BLOCK_PX * BLOCK_PX)
    down = np.arange(min(MOST_ROWS, (height - BLOCK_PX) // pitch + 1)) * pitch
    across = np.arange(min(MOST_COLUMNS, (width - BLOCK_PX) // pitch + 1)) * pitch
    inside = np.arange(BLOCK_PX * scale)
    blocks: Image = image[
        (scale * down[:, None] + inside)[:, None, :, None], (scale * across[:, None] + inside)[None, :, None]
    ]
    if halved:
        blocks = blocks.reshape(len(down), len(across), BLOCK_PX, 2, BLOCK_PX, 2).mean(axis=(3, 5))
    return blocks


def is_written(blocks: Image) -> NDArray[np.bool_]:
    """Blocks of one value, as bars and letters that a program writes."""
    written: NDArray[np.bool_] = blocks.max(axis=(2, 3)) == blocks.min(axis=(2, 3))
    return written
