"""What the micrographs show that the edge network learns from: all that decides how an edge looks varies.

Micrographs for finding particles (`random_settings`) are as real ones mostly are. These vary size, defocus,
dose, blur and contrast independently instead, so that none of them can stand for another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from temwatch.simulator.settings import Family, Settings, log_uniform

_WAVELENGTH_NM = 0.0025
"""Of electrons at 200 kV; the square root of wavelength times defocus is the width of a Fresnel fringe."""
_WIDEST_FRINGE = 0.5
"""Fringes up to this part of a particle's diameter, as far as `_LARGEST_DEFOCUS_NM` allows."""
_LARGEST_DEFOCUS_NM, _LEAST_RANGE_NM = 1500.0, 60.0
_STATED_SHARE = 0.25
"""Micrographs whose defocus is uniform from -500 to 100 nm, where most acquisitions are."""
_ROSE = 14.0
"""The signal of a whole particle is at least this many times its noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeMixture:
    """Side of the micrographs, and the shares of small particles (6 to 24 px) and of overfocus."""

    size_px: int
    small_share: float
    overfocus_share: float


MIXTURES = (
    EdgeMixture(size_px=448, small_share=0.4, overfocus_share=0.2),
    EdgeMixture(size_px=384, small_share=0.6, overfocus_share=0.4),
)
"""They take turns. Small and overfocused particles came out worst after a training on the first alone."""


def draw_edge_settings(rng: np.random.Generator, mixture: EdgeMixture) -> Settings:
    """Settings of one micrograph: particles of 6 to 180 px, 0.025 to 1.5 nm and 4 to 600 electrons per px.

    In half of them the contrast is that of the material, in the others any from 6 to 97 %.
    """
    pixel_size_nm = log_uniform(rng, 0.025, 1.5) if rng.random() < 0.65 else log_uniform(rng, 0.08, 0.25)
    # the diameter in px decides what the network sees, so it is drawn first
    is_small = rng.random() < mixture.small_share
    diameter_px = min(
        log_uniform(rng, 6, 24) if is_small else log_uniform(rng, 20, 180), 0.42 * mixture.size_px
    )
    diameter_nm = diameter_px * pixel_size_nm
    fill = log_uniform(rng, 0.05, 0.3)
    disc_px = math.pi / 4 * diameter_px**2
    is_corrected = rng.random() < 0.4
    dose_e_per_px = log_uniform(rng, 4, 600)
    settings = Settings(
        size_px=mixture.size_px,
        pixel_size_nm=pixel_size_nm,
        material=str(
            rng.choice(["Au", "Ag", "Pt", "CdSe", "Fe3O4", "SiO2"], p=[0.45, 0.15, 0.15, 0.1, 0.1, 0.05])
        ),
        families=(
            ("ellipses",),
            ("ellipses",),
            ("facetted",),
            ("facetted",),
            ("ellipses", "facetted"),
            ("ellipses", "facetted"),
            ("ellipses", "facetted"),
            ("rods",),
        )[rng.integers(8)],
        particles=int(np.clip(fill * mixture.size_px**2 / disc_px, 2, 90)),
        diameter_mean_nm=diameter_nm,
        diameter_sd_nm=diameter_nm * rng.uniform(0.05, 0.3),
        aspect_ratio_mean=rng.uniform(1.02, 1.4),
        rod_aspect_ratio_mean=rng.uniform(1.8, 4),
        roughness=rng.uniform(0, 0.03),
        overlap=("none", "low", "low", "medium")[rng.integers(4)],
        side_contact_share=rng.uniform(0, 0.5),
        voltage_kV=float(rng.choice([80, 120, 200, 200, 300, 300])),
        cs_mm=rng.uniform(-0.01, 0.01) if is_corrected else rng.uniform(0.4, 2.2),
        defocus_nm=_draw_defocus_nm(rng, diameter_nm, mixture.overfocus_share),
        focal_spread_nm=rng.uniform(2, 8),
        convergence_mrad=log_uniform(rng, 0.05, 0.5),
        aperture_mrad=log_uniform(rng, 8, 40),
        carbon_thickness_nm=log_uniform(rng, 1, 20),
        diffuse_share=rng.uniform(0, 0.15),
        lattice_contrast=rng.uniform(0, 1),
        diffraction_contrast=rng.uniform(0, 1),
        support_variation=log_uniform(rng, 0.002, 0.03),
        illumination_variation=log_uniform(rng, 0.01, 0.25),
        dose_e_per_px=dose_e_per_px,
        blur_px=rng.uniform(0.2, 1.4) if rng.random() < 0.85 else rng.uniform(1.2, 2.5),
        readout_noise_e=rng.uniform(0, 1.5),
        gain_variation=rng.uniform(0, 0.02),
        defects_per_million=log_uniform(rng, 0.1, 30),
    )
    settings = _with_detector(_with_shells(settings, rng), rng)
    if rng.random() < 0.5:
        return settings
    least = min(_ROSE / math.sqrt(dose_e_per_px * disc_px), 0.9)
    contrast = float(np.clip(log_uniform(rng, 0.06, 0.95), least, 0.97))
    return replace(
        settings,
        attenuation_per_nm=-math.log1p(-contrast) / diameter_nm,
        # where the film varies more than a particle darkens it, nobody could say what is a particle
        support_variation=min(settings.support_variation, contrast / 5),
    )


def _with_shells(settings: Settings, rng: np.random.Generator) -> Settings:
    """A tenth of the micrographs have particles with shells or rims, a fifteenth soft ones."""
    diameter_nm = settings.diameter_mean_nm
    kind = rng.random()
    if kind < 0.1:
        return replace(
            settings,
            shell_share=1.0 if rng.random() < 0.7 else 0.5,
            shell_nm=diameter_nm * rng.uniform(0.04, 0.25),
            shell_density=log_uniform(rng, 0.01, 0.8),
        )
    if kind < 0.17:
        families: tuple[Family, ...] = ("ellipses",)
        return replace(settings, material="SiO2", families=families, soft_edge=rng.uniform(0.02, 0.15))
    return settings


def _with_detector(settings: Settings, rng: np.random.Generator) -> Settings:
    """What few detectors, exposures and exports do, each in an eighth to a quarter of the micrographs."""
    if rng.random() < 0.25:
        settings = replace(settings, tail_share=rng.uniform(0.05, 0.4), tail_px=log_uniform(rng, 2, 12))
    if rng.random() < 0.2:
        settings = replace(
            settings,
            readout_noise_e=rng.uniform(0.2, 1.5) * math.sqrt(settings.dose_e_per_px),
            noise_correlation_px=rng.uniform(0.4, 1.2),
        )
    if rng.random() < 0.15:
        settings = replace(settings, vibration_px=rng.uniform(0.3, 1.5), drift_px=rng.uniform(0, 4))
    if rng.random() < 0.12:
        settings = replace(settings, halo_strength=rng.uniform(0.2, 1.5), halo_px=log_uniform(rng, 1.5, 8))
    return settings


def _draw_defocus_nm(rng: np.random.Generator, diameter_nm: float, overfocus_share: float) -> float:
    widest = (_WIDEST_FRINGE * diameter_nm) ** 2 / _WAVELENGTH_NM
    widest = max(min(widest, _LARGEST_DEFOCUS_NM), _LEAST_RANGE_NM)
    kind = rng.random()
    if kind < 1 - _STATED_SHARE - overfocus_share:
        defocus_nm = -log_uniform(rng, 10, widest)
    elif kind < 1 - _STATED_SHARE:
        defocus_nm = log_uniform(rng, 5, max(min(widest, 500) / 2, 6))
    else:
        defocus_nm = rng.uniform(-500, 100)
    # half of the stated ones may have fringes wider than their particles
    return float(np.clip(defocus_nm, -widest, widest)) if rng.random() < 0.5 else float(defocus_nm)
