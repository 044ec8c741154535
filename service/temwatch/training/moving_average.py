"""A moving average of a network's weights: steadier than those of any single step."""

from __future__ import annotations

import torch


def update_average(average: torch.nn.Module, net: torch.nn.Module, step: int, most: float | None) -> None:
    """Let the average approach the network after a step (from 1), with a decay of `most` in the end.

    Without it the average is the network.
    """
    # an average over few steps would still contain the random start
    decay = min(most, (1 + step) / (10 + step)) if most else 0.0
    for old, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)
