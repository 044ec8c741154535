"""Faithful to the original: the particles that ANTEMA finds, as run under Octave, on every golden case."""

import csv

import numpy as np
import pytest

import temwatch
from separation_cases import CASES, load_mask, load_particles, overlaps, placed
from temwatch.errors import UsageError


@pytest.fixture(scope="module", params=CASES)
def case(request, data_folder):
    """Name, analysis, the original's particles and its table."""
    mask = load_mask(data_folder, request.param)
    expected, pixel_size_nm = load_particles(data_folder, request.param, "antema")
    analysis = temwatch.resolve(mask, pixel_size_nm=pixel_size_nm, separate="uecs", compatibility="antema")
    with (data_folder / "separation" / f"{request.param}_antema.csv").open() as stream:
        table = list(csv.DictReader(stream))
    return analysis, expected, table


@pytest.mark.data
def test_same_particles_pixel_by_pixel(case):
    analysis, expected, _ = case
    found = placed(analysis)
    assert len(found) == len(expected)

    def key(particle):
        row, column, mask = particle
        return row, column, mask.shape, mask.tobytes()

    assert {key(particle) for particle in expected} == {key(particle) for particle in found}


@pytest.mark.data
def test_same_table_but_for_what_the_perimeter_enters(case):
    """Within half a per cent; the perimeter, and with it the circularity, is ours."""
    analysis, expected, table = case
    partners = {}
    for _, i, j in overlaps(expected, placed(analysis)):
        if i not in partners and j not in partners.values():
            partners[i] = j
    found = analysis.table()
    for i, row in enumerate(table):
        ours = found.iloc[partners[i]]
        for name in ("area_nm2", "equivalent_diameter_nm", "feret_min_nm", "feret_max_nm", "aspect_ratio"):
            assert ours[name] == pytest.approx(float(row[name]), rel=0.005), (i, name)
        # coordinates of the original count from 1 and lie on pixel edges
        assert ours["bbox_x_px"] == float(row["bbox_x_px"]) - 0.5
        assert ours["bbox_y_px"] == float(row["bbox_y_px"]) - 0.5
        assert ours["bbox_width_px"] == float(row["bbox_width_px"])
        assert ours["bbox_height_px"] == float(row["bbox_height_px"])


def test_method_says_so():
    mask = np.ones((9, 9), dtype=bool)
    ours = temwatch.resolve(mask, pixel_size_nm=0.1).method
    theirs = temwatch.resolve(mask, pixel_size_nm=0.1, compatibility="antema").method
    assert dict(theirs.parameters)["separation.compatibility"] == "antema"
    assert dict(theirs.parameters)["separation.max_holes"] == 10
    assert ours.digest != theirs.digest


@pytest.mark.parametrize(
    "arguments",
    [{"compatibility": "imagej"}, {"compatibility": "antema", "contacts": np.zeros((9, 9))}],
)
def test_what_the_original_does_not_know_is_refused(arguments):
    with pytest.raises(UsageError, match="antema"):
        temwatch.resolve(np.zeros((9, 9)), pixel_size_nm=0.1, **arguments)
