"""Constants of the substances that are simulated, each with its source, and what follows from them.

Scattering factors: Peng, Ren, Dudarev, Whelan, Acta Cryst. A 52 (1996) 257 (the sum of the five Gaussians
at s = 0). Densities and lattice constants: CRC Handbook of Chemistry and Physics. A lattice potential V_g is
47.878 V A^2 times |F(g)| / cell volume with the same scattering factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from temwatch.simulator.optics import Electron

BOHR_RADIUS_NM = 0.0529177
POTENTIAL_V_NM2 = 0.47878
"""h^2 / (2 pi m e): turns a forward scattering length in nm times atoms per nm^3 into volts."""


@dataclass(frozen=True, slots=True)
class Element:
    """Atomic number and electron scattering length at zero angle, in nm."""

    number: int
    scattering_length_nm: float


ELEMENTS = {
    "C": Element(6, 0.25092),
    "O": Element(8, 0.19834),
    "Si": Element(14, 0.58182),
    "Fe": Element(26, 0.71611),
    "Se": Element(34, 0.72016),
    "Ag": Element(47, 0.86677),
    "Cd": Element(48, 0.92310),
    "Pt": Element(78, 1.07961),
    "Au": Element(79, 1.05633),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """The planes that a micrograph shows first: spacing, angle between two sets of them, potential V_g."""

    spacing_nm: float
    angle_deg: float
    potential_V: float  # noqa: N815 - the unit's own spelling


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Atoms per nm^3 by element; `lattice` is None for what is amorphous."""

    atoms_per_nm3: tuple[tuple[str, float], ...]
    lattice: Lattice | None = None

    @property
    def mean_inner_potential_V(self) -> float:  # noqa: N802 - the unit's own spelling
        """Of free atoms, which is an upper bound: bonding lowers it by 10 to 30 %."""
        return POTENTIAL_V_NM2 * sum(
            density * ELEMENTS[symbol].scattering_length_nm for symbol, density in self.atoms_per_nm3
        )


# {111} planes of the face-centred cubic metals enclose 70.53 degrees
MATERIALS = {
    "Au": Material(
        atoms_per_nm3=(("Au", 58.97),),
        lattice=Lattice(spacing_nm=0.2355, angle_deg=70.53, potential_V=19.0),
    ),
    "Ag": Material(
        atoms_per_nm3=(("Ag", 58.67),),
        lattice=Lattice(spacing_nm=0.2359, angle_deg=70.53, potential_V=14.3),
    ),
    "Pt": Material(
        atoms_per_nm3=(("Pt", 66.19),),
        lattice=Lattice(spacing_nm=0.2266, angle_deg=70.53, potential_V=20.8),
    ),
    "CdSe": Material(
        atoms_per_nm3=(("Cd", 18.06), ("Se", 18.06)),
        lattice=Lattice(spacing_nm=0.3493, angle_deg=70.53, potential_V=7.3),
    ),
    "Fe3O4": Material(
        atoms_per_nm3=(("Fe", 40.55), ("O", 54.07)),
        lattice=Lattice(spacing_nm=0.2968, angle_deg=60.0, potential_V=2.6),
    ),
    "SiO2": Material(atoms_per_nm3=(("Si", 22.05), ("O", 44.10))),
    "C": Material(atoms_per_nm3=(("C", 100.3),)),
}
"""What particles and support are made of; carbon is a film of 2.0 g/cm^3, silica fused, of 2.2 g/cm^3."""


def attenuation_per_nm(material: Material, electron: Electron, aperture_mrad: float) -> float:
    """Share of the electrons that a nm of matter scatters outside the objective aperture.

    The elastic cross-section is that of Langmore and Smith, Ultramicroscopy 46 (1992) 349; the part beyond
    the aperture is the Wentzel model's, Lenz, Z. Naturforsch. 9a (1954) 185. Inelastic scattering stays
    within the aperture and is left out.
    """
    total = 0.0
    for symbol, density in material.atoms_per_nm3:
        number = ELEMENTS[symbol].number
        screening = 1 - 0.26 * number / (137 * electron.beta)
        cross_section_nm2 = 1.4e-6 * number**1.5 / electron.beta**2 * screening
        screening_angle_mrad = 1e3 * electron.wavelength_nm * number ** (1 / 3) / (math.tau * BOHR_RADIUS_NM)
        total += density * cross_section_nm2 / (1 + (aperture_mrad / screening_angle_mrad) ** 2)
    return total


def extinction_distance_nm(lattice: Lattice, electron: Electron) -> float:
    """Thickness over which the beam swings to the diffracted one and back (Hirsch et al., 1965)."""
    return math.pi / (electron.interaction_rad_per_V_nm * lattice.potential_V)
