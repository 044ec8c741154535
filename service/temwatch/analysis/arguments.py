"""The arguments of `temwatch.analyse` and `temwatch.resolve`, checked before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from temwatch.analysis import separation
from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.config import SeparationSettings
from temwatch.domain import Image, Level, Mask
from temwatch.errors import UsageError


def check_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """The values as a 2D array of real numbers; UsageError where they are something else."""
    array = np.asarray(values)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise UsageError(
            f"{name}: needs a 2D array of real numbers that is not empty, found {array.dtype} {array.shape}"
        )
    return array


def check_mask(mask: ArrayLike) -> Mask:
    """The mask as bool in C order; UsageError where it is no 2D array of real numbers."""
    return check_array(mask, "mask").astype(bool, order="C")


def check_beside(array: ArrayLike | None, name: str, shape: tuple[int, ...]) -> Mask | None:
    """A second mask as bool; UsageError where it has not the shape of the first."""
    if array is None:
        return None
    found = check_array(array, name).astype(bool)
    if found.shape != shape:
        raise UsageError(f"{name}: needs the shape of the mask, {shape}, found {found.shape}")
    return found


def check_image(image: ArrayLike, shape: tuple[int, ...]) -> Image:
    """The picture as float32; UsageError where it has not the shape of the mask."""
    found = check_array(image, "image").astype(np.float32)
    if found.shape != shape:
        raise UsageError(f"image: needs the shape of the mask, {shape}, found {found.shape}")
    return found


def check_level(level: Level | None, shape: tuple[int, ...]) -> Level | None:
    """The level as it is; UsageError where it is not one of the mask."""
    if level is not None and (level.dtype != np.uint8 or level.shape != shape):
        found = f"{level.dtype} {level.shape}"
        raise UsageError(f"level: needs uint8 of the shape of the mask, {shape}, found {found}")
    return level


def check_pixel_size(pixel_size_nm: float) -> float:
    """The pixel size in nm; UsageError unless it is plausible."""
    if not is_plausible_pixel_size(pixel_size_nm):
        raise UsageError(f"pixel_size_nm: {implausible_pixel_size(pixel_size_nm)}")
    return float(pixel_size_nm)


def check_separation(separate: str | None, settings: SeparationSettings | None) -> SeparationSettings:
    """The settings with the method that was asked for; UsageError where there is no such method."""
    settings = settings or SeparationSettings()
    if separate is None:
        return settings
    if separate not in separation.SEPARATORS:
        choices = ", ".join(separation.SEPARATORS)
        raise UsageError(f"separate: must be one of {choices}, found {separate!r}")
    return settings.model_copy(update={"method": separate})


def check_compatibility(compatibility: str | None) -> bool:
    """Whether the rules of ANTEMA were asked for; UsageError for those of any other program."""
    if compatibility not in (None, "antema"):
        raise UsageError(f"compatibility: must be antema, found {compatibility!r}")
    return compatibility is not None
