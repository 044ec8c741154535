"""What the commands print: words, counts and tables of statistics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from temwatch.descriptors import SIZE, Shown, shown
from temwatch.errors import UsageError
from temwatch.ledger import Reader, sample_columns
from temwatch.names import plural, printable
from temwatch.outputs import paths, population_summary, tables
from temwatch.outputs.numbers_in_words import mean_interval, significant

_MOST_TABLES = 3
Item = TypeVar("Item")


def console(*, stderr: bool = False) -> Console:
    """The terminal; prints text as it is: names of files may look like rich's markup or emoji codes."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def progress(items: Iterable[Item], doing: str, total: int) -> Iterator[Item]:
    """The items, with a bar on standard error where that is a terminal."""
    yield from track(
        items,
        doing,
        total=total,
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def steps(doing: str, total: int) -> Iterator[Callable[[], None]]:
    """A function to call after each of the steps, with a bar on standard error where that is a terminal."""
    with Progress(
        *Progress.get_default_columns(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda: bar.advance(task)


def check_png(picture: Path) -> None:
    """Refuse a `--picture` that could not be written, before the long work.

    Raises
    ------
    UsageError
        It is no .png, or its folder does not exist.
    """
    if picture.suffix.lower() != ".png" or not picture.absolute().parent.is_dir():
        raise UsageError(f"--picture {picture}: needs a name ending in .png, in an existing folder")


def results(reader: Reader, output: Path, samples: Sequence[str]) -> None:
    """Print the statistics of each sample, or one line per sample where there are many, and the folder."""
    terminal = console()
    known = [sample for sample in samples if reader.receipt(sample).seen]
    summaries = [tables.summary(reader, sample) for sample in known]
    if len(known) > _MOST_TABLES:
        terminal.print(_overview(summaries))
        terminal.print(f"results in {output}", soft_wrap=True)
        return
    for sample, summary in zip(known, summaries, strict=True):
        terminal.print(statistics(sample, summary))
        if summary["particles"]:
            fields = sample_columns.fields(reader, sample)
            answer = population_summary.figures(fields, population_summary.View())
            words = mean_interval(answer["figures"]["mean"], answer["fields"], answer["unit"])
            terminal.print(f"{answer['name']}: {words}", soft_wrap=True)
        terminal.print(f"results in {paths.sample_folder(output, sample)}\n", soft_wrap=True)


def _overview(summaries: Sequence[Mapping[str, Any]]) -> Table:
    """One line per sample."""
    table = Table()
    table.add_column("sample", overflow="fold")
    for name in ("micrographs", "particles", "mean diameter, nm", "SD", "refused", "failed"):
        table.add_column(name, justify="right")
    for summary in summaries:
        size = summary["statistics"].get(SIZE, {})
        files = summary["files"]
        cells = ["-" if size.get(key) is None else significant(size[key]) for key in ("mean", "sd")]
        counts = (summary["micrographs"], summary["particles"])
        table.add_row(
            printable(summary["sample"]),
            *map(str, counts),
            *cells,
            str(files["refused"]),
            str(files["failed"]),
        )
    return table


def known_sample(reader: Reader, sample: str) -> str:
    """The sample, if it is in the ledger.

    Raises
    ------
    UsageError
        It is not; the text names the samples there are.
    """
    found = reader.find_sample(sample)
    if found is None or not reader.receipt(found).seen:
        known = ", ".join(row.sample for row in reader.samples()) or "none"
        raise UsageError(f"no sample {sample!r}; samples: {known}")
    return found


def statistics(sample: str, summary: Mapping[str, Any]) -> Table:
    """Mean, standard deviation, number, median and range of every descriptor."""
    table = Table(
        title=f"{sample}: {plural(summary['particles'], 'particle')}, "
        f"{plural(summary['micrographs'], 'micrograph')}",
        title_justify="left",
    )
    table.add_column("descriptor")
    table.add_column("unit")
    for name in ("mean", "SD", "N", "median", "D10", "D90"):
        table.add_column(name, justify="right")
    number = str(summary["particles"])
    for one in shown(Shown.TERMINAL):
        values = summary["statistics"].get(one.name, {})
        cells = [values.get(column) for column in ("mean", "sd", "median", "d10", "d90")]
        words = ["-" if value is None else significant(value) for value in cells]
        table.add_row(one.label, one.unit, *words[:2], number, *words[2:])
    return table
