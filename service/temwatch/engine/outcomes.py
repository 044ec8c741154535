"""Results of the stages of a file: one frozen type each.

A worker returns a `StageResult`; what it raises instead becomes `Failed`. The conductor matches on `Outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from temwatch.domain import Micrograph, Segmentation, Stage
from temwatch.ledger import PackedAnalysis, Recorded
from temwatch.ledger.moves import FormerPlace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadDone:
    """The file is hashed, and also read if the backend reads in a task of its own.

    `frames_total` is None for a single micrograph. `needs_bytes` says that nothing was read, because the file
    takes more memory than there is beside the others in hand; a large file is not hashed then. `content`
    is the whole file where it has to be sent to the worker that reads it.
    """

    sha256: str
    seconds: float
    micrographs: tuple[Micrograph, ...] = ()
    frames_total: int | None = None
    needs_bytes: int | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmented:
    """The segmentation of micrograph `index` of the file."""

    index: int
    segmentation: Segmentation
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureDone:
    """The picture of micrograph `index` is in the output folder."""

    index: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """The particles of micrograph `index`, packed for the ledger; its time and seconds are the worker's."""

    index: int
    packed: PackedAnalysis
    diameters_nm: tuple[float, ...]
    seconds: float
    seconds_pictures: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysed:
    """A whole file was read, segmented, resolved and drawn by one task of a cluster."""

    resolved: tuple[Resolved, ...]
    frames_total: int | None
    seconds: Mapping[Stage, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traced:
    """Which file this one was before it was moved, None where it is another."""

    former: FormerPlace | None


class NeedsMemory(Exception):
    """A micrograph that is read again takes more memory than there is beside others, and is read alone."""


class Hung(Exception):
    """A task did not advance and was given up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Failed:
    """A stage ended with an error."""

    stage: Stage
    error: BaseException


StageResult = Traced | ReadDone | Segmented | PictureDone | Resolved | Analysed
Outcome = StageResult | Recorded | Failed
