"""Outlines of the last few micrographs, drawn once for all pages."""

from __future__ import annotations

import json
from pathlib import Path

from temwatch.ledger import MicrographRow, Reader
from temwatch.web import rendering, serialize
from temwatch.web.cache import Kept

_MOST_BYTES = 16 * 1024**2


class Drawn:
    """JSON of the outlines of micrographs whose pictures lie below `output`."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._kept = Kept(_MOST_BYTES)

    def outlines(self, ledger: Reader, row: MicrographRow) -> bytes:
        """Outlines of an analysed micrograph, and whether it has a picture to lie on."""
        has_picture = serialize.picture(self._output, row, "micrograph").is_file()

        def draw() -> bytes:
            found = rendering.outlines(ledger, row) | {"has_picture": has_picture}
            return json.dumps(found, separators=(",", ":")).encode()

        return self._kept.get((row.id, row.analysed_at, row.method, has_picture), draw)
