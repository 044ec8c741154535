"""The live page itself: one template, its modules and styles, and plotly out of its own package."""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path

import jinja2
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.types import Scope

import temwatch

_HERE = Path(__file__).parent


class _Revalidated(StaticFiles):
    """Static files that a browser keeps, asking each time whether they have changed (ETag)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def add(app: FastAPI) -> None:
    """Put page, static files and plotly into the application."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        tag, _, _ = plotly()
        text = environment.get_template("page.html").render(version=temwatch.__version__, plotly_tag=tag)
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})

    @app.get("/static/plotly-{tag}.js", include_in_schema=False)
    def library(request: Request, tag: str) -> Response:  # noqa: ARG001 - the name changes with the content
        current, plain, packed = plotly()
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "ETag": f'"{current}"',
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                packed, media_type="text/javascript", headers=headers | {"Content-Encoding": "gzip"}
            )
        return Response(plain.read_bytes(), media_type="text/javascript", headers=headers)

    app.mount("/static", _Revalidated(directory=_HERE / "static"), name="static")


@lru_cache(maxsize=1)
def plotly() -> tuple[str, Path, bytes]:
    """The library that comes with the Python package: digest, path, and the bytes packed once."""
    from importlib.util import find_spec

    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package plotly is not installed")
    path = Path(found.origin).parent / "package_data" / "plotly.min.js"
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()[:16], path, gzip.compress(content, 6, mtime=0)
