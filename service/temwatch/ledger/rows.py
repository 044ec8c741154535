"""Rows of the ledger as frozen values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from temwatch.domain import (
    Analysis,
    Frame,
    Metadata,
    Method,
    PackedFingerprint,
    PixelSizeSource,
    Reason,
    Segmentation,
    Status,
)
from temwatch.ledger.correction import CORRECTION, Correction, correction_from
from temwatch.names import as_text, from_stored
from temwatch.notes import Note, join_notes, split_notes
from temwatch.setting_keys import Settings, that_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A complete file that the intake found; `path` is below `root`, with /.

    `position` is the place of a frame in Gatan's tree, from which `numbering` derives its number. `inode`
    tells a file that was moved, and one that is `mounted` lies on another file system than its root. A file
    that was `written_again` is a new revision though size and times are equal. `excluded_by` is the rule of
    the configuration that takes the file out of the data set.
    """

    root: str
    path: str
    sample: str
    size_bytes: int
    mtime_ns: int
    source: str
    detected_at: datetime
    sequence: str | None = None
    frame: int | None = None
    pixel_size_nm: float | None = None
    position: int | None = None
    ctime_ns: int | None = None
    inode: int | None = None
    mounted: bool = False
    written_again: bool = False
    excluded_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One revision of a file; `name` is its output folder, `frames_recorded` is where a stack resumes.

    `settings` are those of its sample that decide the rows of a file.
    """

    id: int
    root: str
    path: str
    revision: int
    sample: str
    sequence: str | None
    frame: int | None
    name: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int | None
    sha256: str | None
    status: Status
    claimed: bool
    attempts: int
    crashes: int
    source: str
    pixel_size_nm: float | None
    detected_at: datetime
    not_before: datetime | None
    frames_total: int | None
    position: int | None
    elapsed_s: float | None
    frames_recorded: int
    correction: Correction | None
    settings: Settings = field(default_factory=dict)

    @property
    def location(self) -> Path:
        """Path of the file."""
        return Path(self.root, self.path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One analysed micrograph or frame, before it is recorded."""

    sha256: str
    segmentation: Segmentation
    analysis: Analysis
    analysed_at: datetime
    seconds: float
    acquired_at: datetime | None = None
    frame: Frame | None = None
    metadata: Metadata = field(default_factory=Metadata)
    pixel_size_source: PixelSizeSource = PixelSizeSource.FILE
    stated_pixel_size_nm: float | None = None
    fingerprint: PackedFingerprint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Outcome of recording a file: its status, and the rows that were added.

    `status` is PENDING for a stack with frames to come, DUPLICATE if the sample already has the same content,
    under the path `duplicate_of`, or another copy of its exposure, and SUPERSEDED if a later revision has
    replaced the file. `reason` says why it is a duplicate.
    """

    status: Status
    micrograph_ids: tuple[int, ...] = ()
    duplicate_of: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrographRow:
    """One row of micrographs.csv with further columns; `micrograph` is the path below the root.

    `sample` is the name of the sample's folder, `sample_name` its true name; see `output_names`.
    """

    id: int
    file_id: int
    name: str
    root: str
    sample: str
    sample_name: str
    micrograph: str
    sequence: str | None
    frame: int | None
    elapsed_s: float | None
    frames_total: int | None
    status: Status
    reason_code: str | None
    reason: str | None
    sha256: str | None
    width_px: int | None
    height_px: int | None
    pixel_size_nm: float | None
    particles: int
    rejected: Mapping[Reason, int]
    particle_fraction: float | None
    mean_equivalent_diameter_nm: float | None
    acquired_at: datetime | None
    analysed_at: datetime
    seconds: float | None
    method: str | None
    metadata: Metadata
    pixel_size_source: str | None
    stated_pixel_size_nm: float | None
    notes: tuple[str, ...]
    excluded_particles: int
    domain_distance: float | None
    recalibrated: bool
    dismissed_notes: tuple[str, ...] = ()

    @property
    def shown_notes(self) -> tuple[str, ...]:
        """The notes that nobody has dismissed."""
        return tuple(note for note in self.notes if note not in self.dismissed_notes)

    @property
    def has_result(self) -> bool:
        """Whether there is an analysis that counts, or would if the micrograph were not excluded."""
        return self.status in (Status.DONE, Status.EXCLUDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Number of files by status, each revision counted; the parts add up to `seen`.

    `excluded` are those that are done, but excluded as a whole.
    """

    seen: int
    done: int
    refused: int
    failed: int
    duplicates: int
    superseded: int
    pending: int
    excluded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """Totals of one sample; `micrographs` counts analysed micrographs and frames.

    `sample` is the name of its folder, `name` its true name.
    """

    sample: str
    name: str
    receipt: Receipt
    micrographs: int
    particles: int
    rejected: Mapping[Reason, int]
    methods: tuple[str, ...]
    last_analysed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """How far a file of a sample was published: its length, its last micrograph and its generation.

    Of a table that grows also the checksum of its content, and what the file system said of the file then.
    """

    file: str
    bytes: int
    through_id: int
    generation: int
    crc32: int | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedTable:
    """A table that somebody else had changed: the edited file was kept, and the table written anew."""

    sample: str
    file: str
    kept_as: str
    noticed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something that a command or the page asks of the running service."""

    id: int
    kind: str
    arguments: Mapping[str, Any]
    created_at: datetime


SETTINGS = """(SELECT json_group_object(key, json(value)) FROM (
        SELECT s.key, s.value, max(s.id) FROM settings s
            WHERE s.sample = f.sample AND s.ended_by IS NULL AND s.key NOT LIKE 'filter.%' GROUP BY s.key
            ORDER BY max(s.id)) WHERE value <> 'null')"""
"""What is set for the sample of `files f` and decides its rows, as JSON; see `sample_settings`."""

FILE_COLUMNS = f"""f.id, f.root, f.path, f.revision, f.sample, f.sequence, f.frame, f.name, f.size_bytes,
    f.mtime_ns, f.ctime_ns, f.sha256, f.status, f.claimed, f.attempts, f.crashes, f.source, f.pixel_size_nm,
    f.detected_at, f.not_before, f.frames_total, f.position, f.elapsed_s,
    (SELECT count(*) FROM micrographs m WHERE m.file_id = f.id AND m.frame IS NOT NULL) AS frames_recorded,
    {CORRECTION} AS correction, {SETTINGS} AS settings"""

DISMISSED = """(SELECT group_concat(d.note, ';') FROM dismissals d WHERE d.file_id = m.file_id
    AND d.frame IS CASE WHEN f.frame IS NULL THEN m.frame END AND d.ended_by IS NULL)"""
"""The remarks on `micrographs m` of `files f` that somebody has dismissed."""

MICROGRAPH_COLUMNS = f"""m.id, m.file_id, f.name, f.root, m.sample,
    (SELECT coalesce(s.name, s.sample) FROM samples s WHERE s.sample = m.sample) AS sample_name,
    f.path AS micrograph, f.sequence, m.frame,
    m.elapsed_s, f.frames_total, m.status, m.reason_code, m.reason, m.sha256, m.width_px, m.height_px,
    m.pixel_size_nm, m.particles, m.rejected_touches_border, m.rejected_too_small, m.rejected_low_convexity,
    m.rejected_too_many_holes, m.rejected_not_separable, m.rejected_low_confidence, m.particle_fraction,
    m.mean_equivalent_diameter_nm, m.acquired_at, m.analysed_at, m.seconds, m.method, m.metadata,
    m.pixel_size_source, m.stated_pixel_size_nm, m.notes, m.notes_of_record, m.excluded, m.excluded_particles,
    m.domain_distance, m.recalibrated, f.gone, {DISMISSED} AS dismissed_notes"""


_NOT_MEASURED = {
    "particles": 0,
    "excluded_particles": 0,
    "particle_fraction": None,
    "domain_distance": None,
    "mean_equivalent_diameter_nm": None,
    "method": None,
}


def file_from(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> File:
    """A row of FILE_COLUMNS; fits `sqlite3.Cursor.row_factory`."""
    values = _named(cursor, row)
    values["root"], values["path"] = from_stored(values["root"]), from_stored(values["path"])
    values["status"], values["claimed"] = Status(values["status"]), bool(values["claimed"])
    values["correction"] = correction_from(values["correction"])
    values["settings"] = settings_from(values["settings"])
    values["detected_at"], values["not_before"] = moment(values["detected_at"]), moment(values["not_before"])
    return File(**values)


def settings_from(text: str) -> dict[str, Any]:
    """A value of SETTINGS."""
    return that_count(json.loads(text))


def micrograph_from(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> MicrographRow:
    """A row of MICROGRAPH_COLUMNS; fits `sqlite3.Cursor.row_factory`."""
    values = _named(cursor, row)
    for name in ("root", "sample_name", "micrograph"):
        values[name] = as_text(values[name])
    values["status"] = Status(values["status"])
    values["recalibrated"] = bool(values["recalibrated"])
    if values.pop("excluded") and values["status"] is Status.DONE:
        values["status"] = Status.EXCLUDED
    values["rejected"] = {reason: values.pop(f"rejected_{reason}") for reason in Reason}
    values["acquired_at"], values["analysed_at"] = (
        moment(values["acquired_at"]),
        moment(values["analysed_at"]),
    )
    if values["status"] is Status.DUPLICATE:  # its analysis is kept, but nothing of it counts
        values |= _NOT_MEASURED | {"rejected": dict.fromkeys(Reason, 0)}
    values["metadata"] = Metadata(**json.loads(values["metadata"]))
    notes = (values.pop("notes_of_record"), values["notes"], Note.FILE_GONE if values.pop("gone") else "")
    values["notes"] = split_notes(join_notes(chain(*map(split_notes, notes)))) if any(notes) else ()
    dismissed = split_notes(values["dismissed_notes"] or "")
    values["dismissed_notes"] = tuple(note for note in values["notes"] if note in dismissed)
    return MicrographRow(**values)


def metadata_text(metadata: Metadata) -> str:
    """The known fields as JSON."""
    known = {key: value for key, value in asdict(metadata).items() if value is not None}
    return json.dumps(known, sort_keys=True)


def method_from(text: str) -> Method:
    """A stored method."""
    values = json.loads(text)
    return Method(**values | {"parameters": tuple(values["parameters"].items())})


def moment(text: str | None) -> datetime | None:
    """A stored time as datetime."""
    return None if text is None else datetime.fromisoformat(text)


def _named(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
