"""Particles that change from frame to frame: ripening, migration, coalescence, vanishing and drift.

Ripening is that of Lifshitz, Slyozov and Wagner: r^2 dr/dt = K (r / r_c - 1) with the mean radius as r_c,
which conserves the volume. A few particles migrate to a neighbour; whenever two touch, they become one with
their volume and centre of mass, which keeps the track of the larger. A particle that is too small to be seen
has vanished. Positions are in the coordinates of the first frame: the drift of the field is separate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from temwatch.simulator import detector, imaging, shapes
from temwatch.simulator.imaging import Crystal
from temwatch.simulator.settings import Settings
from temwatch.simulator.specimen import Body, arrange, project

SEQUENCE = Settings(
    families=("ellipses",),
    overlap="none",
    particles=90,
    diameter_mean_nm=4.5,
    diameter_sd_nm=1.1,
    pixel_size_nm=0.15,
    roughness=0.0,
    aperture_mrad=15.0,
    dose_e_per_px=40.0,
    annotations=False,
)
"""Gold on a support at low dose, particles apart from each other."""

INTERVAL_S = 0.5
_DRIFT_SHARE = 0.04
_JITTER = 0.05
"""Standard deviation of a particle's displacement by diffusion over the whole sequence, in mean radii."""
_TURN_RAD = 0.05
_RIPENING = 0.5
_LEAST_RADIUS_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingParticle:
    """A particle in one frame, centre in the first frame's coordinates."""

    track: int
    x_nm: float
    y_nm: float
    radius_nm: float
    aspect_ratio: float
    angle_rad: float
    crystals: tuple[Crystal, ...]
    towards: int | None = None

    @property
    def equivalent_diameter_nm(self) -> float:
        """Diameter of the disc of the projection's area."""
        return 2 * self.radius_nm


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedEvent:
    """What happened between the frame before and `frame`: vanish, or merge of `others` into `track`.

    In a moving field of view a particle also vanishes when it leaves, and appears when it enters.
    """

    frame: int
    event: str
    track: int
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTruth:
    """The truth of one frame; the field has moved by the drift since the first one.

    `cut` are the particles at the border of a moving field: in the picture, but not whole.
    """

    index: int
    particles: tuple[MovingParticle, ...]
    events: tuple[SimulatedEvent, ...] = field(default=())
    drift_x_nm: float = 0.0
    drift_y_nm: float = 0.0
    cut: tuple[MovingParticle, ...] = ()


def evolve(settings: Settings, frames: int, rng: np.random.Generator) -> Iterator[FrameTruth]:
    """All particles, frame by frame; all stay in the field whatever the drift."""
    room_px = _DRIFT_SHARE * settings.size_px
    margin_px = room_px + 2 + 0.8 * settings.diameter_mean_nm / settings.pixel_size_nm
    particles = _first(settings, rng, margin_px)
    mean_nm = float(np.mean([particle.radius_nm for particle in particles])) if particles else 0.0
    rate_nm3 = _RIPENING * mean_nm**3 / frames
    drift, speed = np.zeros(2), np.zeros(2)
    room_nm = room_px * settings.pixel_size_nm
    yield FrameTruth(index=0, particles=particles)
    for index in range(1, frames):
        speed = 0.9 * speed + rng.normal(0, 0.01 * room_nm, 2)
        drift = np.clip(drift + speed, -room_nm, room_nm)
        particles = tuple(_step(particle, particles, mean_nm, frames, rng) for particle in particles)
        particles, vanished = _ripen(particles, rate_nm3, _LEAST_RADIUS_SHARE * mean_nm, index)
        particles, merged = _coalesce(particles, index)
        yield FrameTruth(
            index=index,
            particles=particles,
            events=(*vanished, *merged),
            drift_x_nm=float(drift[0]),
            drift_y_nm=float(drift[1]),
        )


def visible_frames(
    settings: Settings, frames: int, rng: np.random.Generator, *, drift_px: float = 0.0, flicker: float = 0.0
) -> Iterator[FrameTruth]:
    """The particles that can be seen, frame by frame.

    Parameters
    ----------
    settings, frames, rng
        As in `evolve`.
    drift_px : float
        Movement of the field from frame to frame, on a winding path over a larger specimen, so that particles
        leave and enter. 0: the drift of `evolve`, which keeps every particle in the field.
    flicker : float
        Share of the particles that are missing in each frame; `particles` leaves them out.
    """
    moments = _moving_field(settings, frames, rng, drift_px) if drift_px else evolve(settings, frames, rng)
    for moment in moments:
        shown = rng.random(len(moment.particles)) >= flicker if flicker else None
        yield (
            moment
            if shown is None
            else replace(
                moment, particles=tuple(p for p, show in zip(moment.particles, shown, strict=True) if show)
            )
        )


def _moving_field(
    settings: Settings, frames: int, rng: np.random.Generator, drift_px: float
) -> Iterator[FrameTruth]:
    """A window that moves over a specimen of at most twice its side and turns back at the border."""
    room_px = math.ceil(min(drift_px * frames, 0.5 * settings.size_px))
    size_px = settings.size_px + 2 * room_px
    density = settings.particles / settings.size_px**2
    specimen = replace(settings, size_px=size_px, particles=round(density * size_px**2))
    room_nm, step_nm = (length * settings.pixel_size_nm for length in (room_px, drift_px))
    place, heading = np.zeros(2), rng.uniform(0, math.tau)
    before: dict[int, MovingParticle] = {}
    for moment in evolve(specimen, frames, rng):
        if moment.index:
            heading += rng.normal(0, _TURN_RAD)
            step = step_nm * np.array([math.cos(heading), math.sin(heading)])
            beyond = np.abs(place + step) > room_nm
            step[beyond] *= -1
            heading, place = math.atan2(step[1], step[0]), place + step
        moved = [
            replace(particle, x_nm=particle.x_nm - room_nm, y_nm=particle.y_nm - room_nm)
            for particle in moment.particles
        ]
        inside = {particle.track: particle for particle in moved if _in_view(particle, place, settings, 1)}
        near = (particle for particle in moved if _in_view(particle, place, settings, -1))
        yield FrameTruth(
            index=moment.index,
            particles=tuple(inside.values()),
            events=_as_seen(moment, before, inside) if moment.index else (),
            drift_x_nm=float(place[0]),
            drift_y_nm=float(place[1]),
            cut=tuple(particle for particle in near if particle.track not in inside),
        )
        before = inside


def _in_view(particle: MovingParticle, shift_nm: NDArray[np.float64], settings: Settings, side: int) -> bool:
    """Whether the particle is whole in the field and free of its border (1), or at least in part (-1)."""
    reach_nm = side * particle.radius_nm * math.sqrt(particle.aspect_ratio) + 2 * settings.pixel_size_nm
    place_nm = np.array([particle.x_nm, particle.y_nm]) + shift_nm
    far_nm = settings.size_px * settings.pixel_size_nm - reach_nm
    return bool((place_nm > reach_nm).all() and (place_nm < far_nm).all())


def _as_seen(
    moment: FrameTruth, before: dict[int, MovingParticle], now: dict[int, MovingParticle]
) -> tuple[SimulatedEvent, ...]:
    """The events that can be seen within the field."""
    merges = []
    for event in moment.events:
        others = tuple(other for other in event.others if other in before)
        if event.event == "merge" and event.track in before and event.track in now and others:
            merges.append(replace(event, others=others))
    taken = {other for event in merges for other in event.others}
    vanished = (SimulatedEvent(frame=moment.index, event="vanish", track=track) for track in before)
    appeared = (SimulatedEvent(frame=moment.index, event="appear", track=track) for track in now)
    return (
        *merges,
        *(event for event in vanished if event.track not in now and event.track not in taken),
        *(event for event in appeared if event.track not in before),
    )


def _first(settings: Settings, rng: np.random.Generator, margin_px: float) -> tuple[MovingParticle, ...]:
    placed = arrange(settings, rng, margin_px=margin_px)
    particles = [
        MovingParticle(
            track=track,
            x_nm=body.x_px * settings.pixel_size_nm,
            y_nm=body.y_px * settings.pixel_size_nm,
            radius_nm=math.sqrt(_area_px2(body) / math.pi) * settings.pixel_size_nm,
            aspect_ratio=rng.uniform(1, 1.15),
            angle_rad=rng.uniform(0, math.pi),
            crystals=imaging.random_crystals(settings, rng),
        )
        for track, (body, _) in enumerate(placed, 1)
    ]
    # one in fifteen migrates to its nearest neighbour
    for mover in (
        rng.permutation(len(particles))[: max(1, len(particles) // 15)] if len(particles) > 1 else ()
    ):
        distances = [
            math.inf if other.track == particles[mover].track else _distance_nm(particles[mover], other)
            for other in particles
        ]
        particles[mover] = replace(particles[mover], towards=particles[int(np.argmin(distances))].track)
    return tuple(particles)


def _area_px2(body: Body) -> float:
    x, y = body.solid.outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _distance_nm(first: MovingParticle, second: MovingParticle) -> float:
    return math.hypot(first.x_nm - second.x_nm, first.y_nm - second.y_nm)


def _step(
    particle: MovingParticle,
    particles: tuple[MovingParticle, ...],
    mean_nm: float,
    frames: int,
    rng: np.random.Generator,
) -> MovingParticle:
    """Diffusion on the support, and migration."""
    shift = rng.normal(0, _JITTER * mean_nm / math.sqrt(frames), 2)
    target = next((other for other in particles if other.track == particle.towards), None)
    if target is not None:
        # a few radii in the time of the sequence
        pace_nm = min(6 * mean_nm / frames, 0.3 * mean_nm)
        shift += (
            pace_nm
            * np.array([target.x_nm - particle.x_nm, target.y_nm - particle.y_nm])
            / _distance_nm(particle, target)
        )
    return replace(particle, x_nm=particle.x_nm + float(shift[0]), y_nm=particle.y_nm + float(shift[1]))


def _ripen(
    particles: tuple[MovingParticle, ...], rate_nm3: float, least_nm: float, index: int
) -> tuple[tuple[MovingParticle, ...], list[SimulatedEvent]]:
    critical_nm = np.mean([particle.radius_nm for particle in particles]) if particles else 1.0
    kept, events = [], []
    for particle in particles:
        volume = particle.radius_nm**3 + 3 * rate_nm3 * (particle.radius_nm / critical_nm - 1)
        radius_nm = float(max(volume, 0.0)) ** (1 / 3)
        if radius_nm < least_nm:
            events.append(SimulatedEvent(frame=index, event="vanish", track=particle.track))
        else:
            kept.append(replace(particle, radius_nm=radius_nm))
    return tuple(kept), events


def _coalesce(
    particles: tuple[MovingParticle, ...], index: int
) -> tuple[tuple[MovingParticle, ...], list[SimulatedEvent]]:
    """Merge touching particles, larger ones first, until none touch."""
    alive = sorted(particles, key=lambda particle: -particle.radius_nm)
    absorbed: dict[int, list[int]] = {}
    pair = _touching(alive)
    while pair is not None:
        large, small = alive[pair[0]], alive.pop(pair[1])
        weight = small.radius_nm**3 / (large.radius_nm**3 + small.radius_nm**3)
        alive[pair[0]] = replace(
            large,
            x_nm=large.x_nm + weight * (small.x_nm - large.x_nm),
            y_nm=large.y_nm + weight * (small.y_nm - large.y_nm),
            radius_nm=(large.radius_nm**3 + small.radius_nm**3) ** (1 / 3),
            towards=None,
        )
        absorbed.setdefault(large.track, []).extend([small.track, *absorbed.pop(small.track, [])])
        pair = _touching(alive)
    events = [
        SimulatedEvent(frame=index, event="merge", track=track, others=tuple(others))
        for track, others in absorbed.items()
    ]
    return tuple(sorted(alive, key=lambda particle: particle.track)), events


def _touching(particles: list[MovingParticle]) -> tuple[int, int] | None:
    if len(particles) < 2:
        return None
    centres = np.array([(particle.x_nm, particle.y_nm) for particle in particles])
    reach = np.array([particle.radius_nm * math.sqrt(particle.aspect_ratio) for particle in particles])
    distance2 = ((centres[:, None] - centres[None, :]) ** 2).sum(axis=-1)
    close = np.triu(distance2 < (reach[:, None] + reach[None, :]) ** 2, 1)
    found = np.argwhere(close)
    return (int(found[0][0]), int(found[0][1])) if len(found) else None


def expose_frames(
    moments: Iterator[FrameTruth], settings: Settings, rng: np.random.Generator
) -> Iterator[tuple[FrameTruth, NDArray[np.uint16]]]:
    """Image of every frame: the carbon film drifts with the particles, the beam stands still."""
    blank = imaging.empty_field(settings)
    carbon = imaging.carbon_phase(settings, blank.phase.shape[0], rng)
    light = imaging.illumination(settings, rng)
    for moment in moments:
        field_ = imaging.empty_field(settings)
        shown = (*moment.particles, *moment.cut)
        projections = [project(body(particle, moment, settings)) for particle in shown]
        crystals = [particle.crystals for particle in shown]
        imaging.add_particles(field_, settings, zip(projections, crystals, strict=True))
        shift_px = np.array([moment.drift_y_nm, moment.drift_x_nm]) / settings.pixel_size_nm
        relative = imaging.transmitted(field_, settings, imaging.shifted(carbon, shift_px))
        yield moment, detector.expose(relative * light, settings, rng)


def body(particle: MovingParticle, moment: FrameTruth, settings: Settings) -> Body:
    """A particle as a solid, at its place after the drift."""
    return Body(
        solid=shapes.ellipsoid(2 * particle.radius_nm / settings.pixel_size_nm, particle.aspect_ratio),
        x_px=(particle.x_nm + moment.drift_x_nm) / settings.pixel_size_nm,
        y_px=(particle.y_nm + moment.drift_y_nm) / settings.pixel_size_nm,
        angle_rad=particle.angle_rad,
    )
