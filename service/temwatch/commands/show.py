"""What the commands print of a sample's results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from temwatch.errors import UsageError
from temwatch.ledger import Reader
from temwatch.outputs import tables

_SHOWN = (
    ("equivalent_diameter_nm", "equivalent diameter", "nm"),
    ("feret_min_nm", "minimum Feret diameter", "nm"),
    ("feret_max_nm", "maximum Feret diameter", "nm"),
    ("area_nm2", "area", "nm²"),
    ("perimeter_nm", "perimeter", "nm"),
    ("circularity", "circularity", ""),
    ("convexity", "convexity", ""),
    ("aspect_ratio", "aspect ratio", ""),
)


def results(reader: Reader, output: Path, samples: Iterable[str]) -> None:
    """Statistics of each sample as a table, and where its results are."""
    console = Console(highlight=False)
    for sample in samples:
        if not reader.receipt(sample).seen:
            continue
        console.print(statistics(tables.summary(reader, sample)))
        console.print(f"results in {output / sample}\n", soft_wrap=True)


def known_sample(reader: Reader, sample: str) -> str:
    """The sample, if the ledger knows it.

    Raises
    ------
    UsageError
        It does not; the text names those that it knows.
    """
    if not reader.receipt(sample).seen:
        known = ", ".join(row.sample for row in reader.samples()) or "none"
        raise UsageError(f"no sample {sample!r}; there are: {known}")
    return sample


def statistics(summary: dict[str, object]) -> Table:
    """Mean, standard deviation, median and range of every descriptor."""
    descriptors = summary["statistics"]
    assert isinstance(descriptors, dict)
    table = Table(
        title=f"{summary['sample']}: {summary['particles']} particles, {summary['micrographs']} micrographs",
        title_justify="left",
    )
    table.add_column("descriptor")
    table.add_column("unit")
    for name in ("mean", "SD", "median", "D10", "D90"):
        table.add_column(name, justify="right")
    for key, name, unit in _SHOWN:
        values = descriptors.get(key, {})
        cells = [values.get(column) for column in ("mean", "sd", "median", "d10", "d90")]
        table.add_row(name, unit, *("-" if value is None else f"{value:.4g}" for value in cells))
    return table
