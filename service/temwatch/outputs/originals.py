"""The micrograph of a row, read again from its original file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from temwatch import formats
from temwatch.domain import Image
from temwatch.errors import InputError
from temwatch.ledger import MicrographRow


def image(row: MicrographRow) -> Image | None:
    """The picture that was analysed, float32 (y, x); None where the file is gone or is another one now."""
    original = Path(row.root, row.micrograph)
    try:
        if not original.is_file():
            return None
        with original.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != row.sha256:
                return None
        source = formats.open_source(original, pixel_size_nm=row.pixel_size_nm)
        return source.load(0 if row.frames_total is None else row.frame or 0)
    except (OSError, InputError):
        return None
