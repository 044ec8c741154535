"""`temwatch evaluate`: scores a segmenter on labelled micrographs."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import track

from temwatch import compiled_code
from temwatch.analysis import segmentation
from temwatch.commands import terminal
from temwatch.config import SegmentationSettings, SeparationSettings
from temwatch.domain import Segmenter
from temwatch.errors import StartError, UsageError
from temwatch.training import datasets
from temwatch.training.datasets import LabelledMicrograph

_PARTS = ("train", "validation", "test")


def run(arguments: argparse.Namespace) -> int:
    """Print a table or JSON, and draw the best and worst cases if a picture is requested."""
    separation = arguments.separate or SeparationSettings().method
    picture = arguments.picture
    if picture is not None and (picture.suffix.lower() != ".png" or not picture.absolute().parent.is_dir()):
        raise UsageError(f"--picture {picture}: needs a name ending in .png, in an existing folder")
    compiled_code.keep_in(compiled_code.user_folder())
    segmenter = _segmenter(arguments)
    from temwatch.training import evaluation_report  # loads numba, and torch
    from temwatch.training.evaluate import evaluate, pipeline_regions

    items = _select_part(arguments, datasets.load_all(arguments.data))
    results = list(
        track(
            evaluate(segmenter.segment, items, service=partial(pipeline_regions, method=separation)),
            "evaluating",
            total=len(items),
            console=terminal.console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
    )
    if arguments.json:
        head: dict[str, Any] = {
            "segmentation": segmenter.name,
            "model_sha256": segmenter.model_sha256,
            "separation": separation,
        }
        print(json.dumps(head | evaluation_report.as_json(results), indent=1, allow_nan=False))  # noqa: T201
    else:
        print(f"{segmenter.name} {segmenter.model_sha256[:12]}".rstrip())  # noqa: T201
        print(evaluation_report.as_table(results, separation))  # noqa: T201
    if picture is not None:
        try:
            evaluation_report.picture(results).save(picture)
        except OSError as error:
            raise UsageError(f"--picture {picture}: {error.strerror or error}") from None
    return 0


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
