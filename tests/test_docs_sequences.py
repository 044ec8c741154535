"""docs/sequences.md: its tables of columns are those of the code, which are those of the contract."""

from pathlib import Path

import pytest

from temwatch.config import SequenceSettings
from temwatch.outputs import growth_curves
from temwatch.outputs.sequence_files import TABLES

DOCS = (Path(__file__).parents[1] / "docs" / "sequences.md").read_text()
CONTRACT = {
    "frames.csv": "sequence, frame, elapsed_s, particles, mean_equivalent_diameter_nm, "
    "sd_equivalent_diameter_nm, mean_area_nm2, particle_fraction, drift_x_nm, drift_y_nm, "
    "temperature_C, pressure_Pa, bias_V",
    "tracks.csv": "sequence, track, frame, particle, x_nm, y_nm, equivalent_diameter_nm",
    "events.csv": "sequence, frame, event, track, others",
}


@pytest.mark.parametrize("file", CONTRACT)
def test_the_columns_are_those_of_the_contract(file):
    """In its order."""
    assert CONTRACT[file] == ", ".join(column.name for column in TABLES[file])


@pytest.mark.parametrize(("file", "columns"), (TABLES | growth_curves.TABLES).items())
def test_every_column_is_told_of(file, columns):
    """In its order, with its meaning."""
    assert f"`{file}`" in DOCS
    assert "".join(f"| `{column.name}` | {column.meaning} |\n" for column in columns) in DOCS


def test_the_defaults_it_names_are_the_defaults():
    """Of the key and of the code."""
    assert f"`gap_seconds` ({SequenceSettings().gap_seconds:g})" in DOCS
