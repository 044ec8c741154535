"""`temwatch evaluate`: scores a segmenter on labelled micrographs, and its outlines on any."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temwatch import compiled_code
from temwatch.analysis import segmentation
from temwatch.commands import terminal
from temwatch.config import SegmentationSettings, SeparationSettings
from temwatch.domain import Particle, Segmentation, Segmenter
from temwatch.errors import StartError, UsageError
from temwatch.training import datasets
from temwatch.training.datasets import LabelledMicrograph

if TYPE_CHECKING:
    from temwatch.training.edge_accuracy import Outlines

_PARTS = ("train", "validation", "test")


def run(arguments: argparse.Namespace) -> int:
    """Print a table or JSON, and draw the best and worst cases if a picture is requested."""
    separation = arguments.separate or SeparationSettings().method
    if not arguments.data and not arguments.unlabelled:
        raise UsageError("needs --data or --unlabelled")
    for option in ("part", "picture"):
        if not arguments.data and getattr(arguments, option):
            raise UsageError(f"--{option}: needs --data, too")
    picture = arguments.picture
    if picture is not None:
        terminal.check_png(picture)
    compiled_code.keep_in(compiled_code.user_folder())
    segmenter = _segmenter(arguments)
    from temwatch.training import edge_accuracy, evaluation_report  # loads numba, and torch
    from temwatch.training.evaluate import evaluate, outlines, pipeline_particles

    resolve = partial(pipeline_particles, method=separation)
    unlabelled = list(edge_accuracy.find_unlabelled(arguments.unlabelled))
    items = _select_part(arguments, datasets.load_all(arguments.data)) if arguments.data else []
    results = list(
        terminal.progress(evaluate(segmenter.segment, items, service=resolve), "evaluating", len(items))
    )
    looked_at = [
        one
        for name, path in terminal.progress(unlabelled, "looking at outlines", len(unlabelled))
        if (one := _outlines(name, path, segmenter, resolve)) is not None
    ]
    sets = edge_accuracy.by_data_set([*outlines(results), *looked_at])
    if arguments.json:
        head: dict[str, Any] = {
            "segmentation": segmenter.name,
            "model_sha256": segmenter.model_sha256,
            "separation": separation,
        }
        scored = evaluation_report.as_json(results) if results else {}
        found = head | scored | {"outlines": edge_accuracy.as_json(sets)}
        print(json.dumps(found, indent=1, allow_nan=False))  # noqa: T201
    else:
        print(f"{segmenter.name} {segmenter.model_sha256[:12]}".rstrip())  # noqa: T201
        if results:
            print(evaluation_report.as_table(results, separation))  # noqa: T201
        print(edge_accuracy.as_table(sets))  # noqa: T201
    if picture is not None:
        try:
            evaluation_report.picture(results).save(picture)
        except OSError as error:
            raise UsageError(f"--picture {picture}: {error.strerror or error}") from None
    return int(len(looked_at) < len(unlabelled))


def _outlines(
    name: str,
    path: Path,
    segmenter: Segmenter,
    resolve: Callable[[Segmentation], Sequence[Particle]],
) -> Outlines | None:
    """The outlines in a micrograph without labels; None, and a line, where it cannot be read."""
    from temwatch.training import edge_accuracy

    try:
        image = edge_accuracy.read_unlabelled(path)
    except UsageError as error:
        print(f"temwatch: {error}", file=sys.stderr)  # noqa: T201
        return None
    (found,) = segmenter.segment([image])
    distances = edge_accuracy.distances_px(image, found, resolve(found))
    return edge_accuracy.Outlines(data_set=name, edge_distances_px=distances)


def _segmenter(arguments: argparse.Namespace) -> Segmenter:
    """The network of the given weights, the given method, or the service's default."""
    if arguments.weights is not None and arguments.method == "threshold":
        raise UsageError("--weights: the method threshold has no weights")
    method = arguments.method or ("deeplab" if arguments.weights is not None else None)
    values = {"method": method, "weights": arguments.weights, "device": arguments.device}
    settings = SegmentationSettings.model_validate({k: v for k, v in values.items() if v is not None})
    try:
        return segmentation.build(settings)
    except StartError as error:  # no service is started here: the arguments are wrong
        raise UsageError(str(error)) from None


def _select_part(arguments: argparse.Namespace, items: list[LabelledMicrograph]) -> list[LabelledMicrograph]:
    """The micrographs of one part of a training's division; without --part all."""
    if arguments.part is None:
        if arguments.division is not None:
            raise UsageError("--division: needs --part, too")
        return items
    path: Path | None = arguments.division
    if path is None and arguments.weights is not None:
        path = arguments.weights.with_name("division.json")
    if path is None:
        raise UsageError("--part: needs --division, the division.json of the training")
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        names = set(parts[_PARTS.index(arguments.part)])
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"has no part {arguments.part}"
        raise UsageError(f"--division {path}: {reason}") from None
    chosen = [item for item in items if item.name in names]
    if not chosen:
        raise UsageError(f"--division {path}: none of its part {arguments.part} is among the data")
    return chosen
