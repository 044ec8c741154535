"""The frozen types that every room speaks in.

Coordinates: images are indexed (row, column) = (y, x). Positions in nm are measured from the outer corner
of the top left pixel, so the centre of pixel (0, 0) lies at half a pixel; x grows to the right, y downwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from temwatch import figures, label_planes
from temwatch.columns import PARTICLE_COLUMNS
from temwatch.descriptors import BY_NAME
from temwatch.kept_picture import KeptPicture
from temwatch.lone_particles import LoneParticles

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Level = NDArray[np.uint8]
Probability = NDArray[np.uint8]


class Status(StrEnum):
    """What became of a file, as in micrographs.csv; EXCLUDED is shown for DONE, the ledger keeps it apart."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    PENDING = "pending"
    SUPERSEDED = "superseded"
    EXCLUDED = "excluded"


class Stage(StrEnum):
    """The stages of a file, as metrics and log name them."""

    READ = "read"
    SEGMENT = "segment"
    RESOLVE = "resolve"
    RECORD = "record"
    PUBLISH = "publish"


class Reason(StrEnum):
    """Why a region of the mask is not reported as a particle."""

    TOUCHES_BORDER = "touches_border"
    TOO_SMALL = "too_small"
    LOW_CONVEXITY = "low_convexity"
    TOO_MANY_HOLES = "too_many_holes"
    NOT_SEPARABLE = "not_separable"
    LOW_CONFIDENCE = "low_confidence"


EXCLUDED = "excluded"
"""What rejections.csv says of a particle that somebody has excluded, beside the reasons of the analysis."""


class PixelSizeSource(StrEnum):
    """Who states the pixel size of a micrograph."""

    FILE = "file"
    USER = "user"
    CONFIG = "config"
    CORRECTED = "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a report must state of the acquisition; None where the file does not say."""

    voltage_kV: float | None = None  # noqa: N815 - the unit's own spelling
    magnification: float | None = None
    instrument: str | None = None
    exposure_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Place of a micrograph in a sequence; `index` counts from 0."""

    sequence: str
    index: int
    elapsed_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFingerprint:
    """What tells a micrograph's exposure and area: a coarse map for a first search, and the whole."""

    coarse: bytes
    whole: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """Earlier micrographs of the sample, by id: a copy of the exposure, or another exposure of its area."""

    copy: int | None = None
    repeat: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Micrograph:
    """One calibrated real-space image: float32 (y, x), square pixels of `pixel_size_nm`.

    `stated_pixel_size_nm` is what the file itself states, None where it states nothing. The engine takes the
    fingerprint of single micrographs.
    """

    source: Path | None
    sha256: str
    image: Image
    pixel_size_nm: float
    acquired_at: datetime | None = None
    frame: Frame | None = None
    metadata: Metadata = Metadata()
    pixel_size_source: PixelSizeSource = PixelSizeSource.FILE
    stated_pixel_size_nm: float | None = None
    fingerprint: PackedFingerprint | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """Which pixels are particle; `contacts`, where known, marks the lines where touching particles meet.

    `notes` are what the segmenter has to say of the image: members of `notes.Note`, or `Note.about`. `level`,
    where outlines are known between the pixels, is 0 outside, 255 inside and 127.5 on the outline, linear in
    the distance from it (`temwatch.analysis.refinement.level`); the mask is where it is above. `recorded`, if
    not the whole picture was, leaves out padding and what an aperture covers. `picture` is what is kept of
    the image, and `probability` what a network gives each pixel of the mask in 31 steps: by these particles
    are judged. `domain_distance` is that of `analysis.appearance.domain`, and `sample_prior`, in px, what
    stood alone on other micrographs of the sample when this one was first resolved.
    """

    mask: Mask
    contacts: Mask | None = None
    notes: tuple[str, ...] = ()
    level: Level | None = None
    recorded: Mask | None = None
    picture: KeptPicture | None = None
    probability: Probability | None = None
    domain_distance: float | None = None
    sample_prior: LoneParticles | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """A part of a mask as a tight crop: `origin_px` is (row, column) of the crop's top left pixel.

    `separated_by` names the method that cut it out of a clump, and `visible_fraction` is the share of its
    outline that was seen there; 1 where it was found whole. `outline`, where known between the pixels, is
    float64 (corners, 2): row and column in px, clockwise, the centre of the first pixel at (0, 0).
    """

    origin_px: tuple[int, int]
    mask: Mask
    separated: bool = False
    separated_by: str = ""
    visible_fraction: float = 1.0
    outline: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rejection:
    """A region that is not reported as a particle, and why."""

    region: Region
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Particle:
    """One detected particle; every descriptor is an attribute too: `particle.area_nm2`.

    Attributes
    ----------
    descriptors
        Value by name, as in `temwatch.descriptors.DESCRIPTORS`; None where an earlier version recorded none.
    overlapping
        Whether the convexity lies below the threshold.
    """

    descriptors: Mapping[str, float | None]
    overlapping: bool
    region: Region
    separated_by: str = ""

    def __getattr__(self, name: str) -> Any:
        """The descriptor of this name."""
        if name in BY_NAME:
            return self.descriptors.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def __dir__(self) -> list[str]:
        """What an editor offers after the dot."""
        return [*object.__dir__(self), *BY_NAME]

    @property
    def separated(self) -> bool:
        """Whether the particle was cut out of a clump."""
        return self.region.separated


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Everything that decides the numbers: weights, parameters and software version, but not the device."""

    segmentation: str
    separation: str
    parameters: tuple[tuple[str, str | float | int | bool | None], ...]
    software_version: str
    model_sha256: str = ""

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this method on every row."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Canonical text; the digest is taken over it and the ledger keeps it."""
        return json.dumps({**asdict(self), "parameters": dict(self.parameters)}, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmenter:
    """Turns a batch of images (float32, (y, x)) into segmentations; the rest names it in a Method.

    `probe` raises RuntimeError where the device does not work; None where there is nothing to probe.
    `segment` may be called by several threads; `together` images of one size take less time than one by one.
    `opposite` is for bright particles where this one is for dark ones, or the other way round. `helpers` are
    the threads that compute while `segment` waits, by their number in the kernel.
    """

    name: str
    segment: Callable[[Sequence[Image]], list[Segmentation]] = field(compare=False)
    parameters: tuple[tuple[str, str | float | int | bool | None], ...] = ()
    model_sha256: str = ""
    probe: Callable[[], None] | None = field(default=None, compare=False)
    together: int = field(default=1, compare=False)
    opposite: Segmenter | None = field(default=None, compare=False)
    helpers: Callable[[], Collection[int]] = field(default=tuple, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """All that is known of one micrograph after analysis.

    `mask` is the despeckled segmentation before separation, particles on the border included, and `removed`
    what despeckling took out. `notes` are those of the segmenter and of the stages after it. `image` is what
    `temwatch.analyse` was given. `lone`: what stands alone, in px, where the method asks for it.
    """

    mask: Mask
    particles: tuple[Particle, ...]
    rejections: tuple[Rejection, ...]
    method: Method
    pixel_size_nm: float
    removed: Mask | None = None
    notes: tuple[str, ...] = ()
    image: Image | None = None
    lone: LoneParticles | None = None

    @property
    def particle_fraction(self) -> float:
        """Share of the micrograph's area that the mask covers."""
        return float(np.mean(self.mask)) if self.mask.size else 0.0

    def table(self) -> pandas.DataFrame:
        """Particles with the columns of particles.csv; sample, micrograph, frame and times are empty."""
        import pandas

        rows = [
            particle_row(particle, number, pixel_size_nm=self.pixel_size_nm, method=self.method.digest)
            for number, particle in enumerate(self.particles, 1)
        ]
        frame = pandas.DataFrame(rows, columns=[column.name for column in PARTICLE_COLUMNS])
        types = {"real": "float64", "boolean": "bool"}
        return frame.astype({one.name: types[one.kind] for one in PARTICLE_COLUMNS if one.kind in types})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the picture with all outlines on matplotlib axes in nm, new ones by default; returns them."""
        return figures.plot(self, ax)

    def labels(self, plane: int = 0) -> NDArray[np.uint32]:
        """Label image: each particle has its number, from 1 in the order of `particles`, 0 is background.

        Particles that overlap lie on different planes, as few as possible, each whole on exactly one of them.
        IndexError where there is no such plane; plane 0 is always there.
        """
        return label_planes.plane_of(self.mask.shape, [one.region for one in self.particles], plane)

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture with outlines and the first rows of the table."""
        return figures.as_html(self)


def particle_row(
    particle: Particle,
    number: int,
    *,
    pixel_size_nm: float,
    method: str,
    sample: str | None = None,
    micrograph: str | None = None,
    frame: int | None = None,
    acquired_at: datetime | None = None,
    analysed_at: datetime | None = None,
) -> dict[str, Any]:
    """One row of particles.csv by column name; `number` counts the particles of a micrograph from 1."""
    top, left = particle.region.origin_px
    height, width = particle.region.mask.shape
    context = {
        "sample": sample,
        "micrograph": micrograph,
        "frame": frame,
        "particle": number,
        "bbox_x_px": left,
        "bbox_y_px": top,
        "bbox_width_px": width,
        "bbox_height_px": height,
        "pixel_size_nm": pixel_size_nm,
        "acquired_at": acquired_at,
        "analysed_at": analysed_at,
        "method": method,
    }
    return {
        column.name: context[column.name] if column.name in context else getattr(particle, column.name)
        for column in PARTICLE_COLUMNS
    }


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, the one way temwatch writes a time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
