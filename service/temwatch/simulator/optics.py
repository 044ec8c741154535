"""Electron and lens: wavelength, interaction constant, and what the objective lens passes on.

Formulae: Kirkland, Advanced Computing in Electron Microscopy (2010), chapters 2, 3 and 5.
Defocus is negative for underfocus, the usage of Williams and Carter and of microscopes' own displays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import constants

Spectrum = NDArray[np.complex64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Electron:
    """An electron of `voltage_kV`, relativistic throughout."""

    voltage_kV: float  # noqa: N815 - the unit's own spelling

    @property
    def mass_ratio(self) -> float:
        """Mass over rest mass."""
        return float(1 + constants.e * self.voltage_kV * 1e3 / (constants.m_e * constants.c**2))

    @property
    def beta(self) -> float:
        """Speed over that of light."""
        return math.sqrt(1 - self.mass_ratio**-2)

    @property
    def wavelength_nm(self) -> float:
        """De Broglie wavelength; 0.00197 nm at 300 kV."""
        momentum = self.mass_ratio * constants.m_e * self.beta * constants.c
        return float(1e9 * constants.h / momentum)

    @property
    def interaction_rad_per_V_nm(self) -> float:  # noqa: N802 - the unit's own spelling
        """Phase per volt and nm of potential; 0.00653 at 300 kV."""
        charge = self.mass_ratio * constants.m_e * constants.e
        return float(math.tau * charge * self.wavelength_nm * 1e-18 / constants.h**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """Objective lens: spherical aberration, defocus, rms focal spread, rms illumination angle, aperture."""

    cs_mm: float
    defocus_nm: float
    focal_spread_nm: float
    convergence_mrad: float
    aperture_mrad: float


def transfer_function(size_px: int, pixel_size_nm: float, electron: Electron, lens: Lens) -> Spectrum:
    """Factor by which the lens multiplies the spectrum (`scipy.fft.fft2`) of a square exit wave.

    exp(-i chi) with chi = pi lambda C1 k^2 + pi/2 Cs lambda^3 k^4, damped by the envelopes of partial
    temporal and spatial coherence (Frank, Optik 38 (1973) 519), zero outside the aperture.
    """
    wavelength_nm, cs_nm = electron.wavelength_nm, lens.cs_mm * 1e6
    # it is even in both frequencies: a quadrant is all there is to compute
    k = scipy.fft.rfftfreq(size_px, pixel_size_nm).astype(np.float32)
    k2 = k[:, None] ** 2 + k[None, :] ** 2
    chi = k2 * (
        np.float32(math.pi * wavelength_nm * lens.defocus_nm)
        + np.float32(0.5 * math.pi * cs_nm * wavelength_nm**3) * k2
    )
    # slope of the wave aberration: source angles shift the image by it
    gradient2 = (
        k2 * (np.float32(wavelength_nm * lens.defocus_nm) + np.float32(cs_nm * wavelength_nm**3) * k2) ** 2
    )
    damping = np.float32(0.5 * (math.pi * wavelength_nm * lens.focal_spread_nm) ** 2) * k2**2
    damping += np.float32((math.pi * lens.convergence_mrad * 1e-3 / wavelength_nm) ** 2) * gradient2
    envelope = np.exp(-damping)
    envelope[k2 > (lens.aperture_mrad * 1e-3 / wavelength_nm) ** 2] = 0
    quadrant = np.empty(k2.shape, np.complex64)
    quadrant.real = envelope * np.cos(chi)
    quadrant.imag = -envelope * np.sin(chi)
    mirror = np.minimum(np.arange(size_px), size_px - np.arange(size_px))
    transfer: Spectrum = quadrant[mirror][:, mirror]
    return transfer


def image_wave(wave: NDArray[np.complex64], transfer: Spectrum) -> NDArray[np.float32]:
    """Intensity behind the lens: |inverse transform of (spectrum of the wave times transfer)|^2."""
    spectrum = scipy.fft.fft2(wave, overwrite_x=True)
    spectrum *= transfer
    wave = scipy.fft.ifft2(spectrum, overwrite_x=True)
    intensity: NDArray[np.float32] = wave.real**2
    intensity += wave.imag**2
    return intensity
