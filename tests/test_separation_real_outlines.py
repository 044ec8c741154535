"""Every method on outlines of real particles: instances of published figures, merged to one mask."""

import pytest

from separation_report import figures, real_outlines
from temwatch.analysis.separation import SEPARATORS

BARS = {"uecs": 0.95, "watershed": 0.95, "contour": 0.95, "auto": 0.965}
"""F1 at half overlap, weighted by particles; the same figure for `none` says how much there is to part."""


@pytest.fixture(scope="module")
def cases(data_folder):
    return list(real_outlines(data_folder))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("method", SEPARATORS)
def test_real_outlines(cases, method):
    found = figures(cases, method)
    print(f"{method}: F1 {found.weighted_f1:.3f}, {found.seconds:.1f} s of CPU for {len(cases)} masks")
    assert found.weighted_f1 >= BARS.get(method, 0)
