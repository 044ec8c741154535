"""What a person decides about the data set over HTTP, and the history of all decisions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from temwatch.choices import MAX_BY_CHARACTERS, MAX_REASON_CHARACTERS, PLAUSIBLE_PIXEL_SIZE_NM
from temwatch.domain import utc_text
from temwatch.ledger import changes
from temwatch.web.bodies import REFUSALS, token_route
from temwatch.web.context import Context, known_micrograph, known_sample

MAX_CORNERS = 10_000
"""Corners of the polygon that particles are chosen with."""

_MAX_NUMBERS = 100_000
_MAX_CHANGES = 1000
_MAX_NOTES = 100
_MAX_NOTE = 200
_LARGEST = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=_LARGEST)]
Kind = Literal["exclude", "include"]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]

_REFUSALS = REFUSALS | {404: {"description": "no such micrograph"}}
_DOES_NOT_FIT: dict[int | str, dict[str, Any]] = {
    409: {"description": "it does not fit the sizes that the micrographs state"}
}


class Reasoned(BaseModel):
    """Who decides, by their own word, and why."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field("unknown", min_length=1, max_length=MAX_BY_CHARACTERS)
    reason: str = Field("", max_length=MAX_REASON_CHARACTERS)


class OfParticles(Reasoned):
    """Particles by their numbers, or those whose centroid lies within a polygon in px from the top left."""

    numbers: list[Annotated[int, Field(ge=1, le=_LARGEST)]] | None = Field(None, max_length=_MAX_NUMBERS)
    polygon: list[tuple[Coordinate, Coordinate]] | None = Field(
        None, min_length=3, max_length=MAX_CORNERS, description="corners as [x, y]"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> OfParticles:
        if (self.numbers is None) == (self.polygon is None):
            raise ValueError("give either numbers or a polygon")
        return self


class OfNotes(Reasoned):
    """Remarks by their names, or as the column `notes` has them; all of them without `notes`."""

    notes: list[Annotated[str, Field(max_length=_MAX_NOTE)]] | None = Field(None, max_length=_MAX_NOTES)


class Calibration(Reasoned):
    """By a factor for the stated sizes, or to one size, or back."""

    factor: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False)
    pixel_size_nm: float | None = Field(None, ge=PLAUSIBLE_PIXEL_SIZE_NM[0], le=PLAUSIBLE_PIXEL_SIZE_NM[1])
    undo: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Calibration:
        if (self.factor is not None) + (self.pixel_size_nm is not None) + self.undo != 1:
            raise ValueError("give one of factor, pixel_size_nm and undo")
        return self


class Undoing(Reasoned):
    """Changes by their ids in the history."""

    changes: list[Annotated[int, Field(ge=1, le=_LARGEST)]] = Field(min_length=1, max_length=_MAX_CHANGES)


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""
    decided = APIRouter(route_class=token_route(service.token))

    def decide(kind: str, id: int, body: Reasoned, **which: Any) -> dict[str, Any]:
        arguments = {"by": body.by, "reason": body.reason, "source": "api", "micrograph": id, **which}
        answer = service.decide(kind, arguments)
        if "refused" in answer:
            raise HTTPException(404, str(answer["refused"]))
        return answer

    def calibrate(body: Calibration, **which: Any) -> dict[str, Any]:
        answer = service.decide("calibrate", {**which, "source": "api", **body.model_dump()})
        if "refused" in answer:
            raise HTTPException(409, str(answer["refused"]))
        return answer

    @decided.post(
        "/api/micrographs/{id}/calibration",
        responses=_REFUSALS | _DOES_NOT_FIT,
        summary="Correct the pixel size that a micrograph states, or undo that (token)",
    )
    def calibration_of_micrograph(id: Id, body: Calibration) -> dict[str, Any]:
        with service.reader() as ledger:
            known_micrograph(ledger, id)
        return calibrate(body, micrograph=id)

    @decided.post(
        "/api/micrographs/{id}/{kind}",
        responses=_REFUSALS,
        summary="Take a micrograph or frame out of the data set, or put it back (token)",
    )
    def micrograph(id: Id, kind: Kind, body: Reasoned) -> dict[str, Any]:
        return decide(kind, id, body)

    @decided.post(
        "/api/micrographs/{id}/particles/{kind}",
        responses=_REFUSALS,
        summary="Take particles out of the data set, or put them back (token)",
    )
    def particles(id: Id, kind: Kind, body: OfParticles) -> dict[str, Any]:
        return decide(kind, id, body, particles=body.numbers, polygon=body.polygon)

    @decided.post(
        "/api/micrographs/{id}/notes/{kind}",
        responses=_REFUSALS,
        summary="Dismiss remarks on a micrograph, or show them again (token)",
    )
    def notes(id: Id, kind: Literal["dismiss", "show"], body: OfNotes) -> dict[str, Any]:
        return decide(kind, id, body, notes=body.notes)

    @decided.post(
        "/api/samples/{sample}/notes/{kind}",
        responses=_REFUSALS,
        summary="Dismiss remarks on a sample, or show them again (token)",
    )
    def notes_of_sample(sample: str, kind: Literal["dismiss", "show"], body: OfNotes) -> dict[str, Any]:
        with service.reader() as ledger:
            known_sample(ledger, sample)
        arguments = {"by": body.by, "reason": body.reason, "source": "api"}
        return service.decide(kind, {**arguments, "sample": sample, "notes": body.notes})

    @decided.post(
        "/api/samples/{sample}/calibration",
        responses=_REFUSALS | _DOES_NOT_FIT,
        summary="Correct the pixel sizes that the micrographs of a sample state, or undo that (token)",
    )
    def calibration(sample: str, body: Calibration) -> dict[str, Any]:
        with service.reader() as ledger:
            known_sample(ledger, sample)
        return calibrate(body, sample=sample)

    @decided.post(
        "/api/history/undo",
        responses=REFUSALS | {409: {"description": "one of them cannot be undone; nothing has changed"}},
        summary="Undo changes, all of them or none (token)",
    )
    def undo(body: Undoing) -> dict[str, Any]:
        answer = service.decide("undo", {"source": "api", **body.model_dump()})
        if "refused" in answer:
            raise HTTPException(409, str(answer["refused"]))
        return answer

    app.include_router(decided)

    @app.get("/api/history", summary="Who changed what, when and why; newest first")
    def history(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[int | None, Query(ge=1, le=_LARGEST, description="id of a change")] = None,
        sample: Annotated[str | None, Query(description="changes in this sample only")] = None,
    ) -> list[dict[str, Any]]:
        with service.reader() as ledger:
            found = changes.history(ledger, limit=limit, before_id=before, sample=sample)
        return [asdict(one) | {"made_at": utc_text(one.made_at), "what": one.words} for one in found]
