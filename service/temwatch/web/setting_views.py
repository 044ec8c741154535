"""Settings of a sample over HTTP: what is in force, where it comes from, and changes with the token."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import Field

from temwatch import setting_keys
from temwatch.config import Config
from temwatch.domain import utc_text
from temwatch.errors import UsageError
from temwatch.ledger import Reader, sample_settings
from temwatch.web.bodies import REFUSALS, token_route
from temwatch.web.context import Context, known_sample
from temwatch.web.decisions import Reasoned

_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "no such sample"}}

Value = bool | float | str | None


class ChangedSettings(Reasoned):
    """Values by key; null for a key that is no longer set."""

    settings: dict[str, Value] = Field(min_length=1, max_length=len(setting_keys.KEYS))


def add(app: FastAPI, service: Context) -> None:
    """Add the routes to the application."""
    changed = APIRouter(route_class=token_route(service.token))

    @app.get(
        "/api/samples/{sample}/settings",
        responses=_UNKNOWN,
        summary="Every setting of a sample: its value, and whether the sample or the configuration has it",
    )
    def settings(sample: str) -> dict[str, dict[str, Any]]:
        with service.reader() as ledger:
            known_sample(ledger, sample)
            return described(ledger, service.config, sample)

    @changed.post(
        "/api/samples/{sample}/settings",
        responses=REFUSALS | _UNKNOWN | {422: {"description": "no such setting, or not such a value"}},
        summary="Set and unset settings of a sample; its micrographs are measured again (token)",
    )
    def change(sample: str, body: ChangedSettings) -> dict[str, Any]:
        with service.reader() as ledger:
            known_sample(ledger, sample)
        try:
            values = setting_keys.check(body.settings)
        except UsageError as error:
            raise HTTPException(422, str(error)) from None
        arguments = {"by": body.by, "reason": body.reason, "source": "api"}
        answer = service.decide("settings", {**arguments, "sample": sample, "values": values})
        if "refused" in answer:
            raise HTTPException(422, str(answer["refused"]))
        return answer

    app.include_router(changed)


def described(ledger: Reader, config: Config, sample: str) -> dict[str, dict[str, Any]]:
    """By key: value, source (sample, configuration or none), choices, and who set it."""
    own = sample_settings.settings_of(ledger, sample)
    found: dict[str, dict[str, Any]] = {}
    for key in setting_keys.KEYS:
        value = None if setting_keys.INSTEAD.get(key) in own else setting_keys.configured(config, key)
        entry: dict[str, Any] = {
            "value": value,
            "configured": setting_keys.configured(config, key),
            "source": "none" if value is None else "configuration",
            "choices": setting_keys.choices(key),
        }
        if (one := own.get(key)) is not None:
            entry |= {
                "value": one.value,
                "source": "sample",
                "by": one.made_by,
                "at": utc_text(one.made_at),
                "change": one.change,
            }
        found[key] = entry
    return found
