"""Simulated micrographs for training, made once and stored in two arrays on disk."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.segmentation import preprocessing
from temwatch.simulator.micrograph import simulate_micrograph
from temwatch.simulator.settings import random_settings
from temwatch.training.datasets import LabelledMicrograph, Labels
from temwatch.training.targets import label_image
from temwatch.training.worker_pool import made_by_workers


def simulated(
    folder: Path,
    count: int,
    *,
    side_px: int,
    seed: int,
    workers: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Sequence[LabelledMicrograph]:
    """Simulate `count` micrographs over the whole range of settings, or reuse those of an earlier run.

    They are stored in `folder` and memory-mapped, not loaded: 1500 of 640 px take 2.5 GB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity = {"count": count, "side_px": side_px, "seed": seed, "preprocessing": preprocessing.NAME}
    done = folder / "done.json"
    if not (done.is_file() and json.loads(done.read_text(encoding="utf-8")) == identity):
        shape = (count, side_px, side_px)
        images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.float16, shape)
        labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint16, shape)
        make = partial(_one, side_px=side_px, seed=seed)
        micrographs = made_by_workers(make, range(count), workers, chunk=4)
        with contextlib.closing(micrographs) as made:
            for number, (image, label) in enumerate(made):
                images[number], labels[number] = image, label
                progress(number + 1)
        images.flush()
        labels.flush()
        temporary = done.with_suffix(".tmp")
        temporary.write_text(json.dumps(identity), encoding="utf-8")
        temporary.replace(done)
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy", mmap_mode="r")
    return [
        LabelledMicrograph(
            name=f"simulated/{number}", source="simulated", image=images[number], labels=labels[number]
        )
        for number in range(count)
    ]


def _one(number: int, *, side_px: int, seed: int) -> tuple[NDArray[np.float16], Labels]:
    random = np.random.default_rng((seed, number))
    micrograph = simulate_micrograph(random_settings(random, size_px=side_px), random)
    image = preprocessing.normalised(micrograph.image.astype(np.float32))
    return image.astype(np.float16), label_image(micrograph.particles, micrograph.mask.shape)
