"""Files that the engine works on: their pictures, before there is anything else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException
from fastapi import Path as InPath
from fastapi.responses import Response

from temwatch.health import FileInHand
from temwatch.ledger import Reader
from temwatch.names import as_text
from temwatch.outputs import paths
from temwatch.web import rendering
from temwatch.web.cache import SingleFlightCache
from temwatch.web.context import Context

_PREVIEW_BYTES = 8 * 1024**2


def add(app: FastAPI, service: Context) -> None:
    """Add the route to the application."""
    previews = SingleFlightCache[bytes](_PREVIEW_BYTES, len)

    @app.get(
        "/api/files/{file_id}/preview.jpg",
        responses={
            200: {"content": {"image/jpeg": {}}},
            404: {"description": "no such file, or it is not read yet"},
        },
        response_class=Response,
        summary="Small JPEG of a file, as soon as it is read; of a stack or sequence the last frame drawn",
    )
    def preview(
        file_id: Annotated[int, InPath(ge=1, le=2**63 - 1)], edge_px: Literal["320", "1600"] = "1600"
    ) -> Response:
        with service.reader() as ledger:
            file = ledger.file(file_id)
        path = None if file is None else paths.newest_picture(service.config.output.folder, file)
        if path is None:
            raise HTTPException(404, f"file {file_id} has no picture" if file else f"no file {file_id}")
        try:
            modified = path.stat().st_mtime_ns
            content = previews.get((path, modified, edge_px), lambda: rendering.preview(path, int(edge_px)))
        except (OSError, rendering.DamagedPicture):
            raise HTTPException(404, f"file {file_id} has no picture") from None
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})


def in_hand(ledger: Reader, files: tuple[FileInHand, ...]) -> list[dict[str, Any]]:
    """What `/api/now` says of each file in hand, those that came first before the others."""
    known = ((one, ledger.file(one.file_id)) for one in files)
    return [
        {
            "file_id": file.id,
            "sample": file.sample,
            "micrograph": as_text(file.path),
            "name": file.name,
            "stage": one.stage,
            "has_picture": one.has_picture,
        }
        for one, file in known
        if file is not None
    ]
