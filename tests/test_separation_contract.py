"""What every separation method must do: a newcomer in `SEPARATORS` is tested at once."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import temwatch
from analytic_shapes import disc, ellipse, on_canvas, rectangle
from separation_cases import placed, score
from temwatch import simulator
from temwatch.analysis import pipeline, separation
from temwatch.analysis.separation import SEPARATORS
from temwatch.analysis.separation.cleaning import find_regions
from temwatch.analysis.separation.prior import NO_PRIOR
from temwatch.analysis.separation.separator import Separator
from temwatch.choices import SeparationMethod
from temwatch.errors import UsageError

MASK = on_canvas(
    (200, 240),
    (disc(20), 30, 30),
    (disc(18), 40, 58),
    (ellipse(25, 12, 0.4), 100, 60),
    (ellipse(22, 11, 1.6), 100, 60),
    (rectangle(50, 12, 0.3), 120, 130),
    (rectangle(50, 12, 1.9), 110, 140),
    (disc(9), 60, 200),
    (disc(20), 140, 195),
)

PROPOSALS = {"uecs", "contour", "watershed"}
"""What `separated_by` may say where auto chooses."""

methods = pytest.mark.parametrize("method", SEPARATORS)


def test_config_offers_every_method():
    assert set(SEPARATORS) == set(get_args(SeparationMethod))


def halved(clump, **_):
    """A method of its own: a clump is cut in the middle of its longer side."""
    row, column = clump.origin_px
    height, width = clump.mask.shape
    first, second = clump.mask.copy(), clump.mask.copy()
    if height > width:
        first[height // 2 :], second[: height // 2] = False, False
    else:
        first[:, width // 2 :], second[:, : width // 2] = False, False
    return [
        replace(part, origin_px=(row + part.origin_px[0], column + part.origin_px[1]), separated=True)
        for mask in (first, second)
        for part in find_regions(mask)
    ], []


def test_a_further_method_is_one_module_and_one_line(monkeypatch):
    """It says itself what it needs; nothing else in temwatch has to know its name."""
    told = []

    def separate(clump, **arguments):
        told.append(arguments["prior"])
        return halved(clump, **arguments)

    contacts = np.zeros_like(MASK)
    contacts[:, 40:44] = True
    further = {
        "halves": Separator(separate=separate, description="cut in the middle", uses_contacts=False),
        "learned": Separator(
            separate=separate, description="cut in the middle", clump_convexity=0.999, uses_prior=True
        ),
    }
    monkeypatch.setattr(separation, "SEPARATORS", {**SEPARATORS, **further})
    plain = temwatch.resolve(MASK, pixel_size_nm=0.1, separate="halves")
    assert {"", "halves"} == {particle.separated_by for particle in plain.particles}
    assert "halves" == plain.method.separation
    assert {NO_PRIOR} == set(told)
    cut = temwatch.resolve(MASK, pixel_size_nm=0.1, separate="halves", contacts=contacts)
    assert cut.table().equals(plain.table())

    told.clear()
    learned = temwatch.resolve(MASK, pixel_size_nm=0.1, separate="learned")
    assert all(prior.worth > 0 for prior in told)
    assert len(told) > 0
    cut = temwatch.resolve(MASK, pixel_size_nm=0.1, separate="learned", contacts=contacts)
    assert not cut.table().equals(learned.table())
    pipeline.warm_up(further)


def test_a_method_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(UsageError, match="auto, uecs, watershed, contour, none, found 'halves'"):
        temwatch.resolve(MASK, pixel_size_nm=0.1, separate="halves")


def test_the_analysis_does_not_import_the_package_root():
    """`temwatch/__init__.py` hands out names of the analysis; the other way round would be a circle."""
    package = Path(separation.__file__).parents[1]
    roots = [
        f"{path.name}:{node.lineno}"
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(name.name == "temwatch" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "temwatch" and _imports_a_value(node))
    ]
    assert [] == roots


def _imports_a_value(node):
    return any(name.name in temwatch.__all__ for name in node.names)


@methods
def test_particles_are_connected_tight_crops_of_the_mask(method):
    from scipy import ndimage

    analysis = temwatch.resolve(MASK, pixel_size_nm=0.1, separate=method)
    assert analysis.particles
    for particle in analysis.particles:
        row, column = particle.region.origin_px
        mask = particle.region.mask
        assert mask.dtype == bool
        assert mask[0].any()
        assert mask[-1].any()
        assert mask[:, 0].any()
        assert mask[:, -1].any()
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        assert analysis.mask[row : row + mask.shape[0], column : column + mask.shape[1]][mask].all()
        won = PROPOSALS if method == "auto" else {method}
        assert particle.separated_by in (won if particle.separated else {""})


@methods
def test_isolated_convex_particle_is_handed_back_unchanged(method):
    analysis = temwatch.resolve(on_canvas((60, 60), (disc(12), 15, 20)), pixel_size_nm=0.1, separate=method)
    assert [particle.region.origin_px for particle in analysis.particles] == [(15, 20)]
    np.testing.assert_array_equal(disc(12), analysis.particles[0].region.mask)


@methods
def test_same_mask_gives_the_same_particles(method):
    first = temwatch.resolve(MASK, pixel_size_nm=0.1, separate=method).table()
    assert first.equals(temwatch.resolve(MASK, pixel_size_nm=0.1, separate=method).table())


@methods
def test_input_is_left_as_it_was(method):
    mask = MASK.copy()
    temwatch.resolve(mask, pixel_size_nm=0.1, separate=method)
    np.testing.assert_array_equal(MASK, mask)


@methods
def test_pixel_size_scales_lengths_and_nothing_else(method):
    """As long as no speckle limit comes into it."""
    small = temwatch.resolve(MASK, pixel_size_nm=0.6, separate=method).table()
    large = temwatch.resolve(MASK, pixel_size_nm=1.2, separate=method).table()
    for name in ("perimeter_nm", "feret_min_nm", "centroid_x_nm", "equivalent_diameter_nm"):
        np.testing.assert_allclose(large[name], 2 * small[name])
    for name in ("circularity", "convexity", "solidity", "aspect_ratio", "bbox_x_px"):
        np.testing.assert_array_equal(small[name], large[name])


@methods
def test_moving_the_mask_moves_the_particles(method):
    here = temwatch.resolve(MASK, pixel_size_nm=0.1, separate=method).table()
    there = temwatch.resolve(np.pad(MASK, ((3, 0), (5, 0))), pixel_size_nm=0.1, separate=method).table()
    inner = here["bbox_x_px"].gt(0) & here["bbox_y_px"].gt(0)
    np.testing.assert_array_equal(here["bbox_x_px"][inner] + 5, there["bbox_x_px"])
    np.testing.assert_array_equal(here["bbox_y_px"][inner] + 3, there["bbox_y_px"])
    np.testing.assert_allclose(here["area_nm2"][inner], there["area_nm2"])


@pytest.mark.parametrize("method", ["uecs", "watershed", "contour", "auto"])
def test_true_contacts_do_not_harm(method):
    field = simulator.simulate_mask("facetted", "medium", 512, 31)
    truth = [(*region.origin_px, region.mask) for region in field.particles]

    def f1(contacts):
        analysis = temwatch.resolve(
            field.mask, pixel_size_nm=field.pixel_size_nm, separate=method, contacts=contacts
        )
        return score(truth, placed(analysis), field.mask.shape).f1

    assert f1(field.contacts) >= max(f1(None) - 0.02, 0.95)
