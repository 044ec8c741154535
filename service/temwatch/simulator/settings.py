"""What is simulated: one frozen record with a unit in every name, presets, and draws over the whole range."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from temwatch.errors import UsageError
from temwatch.simulator.materials import MATERIALS, attenuation_per_nm
from temwatch.simulator.optics import Electron

Family = Literal["ellipses", "facetted", "rods"]
Overlap = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A bright-field acquisition; the defaults are ultrasmall to small gold on thin carbon at 300 kV.

    Specimen: every particle is of one of `families` at random; diameters are equivalent diameters of the
    projection. `overlap` is a degree of `temwatch.simulator.specimen.DEGREES`. `roughness` is the rms
    deviation of the outline over the particle's radius. Of the attached facetted particles a share of
    `side_contact_share` touches along a whole side; a share of `inside_share` of all lies inside another one.

    A share of `shell_share` has a shell of `shell_nm`, whose matter is `shell_density` times as dense to the
    beam as the core; `temwatch.simulator.shells` says when it counts. `soft_edge` is the rms width, over the
    mean radius, of the surface of particles that end gradually: they end where they are half as dense.

    Microscope: defocus is negative for underfocus; `attenuation_per_nm` overrides what material, voltage and
    objective aperture give; `diffuse_share` of the background reaches the detector whatever lies in between.
    `lattice_contrast` and `diffraction_contrast` (0 to 1) scale fringes and Bragg contrast, whose strength
    varies from particle to particle. `support_variation` is the relative rms variation of the film's
    transmission, `residue_share` the share of the field under organic residue.

    Detector: `dose_e_per_px` is the mean of the background; `blur_px` the rms width of the point spread, of
    which `tail_share` is spread by `tail_px` more. `noise_correlation_px` is the rms width over which
    read-out noise is correlated. The specimen vibrates by `vibration_px` (rms) and drifts by `drift_px` while
    electrons are counted. `halo_strength` times the difference to a blur of `halo_px` is added, as sharpening
    does.
    """

    size_px: int = 1024
    pixel_size_nm: float = 0.1
    material: str = "Au"
    families: tuple[Family, ...] = ("ellipses", "facetted")
    particles: int = 150
    diameter_mean_nm: float = 4.5
    diameter_sd_nm: float = 0.9
    distribution: Literal["normal", "lognormal"] = "lognormal"
    aspect_ratio_mean: float = 1.15
    rod_aspect_ratio_mean: float = 3.0
    roughness: float = 0.015
    overlap: Overlap = "low"
    side_contact_share: float = 0.25
    inside_share: float = 0.0
    shell_share: float = 0.0
    shell_nm: float = 0.0
    shell_density: float = 0.3
    soft_edge: float = 0.0
    voltage_kV: float = 300.0  # noqa: N815 - the unit's own spelling
    cs_mm: float = 0.005
    defocus_nm: float = -60.0
    focal_spread_nm: float = 4.0
    convergence_mrad: float = 0.2
    aperture_mrad: float = 25.0
    carbon_thickness_nm: float = 3.0
    attenuation_per_nm: float | None = None
    diffuse_share: float = 0.02
    lattice_contrast: float = 0.5
    diffraction_contrast: float = 0.5
    support_variation: float = 0.01
    residue_share: float = 0.0
    illumination_variation: float = 0.06
    dose_e_per_px: float = 60.0
    counts_per_electron: float = 20.0
    blur_px: float = 0.6
    readout_noise_e: float = 0.5
    gain_variation: float = 0.005
    defects_per_million: float = 2.0
    tail_share: float = 0.0
    tail_px: float = 8.0
    noise_correlation_px: float = 0.0
    vibration_px: float = 0.0
    drift_px: float = 0.0
    halo_strength: float = 0.0
    halo_px: float = 4.0
    annotations: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated, naming the first offender."""
        positive = ("size_px", "pixel_size_nm", "diameter_mean_nm", "voltage_kV", "dose_e_per_px")
        for name in positive:
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive, found {getattr(self, name)}")
        if not self.families or self.material not in MATERIALS:
            raise UsageError(f"families must not be empty, material one of {', '.join(MATERIALS)}")
        signed = {"defocus_nm", "cs_mm"}
        for name in (field.name for field in fields(self) if field.name not in signed):
            value = getattr(self, name)
            if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} must be finite and not negative, found {value}")


SURVEY = Settings(
    pixel_size_nm=1.0,
    families=("ellipses", "facetted"),
    particles=250,
    diameter_mean_nm=22.0,
    diameter_sd_nm=3.5,
    voltage_kV=120.0,
    cs_mm=2.0,
    defocus_nm=-1500.0,
    focal_spread_nm=8.0,
    aperture_mrad=12.0,
    carbon_thickness_nm=15.0,
    diffuse_share=0.08,
    support_variation=0.02,
    illumination_variation=0.1,
    dose_e_per_px=300.0,
    counts_per_electron=10.0,
)
"""A survey micrograph: particles of 10 to 40 px, smooth and dark."""

HIGH_RESOLUTION = Settings(
    pixel_size_nm=0.03,
    particles=35,
    diameter_mean_nm=2.4,
    diameter_sd_nm=0.5,
    defocus_nm=-40.0,
    dose_e_per_px=15.0,
    lattice_contrast=0.8,
)
"""Ultrasmall gold at lattice resolution, close to the contrast of the carbon."""


def random_settings(seed: int | np.random.Generator, *, size_px: int = 1024) -> Settings:
    """Random settings over the range that a network has to hold over.

    Half are ultrasmall particles close to the contrast of their carbon film. Of the rest a third each
    is lattice resolution (0.02 to 0.06 nm per px, 3 to 60 electrons per px), the paper's regime (0.05 to
    0.5 nm per px) and survey (0.5 to 2 nm per px); particles from 6 to 600 px across, shares of 1 to 40 % of
    the field, attenuation from barely visible to black.
    """
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        return _draw_ultrasmall(rng, size_px)
    regime = rng.choice(3)
    # the diameter in px decides what the network sees, so it is drawn first
    pixel_size_nm = log_uniform(rng, *((0.02, 0.06), (0.05, 0.5), (0.5, 2.0))[regime])
    diameter_px = log_uniform(rng, *((25, 400), (10, 200), (7, 60))[regime])
    if rng.random() < 0.08:
        diameter_px = log_uniform(rng, 200, 600)
    diameter_px = min(diameter_px, 0.6 * size_px)
    diameter_nm = diameter_px * pixel_size_nm
    fill = log_uniform(rng, 0.01, 0.4)
    particles = int(np.clip(fill * size_px**2 / (math.pi / 4 * diameter_px**2), 1, 1000))
    families: tuple[Family, ...] = (
        ("ellipses", "facetted", "rods")
        if rng.random() < 0.1
        else (("ellipses",), ("ellipses",), ("facetted",), ("ellipses", "facetted"), ("rods",))[
            rng.integers(5)
        ]
    )
    voltage_kV = float(rng.choice([80, 100, 120, 200, 200, 300, 300, 300]))  # noqa: N806
    corrected = regime == 0 and rng.random() < 0.7
    settings = Settings(
        size_px=size_px,
        pixel_size_nm=pixel_size_nm,
        material=str(
            rng.choice(["Au", "Ag", "Pt", "CdSe", "Fe3O4", "SiO2"], p=[0.4, 0.15, 0.15, 0.1, 0.1, 0.1])
        ),
        families=families,
        particles=particles,
        diameter_mean_nm=diameter_nm,
        diameter_sd_nm=diameter_nm * rng.uniform(0.04, 0.4),
        distribution="lognormal" if rng.random() < 0.5 else "normal",
        aspect_ratio_mean=rng.uniform(1.02, 1.4),
        rod_aspect_ratio_mean=rng.uniform(1.8, 6),
        roughness=rng.uniform(0, 0.03),
        overlap=("none", "low", "medium", "high")[rng.choice(4, p=[0.3, 0.3, 0.25, 0.15])],
        side_contact_share=rng.uniform(0, 0.6),
        voltage_kV=voltage_kV,
        cs_mm=rng.uniform(-0.01, 0.01) if corrected else rng.uniform(0.5, 2.2),
        focal_spread_nm=rng.uniform(2, 8),
        convergence_mrad=log_uniform(rng, 0.05, 0.5),
        aperture_mrad=log_uniform(rng, 8, 50),
        carbon_thickness_nm=log_uniform(rng, 1, (8, 20, 40)[regime]),
        diffuse_share=rng.uniform(0, 0.2),
        lattice_contrast=rng.uniform(0, 1),
        diffraction_contrast=rng.uniform(0, 1),
        support_variation=log_uniform(rng, 0.002, 0.05),
        residue_share=rng.uniform(0, 0.5) if rng.random() < 0.25 else 0.0,
        illumination_variation=log_uniform(rng, 0.01, 0.4),
        dose_e_per_px=log_uniform(rng, *((3, 60), (8, 400), (20, 1000))[regime]),
        blur_px=rng.uniform(0.2, 1.4),
        readout_noise_e=rng.uniform(0, 1.5),
        gain_variation=rng.uniform(0, 0.02),
        defects_per_million=log_uniform(rng, 0.1, 30),
        annotations=bool(rng.random() < 0.3),
    )
    # sqrt(wavelength x defocus) is the width of a Fresnel fringe: up to four pixels, more often underfocus
    widest_nm = min((4 * max(pixel_size_nm, 0.06)) ** 2 / 0.0025, 3000)
    contrast = _draw_contrast(settings, rng)
    return replace(
        settings,
        defocus_nm=float(np.clip(rng.normal(-0.3, 0.5), -1, 1)) * widest_nm,
        attenuation_per_nm=-math.log1p(-contrast) / diameter_nm,
        # where the film varies more than a particle darkens it, nobody could say what is a particle
        support_variation=min(settings.support_variation, contrast / 4),
    )


def _draw_ultrasmall(rng: np.random.Generator, size_px: int) -> Settings:
    """Particles of 1 to 5 nm at lattice resolution on thin carbon, at a few electrons per pixel.

    A corrected microscope, defocus of either sign up to where fringes are as wide as a small particle. The
    signal of a whole particle is 6 times its noise or more, near the 5 that Rose asks for.
    """
    pixel_size_nm = log_uniform(rng, 0.018, 0.06)
    diameter_nm = min(log_uniform(rng, 1.0, 5.0), 0.4 * size_px * pixel_size_nm)
    diameter_px = diameter_nm / pixel_size_nm
    dose_e_per_px = log_uniform(rng, 4, 70)
    rose = 6 / math.sqrt(dose_e_per_px * math.pi / 4 * diameter_px**2)
    contrast = max(log_uniform(rng, 0.035, 0.4), min(rose, 0.5))
    fill = log_uniform(rng, 0.02, 0.3)
    return replace(
        HIGH_RESOLUTION,
        size_px=size_px,
        pixel_size_nm=pixel_size_nm,
        material=str(rng.choice(["Au", "Ag", "Pt", "CdSe"], p=[0.5, 0.2, 0.15, 0.15])),
        families=(("ellipses",), ("facetted",), ("ellipses", "facetted"))[rng.integers(3)],
        particles=int(np.clip(fill * size_px**2 / (math.pi / 4 * diameter_px**2), 1, 400)),
        diameter_mean_nm=diameter_nm,
        diameter_sd_nm=diameter_nm * rng.uniform(0.05, 0.35),
        aspect_ratio_mean=rng.uniform(1.02, 1.3),
        roughness=rng.uniform(0, 0.03),
        overlap=("none", "low", "medium")[rng.integers(3)],
        voltage_kV=float(rng.choice([80, 200, 300, 300])),
        cs_mm=rng.uniform(-0.01, 0.01),
        defocus_nm=rng.uniform(-120, 120),
        focal_spread_nm=rng.uniform(2, 6),
        convergence_mrad=log_uniform(rng, 0.05, 0.5),
        aperture_mrad=log_uniform(rng, 15, 50),
        carbon_thickness_nm=log_uniform(rng, 1, 6),
        attenuation_per_nm=-math.log1p(-contrast) / diameter_nm,
        diffuse_share=rng.uniform(0, 0.1),
        lattice_contrast=rng.uniform(0, 1),
        diffraction_contrast=rng.uniform(0, 1),
        support_variation=min(log_uniform(rng, 0.002, 0.02), contrast / 4),
        illumination_variation=log_uniform(rng, 0.01, 0.2),
        dose_e_per_px=dose_e_per_px,
        blur_px=rng.uniform(0.2, 1.2),
        readout_noise_e=rng.uniform(0, 1.0),
        annotations=bool(rng.random() < 0.2),
    )


def _draw_contrast(settings: Settings, rng: np.random.Generator) -> float:
    """Contrast of a mean particle: its material's, or any from 2 to 95 %, but above the noise.

    The Rose criterion asks for a signal of 5 times the noise of the whole particle; support and fringes
    disturb as well, so 20 is asked for here.
    """
    electron = Electron(voltage_kV=settings.voltage_kV)
    physical = attenuation_per_nm(MATERIALS[settings.material], electron, settings.aperture_mrad)
    contrast = -math.expm1(-physical * settings.diameter_mean_nm)
    if rng.random() < 0.5:
        contrast = log_uniform(rng, 0.02, 0.95)
    diameter_px = settings.diameter_mean_nm / settings.pixel_size_nm
    electrons = settings.dose_e_per_px * math.pi / 4 * diameter_px**2
    # at lattice resolution the grain of the carbon film is as strong as the faintest particles
    least = 0.04 if settings.pixel_size_nm < 0.06 else 0.02
    return float(np.clip(contrast, max(least, min(20 / math.sqrt(electrons), 0.8)), 0.98))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform between those of the limits."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))
