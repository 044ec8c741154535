"""docs/formats.md: every format has its row, and every dialect of TIFF its test."""

import re
from pathlib import Path

from temwatch.formats import READERS

TEXT = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")


def test_every_extension_has_its_row():
    """In the order of READERS."""
    rows = re.findall(r"^\| (`\..*?) \|.*\|.*\|.*\|$", TEXT, re.MULTILINE)
    assert list(READERS) == [extension for row in rows for extension in re.findall(r"`(\.\w+)`", row)]


def test_every_example_is_of_its_row():
    """The last column names a file with the extension of the first."""
    for row in re.findall(r"^\| `\..*\|$", TEXT, re.MULTILINE):
        cells = row.strip("|").split("|")
        example = re.search(r"`[^`]+?(\.\w+)`", cells[-1])
        assert example[1] in cells[0]
