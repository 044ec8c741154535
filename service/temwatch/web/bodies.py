"""Bodies of requests: parsed after the token is checked, as strict JSON, and refused without an echo."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from temwatch.web.security import Token

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "the token is missing or wrong"},
    403: {"description": "the service is read-only"},
    429: {"description": "too many requests"},
    503: {"description": "the ledger cannot be written now; nothing has changed"},
}
"""Answers of every route that needs the token, for the OpenAPI document."""


class _StrictRequest(Request):
    """Its JSON has finite numbers only, as the standard says."""

    async def json(self) -> Any:
        """The body; 422 where it is no JSON."""
        try:
            return json.loads(await self.body(), parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, f"the body is not JSON: {str(error)[:200]!a}") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return value


def token_route(token: Token) -> type[APIRoute]:
    """Class of the routes that are posted to: nothing is parsed before the token is checked."""

    class TokenRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                token.check(request)
                return await handle(_StrictRequest(request.scope, request.receive))

            return checked

    return TokenRoute


def add_refusal(app: FastAPI) -> None:
    """Answer a request that does not fit with what is wrong, and never with what was sent."""

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> Response:
        detail = [{key: one[key] for key in ("type", "loc", "msg")} for one in error.errors()]
        return Response(json.dumps({"detail": detail}), status_code=422, media_type="application/json")
