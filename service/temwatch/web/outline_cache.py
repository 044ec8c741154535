"""Outlines of the micrographs viewed last, traced once for all pages."""

from __future__ import annotations

import json
from pathlib import Path

from temwatch.ledger import MicrographRow, Reader, exclusions
from temwatch.outputs import paths
from temwatch.web import rendering
from temwatch.web.cache import SingleFlightCache

_CAPACITY_BYTES = 16 * 1024**2


class OutlineCache:
    """JSON of the outlines of micrographs whose pictures lie below the folder `output`."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._outlines = SingleFlightCache[bytes](_CAPACITY_BYTES, len)

    def outlines(self, ledger: Reader, row: MicrographRow) -> bytes:
        """Outlines of an analysed micrograph, and whether its picture was published."""
        has_picture = paths.shown_picture(self._output, row).is_file()

        def trace() -> bytes:
            found = rendering.outlines(ledger, row) | {"has_picture": has_picture}
            return json.dumps(found, separators=(",", ":")).encode()

        excluded = exclusions.excluded_numbers(ledger, row.id)
        return self._outlines.get((row.id, row.analysed_at, row.method, excluded, has_picture), trace)
