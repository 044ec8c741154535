"""A whole simulated micrograph, and a mask alone, from settings and a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Mask, Metadata
from temwatch.simulator import detector, imaging
from temwatch.simulator.annotation import annotate
from temwatch.simulator.settings import Family, Overlap, Settings
from temwatch.simulator.specimen import arrange
from temwatch.simulator.truth import Truth, truth_of

INSTRUMENT = "temwatch simulator"
CAMERA_PIXEL_UM = 14.0
"""Pixel of a common CCD camera; its ratio to the calibrated pixel is the magnification."""
EXPOSURE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulated(Truth):
    """A micrograph in detector counts, with its truth; `annotation` marks pixels under text and scale bar."""

    image: NDArray[np.uint16]
    annotation: Mask | None
    metadata: Metadata


def simulate_micrograph(settings: Settings, seed: int | np.random.Generator) -> Simulated:
    """Simulate one exposure; the same settings and seed give the same pixels.

    Parameters
    ----------
    settings : Settings
        Specimen, microscope and detector.
    seed : int or numpy.random.Generator
        Everything random is drawn from it.

    Returns
    -------
    Simulated
        Image of uint16 counts, shape (size_px, size_px), and exact truth.
    """
    rng = np.random.default_rng(seed)
    projections = [projection for _, projection in arrange(settings, rng)]
    field = imaging.empty_field(settings)
    imaging.add_particles(
        field,
        settings,
        ((projection, imaging.random_crystals(settings, rng)) for projection in projections),
    )
    carbon = imaging.carbon_phase(settings, field.phase.shape[0], rng)
    relative = imaging.transmitted(field, settings, carbon)
    relative *= imaging.illumination(settings, rng)
    image = detector.expose(relative, settings, rng)
    annotation = annotate(image, settings.pixel_size_nm, rng) if settings.annotations else None
    truth = truth_of(projections, settings.size_px, settings.pixel_size_nm)
    return Simulated(
        pixel_size_nm=truth.pixel_size_nm,
        mask=truth.mask,
        particles=truth.particles,
        contacts=truth.contacts,
        thicknesses_nm=truth.thicknesses_nm,
        image=image,
        annotation=annotation,
        metadata=metadata_of(settings),
    )


def metadata_of(settings: Settings) -> Metadata:
    """What the microscope would write about an exposure with these settings."""
    return Metadata(
        voltage_kV=settings.voltage_kV,
        magnification=round(1e3 * CAMERA_PIXEL_UM / settings.pixel_size_nm),
        instrument=INSTRUMENT,
        exposure_s=EXPOSURE_S,
    )


def simulate_mask(family: Family, overlap: Overlap, size_px: int, seed: int) -> Truth:
    """Truth of a field without imaging, for benchmarks of separation.

    Particles of 38 px (rods of 60 px) mean equivalent diameter, lognormal with a quarter of it as standard
    deviation, 300 (120) of them in 1024 x 1024 px.
    """
    diameter_px, per_field, pixel_size_nm = (60, 120, 0.06) if family == "rods" else (38, 300, 0.08)
    settings = Settings(
        size_px=size_px,
        pixel_size_nm=pixel_size_nm,
        families=(family,),
        particles=max(1, math.floor(per_field * (size_px / 1024) ** 2)),
        diameter_mean_nm=diameter_px * pixel_size_nm,
        diameter_sd_nm=0.23 * diameter_px * pixel_size_nm,
        aspect_ratio_mean=1.25,
        rod_aspect_ratio_mean=2.5,
        overlap=overlap,
    )
    projections = [projection for _, projection in arrange(settings, np.random.default_rng(seed))]
    return truth_of(projections, size_px, pixel_size_nm)
