"""The arguments of `temwatch benchmark`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from temwatch.choices import Device

Add = Callable[..., argparse.ArgumentParser]
"""Adds a command with its name, one line about it, and examples."""


def add_benchmark(add: Add, positive: Callable[[str], int]) -> None:
    """`temwatch benchmark`; `positive` reads a whole number above zero."""
    text = "time every stage, and micrographs end to end; or measure how true sizes are, or what is found"
    examples = (
        "",
        "--size 1024 --particles 500",
        "--gpu",
        "--accuracy --picture accuracy.png",
        "--detection --json",
    )
    option = add("benchmark", text, *examples).add_argument
    option("--json", action="store_true", help="JSON instead of tables")
    text = "this size only (default: 2048 px in detail, then 1024 to 4096 px with 50 to 5000 particles)"
    option("--size", type=positive, metavar="PX", help=text)
    option("--particles", type=positive, metavar="N", help="particles in it (default 2000; with --gpu 500)")
    text = "repeats; their median is shown (default 5); against truth micrographs of each kind (default 1)"
    option("--repeat", type=positive, metavar="N", help=text)
    text = "time of a GPU's network for 2048 px, other sizes by area, beside which all else is to keep up"
    option("--network-ms", type=_above_zero, default=15.5, metavar="MS", help=f"{text} (default 15.5: H100)")
    text = "only what a GPU is to reach, the network on --device (minutes)"
    option("--gpu", action="store_true", help=text)
    text = "where the network runs with --gpu (default auto)"
    option("--device", choices=get_args(Device), default="auto", help=text)
    text = "diameters against simulated truth, by size, defocus, dose, pixel size and shape (minutes)"
    option("--accuracy", action="store_true", help=text)
    text = "which particles of 2 nm are found, by contrast, dose, defocus and pixel size (minutes)"
    option("--detection", action="store_true", help=text)
    option("--picture", type=Path, metavar="FILE", help="png of what --accuracy or --detection finds")


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value
