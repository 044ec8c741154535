"""What settings would make of one micrograph: found in a process of its own, nothing is recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any, BinaryIO

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import Response

from temwatch import setting_keys
from temwatch.analysis import pipeline
from temwatch.config import SeparationSettings
from temwatch.domain import Particle, Reason
from temwatch.errors import UsageError
from temwatch.ledger import MicrographRow, Reader, analyses, sample_priors, sample_settings
from temwatch.outputs.population_summary import json_numbers
from temwatch.particle_filter import NO_FILTER
from temwatch.web import download_process, rendering
from temwatch.web.bodies import REFUSALS, token_route
from temwatch.web.context import Context, known_micrograph
from temwatch.web.decisions import Id
from temwatch.web.setting_views import ChangedSettings

_NO_OUTLINES: dict[int | str, dict[str, Any]] = {
    404: {"description": "no such micrograph, or it has no outlines"},
    422: {"description": "no such setting, or not such a value"},
}


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""
    posted = APIRouter(route_class=token_route(service.token))

    @posted.post(
        "/api/micrographs/{id}/settings/preview",
        responses=REFUSALS | _NO_OUTLINES,
        summary="Particles and outlines that a micrograph would have with other settings (token)",
    )
    def preview(id: Id, body: ChangedSettings) -> Response:
        with service.reader() as ledger:
            row = known_micrograph(ledger, id)
            if not row.has_result:
                raise HTTPException(404, f"micrograph {id} has no outlines: it is {row.status}")
            own = sample_settings.decisive(ledger.connection, row.sample)
        try:
            settings = _with(own, setting_keys.check(body.settings))
        except UsageError as error:
            raise HTTPException(422, str(error)) from None
        configured = service.config
        segments_again = setting_keys.polarity(configured.segmentation, own) != setting_keys.polarity(
            configured.segmentation, settings
        )
        made_by = partial(
            _write,
            micrograph=id,
            separation=setting_keys.separation(configured.separation, settings),
            min_confidence=setting_keys.min_confidence(configured.segmentation, settings),
            segments_again=segments_again,
        )
        write = partial(download_process.write, configured.output.state, made_by, NO_FILTER)
        return service.download_queue.respond(write, "application/json")

    app.include_router(posted)


def _with(
    own: setting_keys.Settings, changed: Mapping[str, setting_keys.SettingValue | None]
) -> setting_keys.Settings:
    """The settings of a sample as they would be."""
    settings = {**own, **changed}
    for key, value in changed.items():
        if value is not None and key in setting_keys.INSTEAD:
            settings.pop(setting_keys.INSTEAD[key], None)
    return {key: value for key, value in settings.items() if value is not None}


def _write(
    ledger: Reader,
    stream: BinaryIO,
    *,
    micrograph: int,
    separation: SeparationSettings,
    min_confidence: float | None,
    segments_again: bool,
) -> None:
    row = known_micrograph(ledger, micrograph)
    assert row.pixel_size_nm is not None  # it has a result
    stored = analyses.segmentation(ledger, micrograph)
    if stored.sample_prior is None:
        prior_nm = sample_priors.find(ledger, row.file_id)
        stored = replace(stored, sample_prior=prior_nm.scaled(1 / row.pixel_size_nm))
    found = pipeline.resolve_segmentation(
        stored,
        pixel_size_nm=row.pixel_size_nm,
        settings=separation,
        min_confidence=min_confidence,
    )
    reasons = [rejection.reason for rejection in found.rejections]
    answer = {
        "segments_again": segments_again,
        "before": _counts(row, analyses.particles(ledger, micrograph), row.rejected),
        "after": _counts(row, found.particles, {reason: reasons.count(reason) for reason in Reason}),
        "outlines": rendering.drawn_outlines(row, found.particles, found.rejections, level=stored.level),
    }
    stream.write(json.dumps(answer, allow_nan=False, separators=(",", ":")).encode())


def _counts(
    row: MicrographRow, particles: Sequence[Particle], rejected: Mapping[Reason, int]
) -> dict[str, Any]:
    diameters = [particle.equivalent_diameter_nm for particle in particles]
    return {
        "micrograph": row.micrograph,
        "particles": len(diameters),
        "mean_equivalent_diameter_nm": json_numbers(fmean(diameters)) if diameters else None,
        "rejected": {str(reason): count for reason, count in rejected.items()},
    }
