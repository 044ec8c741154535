"""What an export is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from temwatch.ledger import Reader
from temwatch.outputs.tables import Advance


class Export(Protocol):
    """Writes a sample into a folder and yields each file that is complete."""

    def __call__(self, reader: Reader, sample: str, folder: Path, advance: Advance) -> Iterator[Path]: ...
