"""Training: batches in, weights out, and everything that is needed to continue after a stop."""

from __future__ import annotations

import hashlib
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from temwatch.analysis.segmentation import deeplab, devices, preprocessing, weights
from temwatch.analysis.segmentation.network import network
from temwatch.analysis.segmentation.tiled_inference import has_bfloat16
from temwatch.domain import Image, Segmentation
from temwatch.errors import Interrupted, UsageError
from temwatch.operating_system import PROCESS_START
from temwatch.training import checkpoint, datasets, simulated
from temwatch.training.checkpoint import TrainingState
from temwatch.training.datasets import LabelledMicrograph
from temwatch.training.evaluate import evaluate, summary
from temwatch.training.evaluation_report import draw_curves
from temwatch.training.losses import contacts_threshold, loss
from temwatch.training.moving_average import update_average
from temwatch.training.recipes import Recipe, lengthened
from temwatch.training.sampling import Tile, Tiles
from temwatch.training.schedule import TrainingProgress, learning_rate, stage_at, total_steps

CHECKPOINT_SECONDS = 600.0
REPORT_STEPS = 20


def train(
    labelled: Sequence[LabelledMicrograph],
    output: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    steps: int | None = None,
    start_from: Path | None = None,
    report: Callable[[TrainingProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train a network and write its weights; an interrupted training continues from its checkpoint.

    Parameters
    ----------
    labelled
        Divided by source into training and validation (and a test part where the recipe has one).
    output : folder
        Gets checkpoint.pt, metrics.csv and png, division.json, and deeplab.safetensors: the weights that were
        best on the validation set, by the mean of the pooled and the average F1 of particles.
    recipe, seed
        With the data and the first weights they decide the weights, on one kind of device.
    device
        auto, cpu or cuda.
    workers
        Processes that prepare tiles; 0 prepares them between the batches.
    steps
        Number of batches, if different from the recipe; its stages are scaled.
    start_from
        Weights file of the same network to start with, instead of random weights.
    report
        Called every few steps.
    stop
        Asked after every step; when it is true, the training saves a checkpoint and stops.

    Raises
    ------
    UsageError
        The first weights are of another network, or the folder has a
        checkpoint of another training.
    WeightsError
        The first weights are missing or damaged.
    Interrupted
        The training was stopped.
    """
    parts, _ = datasets.divide_any(labelled, recipe.shares, seed)
    if steps is not None:
        recipe = lengthened(recipe, steps, Tiles(recipe, parts[0], [], seed=seed).steps_per_epoch())
    first = _first_weights(recipe, start_from)
    place = devices.find(device)
    digest = training_digest(recipe, parts, seed, first.sha256 if first else "")
    state = _begin(recipe, place, seed, first)
    checkpoint.resume(state, output, digest)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint.write_text(
        output / "division.json", json.dumps([[item.name for item in part] for part in parts], indent=1)
    )
    simulated = _simulated(recipe, output, seed, max(1, workers), report, stop)
    tiles = Tiles(recipe, parts[0], simulated, seed=tiles_seed(seed, first))
    total = total_steps(recipe, tiles.steps_per_epoch())
    description = weights.Description(
        architecture=recipe.architecture,
        classes=recipe.classes,
        preprocessing=preprocessing.NAME,
        enlarge=recipe.enlarge,
        max_side_px=recipe.max_side_px,
        half_size_from_px=recipe.half_size_from_px,
        contacts_threshold=contacts_threshold(recipe.loss),
        temwatch_version=version("temwatch"),
        training=digest,
        started_from=first.sha256 if first else "",
    )
    epoch = tiles.steps_per_epoch()
    validate_every = recipe.validate_every * (epoch if recipe.epochs else 1)
    saved = started = time.monotonic()
    losses: list[float] = []
    for batch in _batches(tiles, state.step, total, workers):
        rate = learning_rate(recipe, state.step, epoch)
        torch.manual_seed(seed * 1_000_003 + state.step)  # the same dropout after an interruption
        losses.append(_step(state, batch, recipe, rate, place))
        if not math.isfinite(losses[-1]):
            raise UsageError(f"step {state.step}: the loss is no longer finite: lower the learning rate")
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
            report(TrainingProgress(step=state.step, steps=total, stage=stage, values=values))
        stopped = state.step < total and stop()
        if validate or stopped or time.monotonic() - saved > CHECKPOINT_SECONDS:
            checkpoint.save(state, output, digest)
            draw_curves(state.history, output / "metrics.png")
            saved = time.monotonic()
        if stopped:
            raise Interrupted(
                f"stopped at step {state.step} of {total}; the same command continues from there"
            )
    return output / weights.DEFAULT_NAME


def training_digest(
    recipe: Recipe, parts: Sequence[Sequence[LabelledMicrograph]], seed: int, first_sha256: str = ""
) -> str:
    """Digest of recipe, seed, first weights and all labelled pixels: it identifies a training."""
    identity = [asdict(recipe), seed, *([first_sha256] if first_sha256 else [])]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for part in parts:
        for item in part:
            digest.update(item.name.encode())
            digest.update(np.ascontiguousarray(item.image).tobytes())
            digest.update(np.ascontiguousarray(item.labels).tobytes())
    return digest.hexdigest()


def tiles_seed(seed: int, first: weights.WeightsFile | None) -> int:
    """The seed of the tiles; a training that starts from weights gets other tiles than theirs."""
    return seed if first is None else seed ^ int(first.sha256[:12], 16)


def _first_weights(recipe: Recipe, path: Path | None) -> weights.WeightsFile | None:
    if path is None:
        return None
    file = weights.read(path)
    found, wanted = file.description, (recipe.architecture, recipe.classes, preprocessing.NAME)
    if (found.architecture, found.classes, found.preprocessing) != wanted:
        raise UsageError(
            f"{path}: weights of another network: {found.architecture} with {','.join(found.classes)}, "
            f"the recipe {recipe.name} has {recipe.architecture} with {','.join(recipe.classes)}"
        )
    return file


def _simulated(
    recipe: Recipe,
    output: Path,
    seed: int,
    workers: int,
    report: Callable[[TrainingProgress], None],
    stop: Callable[[], bool],
) -> Sequence[LabelledMicrograph]:
    if not recipe.simulated_micrographs:
        return []

    def tell(done: int) -> None:
        steps = recipe.simulated_micrographs
        report(TrainingProgress(step=done, steps=steps, stage="simulating", values={}))
        if stop():
            raise Interrupted("stopped before the first step; the same command starts again")

    return simulated.simulated(
        output / "simulated",
        recipe.simulated_micrographs,
        side_px=recipe.simulated_side_px,
        seed=seed,
        workers=workers,
        progress=tell,
    )


def _begin(
    recipe: Recipe, place: torch.device, seed: int, first: weights.WeightsFile | None
) -> TrainingState:
    torch.manual_seed(seed)
    net, average = (
        network(recipe.architecture, len(recipe.classes)).to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for _ in range(2)
    )
    if first is not None:
        net.load_state_dict(deeplab.load(first).state_dict())
    average.load_state_dict(net.state_dict())
    average.eval().requires_grad_(False)
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(net.parameters(), lr=1, momentum=0.9, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1, weight_decay=recipe.weight_decay)
    return TrainingState(net=net, average=average, optimizer=optimizer, history=[])


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
            multiprocessing_context=PROCESS_START if workers else None,
            worker_init_fn=_ignore_interrupts,
            pin_memory=torch.cuda.is_available(),
        )
    )


def _ignore_interrupts(_worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; only the one that saves the checkpoint reacts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _step(state: TrainingState, batch: Tile, recipe: Recipe, rate: float, place: torch.device) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    batch = {name: tensor.to(place, non_blocking=True) for name, tensor in batch.items()}
    image = batch.pop("image").contiguous(memory_format=torch.channels_last)
    state.net.train()
    with torch.autocast(place.type, torch.bfloat16, enabled=has_bfloat16(place)):
        logits = state.net(image)
    value = loss(logits, **batch, kind=recipe.loss)
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
    state.optimizer.step()
    state.step += 1
    update_average(state.average, state.net, state.step, recipe.ema_decay)
    return float(value.detach())


def _validate(
    state: TrainingState, part: Sequence[LabelledMicrograph], description: weights.Description, output: Path
) -> dict[str, float]:
    def segment(images: Sequence[Image]) -> list[Segmentation]:
        return deeplab.segmentations(state.average, images, description)

    measures = summary(list(evaluate(segment, part)))
    score = (measures["particle_f1"] + measures["particle_f1_per_micrograph"]) / 2
    if score > state.best:
        state.best = score
        deeplab.save(state.average, output / weights.DEFAULT_NAME, description)
    return measures | {"score": score, "best_score": state.best}
