"""Particles on a support: where each one lies, and how far they overlap.

A degree of overlap is measurable: the share of particles attached to another one, and what part of the
smaller of two attached particles is shared by both. Particles meet in clumps, as they do on a grid
that has dried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Mask, Region
from temwatch.simulator import shapes
from temwatch.simulator.settings import Overlap, Settings
from temwatch.simulator.shapes import Solid
from temwatch.simulator.shells import random_shell

_DIRECTIONS = 64
_THETA = np.linspace(0, math.tau, _DIRECTIONS, endpoint=False)
_NORMALS = np.stack([np.cos(_THETA), np.sin(_THETA)])
MAX_CLUMP = 20
"""Particles in a clump at most."""


@dataclass(frozen=True, slots=True)
class Degree:
    """`attached`: share of particles put onto another; `shares`: range of what both share, of the smaller.

    `limit` bounds what any two particles share, chance encounters included.
    """

    attached: float
    shares: tuple[float, float]
    limit: float


DEGREES: dict[Overlap, Degree] = {
    "none": Degree(0.0, (0.0, 0.0), 0.0),
    "low": Degree(0.42, (0.003, 0.04), 0.08),
    "medium": Degree(0.74, (0.01, 0.14), 0.2),
    "high": Degree(0.85, (0.04, 0.37), 0.42),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Body:
    """A solid at a place: centre in px from the field's top left corner, turned by `angle_rad` from x to y.

    `roughness_px` are the deviations of its outline at equal steps of the polar angle, outwards positive.
    With a shell, `core` is the solid within it and `coat` the one around it; one of them is `solid`, which
    counts.
    """

    solid: Solid
    x_px: float
    y_px: float
    angle_rad: float = 0.0
    roughness_px: NDArray[np.float32] | None = None
    core: Solid | None = None
    coat: Solid | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """A body on the pixel grid: `region.mask` holds the pixels whose centre it covers.

    `thickness_px` has the crop's shape: the mean path of the beam over each pixel, in px. It reaches a little
    over the mask, where a pixel is covered in part. `core_px` is the path without the shell, `shell_px` that
    through the shell alone.
    """

    region: Region
    thickness_px: NDArray[np.float32]
    core_px: NDArray[np.float32]
    shell_px: NDArray[np.float32] | None = None


def project(body: Body) -> Projection:
    """Body on an endless pixel grid; the origin may be negative."""
    reach = _support(body if body.coat is None else replace(body, solid=body.coat))
    pad = 1 + (0 if body.roughness_px is None else float(np.abs(body.roughness_px).max()))
    left, right = body.x_px - reach[_DIRECTIONS // 2] - pad, body.x_px + reach[0] + pad
    top, bottom = body.y_px - reach[3 * _DIRECTIONS // 4] - pad, body.y_px + reach[_DIRECTIONS // 4] + pad
    rows = np.arange(math.floor(top), math.ceil(bottom))
    columns = np.arange(math.floor(left), math.ceil(right))
    # an odd number of samples, so that one of them is the centre that decides the mask
    samples = 3 if max(len(rows), len(columns)) < 40 else 1
    y = _sampled(rows, samples) - np.float32(body.y_px)
    x = _sampled(columns, samples) - np.float32(body.x_px)
    cos, sin = np.float32(math.cos(body.angle_rad)), np.float32(math.sin(body.angle_rad))
    u = cos * x[None, :] + sin * y[:, None]
    v = cos * y[:, None] - sin * x[None, :]
    if body.roughness_px is not None:
        steps = len(body.roughness_px)
        polar = np.arctan2(v, u) * np.float32(steps / math.tau) + np.float32(steps)
        bump = body.roughness_px[polar.astype(np.intp) % steps]
        radius = np.hypot(u, v)
        # only the rim is rough: towards the centre the deviation fades, or ridges would meet there
        bump *= np.minimum(radius / np.float32(reach.min()), 1) ** 4
        inward = 1 - bump / np.maximum(radius, 1)
        u, v = u * inward, v * inward
    middle = samples // 2

    def on_pixels(fine: NDArray[np.float32]) -> NDArray[np.float32]:
        if samples == 1:
            return fine
        return np.asarray(fine.reshape(len(rows), samples, len(columns), samples).mean(axis=(1, 3)))

    fine = body.solid.thickness(u, v)
    mask = fine[middle::samples, middle::samples] > 0
    thickness = on_pixels(fine)
    core = thickness if body.core is None else on_pixels(body.core.thickness(u, v))
    return Projection(
        region=Region(origin_px=(int(rows[0]), int(columns[0])), mask=mask),
        thickness_px=thickness,
        core_px=core,
        shell_px=None if body.coat is None else on_pixels(body.coat.thickness(u, v)) - core,
    )


def _sampled(index: NDArray[np.int64], samples: int) -> NDArray[np.float32]:
    offsets = (np.arange(samples) + 0.5) / samples
    return (index[:, None] + offsets).ravel().astype(np.float32)


def _support(body: Body) -> NDArray[np.float64]:
    cos, sin = math.cos(body.angle_rad), math.sin(body.angle_rad)
    turned = body.solid.outline @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray((turned @ _NORMALS).max(axis=0))


def shared_pixels(first: Region, second: Region) -> int:
    """Number of pixels that both regions hold."""
    top, left = np.maximum(first.origin_px, second.origin_px)
    bottom = min(first.origin_px[0] + first.mask.shape[0], second.origin_px[0] + second.mask.shape[0])
    right = min(first.origin_px[1] + first.mask.shape[1], second.origin_px[1] + second.mask.shape[1])
    if bottom <= top or right <= left:
        return 0
    return int(
        np.count_nonzero(_cut(first, top, left, bottom, right) & _cut(second, top, left, bottom, right))
    )


def _cut(region: Region, top: int, left: int, bottom: int, right: int) -> Mask:
    row, column = region.origin_px
    return region.mask[top - row : bottom - row, left - column : right - column]


def arrange(
    settings: Settings, rng: np.random.Generator, *, margin_px: float = 0.0
) -> list[tuple[Body, Projection]]:
    """Particles with centres in the field, at least `margin_px` from its border, with their projections.

    Fewer than `settings.particles` come back where the field has no room for more.
    """
    return _Arrangement(settings, rng, margin_px).fill()


class _Arrangement:
    """The particles placed so far, in arrays that grow, since every new one is tested against all."""

    def __init__(self, settings: Settings, rng: np.random.Generator, margin_px: float) -> None:
        self.settings, self.rng, self.margin_px = settings, rng, margin_px
        self.degree = DEGREES[settings.overlap]
        self.placed: list[tuple[Body, Projection]] = []
        self.centres = np.empty((settings.particles, 2))
        self.supports = np.empty((settings.particles, _DIRECTIONS))
        self.areas = np.empty(settings.particles)
        self.radii = np.empty(settings.particles)
        self.clump_of = np.zeros(settings.particles, int)
        self.clumps: dict[int, list[int]] = {}

    def fill(self) -> list[tuple[Body, Projection]]:
        failures = 0
        while len(self.placed) < self.settings.particles and failures < 60:
            failures = 0 if self._add() else failures + 1
        return self.placed

    def _add(self) -> bool:
        """Try a few places for one new particle."""
        solid, roughness_px = _random_solid(self.settings, self.rng)
        core, coat = random_shell(solid, self.settings, self.rng)
        for _ in range(12):
            inside = bool(self.placed) and self.rng.random() < self.settings.inside_share
            attach = bool(self.placed) and self.rng.random() < self.degree.attached
            body = Body(
                solid=solid,
                x_px=0,
                y_px=0,
                angle_rad=self.rng.uniform(0, math.tau),
                roughness_px=roughness_px,
                core=core,
                coat=coat,
            )
            if inside:
                body = self._inside(body)
            elif attach:
                body = self._attached(body)
            else:
                x_px, y_px = self.rng.uniform(self.margin_px, self._far(), 2)
                body = replace(body, x_px=x_px, y_px=y_px)
            if self._accept(body, attached=attach, inside=inside):
                return True
        return False

    def _far(self) -> float:
        return max(self.settings.size_px - self.margin_px, self.margin_px)

    def _attached(self, body: Body) -> Body:
        """Move the body against a random particle so that both share a drawn part."""
        number = int(self.rng.integers(len(self.placed)))
        parent = self.placed[number][0]
        low, high = self.degree.shares
        parent_sides, sides = parent.solid.side_angles, body.solid.side_angles
        if len(parent_sides) and len(sides) and self.rng.random() < self.settings.side_contact_share:
            normal = parent.angle_rad + self.rng.choice(parent_sides)
            body = replace(body, angle_rad=normal + math.pi - self.rng.choice(sides))
            distance = _reach(parent, normal) + _reach(body, normal + math.pi)
            slide = self.rng.normal(0, 0.1) * distance
            direction = np.array([math.cos(normal), math.sin(normal)])
            across = np.array([-direction[1], direction[0]])
            return _at(body, self.centres[number] + distance * direction + slide * across)
        direction_rad = self.rng.uniform(0, math.tau)
        direction = np.array([math.cos(direction_rad), math.sin(direction_rad)])
        reach = self.supports[number] + np.roll(_support(body), _DIRECTIONS // 2)
        facing = direction @ _NORMALS
        touching = float(np.min(reach[facing > 0.05] / facing[facing > 0.05]))
        distance = touching * _distance_of_share(self.rng.uniform(low, high))
        return _at(body, self.centres[number] + distance * direction)

    def _inside(self, body: Body) -> Body:
        """Put the body inside the largest of a few particles, which may still be too small for it."""
        numbers = self.rng.integers(len(self.placed), size=8)
        number = int(numbers[np.argmax(self.areas[numbers])])
        room = float(np.min(self.supports[number] - _support(body)))
        shift = self.rng.uniform(-0.6, 0.6, 2) * max(room, 0)
        return _at(body, self.centres[number] + shift)

    def _accept(self, body: Body, *, attached: bool, inside: bool) -> bool:
        count = len(self.placed)
        centre, support = np.array([body.x_px, body.y_px]), _support(body)
        if not np.all((centre >= self.margin_px) & (centre <= self._far())):
            return False
        offset = self.centres[:count] - centre
        near = np.flatnonzero((offset**2).sum(axis=1) < (self.radii[:count] + support.max() + 2) ** 2)
        separation = (
            offset[near] @ _NORMALS - support - np.roll(self.supports[near], _DIRECTIONS // 2, axis=1)
        ).max(axis=1, initial=-np.inf)
        # a gap of two pixels keeps what is meant to lie apart from touching on the grid
        neighbours = near[separation < (0.5 if attached or inside else 2.0)]
        if len(neighbours) and not (attached or inside):
            return False
        joined = {int(clump) for clump in self.clump_of[neighbours]}
        if sum(len(self.clumps[clump]) for clump in joined) >= MAX_CLUMP:
            return False
        projection = project(body)
        area = np.count_nonzero(projection.region.mask)
        for other in neighbours if not inside else ():
            shared = shared_pixels(projection.region, self.placed[other][1].region)
            if shared > self.degree.limit * min(area, self.areas[other]):
                return False
        self.placed.append((body, projection))
        self.centres[count], self.supports[count], self.areas[count] = centre, support, area
        self.radii[count] = support.max()
        self.clumps[count] = [count, *(member for clump in joined for member in self.clumps.pop(clump))]
        self.clump_of[self.clumps[count]] = count
        return True


def _at(body: Body, centre: NDArray[np.float64]) -> Body:
    return replace(body, x_px=float(centre[0]), y_px=float(centre[1]))


def _reach(body: Body, angle_rad: float) -> float:
    turned = angle_rad - body.angle_rad
    return float((body.solid.outline @ (math.cos(turned), math.sin(turned))).max())


def _distance_of_share(share: float) -> float:
    """Distance of two equal discs, in diameters, that share this part of their area."""
    return float(np.interp(share, _SHARES, _DISTANCES))


_DISTANCES = np.linspace(1, 0, 400)
_SHARES = 2 / math.pi * (np.arccos(_DISTANCES) - _DISTANCES * np.sqrt(1 - _DISTANCES**2))


def _random_solid(settings: Settings, rng: np.random.Generator) -> tuple[Solid, NDArray[np.float32] | None]:
    mean, spread = settings.diameter_mean_nm, settings.diameter_sd_nm
    if settings.distribution == "lognormal":
        sigma = math.sqrt(math.log1p((spread / mean) ** 2))
        diameter_nm = float(np.exp(rng.normal(math.log(mean) - sigma**2 / 2, sigma)))
    else:
        diameter_nm = float(rng.normal(mean, spread))
    # a particle of three pixels is the least that has a shape
    diameter_px = max(float(np.clip(diameter_nm, 0.2 * mean, 3 * mean)) / settings.pixel_size_nm, 3.0)
    match settings.families[rng.integers(len(settings.families))]:
        case "ellipses":
            aspect_ratio = 1 + min(rng.exponential(settings.aspect_ratio_mean - 1), 1.5)
            solid = shapes.ellipsoid(diameter_px, aspect_ratio, rng.uniform(0.7, 1.0))
        case "facetted":
            solid = shapes.facetted(diameter_px, rng)
        case "rods":
            solid = shapes.rod(diameter_px, max(settings.rod_aspect_ratio_mean * rng.normal(1, 0.15), 1.5))
    return solid, _rough_outline(settings.roughness * diameter_px / 2, diameter_px, rng)


def _rough_outline(rms_px: float, diameter_px: float, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """Deviations of an outline, falling off towards short waves, none shorter than three pixels."""
    if rms_px < 0.05:
        return None
    waves = int(np.clip(math.pi * diameter_px / 3, 4, 100))
    # eight steps a wave, so that the nearest step is near enough
    spectrum = np.zeros(4 * waves + 1, complex)
    orders = np.arange(2, waves)
    spectrum[2:waves] = rng.normal(size=(2, len(orders))).T @ (1, 1j) / orders**1.2
    outline = np.fft.irfft(spectrum)
    return np.asarray(outline * rms_px / outline.std(), np.float32)
