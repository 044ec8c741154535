"""The filter that a request asks for by its query parameters, over the one that is saved for the sample."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Query, Request

from temwatch.ledger import Reader, sample_settings
from temwatch.names import as_text
from temwatch.particle_filter import NO_FILTER, ParticleFilter, passes_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFilter:
    """The limits of a request, and whether those that are saved for a sample hold beside them."""

    limits: ParticleFilter = NO_FILTER
    with_saved: bool = True

    def of_sample(self, ledger: Reader, sample: str) -> ParticleFilter:
        """The filter for one sample."""
        if not self.with_saved:
            return self.limits
        return sample_settings.saved_filter(ledger, sample).model_copy(update=dict(self.limits.limits))


def _limits(**given: Any) -> ParticleFilter:
    """The limits; responds with 422 where no particle can pass."""
    if (reason := passes_nothing(given)) is not None:
        raise HTTPException(422, reason)
    return ParticleFilter(**given)


_limits.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                field.annotation,
                *field.metadata,
                Query(description=field.description, allow_inf_nan=None if name == "separated" else False),
            ],
        )
        for name, field in ParticleFilter.model_fields.items()
    ]
)


_LIMITS = ("min_", "max_")


def _refuse_unknown(request: Request) -> None:
    """Respond with 422 to an unknown limit: one with a slip in its name would let all pass.

    Other unknown parameters are no business of the filter.
    """
    known = _parameters(request.scope["route"].dependant)
    unknown = [name for name in request.query_params if name.startswith(_LIMITS) and name not in known]
    if unknown:
        said = repr(as_text(unknown[0])[:100])
        raise HTTPException(422, f"{said} is no parameter; there are {', '.join(sorted(known))}")


def _parameters(dependant: Any) -> set[str]:
    """Names of the query parameters of a route and of all that it depends on."""
    own = {parameter.alias for parameter in dependant.query_params}
    return own.union(*map(_parameters, dependant.dependencies))


def _asked(
    _known: Annotated[None, Depends(_refuse_unknown)],
    limits: Annotated[ParticleFilter, Depends(_limits)],
    saved_filter: Annotated[bool, Query(description="whether the filter saved for the sample holds")] = True,
) -> AskedFilter:
    return AskedFilter(limits=limits, with_saved=saved_filter)


FilterQuery = Annotated[AskedFilter, Depends(_asked)]
"""The filter of a request."""


def named(name: str, chosen: ParticleFilter) -> str:
    """The name of a download that says which particles it holds."""
    if not chosen.limits:
        return name
    stem, dot, ending = name.rpartition(".")
    words = "_".join(f"{key}={str(value).lower()}" for key, value in chosen.limits.items())
    return f"{stem}_{words}{dot}{ending}"
