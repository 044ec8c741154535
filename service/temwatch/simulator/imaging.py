"""From a specimen to the intensity in the image plane: exit wave, lens, illumination.

Each particle multiplies the wave by exp(-mu t / 2 + i phase): mass-thickness contrast, refraction in its
mean inner potential, lattice fringes, and Bragg reflections that take electrons from the beam. The support
adds the phase noise of randomly placed carbon atoms. The lens turns all of it into contrast: Thon rings,
Fresnel edges and delocalised fringes result from the physics; none is drawn. `detector.py` counts it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from temwatch.domain import Image
from temwatch.simulator.materials import ELEMENTS, MATERIALS, attenuation_per_nm, extinction_distance_nm
from temwatch.simulator.optics import Electron, Lens, image_wave, transfer_function
from temwatch.simulator.settings import Settings
from temwatch.simulator.specimen import Projection

_CARBON_FALLOFF_PER_NM = 4.75
"""f(k) = f(0) / (1 + (k / this)^2): Wentzel's form, within 8 % of Peng et al. (1996) up to 8/nm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystal:
    """One grain of a particle, on one side of a line through it.

    `deviation` is the distance from the Bragg condition times the extinction distance; it changes by
    `bending` over the particle. `fringe_share` (0 to 1) scales the fringes of the `azimuths_rad`.
    """

    azimuths_rad: tuple[float, ...]
    phase_rad: float
    fringe_share: float
    deviation: float
    bending: tuple[float, float]
    border_angle_rad: float
    border_offset: float


def random_crystals(settings: Settings, rng: np.random.Generator) -> tuple[Crystal, ...]:
    """Orientation of a particle: none if it is amorphous, two or three grains if it is twinned."""
    lattice = MATERIALS[settings.material].lattice
    if lattice is None:
        return ()
    grains = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))
    crystals = []
    for _ in range(grains):
        # a third shows no planes, a quarter lies along a zone axis and shows two sets
        sets = int(rng.choice([0, 1, 2], p=[0.35, 0.4, 0.25]))
        azimuth_rad = rng.uniform(0, math.tau)
        crystals.append(
            Crystal(
                azimuths_rad=(azimuth_rad, azimuth_rad + math.radians(lattice.angle_deg))[:sets],
                phase_rad=rng.uniform(0, math.tau),
                fringe_share=rng.uniform(0.2, 1.0),
                deviation=abs(rng.standard_cauchy()) * 2,
                bending=(rng.normal(0, 1.5), rng.normal(0, 1.5)),
                border_angle_rad=rng.uniform(0, math.tau),
                border_offset=rng.normal(0, 0.2),
            )
        )
    return tuple(crystals)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """Attenuation (mu t) and phase (rad) of the specimen on a grid `margin_px` larger on every side."""

    attenuation: Image
    phase: Image
    margin_px: int


def empty_field(settings: Settings) -> Field:
    """Field without matter; the margin keeps the two sides of the transforms' period apart."""
    electron = Electron(voltage_kV=settings.voltage_kV)
    fringe_nm = 3 * math.sqrt(electron.wavelength_nm * abs(settings.defocus_nm))
    least = settings.size_px + 2 * max(16, math.ceil(min(fringe_nm / settings.pixel_size_nm, 64)))
    size = scipy.fft.next_fast_len(least + least % 2)
    size += size % 2
    return Field(
        attenuation=np.zeros((size, size), np.float32),
        phase=np.zeros((size, size), np.float32),
        margin_px=(size - settings.size_px) // 2,
    )


def add_particles(
    field: Field,
    settings: Settings,
    particles: Iterable[tuple[Projection, tuple[Crystal, ...]]],
) -> None:
    """Add each particle's attenuation and phase to the field, with those of its shell.

    Soft particles have no sharp surface: what is in the field is blurred. One call adds all of them.
    """
    electron = Electron(voltage_kV=settings.voltage_kV)
    material = MATERIALS[settings.material]
    mu_per_nm = settings.attenuation_per_nm
    if mu_per_nm is None:
        mu_per_nm = attenuation_per_nm(material, electron, settings.aperture_mrad)
    phase_per_nm = electron.interaction_rad_per_V_nm * material.mean_inner_potential_V
    for projection, crystals in particles:
        thickness_nm = projection.core_px * np.float32(settings.pixel_size_nm)
        attenuation = np.float32(mu_per_nm) * thickness_nm
        phase = np.float32(phase_per_nm) * thickness_nm
        if crystals:
            bragg, fringes = _diffraction(thickness_nm, crystals, settings, electron)
            attenuation += bragg
            phase += fringes
        if projection.shell_px is not None:
            shell_nm = projection.shell_px * np.float32(settings.shell_density * settings.pixel_size_nm)
            attenuation += np.float32(mu_per_nm) * shell_nm
            phase += np.float32(phase_per_nm) * shell_nm
        _add(field.attenuation, attenuation, projection.region.origin_px, field.margin_px)
        _add(field.phase, phase, projection.region.origin_px, field.margin_px)
    if settings.soft_edge:
        sigma_px = settings.soft_edge * settings.diameter_mean_nm / settings.pixel_size_nm / 2
        for image in (field.attenuation, field.phase):
            ndimage.gaussian_filter(image, sigma_px, output=image, truncate=3)


def _add(image: Image, crop: Image, origin_px: tuple[int, int], margin_px: int) -> None:
    top, left = origin_px[0] + margin_px, origin_px[1] + margin_px
    rows = slice(max(top, 0), min(top + crop.shape[0], image.shape[0]))
    columns = slice(max(left, 0), min(left + crop.shape[1], image.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        image[rows, columns] += crop[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]


def _diffraction(
    thickness_nm: Image,
    crystals: tuple[Crystal, ...],
    settings: Settings,
    electron: Electron,
) -> tuple[Image, Image]:
    """Bragg loss (as attenuation) and fringe phase of a particle, grain by grain.

    The loss is the two-beam intensity of the reflected beam, sin^2(pi t / xi_w) / (1 + w^2) with
    xi_w = xi / sqrt(1 + w^2) (Hirsch et al., Electron Microscopy of Thin Crystals, chapter 8), its thickness
    fringes damped by absorption.
    """
    lattice = MATERIALS[settings.material].lattice
    assert lattice is not None
    extinction_nm = extinction_distance_nm(lattice, electron)
    rows = np.arange(thickness_nm.shape[0], dtype=np.float32)[:, None]
    columns = np.arange(thickness_nm.shape[1], dtype=np.float32)[None, :]
    half = max(thickness_nm.shape) / 2
    u, v = columns / np.float32(half) - 1, rows / np.float32(half) - 1
    resolved = settings.pixel_size_nm < lattice.spacing_nm / 2.2
    wave_number = math.tau * settings.pixel_size_nm / lattice.spacing_nm
    bragg, fringes = np.zeros_like(thickness_nm), np.zeros_like(thickness_nm)
    fade = np.exp(thickness_nm * np.float32(-1 / extinction_nm))
    swing = 2 * np.sin(
        np.minimum(thickness_nm * np.float32(math.pi / extinction_nm), np.float32(math.pi / 2))
    )
    for number, crystal in enumerate(crystals):
        across = u * math.cos(crystal.border_angle_rad) + v * math.sin(crystal.border_angle_rad)
        grain = (across >= crystal.border_offset) | (number == 0)
        w2 = (crystal.deviation + crystal.bending[0] * u + crystal.bending[1] * v) ** 2
        turns = np.float32(math.tau / extinction_nm) * thickness_nm * np.sqrt(1 + w2)
        loss = (np.float32(0.9 * settings.diffraction_contrast) / 2) * (1 - fade * np.cos(turns)) / (1 + w2)
        np.copyto(bragg, -np.log1p(-loss), where=grain)
        if not resolved:
            continue
        pattern = np.zeros_like(thickness_nm)
        for azimuth_rad in crystal.azimuths_rad:
            along = columns * math.cos(azimuth_rad) + rows * math.sin(azimuth_rad)
            pattern += np.cos(np.float32(wave_number) * along + np.float32(crystal.phase_rad))
        np.copyto(
            fringes,
            np.float32(settings.lattice_contrast * crystal.fringe_share) * swing * pattern,
            where=grain,
        )
    return bragg, fringes


def carbon_phase(settings: Settings, size: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Half spectrum (`scipy.fft.rfft2`) of the phase of an amorphous carbon film of atoms placed at random.

    One atom adds lambda gamma f(k); n t atoms per nm^2 at random give white noise with that falloff.
    """
    electron = Electron(voltage_kV=settings.voltage_kV)
    (_, density_per_nm3), *_ = MATERIALS["C"].atoms_per_nm3
    atom_rad_nm2 = electron.wavelength_nm * electron.mass_ratio * ELEMENTS["C"].scattering_length_nm
    rms_rad = (
        atom_rad_nm2 * math.sqrt(density_per_nm3 * settings.carbon_thickness_nm) / settings.pixel_size_nm
    )
    noise = rng.standard_normal((size, size), dtype=np.float32)
    spectrum: NDArray[np.complex64] = scipy.fft.rfft2(noise, overwrite_x=True)
    rows = scipy.fft.fftfreq(size, settings.pixel_size_nm).astype(np.float32)
    columns = scipy.fft.rfftfreq(size, settings.pixel_size_nm).astype(np.float32)
    k2 = rows[:, None] ** 2 + columns[None, :] ** 2
    spectrum *= np.float32(rms_rad) / (1 + k2 * np.float32(_CARBON_FALLOFF_PER_NM**-2))
    spectrum[0, 0] = 0
    return spectrum


def shifted(spectrum: NDArray[np.complex64], shift_px: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Half spectrum of the same field moved by (rows, columns) px, around its period."""
    size = spectrum.shape[0]
    rows = np.exp(-1j * math.tau * shift_px[0] * scipy.fft.fftfreq(size)).astype(np.complex64)
    columns = np.exp(-1j * math.tau * shift_px[1] * scipy.fft.rfftfreq(size)).astype(np.complex64)
    moved: NDArray[np.complex64] = spectrum * rows[:, None] * columns
    return moved


def transmitted(field: Field, settings: Settings, carbon: NDArray[np.complex64]) -> Image:
    """Intensity of the field in the image plane over that of the bare support, without noise."""
    electron = Electron(voltage_kV=settings.voltage_kV)
    lens = Lens(
        cs_mm=settings.cs_mm,
        defocus_nm=settings.defocus_nm,
        focal_spread_nm=settings.focal_spread_nm,
        convergence_mrad=settings.convergence_mrad,
        aperture_mrad=settings.aperture_mrad,
    )
    shape = (field.phase.shape[0], field.phase.shape[1])
    phase = field.phase + scipy.fft.irfft2(carbon, shape, overwrite_x=False)
    amplitude = np.exp(np.float32(-0.5) * field.attenuation)
    wave = np.empty(shape, np.complex64)
    wave.real = amplitude * np.cos(phase)
    wave.imag = amplitude * np.sin(phase)
    transfer = transfer_function(shape[0], settings.pixel_size_nm, electron, lens)
    intensity = image_wave(wave, transfer)
    margin = field.margin_px
    image = intensity[margin : margin + settings.size_px, margin : margin + settings.size_px]
    # the film itself scatters beyond lens and aperture; what is left of the beam is the background
    image *= np.float32(math.exp(_lost(carbon, transfer)))
    diffuse = np.float32(settings.diffuse_share)
    return diffuse + (1 - diffuse) * image


def _lost(carbon: NDArray[np.complex64], transfer: NDArray[np.complex64]) -> float:
    """Share of the beam that a weak phase of this half spectrum takes away for good."""
    power = carbon.real**2 + carbon.imag**2
    half = transfer[:, : power.shape[1]]
    power *= 1 - half.real**2 - half.imag**2
    # all columns but the first and the last stand for their mirror images too
    total = 2 * power.sum(dtype=float) - power[:, 0].sum(dtype=float) - power[:, -1].sum(dtype=float)
    return float(total) / len(carbon) ** 4


def illumination(settings: Settings, rng: np.random.Generator) -> Image:
    """Beam, film and residue: smooth factors around 1 by which the intensity varies over the field."""
    size = settings.size_px
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    tilt_x, tilt_y, bow = (*rng.normal(0, 0.5, 2), rng.normal(-0.3, 0.4))
    beam = (tilt_x * axis + bow * axis**2)[None, :] + (tilt_y * axis + bow * axis**2)[:, None]
    beam -= beam.mean()
    factor = 1 + np.float32(settings.illumination_variation / max(float(np.abs(beam).max()), 1e-6)) * beam
    if settings.support_variation:
        factor *= np.exp(np.float32(settings.support_variation) * _clouds(size, rng, (5, 11, 29)))
    factor /= factor.mean()
    if settings.residue_share:
        residue = _clouds(size, rng, (7, 17, 41, 97))
        edge = np.quantile(residue[::8, ::8], 1 - settings.residue_share)
        depth = rng.uniform(0.03, 0.3)
        factor *= 1 - np.float32(depth) / (1 + np.exp(np.clip((edge - residue) * 6, -30, 30)))
    return np.asarray(factor, np.float32)


def _clouds(size: int, rng: np.random.Generator, knots: tuple[int, ...]) -> Image:
    """Smooth random field of unit variance: the sum of octaves of B-splines on ever finer knots."""
    total = np.zeros((size, size), np.float32)
    for octave, count in enumerate(knots):
        position = np.linspace(1, count, size)
        distance = np.abs(position[:, None] - np.arange(count + 2)[None, :])
        basis = np.where(
            distance < 1,
            2 / 3 - distance**2 + distance**3 / 2,
            np.maximum(2 - distance, 0) ** 3 / 6,
        ).astype(np.float32)
        coefficients = rng.standard_normal((count + 2, count + 2), dtype=np.float32)
        total += np.float32(0.6**octave) * (basis @ coefficients @ basis.T)
    total -= total.mean()
    total /= max(float(total.std()), 1e-6)
    return total
