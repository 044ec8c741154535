"""Training: batches in, weights out, and everything needed to go on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from temwatch.analysis.segmentation import deeplab, preprocessing, weights
from temwatch.domain import Image, Segmentation
from temwatch.errors import UsageError
from temwatch.training import checkpoint, data, pool
from temwatch.training.checkpoint import State
from temwatch.training.data import Labelled
from temwatch.training.evaluate import evaluate, summary
from temwatch.training.losses import loss
from temwatch.training.recipes import Recipe
from temwatch.training.report import curves
from temwatch.training.sampling import Tile, Tiles
from temwatch.training.schedule import Report, learning_rate, stage_at, total_steps

CHECKPOINT_SECONDS = 600.0
REPORT_STEPS = 20


def train(
    labelled: Sequence[Labelled],
    output: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    report: Callable[[Report], None] = lambda _: None,
) -> Path:
    """Train a network and write its weights; a training that was interrupted goes on from its checkpoint.

    Parameters
    ----------
    labelled
        Divided by source into training and validation (and what the recipe keeps for a test).
    output : folder
        Gets checkpoint.pt, metrics.csv and png, division.json, and deeplab.safetensors: the weights that were
        best on the validation set, by the mean of the pooled and the average F1 of particles.
    recipe, seed
        With the data they decide the weights, on one kind of device.
    device
        auto, cpu or cuda.
    workers
        Processes that prepare tiles; 0 prepares them between the batches.
    report
        Called every few steps.

    Raises
    ------
    UsageError
        Too few sources to divide, or a checkpoint of another training is in the way.
    """
    parts = data.divide(labelled, recipe.shares, seed)
    if not all(parts):
        raise UsageError("the labelled micrographs come from too few sources to be divided")
    output.mkdir(parents=True, exist_ok=True)
    checkpoint.write_text(
        output / "division.json", json.dumps([[item.name for item in part] for part in parts], indent=1)
    )
    simulated = _simulated(recipe, output, seed, max(1, workers), report)
    tiles = Tiles(recipe, parts[0], simulated, seed=seed)
    total = total_steps(recipe, tiles.steps_per_epoch())
    place = deeplab.find_device(device)
    digest = training_digest(recipe, parts, seed)
    state = _begin(recipe, place, seed)
    checkpoint.resume(state, output, digest)
    description = weights.Description(
        classes=recipe.classes,
        preprocessing=preprocessing.NAME,
        enlarge=recipe.enlarge,
        max_side_px=recipe.max_side_px,
        temwatch_version=version("temwatch"),
        training=digest,
    )
    epoch = tiles.steps_per_epoch()
    validate_every = recipe.validate_every * (epoch if recipe.epochs else 1)
    saved = started = time.monotonic()
    losses: list[float] = []
    for batch in _batches(tiles, state.step, total, workers):
        rate = learning_rate(recipe, state.step, epoch)
        torch.manual_seed(seed * 1_000_003 + state.step)  # dropout goes on the same after an interruption
        losses.append(_step(state, batch, recipe, rate, place))
        if not math.isfinite(losses[-1]):
            raise UsageError(f"step {state.step}: the loss is not finite any more: lower the learning rate")
        validate = state.step % validate_every == 0 or state.step == total
        if validate or state.step % REPORT_STEPS == 0:
            values = {
                "loss": float(np.mean(losses)),
                "learning_rate": rate,
                "tiles_per_second": len(losses) * recipe.batch / (time.monotonic() - started),
            }
            if validate:
                values |= _validate(state, parts[1], description, output)
            losses, started = [], time.monotonic()
            stage = stage_at(recipe, state.step - 1)[0].name
            state.history.append({"step": state.step, "stage": stage, **values})
            report(Report(step=state.step, steps=total, stage=stage, values=values))
        if validate or time.monotonic() - saved > CHECKPOINT_SECONDS:
            checkpoint.save(state, output, digest)
            curves(state.history, output / "metrics.png")
            saved = time.monotonic()
    return output / weights.DEFAULT_NAME


def training_digest(recipe: Recipe, parts: Sequence[Sequence[Labelled]], seed: int) -> str:
    """Names a training by its recipe, its seed and the pixels that it learns from."""
    digest = hashlib.sha256(json.dumps([asdict(recipe), seed], sort_keys=True).encode())
    for part in parts:
        for item in part:
            digest.update(item.name.encode())
            digest.update(np.ascontiguousarray(item.image).tobytes())
            digest.update(np.ascontiguousarray(item.labels).tobytes())
    return digest.hexdigest()


def _simulated(
    recipe: Recipe, output: Path, seed: int, workers: int, report: Callable[[Report], None]
) -> Sequence[Labelled]:
    if not recipe.simulated_micrographs:
        return []

    def tell(done: int) -> None:
        steps = recipe.simulated_micrographs
        report(Report(step=done, steps=steps, stage="simulating", values={}))

    return pool.simulated(
        output / "simulated",
        recipe.simulated_micrographs,
        side_px=recipe.simulated_side_px,
        seed=seed,
        workers=workers,
        progress=tell,
    )


def _begin(recipe: Recipe, place: torch.device, seed: int) -> State:
    torch.manual_seed(seed)
    net, average = (
        deeplab.network(len(recipe.classes)).to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for _ in range(2)
    )
    average.load_state_dict(net.state_dict())
    average.eval().requires_grad_(False)
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(net.parameters(), lr=1, momentum=0.9, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1, weight_decay=recipe.weight_decay)
    return State(net=net, average=average, optimizer=optimizer, history=[])


def _batches(tiles: Tiles, start: int, total: int, workers: int) -> Iterator[Tile]:
    recipe = tiles.recipe

    def keys(step: int) -> list[tuple[int, float]]:
        share = stage_at(recipe, step)[0].simulated_share
        return [(step * recipe.batch + place, share) for place in range(recipe.batch)]

    return iter(
        DataLoader(
            tiles,
            batch_sampler=[keys(step) for step in range(start, total)],
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="forkserver" if workers else None,
            pin_memory=torch.cuda.is_available(),
        )
    )


def _step(state: State, batch: Tile, recipe: Recipe, rate: float, place: torch.device) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    batch = {name: tensor.to(place, non_blocking=True) for name, tensor in batch.items()}
    image = batch.pop("image").contiguous(memory_format=torch.channels_last)
    state.net.train()
    with torch.autocast(place.type, torch.bfloat16, enabled=deeplab.has_bfloat16(place)):
        logits = state.net(image)
    value = loss(logits, **batch, kind=recipe.loss)
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
    state.optimizer.step()
    state.step += 1
    # the average of few steps would remember the random start
    decay = min(recipe.ema_decay, (1 + state.step) / (10 + state.step)) if recipe.ema_decay else 0.0
    for kept, new in zip(state.average.state_dict().values(), state.net.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
    return float(value.detach())


def _validate(
    state: State, part: Sequence[Labelled], description: weights.Description, output: Path
) -> dict[str, float]:
    def segment(images: Sequence[Image]) -> list[Segmentation]:
        return [
            deeplab.segmentation_of(deeplab.probabilities(state.average, image, description))
            for image in images
        ]

    measures = summary(list(evaluate(segment, part)))
    score = (measures["particle_f1"] + measures["particle_f1_per_micrograph"]) / 2
    if score > state.best:
        state.best = score
        deeplab.save(state.average, output / weights.DEFAULT_NAME, description)
    return measures | {"score": score, "best_score": state.best}
