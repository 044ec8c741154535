"""From an intensity to counts: movement during the exposure, electrons, point spread, read-out, halos."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.domain import Image
from temwatch.simulator.settings import Settings

_LEAST_BLUR_PX = 0.15
"""Less blur changes nothing."""


def expose(relative: Image, settings: Settings, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Counts of the detector for an intensity relative to the background.

    What moves under the beam is blurred before electrons are counted, and their noise is not. Electrons
    arrive one by one (Poisson); the scintillator's point spread, narrow with a wide tail, blurs their noise
    with the signal; gain, its residual pattern and the read-out follow, then the few dead and hot pixels,
    last what an acquisition program sharpens.
    """
    relative = _moved(relative, settings, rng)
    electrons = rng.poisson(np.maximum(relative, 0) * settings.dose_e_per_px).astype(np.float32)
    if settings.blur_px > _LEAST_BLUR_PX:
        electrons = _blurred(electrons, settings.blur_px)
    if settings.tail_share:
        share = np.float32(settings.tail_share)
        electrons = (1 - share) * electrons + share * _blurred(electrons, settings.tail_px)
    if settings.gain_variation:
        electrons *= 1 + np.float32(settings.gain_variation) * _gain_pattern(settings.size_px)
    if settings.readout_noise_e:
        noise = rng.standard_normal(electrons.shape, dtype=np.float32)
        if settings.noise_correlation_px:
            noise = _blurred(noise, settings.noise_correlation_px)
            noise /= noise.std()
        electrons += np.float32(settings.readout_noise_e) * noise
    electrons *= np.float32(settings.counts_per_electron)
    defects = rng.poisson(settings.defects_per_million * electrons.size * 1e-6)
    places = rng.integers(electrons.size, size=defects)
    electrons.flat[places] = rng.choice([0.0, 1.0], defects) * rng.uniform(3, 30, defects) * electrons.mean()
    if settings.halo_strength:
        electrons += np.float32(settings.halo_strength) * (electrons - _blurred(electrons, settings.halo_px))
    return np.clip(np.rint(electrons), 0, 65535).astype(np.uint16)


def _moved(relative: Image, settings: Settings, rng: np.random.Generator) -> Image:
    """The intensity after vibration, and after a straight drift in a random direction."""
    if settings.vibration_px > _LEAST_BLUR_PX:
        relative = _blurred(relative, settings.vibration_px)
    if settings.drift_px > _LEAST_BLUR_PX:
        angle_rad = rng.uniform(0, math.pi)
        direction = np.array([math.sin(angle_rad), math.cos(angle_rad)])
        steps = 2 * math.ceil(settings.drift_px) + 1
        places = settings.drift_px * (np.arange(steps) / (steps - 1) - 0.5)
        relative = np.mean(
            [ndimage.shift(relative, place * direction, order=1, mode="nearest") for place in places], axis=0
        )
    return relative


def _blurred(image: Image, sigma_px: float) -> Image:
    for axis in (0, 1):
        image = ndimage.gaussian_filter1d(image, sigma_px, axis=axis, truncate=3)
    return image


@lru_cache(maxsize=2)
def _gain_pattern(size_px: int) -> Image:
    """What the flat field leaves, of unit variance: it belongs to the camera, not to the exposure."""
    return np.random.default_rng(0).standard_normal((size_px, size_px), dtype=np.float32)
