"""What the network runs on: found by its name, and asked now and then whether it still computes."""

from __future__ import annotations

import torch

from temwatch.errors import StartError


def find(name: str) -> torch.device:
    """The device of this name; auto takes a GPU where there is one, else the CPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise StartError("device cuda: there is no GPU that torch can use; auto or cpu would do")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def probe(device: torch.device) -> None:
    """Compute something on the device whose result is known.

    Raises
    ------
    RuntimeError
        The device reports an error, or computes wrongly.
    """
    ones = torch.ones((64, 64), device=device)
    found = float((ones @ ones).sum())
    if found != 64.0**3:
        raise RuntimeError(f"computes wrongly: {found:g} instead of {64.0**3:g}")
