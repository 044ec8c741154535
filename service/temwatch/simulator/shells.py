"""Particles with a shell: silica or an oxide on a core, or the faint rim of a polymer.

**The rule.** A shell belongs to its particle where a person would see it, and its outer edge is then the
particle's; a fainter one is left out, and the particle ends with its core. It is seen where, half way
through it, it is a tenth as dark as the particle's middle (`VISIBLE`), darker than twice the variation of the
film, and its signal is five times the noise of its area (`ROSE`).
"""

from __future__ import annotations

import math

import numpy as np

from temwatch.simulator import shapes
from temwatch.simulator.materials import MATERIALS, attenuation_per_nm
from temwatch.simulator.optics import Electron
from temwatch.simulator.settings import Settings
from temwatch.simulator.shapes import Solid

VISIBLE = 0.1
"""Contrast of a shell that is seen, over that of the particle's middle."""
ROSE = 5.0
"""Signal over noise that an eye needs (Rose, Advances in Biological and Medical Physics 1, 1948, 131)."""
_LEAST_CORE = 0.3
"""A core is at least this part of its particle."""


def is_seen(settings: Settings, diameter_px: float) -> bool:
    """Whether the shell of a sphere, `diameter_px` with it, is seen in a micrograph with these settings."""
    radius_nm = diameter_px * settings.pixel_size_nm / 2
    core_nm = max(radius_nm - settings.shell_nm, _LEAST_CORE * radius_nm)
    mu_per_nm = settings.attenuation_per_nm
    if mu_per_nm is None:
        electron = Electron(voltage_kV=settings.voltage_kV)
        mu_per_nm = attenuation_per_nm(MATERIALS[settings.material], electron, settings.aperture_mrad)
    shell_per_nm = mu_per_nm * settings.shell_density
    path_nm = 2 * math.sqrt(radius_nm**2 - ((radius_nm + core_nm) / 2) ** 2)
    shell = -math.expm1(-shell_per_nm * path_nm)
    middle = -math.expm1(-2 * (mu_per_nm * core_nm + shell_per_nm * (radius_nm - core_nm)))
    area_px = math.pi * (radius_nm**2 - core_nm**2) / settings.pixel_size_nm**2
    signal = shell * math.sqrt(settings.dose_e_per_px * area_px)
    return shell >= max(VISIBLE * middle, 2 * settings.support_variation) and signal >= ROSE


def random_shell(
    solid: Solid, settings: Settings, rng: np.random.Generator
) -> tuple[Solid, Solid] | tuple[None, None]:
    """Core and coat of a particle that has a shell; the one of them that counts is `solid` itself.

    Its thickness varies by a fifth from particle to particle.
    """
    if not settings.shell_share or not settings.shell_nm or rng.random() >= settings.shell_share:
        return None, None
    x, y = solid.outline.T
    area_px = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    radius_px = math.sqrt(area_px / math.pi)
    shell_px = settings.shell_nm / settings.pixel_size_nm * max(rng.normal(1, 0.2), 0.3)
    if is_seen(settings, 2 * radius_px):
        return shapes.scaled(solid, max(1 - shell_px / radius_px, _LEAST_CORE)), solid
    return solid, shapes.scaled(solid, 1 + shell_px / radius_px)
