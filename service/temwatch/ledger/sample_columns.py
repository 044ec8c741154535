"""Columns of numbers for the statistics of a sample, without a Python object for each row."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temwatch.descriptors import DESCRIPTORS, Shown, shown
from temwatch.ledger import publications
from temwatch.ledger.exposures import FIELD
from temwatch.ledger.reader import Reader, number_table
from temwatch.ledger.rows import moment
from temwatch.particle_filter import LIMITS, ParticleFilter

_DIGITS = {one.name: one.digits for one in DESCRIPTORS}
PARTICLE_VALUES = tuple(
    dict.fromkeys(
        (
            *(one.name for one in shown(Shown.POPULATION)),
            *(limit.column for limit in LIMITS.values()),
            "bbox_width_px",
            "bbox_height_px",
        )
    )
)
"""Columns of `particles` that a population is made of, and those that a filter compares."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fields:
    """Analysed micrographs and frames of a sample in the order of their ids, and their particles.

    `field` names what counts as one independent field of view, see `exposures.FIELD`. `changes` counts those
    of the file: where it is the same, so are the particles.
    `micrograph` and `number` place every particle: index into `ids`, and its number in the micrograph.
    `order` holds places in ascending order for columns that were sorted before, perhaps with fewer particles:
    later ones are then merged into them. `derived` is for what a reader of them computes and needs again.
    """

    ids: NDArray[np.int64]
    field: tuple[str, ...]
    width_px: NDArray[np.float64]
    height_px: NDArray[np.float64]
    pixel_size_nm: NDArray[np.float64]
    changes: NDArray[np.int64]
    micrograph: NDArray[np.int64]
    number: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    order: dict[str, NDArray[np.int64]] = dataclasses.field(default_factory=dict)
    derived: OrderedDict[Hashable, Any] = dataclasses.field(default_factory=OrderedDict, init=False)

    def sorted_by(self, name: str) -> NDArray[np.int64]:
        """Places of the particles in ascending order of a column."""
        known, count = self.order.get(name, np.empty(0, np.int64)), len(self.number)
        if len(known) < count:
            places = np.concatenate((known, np.arange(len(known), count)))
            # a stable sort takes one pass for what is already in order
            known = places[np.argsort(self.values[name][places], kind="stable")]
            self.order[name] = known
        return known

    def extended_by(self, later: Fields) -> Fields:
        """These together with later ones of the same sample."""
        return Fields(
            ids=np.concatenate((self.ids, later.ids)),
            field=self.field + later.field,
            width_px=np.concatenate((self.width_px, later.width_px)),
            height_px=np.concatenate((self.height_px, later.height_px)),
            pixel_size_nm=np.concatenate((self.pixel_size_nm, later.pixel_size_nm)),
            changes=np.concatenate((self.changes, later.changes)),
            micrograph=np.concatenate((self.micrograph, later.micrograph + len(self.ids))),
            number=np.concatenate((self.number, later.number)),
            values={name: np.concatenate((self.values[name], later.values[name])) for name in self.values},
            order=dict(self.order),
        )


def choose(found: Fields, particles: ParticleFilter) -> Fields:
    """The same fields with those of their particles that fulfil a filter."""
    inside = np.ones(len(found.number), bool)
    for name, value in particles.limits.items():
        limit = LIMITS[name]
        inside &= _COMPARE[limit.compare](found.values[limit.column], value)
    places = np.flatnonzero(inside)  # faster than the flags where several columns are taken
    place = np.cumsum(inside) - 1
    return dataclasses.replace(
        found,
        micrograph=found.micrograph[places],
        number=found.number[places],
        values=_ChosenValues(found.values, places),
        order={
            name: place[order[inside[order]]]
            for name, order in found.order.items()
            if len(order) == len(inside)
        },
    )


class _ChosenValues(Mapping[str, NDArray[np.float64]]):
    """Columns at some places, each taken when somebody first asks for it: a view needs few of them."""

    def __init__(self, values: Mapping[str, NDArray[np.float64]], index: NDArray[np.int64]) -> None:
        self._values = values
        self._index = index
        self._taken: dict[str, NDArray[np.float64]] = {}

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self._taken:
            self._taken[name] = self._values[name][self._index]
        return self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


_COMPARE = {">=": np.greater_equal, "<=": np.less_equal, "=": np.equal}


def fields(reader: Reader, sample: str, *, after_id: int = 0) -> Fields:
    """Fields of a sample after the row `after_id` of micrographs.csv.

    Particle values are rounded to the digits of particles.csv, so that a histogram of the one counts
    what a histogram of the other counts.
    """
    rows = _rows(reader, sample, after_id)
    return _with_particles(
        rows, *_particles(reader, rows, f"m.sample = ? AND {_COUNTED} AND m.id > ?", sample, after_id)
    )


def renewed(reader: Reader, sample: str, before: Fields) -> Fields:
    """The same as `fields`, where some micrographs have changed since: only their particles are read."""
    rows = _rows(reader, sample, 0)
    known = dict(zip(before.ids.tolist(), before.changes.tolist(), strict=True))
    changed = [row[0] for row in rows if known.get(row[0]) != row[_CHANGES]]
    micrograph, number, values = _particles(
        reader, rows, "m.id IN (SELECT value FROM json_each(?))", json.dumps(changed)
    )
    ids = np.array([row[0] for row in rows], np.int64)
    # where each micrograph of before is now; -1 where it is not, or is read again
    place = np.searchsorted(ids, before.ids)
    is_same = np.isin(before.ids, ids) & ~np.isin(before.ids, changed)
    stays = is_same[before.micrograph]
    micrograph = np.concatenate((place[before.micrograph[stays]], micrograph))
    number = np.concatenate((before.number[stays], number))
    # both parts are in order: a stable sort merges them
    order = np.argsort(micrograph, kind="stable")
    merged = _with_particles(
        rows,
        micrograph[order],
        number[order],
        {name: np.concatenate((before.values[name][stays], values[name]))[order] for name in before.values},
    )
    moved = np.empty(len(order), np.int64)
    moved[order] = np.arange(len(order))
    kept = np.cumsum(stays) - 1
    fresh = moved[np.count_nonzero(stays) :]
    for name, known_order in before.order.items():
        if len(known_order) == len(before.number):
            places = np.concatenate((moved[kept[known_order[stays[known_order]]]], fresh))
            merged.order[name] = places[np.argsort(merged.values[name][places], kind="stable")]
    return merged


_COUNTED = "m.status = 'done' AND NOT m.excluded"
_CHANGES = 5
_Particles = tuple[NDArray[np.int64], NDArray[np.int64], dict[str, NDArray[np.float64]]]


def _rows(reader: Reader, sample: str, after_id: int) -> list[tuple[Any, ...]]:
    """Of each micrograph: id, field of view, width, height, pixel size, changes of its file."""
    return reader.connection.execute(
        f"""SELECT m.id, {FIELD}, m.width_px, m.height_px, m.pixel_size_nm, f.changes
            FROM micrographs m JOIN files f ON f.id = m.file_id
            WHERE m.sample = ? AND {_COUNTED} AND m.id > ? ORDER BY m.id""",
        (sample, after_id),
    ).fetchall()


def _particles(reader: Reader, rows: list[tuple[Any, ...]], condition: str, *given: object) -> _Particles:
    """Index of the micrograph among these rows, number and values of particles in order."""
    cursor = reader.connection.execute(
        f"""SELECT m.id, p.number, {", ".join(f"p.{name}" for name in PARTICLE_VALUES)}
            FROM micrographs m JOIN particles p ON p.micrograph_id = m.id
            WHERE {condition} AND {reader.counted} ORDER BY m.id, p.number""",
        given,
    )
    table = number_table(cursor, 2 + len(PARTICLE_VALUES))
    ids = np.array([row[0] for row in rows], np.int64)
    values = {
        name: rounded(np.ascontiguousarray(table[:, index]), _DIGITS.get(name, 7))
        for index, name in enumerate(PARTICLE_VALUES, 2)
    }
    return np.searchsorted(ids, table[:, 0].astype(np.int64)), table[:, 1].astype(np.int64), values


def _with_particles(
    rows: list[tuple[Any, ...]],
    micrograph: NDArray[np.int64],
    number: NDArray[np.int64],
    values: dict[str, NDArray[np.float64]],
) -> Fields:
    sizes = np.array([row[2:_CHANGES] for row in rows], float).reshape(len(rows), 3)
    return Fields(
        ids=np.array([row[0] for row in rows], np.int64),
        field=tuple(row[1] for row in rows),
        width_px=sizes[:, 0],
        height_px=sizes[:, 1],
        pixel_size_nm=sizes[:, 2],
        changes=np.array([row[_CHANGES] for row in rows], np.int64),
        micrograph=micrograph,
        number=number,
        values=values,
    )


def rounded(values: NDArray[np.float64], significant: int) -> NDArray[np.float64]:
    """Every value as csv writes it; a whole number over a power of ten is rounded correctly."""
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = significant - 1 - np.floor(np.log10(np.abs(values)))
    digits = np.where(np.isfinite(digits), np.clip(digits, -15, 22), 0)
    up, down = 10.0 ** np.maximum(digits, 0), 10.0 ** np.maximum(-digits, 0)
    return np.asarray(np.where(digits >= 0, np.rint(values * up) / up, np.rint(values / down) * down))


def versions(reader: Reader, sample: str) -> tuple[int, int]:
    """Two numbers that change with a sample's particles: their generation, and its last micrograph."""
    return publications.generations(reader, sample)[1], publications.last_id(reader, sample)


def data_version(reader: Reader) -> int:
    """A number that changes with every commit to the ledger; it only compares within one reader."""
    return int(reader.connection.execute("PRAGMA data_version").fetchone()[0])


def detected_at(reader: Reader, micrograph_ids: Sequence[int]) -> dict[int, datetime]:
    """When the files of these rows were found."""
    marks = ", ".join("?" * len(micrograph_ids))
    rows = reader.connection.execute(
        f"""SELECT m.id, f.detected_at FROM micrographs m JOIN files f ON f.id = m.file_id
            WHERE m.id IN ({marks})""",
        tuple(micrograph_ids),
    )
    found = {number: moment(text) for number, text in rows}
    return {number: at for number, at in found.items() if at is not None}
