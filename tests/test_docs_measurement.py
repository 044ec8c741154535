"""docs/measurement.md: its table is what is computed, its bars hold, its code runs."""

import re

import numpy as np
import pytest

from measurement_errors import DOCUMENT, definitions, documented, errors, families, table

NUMBER = re.compile(r"[-+]?\d+\.\d+")


@pytest.fixture(scope="module")
def found():
    return {family.name: errors(family) for family in families()}


def test_table_is_what_is_computed():
    """Words exactly, figures to one unit of the last digit."""
    expected, there = table(), documented("errors")
    assert NUMBER.sub("#", expected) == NUMBER.sub("#", there)
    figures = [[float(number) for number in NUMBER.findall(text)] for text in (expected, there)]
    np.testing.assert_allclose(figures[1], figures[0], atol=0.11)


def test_definitions_are_those_of_the_table_of_descriptors():
    """Line by line; `python tests/measurement_errors.py` writes them."""
    assert definitions() == documented("definitions")


def test_perimeter_of_discs(found):
    bars = {3: 0.03, 4: 0.03, 5: 0.015, 7: 0.015, 10: 0.015, 20: 0.005, 50: 0.005, 100: 0.005}
    for radius, bar in bars.items():
        assert abs(found[f"disc, r = {radius}"].perimeter.mean()) < bar


def test_perimeter_of_ellipses_and_rectangles(found):
    """Mean error below 2 % where the short side is 10 px or more."""
    names = [name for name in found if name.startswith(("ellipse", "rectangle"))]
    assert len(names) >= 10
    for name in names:
        assert abs(found[name].perimeter.mean()) < 0.02


def test_circularity_convexity_and_solidity_keep_to_their_bounds(found):
    for name, error in found.items():
        assert error.highest_circularity <= 1.02, name
        assert 1 == error.convexity == error.solidity, name


def test_feret_diameters_lie_on_pixel_corners(found):
    """Up to a pixel's diagonal longer than the shape; shorter only where a sharp tip falls between pixels."""
    for name, error in found.items():
        for feret in (error.feret_min_px, error.feret_max_px):
            assert feret.max() < 2**0.5 + 1e-9, name
            assert feret.min() > -1.2, name


def test_code_runs():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, DOCUMENT.name, "exec"), {})
