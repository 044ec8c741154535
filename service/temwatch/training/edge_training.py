"""Training of the edge network on simulated micrographs: examples, loss, loop and validation."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from temwatch.analysis.refinement import edge_network
from temwatch.analysis.refinement.contours import SAMPLES_PER_RADIUS
from temwatch.analysis.refinement.edge_network import LEAST_SCALE, REACH, EdgeNetwork, wrapped
from temwatch.analysis.refinement.strips import SAMPLES
from temwatch.analysis.segmentation import preprocessing
from temwatch.analysis.segmentation.weights import EDGES_NAME
from temwatch.errors import Interrupted, UsageError
from temwatch.training import checkpoint, edge_examples
from temwatch.training.checkpoint import TrainingState
from temwatch.training.edge_examples import EdgeExamples
from temwatch.training.moving_average import update_average
from temwatch.training.schedule import TrainingProgress
from temwatch.training.worker_pool import made_by_workers

TRAINING, VALIDATION = 0, 1
"""Parts of the micrographs; each draws from seeds of its own."""
VALIDATION_SHARE = 0.04
REPORT_STEPS = 20
VALIDATIONS = 16
CHECKPOINT_SECONDS = 300.0
SIZE_CLASSES_PX = {"below_12_px": 12.0, "12_to_24_px": 24.0, "24_to_48_px": 48.0, "from_48_px": math.inf}
"""Classes of the diameter, with the end of each."""
FEWEST_POINTS = 4
"""A contour with fewer points whose edge is known has no bias to speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRecipe:
    """What decides the weights, beside the seed.

    A batch has up to `contours` contours of each of `micrographs_per_batch` micrographs. The learning rate
    rises for `warm_up_steps` and falls by half a cosine to `last_rate` of itself. `contour_weight` is that of
    the mean error of a contour, which decides the diameter, beside the likelihood of its points. In
    `gamma_share` of the batches the strips get another gamma, in `gain_share` another contrast, with these
    standard deviations of their logarithms: no detector and no thickness is that of the simulator.
    """

    micrographs: int = 3200
    steps: int = 4000
    micrographs_per_batch: int = 8
    contours: int = 40
    learning_rate: float = 2.5e-3
    warm_up_steps: int = 50
    last_rate: float = 0.003
    weight_decay: float = 1e-4
    largest_gradient: float = 2.0
    contour_weight: float = 3.0
    ema_decay: float = 0.998
    gamma_share: float = 0.5
    gamma_sd: float = 0.18
    gain_share: float = 0.3
    gain_sd: float = 0.06


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeBatch:
    """Contours of several micrographs as the network takes them; the middle is without `REACH` at both ends.

    Attributes
    ----------
    strips, owner, field, is_inner
        The arguments of `EdgeNetwork.forward`.
    offsets
        float32, (middle,): true offsets in steps, NaN where unknown.
    radius_px, step_px, is_outline
        (contours,): false for the rim of a hole.
    """

    strips: torch.Tensor
    owner: torch.Tensor
    field: torch.Tensor
    is_inner: torch.Tensor
    offsets: torch.Tensor
    radius_px: torch.Tensor
    step_px: torch.Tensor
    is_outline: torch.Tensor


def train_edges(
    output: Path,
    recipe: EdgeRecipe,
    *,
    seed: int = 0,
    workers: int = 0,
    report: Callable[[TrainingProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train the edge network and write its weights; an interrupted training continues.

    Parameters
    ----------
    output : folder
        Gets edges.safetensors (the moving average of the weights, written again at each validation and when
        the training is stopped), checkpoint.pt, metrics.csv, and the examples of each micrograph.
    recipe, seed
        They decide the weights, on one kind of processor.
    workers
        Processes that simulate; 0 simulates in this one.
    report
        Called after each simulated micrograph and every few steps.
    stop
        Asked after each of these; when it is true, the training keeps what is there and stops.

    Raises
    ------
    UsageError
        The folder belongs to another training.
    Interrupted
        The training was stopped.
    """
    torch.manual_seed(seed)
    net, average = EdgeNetwork(), EdgeNetwork()
    average.load_state_dict(net.state_dict())
    average.eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1, weight_decay=recipe.weight_decay)
    state = TrainingState(net=net, average=average, optimizer=optimizer, history=[])
    digest = hashlib.sha256(json.dumps([asdict(recipe), _identity(seed)]).encode()).hexdigest()
    checkpoint.resume(state, output, digest)
    paths = _examples(output / "examples", recipe, seed, workers, report, stop)
    validate_every = max(1, recipe.steps // VALIDATIONS)
    saved, losses = time.monotonic(), []
    while state.step < recipe.steps:
        rng = np.random.default_rng((seed, state.step))  # the same batches after an interruption
        numbers = rng.choice(recipe.micrographs, recipe.micrographs_per_batch)
        chosen = [edge_examples.load(paths[TRAINING][number]) for number in numbers]
        batch = _augmented(edge_batch(chosen, rng, recipe.contours), recipe, rng)
        rate = learning_rate(recipe, state.step)
        losses.append(_take_step(state, batch, recipe, rate))
        if not math.isfinite(losses[-1]):
            raise UsageError(f"step {state.step}: the loss is no longer finite")
        is_last = state.step == recipe.steps
        validate = is_last or state.step % validate_every == 0
        if validate or state.step % REPORT_STEPS == 0:
            values = {"loss": float(np.mean(losses)), "learning_rate": rate}
            if validate:
                values |= _validate(state.average, paths[VALIDATION], recipe)
            losses = []
            state.history.append({"step": state.step, **values})
            report(TrainingProgress(step=state.step, steps=recipe.steps, stage="edges", values=values))
        stopped = not is_last and stop()
        if validate or stopped or time.monotonic() - saved > CHECKPOINT_SECONDS:
            edge_network.save(state.average, output / EDGES_NAME)
            checkpoint.save(state, output, digest)
            saved = time.monotonic()
        if stopped:
            raise Interrupted(
                f"stopped at step {state.step} of {recipe.steps}; {output / EDGES_NAME} holds the weights "
                "so far, and the same command continues from there"
            )
    return output / EDGES_NAME


def _identity(seed: int) -> dict[str, str | int]:
    """What decides the examples."""
    return {"seed": seed, "preprocessing": preprocessing.NAME, "temwatch": version("temwatch")}


def _examples(
    folder: Path,
    recipe: EdgeRecipe,
    seed: int,
    workers: int,
    report: Callable[[TrainingProgress], None],
    stop: Callable[[], bool],
) -> Mapping[int, Sequence[Path]]:
    """Paths of the examples of all micrographs; those that are not there yet are made."""
    counts = {
        TRAINING: recipe.micrographs,
        VALIDATION: max(1, round(VALIDATION_SHARE * recipe.micrographs)),
    }
    paths = {
        part: [folder / f"{name}_{number:05}.npz" for number in range(counts[part])]
        for part, name in ((TRAINING, "training"), (VALIDATION, "validation"))
    }
    folder.mkdir(parents=True, exist_ok=True)
    identity, text = folder / "identity.json", json.dumps(_identity(seed))
    if identity.is_file() and identity.read_text(encoding="utf-8") != text:
        raise UsageError(f"{identity}: belongs to another training: another seed or another version")
    checkpoint.write_text(identity, text)
    jobs = [
        (part, number, path)
        for part in (VALIDATION, TRAINING)
        for number, path in enumerate(paths[part])
        if not path.is_file()
    ]
    total = sum(counts.values())
    with contextlib.closing(made_by_workers(partial(_make, seed), jobs, workers)) as made:
        for done, _ in enumerate(made, total - len(jobs) + 1):
            report(TrainingProgress(step=done, steps=total, stage="simulating", values={}))
            if stop():
                raise Interrupted(
                    f"stopped after {done} of {total} simulated micrographs; "
                    "the same command continues from there"
                )
    return paths


def _make(seed: int, job: tuple[int, int, Path]) -> None:
    part, number, path = job
    edge_examples.save(path, edge_examples.make_examples((seed, part), number))


def learning_rate(recipe: EdgeRecipe, step: int) -> float:
    """Learning rate of the step (from 0)."""
    rise = min(1.0, (step + 1) / recipe.warm_up_steps)
    return (
        recipe.learning_rate * rise * (0.5 * (1 + math.cos(math.pi * step / recipe.steps)) + recipe.last_rate)
    )


def edge_batch(
    micrographs: Sequence[EdgeExamples], rng: np.random.Generator | None = None, most: int | None = None
) -> EdgeBatch:
    """Contours of the micrographs; of each at most `most`, drawn at random."""
    strips, offsets, owners, fields, inner, radii, steps = [], [], [], [], [], [], []
    count = 0
    for field, one in enumerate(micrographs):
        contours = np.arange(len(one.radius_px))
        if rng is not None and most is not None and len(contours) > most:
            contours = np.sort(rng.choice(contours, most, replace=False))
        points = np.concatenate([np.arange(*one.begin[contour : contour + 2]) for contour in contours])
        lengths = np.diff(one.begin)[contours]
        index, owner, is_inner = wrapped(np.concatenate(([0], np.cumsum(lengths))))
        strips.append(one.strips[points[index]])
        offsets.append(one.offsets[points[index]])
        owners.append(owner + count)
        inner.append(is_inner)
        fields.append(np.full(len(contours), field))
        radii.append(one.radius_px[contours])
        steps.append(one.step_px[contours])
        count += len(contours)
    rows = np.concatenate(strips)
    owner = np.concatenate(owners)
    curvature = np.bincount(owner, rows[:, -1].astype(float), count)
    return EdgeBatch(
        strips=torch.from_numpy(np.ascontiguousarray(rows.astype(np.float32).T))[None],
        owner=torch.from_numpy(owner),
        field=torch.from_numpy(np.concatenate(fields)),
        is_inner=torch.from_numpy(np.concatenate(inner)),
        offsets=torch.from_numpy(np.concatenate(offsets)[REACH:-REACH]),
        radius_px=torch.from_numpy(np.concatenate(radii)),
        step_px=torch.from_numpy(np.concatenate(steps)),
        is_outline=torch.from_numpy(curvature > 0),
    )


def _augmented(batch: EdgeBatch, recipe: EdgeRecipe, rng: np.random.Generator) -> EdgeBatch:
    """Another gamma and contrast of the strips' brightness, in place; the background is 0, particles -1."""
    brightness = batch.strips[:, :SAMPLES]
    if rng.random() < recipe.gamma_share:
        gamma = float(np.exp(rng.normal(0, recipe.gamma_sd)))
        dark = -(brightness.clamp(max=-1e-6).neg() ** gamma)
        batch.strips[:, :SAMPLES] = torch.where(brightness < 0, dark, brightness)
    if rng.random() < recipe.gain_share:
        batch.strips[:, :SAMPLES] *= float(np.exp(rng.normal(0, recipe.gain_sd)))
    return batch


def edge_loss(
    found: torch.Tensor, batch: EdgeBatch, contour_weight: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss, mean error of each contour in steps, and number of its points whose edge is known.

    The likelihood of each point under a Laplace distribution of its own scale, and the mean error of each
    contour. Contours weigh as the inverse of their radius in steps: an error counts as part of the diameter.
    """
    is_known = batch.is_inner[REACH:-REACH] & ~torch.isnan(batch.offsets)
    owner = batch.owner[REACH:-REACH][is_known]
    error = found[0][is_known] - batch.offsets[is_known]
    scale = torch.nn.functional.softplus(found[1][is_known]) + LEAST_SCALE
    weight = SAMPLES_PER_RADIUS / (batch.radius_px / batch.step_px).clamp(min=3)
    counts = torch.zeros_like(weight).index_add_(0, owner, torch.ones_like(error))
    means = torch.zeros_like(weight).index_add_(0, owner, error) / counts.clamp(min=1)
    points = ((error.abs() / scale + scale.log()) * weight[owner]).sum() / weight[owner].sum().clamp(min=1e-6)
    return points + contour_weight * (means.abs() * weight).sum() / weight.sum(), means, counts


def _take_step(state: TrainingState, batch: EdgeBatch, recipe: EdgeRecipe, rate: float) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.net.train()
    found = state.net(batch.strips, batch.owner, batch.field, batch.is_inner)
    value, _, _ = edge_loss(found, batch, recipe.contour_weight)
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), recipe.largest_gradient)
    state.optimizer.step()
    state.step += 1
    update_average(state.average, state.net, state.step, recipe.ema_decay)
    return float(value.detach())


def _validate(net: torch.nn.Module, paths: Sequence[Path], recipe: EdgeRecipe) -> dict[str, float]:
    """Loss, and by size class the median error of diameters after one pass, %, and the mean of its amount."""
    losses: list[float] = []
    errors: list[NDArray[np.float32]] = []
    diameters: list[NDArray[np.float32]] = []
    for path in paths:
        batch = edge_batch([edge_examples.load(path)])
        with torch.inference_mode():
            found = net(batch.strips, batch.owner, batch.field, batch.is_inner)
            loss, means, counts = edge_loss(found, batch, recipe.contour_weight)
        losses.append(float(loss))
        chosen = batch.is_outline & (counts >= FEWEST_POINTS)
        errors.append((100 * means * batch.step_px / batch.radius_px)[chosen].numpy())
        diameters.append((2 * batch.radius_px)[chosen].numpy())
    error, diameter = np.concatenate(errors), np.concatenate(diameters)
    values = {"validation_loss": float(np.mean(losses))}
    begin = 0.0
    for name, end in SIZE_CLASSES_PX.items():
        own = error[(diameter >= begin) & (diameter < end)]
        if len(own):
            values[f"bias_percent_{name}"] = float(np.median(own))
            values[f"error_percent_{name}"] = float(np.abs(own).mean())
        begin = end
    return values
