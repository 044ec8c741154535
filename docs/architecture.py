"""Draws docs/pictures/architecture.svg from the import rules: python docs/architecture.py [FILE].

The floors are the layers of `[tool.importlinter]` in pyproject.toml, the text of a room is the first line
of its docstring.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "pictures" / "architecture.svg"

WIDTH, MARGIN, GAP, LABEL = 1080, 16, 12, 34
LINE, HEAD, PAD = 15, 26, 12
MOST_IN_A_ROW = 6
INK, FAINT, PAPER, FLOOR, EDGE = "#262c34", "#78808a", "#ffffff", "#f3f5f7", "#b9c2cc"
ROOM = "#e3eef7"


def floors() -> list[list[str]]:
    """Names of the rooms, from the top floor down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(rule for rule in project["tool"]["importlinter"]["contracts"] if rule["type"] == "layers")
    return [re.findall(r"temwatch\.(\w+)", layer) for layer in contract["layers"]]


def purpose(room: str) -> str:
    """The first line of a room's docstring."""
    package = ROOT / "service" / "temwatch" / room
    file = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{file} does not say what it is for")
    return docstring.splitlines()[0].replace("`", "")


def draw() -> str:
    """The whole picture."""
    parts, top = [], MARGIN
    stories = floors()
    for number, rooms in zip(range(len(stories), 0, -1), stories, strict=True):
        rows, bottom = [], top + GAP
        for row in _rows(rooms):
            drawn, height = _row(row, bottom)
            rows += drawn
            bottom += height + GAP
        parts.append(_box(MARGIN, top, WIDTH - 2 * MARGIN, bottom - top, FLOOR))
        middle = (top + bottom) / 2 + 5
        parts.append(_text(MARGIN + LABEL / 2 + 4, middle, str(number), FAINT, 17, "middle"))
        parts += rows
        top = bottom + GAP
    size = f"{WIDTH} {top - GAP + MARGIN}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif">',
            "<title>The rooms of temwatch; a room imports only from floors below its own</title>",
            f'<rect width="100%" height="100%" fill="{PAPER}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _rows(rooms: list[str]) -> list[list[str]]:
    """Rooms of one floor in rows of about equal length, none of them crowded."""
    count = -(-len(rooms) // MOST_IN_A_ROW)
    length = -(-len(rooms) // count)
    return [rooms[first : first + length] for first in range(0, len(rooms), length)]


def _row(rooms: list[str], top: float) -> tuple[list[str], float]:
    """Rooms side by side, and their height."""
    width = (WIDTH - 2 * MARGIN - LABEL - GAP * (len(rooms) + 1)) / len(rooms)
    texts = [textwrap.wrap(purpose(room), int((width - 2 * PAD) / 6.7)) for room in rooms]
    height = HEAD + LINE * max(map(len, texts)) + PAD
    parts, left = [], float(MARGIN + LABEL + GAP)
    for room, lines in zip(rooms, texts, strict=True):
        parts.append(_box(left, top, width, height, ROOM))
        parts.append(_text(left + PAD, top + 20, room, INK, 14, weight="bold"))
        for number, line in enumerate(lines):
            parts.append(_text(left + PAD, top + HEAD + 12 + number * LINE, line, INK, 12))
        left += width + GAP
    return parts, height


def _box(left: float, top: float, width: float, height: float, fill: str) -> str:
    place = f'x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f'<rect {place} rx="6" fill="{fill}" stroke="{EDGE}"/>'


def _text(
    left: float, top: float, text: str, fill: str, size: int, anchor: str = "start", weight: str = "normal"
) -> str:
    place = f'x="{left:.0f}" y="{top:.0f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text {place} fill="{fill}">{escape(text)}</text>'


if __name__ == "__main__":
    Path(*sys.argv[1:2] or [FILE]).write_text(draw(), encoding="utf-8")
