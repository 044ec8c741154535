"""One micrograph: its row, particles, outlines and pictures."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, HTTPException, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response
from PIL import Image
from starlette.requests import Request

from temwatch.ledger import MicrographRow, Reader, analyses, exclusions
from temwatch.outputs import paths, pictures, redrawing
from temwatch.web import rendering, serialize
from temwatch.web.cache import SingleFlightCache
from temwatch.web.context import Context, JsonBody, known_micrograph
from temwatch.web.filter_query import FilterQuery

Number = Annotated[int, InPath(ge=1)]
Edge = Literal["320", "1600"]
Stamp = Annotated[
    str, Query(max_length=40, description="time of the analysis; with it, the browser may cache the picture")
]

Drawn = TypeVar("Drawn")

_PREVIEW_BYTES = 32 * 1024**2
_MAX_DECODED = 3  # micrographs of 4096 px take 16 MiB each
_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "no such micrograph or picture"}}


class PublishedPictures:
    """Pictures in the output folders; damaged ones are drawn again, one at a time."""

    def __init__(self, service: Context) -> None:
        self._service = service
        self._one_redraws = threading.Lock()

    def path(self, ledger: Reader, row: MicrographRow, kind: paths.Picture) -> Path:
        """Where a whole picture lies; 404 where there is none."""
        path = paths.row_picture(self._service.config.output.folder, row, kind)
        if path.is_file() and not pictures.is_whole(path):
            self._redraw(ledger, row)
        if not pictures.is_whole(path):
            raise HTTPException(404, f"micrograph {row.id} has no {kind} picture")
        return path

    def decoded(self, id: int, use: Callable[[Path], Drawn]) -> Drawn:
        """What is made of the picture of a micrograph, which is drawn again where it cannot be decoded."""
        with self._service.reader() as ledger:
            row = known_micrograph(ledger, id)
            path = self.path(ledger, row, "micrograph")
            try:
                return use(path)
            except rendering.DamagedPicture:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                self._redraw(ledger, row)
            try:
                return use(self.path(ledger, row, "micrograph"))
            except rendering.DamagedPicture as error:
                raise HTTPException(404, f"micrograph {id} has no picture: {error}") from None

    def _redraw(self, ledger: Reader, row: MicrographRow) -> None:
        """Where that fails, they are missing."""
        with self._one_redraws, suppress(OSError, KeyError):
            path = paths.row_picture(self._service.config.output.folder, row, "micrograph")
            redrawing.redraw(ledger, path.parent, row)


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""
    threading.Thread(target=rendering.warm_up, daemon=True).start()
    _add_rows(app, service)
    _add_pictures(app, service, PublishedPictures(service))


def _add_rows(app: FastAPI, service: Context) -> None:
    @app.get("/api/micrographs", summary="Micrographs of all samples, newest first")
    def recent(limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> list[dict[str, Any]]:
        with service.reader() as ledger:
            return [serialize.micrograph(row) for row in ledger.recent(limit)]

    @app.get("/api/micrographs/{id}", responses=_MISSING, summary="One micrograph with its particles")
    def micrograph(id: int) -> dict[str, Any]:
        with service.reader() as ledger, ledger.snapshot():
            row = known_micrograph(ledger, id)
            return serialize.micrograph(row) | {"particle_rows": serialize.particles(ledger, row)}

    @app.get(
        "/api/micrographs/{id}/outlines", responses=_MISSING, summary="Outlines of particles and rejections"
    )
    def outlines(request: Request, id: int) -> Response:
        with service.reader() as ledger, ledger.snapshot():  # a retry may delete the row at any time
            row = known_micrograph(ledger, id)
            if not row.has_result:
                raise HTTPException(404, f"micrograph {id} has no outlines: it is {row.status}")
            content = service.outlines.outlines(ledger, row)
        return JsonBody.from_bytes(content).response(request)

    @app.get(
        "/api/micrographs/{id}/left_out",
        responses=_MISSING,
        summary="Numbers of the particles of a micrograph that a filter leaves out, or that are excluded",
    )
    def left_out(id: int, filter: FilterQuery) -> dict[str, list[int]]:
        with service.reader() as ledger:
            chosen = filter.of_sample(ledger, known_micrograph(ledger, id).sample)
        with Reader(service.config.output.state, chosen) as ledger:
            return {"numbers": sorted(exclusions.uncounted_numbers(ledger, id))}


def _add_pictures(app: FastAPI, service: Context, published: PublishedPictures) -> None:
    previews = SingleFlightCache[bytes](_PREVIEW_BYTES, len)
    # the crops of a histogram bin come from few micrographs
    decoded = SingleFlightCache[Image.Image](_MAX_DECODED, lambda _: 1)

    @app.get(
        "/api/micrographs/{id}/particles/{number}.png",
        responses=_MISSING | {200: {"content": {"image/png": {}}}},
        response_class=Response,
        summary="Crop of one particle with its outline",
    )
    def particle(id: int, number: Number) -> Response:
        with service.reader() as ledger, ledger.snapshot():
            known_micrograph(ledger, id)
            found, level = analyses.particles(ledger, id), analyses.level(ledger, id)
        if not 1 <= number <= len(found):
            raise HTTPException(404, f"micrograph {id} has no particle {number}")
        picture = published.decoded(
            id, lambda path: decoded.get((path, path.stat().st_mtime_ns), lambda: rendering.decode(path))
        )
        content = rendering.crop(picture, found[number - 1], level)
        return Response(content, media_type="image/png", headers={"Cache-Control": "no-cache"})

    @app.get(
        "/api/micrographs/{id}/preview.jpg",
        responses=_MISSING | {200: {"content": {"image/jpeg": {}}}},
        response_class=Response,
        summary="Small JPEG of the micrograph, longest edge 320 or 1600 px",
    )
    def preview(id: int, edge_px: Edge = "1600", t: Stamp = "") -> Response:
        def draw(path: Path) -> bytes:
            modified = path.stat().st_mtime_ns
            content = previews.get((path, modified, "1600"), lambda: rendering.preview(path, 1600))
            if edge_px == "1600":
                return content
            large = io.BytesIO(content)  # pages that show the thumbnail show the large preview too
            return previews.get((path, modified, edge_px), lambda: rendering.preview(large, int(edge_px)))

        with service.reader() as ledger:
            row = known_micrograph(ledger, id)
        small = paths.shown_picture(service.config.output.folder, row)
        content = draw(small) if small.suffix == ".jpg" else published.decoded(id, draw)
        caching = "private, max-age=86400, immutable" if t else "no-cache"
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": caching})

    @app.get(
        "/api/micrographs/{id}/{kind}.png",
        responses=_MISSING | {200: {"content": {"image/png": {}}}},
        response_class=FileResponse,
        summary="Picture: micrograph, mask or overlay",
    )
    def picture(id: int, kind: paths.Picture) -> FileResponse:
        with service.reader() as ledger:
            path = published.path(ledger, known_micrograph(ledger, id), kind)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "no-cache"})
