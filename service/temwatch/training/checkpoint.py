"""The state of a training on disk: written completely or not at all, read again to continue."""

from __future__ import annotations

import csv
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from temwatch.errors import UsageError

NAME = "checkpoint.pt"
Row = dict[str, Any]


@dataclass(kw_only=True, eq=False)
class TrainingState:
    """Network, its moving average, optimizer, steps, best score so far, and a row per progress message."""

    net: torch.nn.Module
    average: torch.nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    best: float = -1.0
    history: list[Row]


def save(state: TrainingState, folder: Path, digest: str) -> None:
    """Write checkpoint.pt and metrics.csv."""
    content = {
        "digest": digest,
        "net": state.net.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "best": state.best,
        "history": state.history,
    }
    temporary = folder / (NAME + ".tmp")
    torch.save(content, temporary)
    temporary.replace(folder / NAME)
    write_text(folder / "metrics.csv", _table(state.history))


def resume(state: TrainingState, folder: Path, digest: str) -> None:
    """Continue from a checkpoint in the folder, if there is one.

    Raises
    ------
    UsageError
        It is damaged, or belongs to a training with other data, recipe or seed.
    """
    path = folder / NAME
    if not path.is_file():
        return
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise UsageError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(kept, dict) or kept.get("digest") != digest:
        raise UsageError(f"{path}: belongs to another training: other data, recipe, seed or first weights")
    state.net.load_state_dict(kept["net"])
    state.average.load_state_dict(kept["average"])
    state.optimizer.load_state_dict(kept["optimizer"])
    state.step, state.best, state.history = kept["step"], kept["best"], kept["history"]


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _table(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
