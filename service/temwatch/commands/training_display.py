"""How a training shows what it does, and how Ctrl-C stops it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from temwatch.commands import terminal
from temwatch.training.schedule import TrainingProgress

_SIMULATED_LINES = 50


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C stops the training after the present step; a second Ctrl-C stops it immediately."""
    is_asked = False

    def interrupt(*_: object) -> None:
        nonlocal is_asked
        if is_asked:
            raise KeyboardInterrupt
        is_asked = True
        # print is not safe here: the signal may interrupt a print
        os.write(2, b"\nsaving a checkpoint after this step; press Ctrl-C again to stop without one\n")

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: is_asked
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def progress_display(
    live: Sequence[str], validated: Sequence[str]
) -> Iterator[Callable[[TrainingProgress], None]]:
    """A progress bar with the latest values, and a line per validation; without a terminal lines only.

    Parameters
    ----------
    live, validated
        Names of the values in the bar, and in the line of a validation, whose last one only validations have.
    """
    console = terminal.console(stderr=True)
    if not console.is_terminal:
        yield functools.partial(_line, names=list(dict.fromkeys((*live, *validated))))
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[measures]}"),
        console=console,
    ) as bar:
        tasks: dict[bool, TaskID] = {}

        def tell(report: TrainingProgress) -> None:
            simulating = not report.values
            if simulating not in tasks:
                # a bar that starts at 0 would count the steps of a checkpoint as steps of this run
                tasks[simulating] = bar.add_task(
                    report.stage, completed=report.step, total=report.steps, measures=""
                )
            bar.update(
                tasks[simulating],
                description=report.stage,
                completed=report.step,
                measures=_text(report.values, live),
            )
            if validated[-1] in report.values:
                bar.console.print(f"step {report.step}: {_text(report.values, validated)}", soft_wrap=True)

        yield tell


def _line(report: TrainingProgress, names: Sequence[str]) -> None:
    if not report.values and report.step % _SIMULATED_LINES and report.step != report.steps:
        return
    clock = time.strftime("%H:%M:%S")
    text = f"{clock} {report.stage} {report.step}/{report.steps} {_text(report.values, names)}"
    print(text.rstrip(), file=sys.stderr, flush=True)  # noqa: T201


def _text(values: Mapping[str, float], names: Sequence[str]) -> str:
    return "  ".join(f"{name} {values[name]:.4g}" for name in names if name in values)
