"""What the sections of the configuration are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator


def _expand(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    return Path(value).expanduser() if isinstance(value, str) else value


LocalPath = Annotated[Path, BeforeValidator(_expand)]


class Section(BaseModel):
    """A section of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_set(cls, values: object) -> object:
        """TOML has no null: an empty text stands for it where a key may be left out."""
        if not isinstance(values, dict):
            return values
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {key: None if value == "" and key in optional else value for key, value in values.items()}
