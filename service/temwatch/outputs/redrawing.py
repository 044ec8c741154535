"""Pictures that were damaged after they were written, by a disk or a person, are drawn again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from temwatch.ledger import MicrographRow, Reader, analyses, exclusions
from temwatch.outputs import originals, paths, pictures


def redraw(reader: Reader, folder: Path, row: MicrographRow) -> None:
    """Draw all pictures of a micrograph again that its row and its original file allow.

    The picture of the micrograph needs the original, with the content that was analysed; mask and overlay are
    drawn on that picture. A damaged picture that cannot be drawn is removed: it would pass for a whole one.

    Raises
    ------
    OSError
        A picture cannot be written.
    """
    name = paths.row_picture_name(row)
    path = paths.picture(folder, name, "micrograph")
    if row.recalibrated and path.exists():  # its scale bar may be that of the size before
        _redraw_micrograph(folder, name, row)
    if not pictures.is_whole(path) and not _redraw_micrograph(folder, name, row):
        for kind in paths.PICTURES:
            picture = paths.picture(folder, name, kind)
            if not pictures.is_whole(picture):
                picture.unlink(missing_ok=True)
        return
    excluded = exclusions.excluded_numbers(reader, row.id)
    pictures.draw_again(folder, name, partial(analyses.load, reader, row.id), excluded)


def _redraw_micrograph(folder: Path, name: str, row: MicrographRow) -> bool:
    image = originals.image(row)
    if image is None or row.pixel_size_nm is None:
        return False
    pictures.write_micrograph(folder, name, image, row.pixel_size_nm)
    return True
