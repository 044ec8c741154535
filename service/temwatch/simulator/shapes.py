"""Solids as the beam sees them: an outline and the thickness along the beam at any point.

Lengths are in px here, x to the right and y downwards from the centre of the solid. Every solid is convex, so
its outline decides by support functions (largest reach in a direction) where two of them touch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, HalfspaceIntersection

Array = NDArray[np.float32]
Points = NDArray[np.float64]

_ANGLES = np.linspace(0, math.tau, 96, endpoint=False)
_BEVEL = 12.0
"""Rise of a facet along the beam: the edges of nanocrystals are a few atoms round, never quite upright."""
_UNIT = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solid:
    """A convex body seen along the beam.

    `outline` holds points (x, y) of the convex outline, `side_angles` the directions of the normals of its
    straight sides, `thickness(x, y)` the length of the beam's path through it, all in px.
    """

    outline: Points
    thickness: Callable[[Array, Array], Array]
    side_angles: NDArray[np.float64]


def ellipsoid(diameter_px: float, aspect_ratio: float, flattening: float = 1.0) -> Solid:
    """Ellipsoid of equivalent diameter `diameter_px`; its height is `flattening` times that diameter."""
    long = diameter_px / 2 * math.sqrt(aspect_ratio)
    short = diameter_px / 2 / math.sqrt(aspect_ratio)
    height = diameter_px * flattening

    def thickness(x: Array, y: Array) -> Array:
        inside = 1 - (x / np.float32(long)) ** 2 - (y / np.float32(short)) ** 2
        return np.asarray(np.float32(height) * np.sqrt(np.maximum(inside, 0)))

    return Solid(outline=_UNIT * (long, short), thickness=thickness, side_angles=np.empty(0))


def rod(diameter_px: float, aspect_ratio: float) -> Solid:
    """Spherocylinder lying flat: length over width is `aspect_ratio`, `diameter_px` the equivalent one."""
    radius = diameter_px / 2 * math.sqrt(math.pi / (math.pi + 4 * (aspect_ratio - 1)))
    straight = radius * (aspect_ratio - 1)

    def thickness(x: Array, y: Array) -> Array:
        beyond = np.maximum(np.abs(x) - np.float32(straight), 0)
        return np.asarray(2 * np.sqrt(np.maximum(np.float32(radius**2) - beyond**2 - y**2, 0)))

    ends = np.where(_UNIT[:, :1] >= 0, straight, -straight) * (1, 0)
    return Solid(
        outline=ends + radius * _UNIT, thickness=thickness, side_angles=np.array([math.pi / 2, -math.pi / 2])
    )


def scaled(solid: Solid, factor: float) -> Solid:
    """The same solid, `factor` times as large in every direction."""

    def thickness(x: Array, y: Array) -> Array:
        return solid.thickness(x / np.float32(factor), y / np.float32(factor)) * np.float32(factor)

    return Solid(outline=solid.outline * factor, thickness=thickness, side_angles=solid.side_angles)


def facetted(diameter_px: float, rng: np.random.Generator) -> Solid:
    """A random one of FORMS, truncated, slightly stretched and with rounded corners.

    Two of three lie on a facet, as particles on a film do; the others are turned at random.
    """
    name = rng.choice(list(FORMS), p=_FREQUENCIES)
    normals, distances, corners = _form(str(name), int(rng.integers(11)))
    stretch = np.exp(rng.normal(0, 0.05, 3))
    normals, corners = normals / stretch, corners * stretch
    up = normals[rng.integers(len(normals))] if rng.random() < 2 / 3 else rng.normal(size=3)
    axes = np.linalg.qr(np.column_stack([up, rng.normal(size=(3, 2))]))[0][:, [1, 2, 0]]
    rounding = rng.uniform(0.02, 0.3)
    return polyhedron(normals @ axes, distances, diameter_px, rounding=rounding, corners=corners @ axes)


def _corners(normals: Points, distances: Points) -> Points:
    return np.asarray(
        HalfspaceIntersection(np.column_stack([normals, -distances]), np.zeros(3)).intersections
    )


@lru_cache(maxsize=128)
def _form(name: str, tenths: int) -> tuple[Points, Points, Points]:
    normals, distances = FORMS[name](tenths / 10)
    return normals, distances, _corners(normals, distances)


def polyhedron(
    normals: Points,
    distances: Points,
    diameter_px: float,
    *,
    rounding: float = 0.0,
    corners: Points | None = None,
) -> Solid:
    """Body bounded by the planes `normals . (x, y, z) <= distances`, scaled to an equivalent diameter.

    `rounding` from 0 to 1 cuts the corners of the outline by a circle about the centre: 0 leaves them
    sharp, 1 reaches down to the outline's nearest side. `corners` of the body may be known already.
    """
    corners = _corners(normals, distances) if corners is None else corners
    length = np.linalg.norm(normals, axis=1)
    normals, distances = normals / length[:, None], distances / length
    hull = ConvexHull(corners[:, :2])
    sides, reach = hull.equations[:, :2], -hull.equations[:, 2]
    far = float(np.linalg.norm(corners[hull.vertices, :2], axis=1).max())
    rim = far - rounding * (far - float(reach.min()))
    # polar outline: the nearest side in each direction, cut by the rim
    facing = _UNIT @ sides.T
    with np.errstate(divide="ignore"):
        radial = np.where(facing > 1e-9, reach / facing, np.inf).min(axis=1)
    radial = np.minimum(radial, rim)
    step = math.tau / len(_ANGLES)
    area = 0.5 * math.sin(step) * float(np.sum(radial * np.roll(radial, -1)))
    scale = diameter_px / 2 * math.sqrt(math.pi / area)
    planes = np.column_stack([normals, distances * scale]).astype(np.float32)
    outline = radial[:, None] * _UNIT * scale
    rim *= scale
    long_enough = _lengths_of_sides(hull) * scale > 0.3 * diameter_px

    def thickness(x: Array, y: Array) -> Array:
        outside = x**2 + y**2 >= np.float32(rim**2)
        top, bottom, wall = (np.full(outside.shape, sign * np.inf, np.float32) for sign in (1, -1, 1))
        for nx, ny, nz, distance in planes:
            rest = distance - nx * x - ny * y
            if nz > 1e-4:
                np.minimum(top, rest / nz, out=top)
            elif nz < -1e-4:
                np.maximum(bottom, rest / nz, out=bottom)
            else:
                np.minimum(wall, rest, out=wall)
        top -= bottom
        np.minimum(top, wall * np.float32(_BEVEL), out=top)
        top[outside] = 0
        return np.maximum(top, 0, out=top)

    _, first = np.unique(np.round(sides[long_enough], 6), axis=0, return_index=True)
    straight = sides[long_enough][first]
    return Solid(outline=outline, thickness=thickness, side_angles=np.arctan2(straight[:, 1], straight[:, 0]))


def _lengths_of_sides(hull: ConvexHull) -> Points:
    ends = hull.points[hull.simplices]
    return np.asarray(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))


def _facets(*groups: tuple[NDArray[np.float64], float]) -> tuple[Points, Points]:
    normals = [group / np.linalg.norm(group, axis=1)[:, None] for group, _ in groups]
    distances = [np.full(len(group), distance) for group, distance in groups]
    return np.concatenate(normals), np.concatenate(distances)


_CUBE = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
_OCTAHEDRON = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], float)
_TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
_GOLDEN = (1 + math.sqrt(5)) / 2
_ICOSAHEDRON = np.concatenate(
    [
        _OCTAHEDRON,
        *(np.roll([[0, i / _GOLDEN, j * _GOLDEN] for i in (-1, 1) for j in (-1, 1)], s, 1) for s in range(3)),
    ]
)


def _prism(corners: int) -> Points:
    angles = np.arange(corners) * math.tau / corners
    return np.column_stack([np.cos(angles), np.sin(angles), np.zeros(corners)])


_BASES = np.array([[0, 0, 1], [0, 0, -1]], float)


def _decahedron(cut: float) -> tuple[Points, Points]:
    pyramids = np.concatenate([_prism(5) + 0.73 * base for base in _BASES])
    return _facets((pyramids, 1.0), (_prism(5), 1.0 + 0.23 * (1 - cut)))


FORMS: dict[str, Callable[[float], tuple[Points, Points]]] = {
    "cube": lambda cut: _facets((_CUBE, 1.0), (_OCTAHEDRON, math.sqrt(3) * (1 - 0.35 * cut))),
    # from little truncated over the Wulff form of gold (near 0.45) to the cuboctahedron (1)
    "octahedron": lambda cut: _facets((_OCTAHEDRON, 1.0), (_CUBE, math.sqrt(3) * (0.8 - 0.3 * cut))),
    "tetrahedron": lambda cut: _facets((_TETRAHEDRON, 1.0), (-_TETRAHEDRON, 3 * (1 - 0.5 * cut))),
    "icosahedron": lambda _: _facets((_ICOSAHEDRON, 1.0)),
    "decahedron": _decahedron,
    "triangular prism": lambda cut: _facets(
        (_prism(3), 1.0), (-_prism(3), 2 * (1 - 0.4 * cut)), (_BASES, 0.8 + 0.5 * cut)
    ),
    "hexagonal prism": lambda cut: _facets((_prism(6), 1.0), (_BASES, 0.6 + 0.5 * cut)),
}
"""Forms of metal nanocrystals (Xia et al., Angew. Chem. Int. Ed. 48 (2009) 60) by truncation, 0 to 1."""
_FREQUENCIES = (0.15, 0.3, 0.05, 0.15, 0.15, 0.1, 0.1)
