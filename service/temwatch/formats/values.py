"""Values that a file states as text, numbers and XML: damaged or foreign ones give None or an empty text."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from typing import Any


def parse_xml(text: Any) -> ElementTree.Element | None:
    """A value as the root of an XML document; None where it is none."""
    if not isinstance(text, str) or "<" not in text:
        return None
    try:
        return ElementTree.fromstring(text.strip(" \0\r\n\t"))
    except (ElementTree.ParseError, ValueError):  # ValueError: a declared encoding that does not exist
        return None


def text(value: Any) -> str:
    """A value as text that can be printed; empty where it is none."""
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            value = value.decode("latin-1")
    return "".join(c for c in value if c.isprintable()).strip() if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """A value as a finite number; None where it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
