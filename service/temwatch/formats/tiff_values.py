"""Tags of a TIFF as text, numbers and XML: a damaged or foreign tag gives None or an empty text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from tifffile import TiffPage


def parse_xml(text: Any) -> ElementTree.Element | None:
    """A tag as the root of an XML document; None where it is none."""
    if not isinstance(text, str) or "<" not in text:
        return None
    try:
        return ElementTree.fromstring(text.strip(" \0\r\n\t"))
    except (ElementTree.ParseError, ValueError):  # ValueError: a declared encoding that does not exist
        return None


def text(value: Any) -> str:
    """A tag as text that can be printed; empty where it is none."""
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            value = value.decode("latin-1")
    return "".join(c for c in value if c.isprintable()).strip() if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """A tag as a number; None where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def resolution(page: TiffPage) -> tuple[float | None, float | None]:
    """Units per pixel by the resolution tags, x and y; they count pixels per unit."""
    return _reciprocal(page.tags.valueof(282)), _reciprocal(page.tags.valueof(283))


def _reciprocal(rational: Any) -> float | None:
    """Denominator / numerator of a resolution tag."""
    if isinstance(rational, float) and rational:
        return 1 / rational
    if not isinstance(rational, tuple) or len(rational) != 2 or not all(rational):
        return None
    return float(rational[1]) / float(rational[0])
