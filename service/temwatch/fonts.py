"""The letters of pictures. Pillow's own font lacks µ, Å and ² and draws boxes; matplotlib brings DejaVu."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont


def truetype(size_px: float, name: str = "DejaVuSans") -> ImageFont.FreeTypeFont:
    """A font of matplotlib's, which is not loaded for it."""
    return ImageFont.truetype(str(_folder() / f"{name}.ttf"), size_px)


@cache
def _folder() -> Path:
    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
