"""docs/separation.md: it knows every method and every reason, its pictures are there, its code runs."""

import importlib.util
import re
from pathlib import Path

import pytest
from PIL import Image

from temwatch.analysis.separation import SEPARATORS
from temwatch.config import SeparationSettings
from temwatch.domain import Reason

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "separation.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pictures():
    specification = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_method_has_a_section():
    assert set(SEPARATORS) == set(re.findall(r"^### `(\w+)`$", TEXT, re.MULTILINE))


def test_every_reason_is_explained():
    assert {str(reason) for reason in Reason} == set(re.findall(r"^\| `(\w+_\w+)` \|", TEXT, re.MULTILINE))


def test_settings_that_are_named_exist():
    for name in ("convexity_threshold", "min_diameter_nm", "min_convexity", "max_holes", "vanishing_markers"):
        assert f"`{name}" in TEXT or f" {name}`" in TEXT
        assert name in SeparationSettings.model_fields


def test_pictures_are_there_and_small(pictures):
    names = re.findall(r"\]\((pictures/\w+\.png)\)", TEXT)
    assert {f"pictures/{name}.png" for name in pictures.PICTURES} == set(names)
    for name in names:
        assert (DOCS / name).stat().st_size < 60_000
        with Image.open(DOCS / name) as picture:
            picture.load()


def test_pictures_show_what_the_text_says(pictures):
    """Drawn again: each reason with its rejection, and one particle where no method can separate two."""
    (row,) = pictures.rejections()
    assert [str(reason) for reason in Reason] == sorted(
        (panel.caption for panel in row), key=list(Reason).index
    )
    assert all(pictures.REJECTED in panel.colours for panel in row)
    truth, found = pictures.limits()
    assert [2, 2, 2, 2] == [len(panel.regions) for panel in truth]
    assert [1, 1, 1, 2] == [len(panel.regions) for panel in found]


def test_pictures_can_be_drawn(pictures, tmp_path):
    pictures.main(tmp_path)
    assert {f"{name}.png" for name in pictures.PICTURES} == {path.name for path in tmp_path.iterdir()}


def test_code_runs():
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "separation.md", "exec"), {})
