"""Settings of one sample over those of the configuration: a closed list of keys, and what each may hold.

Never a path, weights, a hook or an address: whoever has the token of the page may change these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from temwatch.config import Config, SegmentationSettings, SeparationSettings
from temwatch.errors import UsageError
from temwatch.particle_filter import ParticleFilter

SettingValue = str | float | bool
Settings = Mapping[str, SettingValue]
"""Values by key, those that are set for a sample."""
Polarity = Literal["dark", "bright"]
_Value = TypeVar("_Value")

_SECTIONS: dict[str, type[BaseModel]] = {
    "separation": SeparationSettings,
    "segmentation": SegmentationSettings,
    "filter": ParticleFilter,
}
_ONLY_VIEWS = "filter."
PARTICLES = "segmentation.particles"
MIN_CONFIDENCE = "segmentation.min_confidence"

KEYS = (
    "separation.method",
    "separation.min_diameter_nm",
    "separation.min_diameter_px",
    "separation.convexity_threshold",
    PARTICLES,
    MIN_CONFIDENCE,
    *(f"{_ONLY_VIEWS}{name}" for name in ParticleFilter.model_fields),
)
"""All that can be set for a sample."""

INSTEAD = {
    "separation.min_diameter_nm": "separation.min_diameter_px",
    "separation.min_diameter_px": "separation.min_diameter_nm",
}
"""Of each of these two the one that was set last counts, see `that_count`."""

_LIST = f"a sample has the settings {', '.join(KEYS)}"


def decides_rows(key: str) -> bool:
    """Whether particles are found again with it; a filter only chooses among them."""
    return not key.startswith(_ONLY_VIEWS)


def check(values: Mapping[str, Any]) -> dict[str, SettingValue | None]:
    """The values as they are stored; None is for a key that is no longer set.

    Raises
    ------
    UsageError
        A key is not in the list, or cannot hold its value.
    """
    checked = {key: None if value is None else _checked(key, value) for key, value in values.items()}
    for key in checked:
        _model(key)
    for key, other in INSTEAD.items():
        if checked.get(key) is not None and checked.get(other) is not None:
            raise UsageError(f"{key} and {other}: set one of them")
    return checked


def that_count(values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Those of these values, in the order in which they were set, that no later one takes the place of."""
    order = [*values]
    return {
        key: value for key, value in values.items() if INSTEAD.get(key) not in order[order.index(key) + 1 :]
    }


def _model(key: str) -> tuple[type[BaseModel], str]:
    if key not in KEYS:
        raise UsageError(f"{key[:100]!r} is no setting of a sample; {_LIST}")
    section, _, name = key.partition(".")
    return _SECTIONS[section], name


def _checked(key: str, value: Any) -> SettingValue:
    model, name = _model(key)
    is_flag = model.model_fields[name].annotation == (bool | None)
    problem = ""
    try:
        if isinstance(value, bool) is is_flag or isinstance(value, str):
            found = getattr(model.model_validate({name: value}), name)
            if found is not None:
                result: SettingValue = found
                return result
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        problem = f": {message[0].lower()}{message[1:]}"
    raise UsageError(f"{key} cannot be {str(value)[:100]!r}{problem}; {_LIST}")


def choices(key: str) -> tuple[str, ...]:
    """What a key may hold where that is one of a few words; empty for a number."""
    model, name = _model(key)
    field = model.model_fields.get(name)
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def configured(config: Config, key: str) -> SettingValue | None:
    """What the configuration has for a key; None where it has nothing."""
    section, _, name = key.partition(".")
    value: SettingValue | None = getattr(getattr(config, section, None), name, None)
    return value


def separation(configured: SeparationSettings, settings: Settings) -> SeparationSettings:
    """The separation of a sample: what is configured, and over it what is set for the sample."""
    prefix = "separation."
    own: dict[str, Any] = {
        key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)
    }
    if "min_diameter_nm" in own:
        own["min_diameter_px"] = None
    return configured.model_copy(update=own) if own else configured


def polarity(configured: SegmentationSettings, settings: Settings) -> Polarity:
    """Whether particles of a sample are dark or bright."""
    value = settings.get(PARTICLES, configured.particles)
    return "bright" if value == get_args(Polarity)[1] else "dark"


def min_confidence(configured: SegmentationSettings, settings: Settings) -> float | None:
    """How certain a particle of a sample has to be; see `SegmentationSettings`."""
    value = settings.get(MIN_CONFIDENCE, configured.min_confidence)
    return None if value is None else float(value)


def particle_filter(settings: Settings) -> ParticleFilter:
    """The filter that is saved for a sample."""
    return ParticleFilter.model_validate(
        {key.removeprefix(_ONLY_VIEWS): value for key, value in settings.items() if not decides_rows(key)}
    )
