"""The live page itself: one template, its scripts and styles, and plotly from its Python package."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import jinja2
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.types import Scope

import temwatch
from temwatch.descriptors import Shown, shown
from temwatch.web.cache import SingleFlightCache

_HERE = Path(__file__).parent


class _Revalidated(StaticFiles):
    """Static files that a browser caches but revalidates each time (ETag)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304 where the browser has it."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add(app: FastAPI) -> None:
    """Add page, static files and plotly to the application."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    libraries = SingleFlightCache[_Plotly](1, lambda _: 1)

    def plotly() -> _Plotly:
        return libraries.get("plotly", _plotly)

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        text = environment.get_template("page.html").render(
            version=temwatch.__version__,
            plotly_tag=plotly().digest,
            descriptors=[(one.name, one.label) for one in shown(Shown.POPULATION)],
        )
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})

    @app.get("/static/plotly-{tag}.js", include_in_schema=False)
    def library(request: Request, tag: str) -> Response:  # noqa: ARG001 - the name changes with the content
        current = plotly()
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "ETag": f'"{current.digest}"',
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                current.gzipped,
                media_type="text/javascript",
                headers=headers | {"Content-Encoding": "gzip"},
            )
        return Response(current.path.read_bytes(), media_type="text/javascript", headers=headers)

    app.mount("/static", _Revalidated(directory=_HERE / "static"), name="static")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plotly:
    """The chart library out of its Python package: digest, path, and its bytes compressed."""

    digest: str
    path: Path
    gzipped: bytes


def _plotly() -> _Plotly:
    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package plotly is not installed")
    path = Path(found.origin).parent / "package_data" / "plotly.min.js"
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return _Plotly(digest=digest, path=path, gzipped=gzip.compress(content, 6, mtime=0))
