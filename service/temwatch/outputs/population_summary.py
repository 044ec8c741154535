"""Statistics of a sample's population for page, charts and report: plain numbers, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from temwatch.analysis.statistics import bins as bins_of
from temwatch.analysis.statistics import border, comparison, distributions, population
from temwatch.analysis.statistics import convergence as convergence_of
from temwatch.analysis.statistics.bins import AUTOMATIC, Bins
from temwatch.analysis.statistics.population import FIGURES, Figure, Population
from temwatch.descriptors import BY_NAME, SIZE, Shown, shown
from temwatch.ledger.sample_columns import Fields

POPULATIONS = tuple(one.name for one in shown(Shown.POPULATION))
"""Names of the descriptors that have a population."""

if TYPE_CHECKING:
    DescriptorName = str
else:  # the choices that the API states and checks
    DescriptorName = Literal[POPULATIONS]
Weighting = Literal["number", "area", "volume"]
Border = Literal["raw", "corrected"]

_MOST_DOTS = 2000
_MAX_POPULATIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Choice of a population: descriptor, weight of each particle, with or without border correction."""

    descriptor: DescriptorName = SIZE
    weighting: Weighting = "number"
    border: Border = "raw"


def select(fields: Fields, view: View) -> Population:
    """Population of a view. `fields` holds the last few, since several answers use the same one."""
    found: Population | None = fields.derived.get(view)
    if found is None:
        found = fields.derived[view] = _select(fields, view)
        while len(fields.derived) > _MAX_POPULATIONS:
            fields.derived.popitem(last=False)
    return found


def _select(fields: Fields, view: View) -> Population:
    names = dict.fromkeys(fields.field)
    index = {name: number for number, name in enumerate(names)}
    of_micrograph = np.array([index[name] for name in fields.field], np.int64)
    weights = fields.values[SIZE] ** population.WEIGHTINGS[view.weighting]
    if view.border == "corrected":
        weights = weights * border.border_weights(_seen_whole(fields))
    order = fields.sorted_by(view.descriptor)
    return population.make_population(
        fields.values[view.descriptor][order],
        of_micrograph[fields.micrograph[order]],
        len(names),
        weights[order],
    )


def _seen_whole(fields: Fields) -> NDArray[np.float64]:
    return border.inclusion_probability(
        fields.values["bbox_width_px"],
        fields.values["bbox_height_px"],
        fields.width_px[fields.micrograph],
        fields.height_px[fields.micrograph],
    )


def figures(fields: Fields, view: View) -> dict[str, Any]:
    """The numbers of one population alone."""
    found = select(fields, view)
    return {**_head(fields, found, view), "figures": _figures(found.figures)}


def describe(fields: Fields, view: View, bins: Bins = AUTOMATIC, *, intervals: bool = True) -> dict[str, Any]:
    """Histogram, smooth density, fits and statistics of one population.

    On a logarithmic axis all densities are per unit of the natural logarithm. The figures are of all
    particles, whatever the range of the axis. Without `intervals` it takes half the time.
    """
    found = select(fields, view)
    binned = bins_of.binned(found, bins)
    bars = binned.histogram
    fits = distributions.fits(found)
    x, y = bins_of.density(found, bins, bars.edges, BY_NAME[view.descriptor].limits)
    per_unit = x if bins.log else np.ones(len(x))
    return {
        **_head(fields, found, view),
        "figures": _figures(found.figures if intervals else found.figures_alone),
        "log_axis": bins.log,
        "histogram": {
            "edges": bars.edges.tolist(),
            "counts": bars.counts.tolist(),
            "density": json_numbers(bars.density),
            "outside": binned.outside,
            "widened": binned.widened,
        },
        "smooth": {"x": json_numbers(x), "y": json_numbers(y)},
        "fits": [
            {
                **{key: json_numbers(value) for key, value in asdict(fit).items() if key != "name"},
                "name": fit.name,
                "density": json_numbers(per_unit * distributions.fitted_density(fit, x)),
            }
            for fit in fits
        ],
        "fits_are_equal": distributions.are_equal(fits),
    }


def convergence(
    fields: Fields,
    view: View,
    target_percent: float,
    *,
    curve: bool = True,
    known: convergence_of.Earlier | None = None,
) -> dict[str, Any]:
    """Half-widths of mean and D50 against the number of micrographs, and how many more the target needs.

    Without `curve` only the last step is computed. `known` holds the steps that further micrographs do not
    change.
    """
    found = select(fields, view)
    steps = convergence_of.steps(found, known) if curve else convergence_of.last_step(found)
    answer = _head(fields, found, view) | {
        "target_percent": target_percent,
        "iso_13322_1": convergence_of.ISO_13322_1,
        "steps": {
            "fields": [step.fields for step in steps],
            "particles": [step.particles for step in steps],
            **{
                f"{name}_percent": [_percent(getattr(step, name)) for step in steps]
                for name in ("mean", "d50")
            },
        },
    }
    for name in ("mean", "d50"):
        answer[name] = _forecast(steps[-1] if steps else None, name, target_percent / 100)
    figures = found.figures
    gsd = figures["gsd"].value
    answer["independent_particles_needed"] = (
        convergence_of.independent_particles_needed(gsd, target_percent / 100) if gsd and gsd > 1 else {}
    )
    answer["design_effect"] = _design_effect(found, figures)
    return answer


def _forecast(last: convergence_of.Step | None, name: str, target: float) -> dict[str, Any]:
    now = getattr(last, name) if last else None
    if last is None or now is None:
        return {"percent": None, "enough": False, "fields_needed": None, "fields_more": None}
    needed = convergence_of.fields_needed(now, last.fields, target)
    enough = bool(now <= target and needed is not None)
    more = None if needed is None else max(0, needed - last.fields)
    return {
        "percent": _percent(now),
        "enough": enough,
        "fields_needed": needed,
        "fields_more": 0 if enough else more,
    }


def _design_effect(found: Population, figures: Mapping[str, Figure]) -> float | None:
    """Variance of the mean over its variance if all particles were independent."""
    half, sd, factor = (
        figures["mean"].half_width,
        figures["sd"].value,
        population.interval_factor(found.fields),
    )
    if half is None or not sd or factor is None:
        return None
    effect: float = json_numbers((half / factor) ** 2 / (sd**2 / found.effective_count))
    return effect


def border_shift(fields: Fields, descriptor: DescriptorName, weighting: Weighting) -> dict[str, Any]:
    """The population as measured and corrected for the particles on the border, over the same bins."""
    views = {
        kind: View(descriptor=descriptor, weighting=weighting, border=kind) for kind in ("raw", "corrected")
    }
    found = {kind: select(fields, view) for kind, view in views.items()}
    edges = population.bin_edges(found["raw"])
    figures = {kind: one.figures for kind, one in found.items()}
    seen = _seen_whole(fields)
    return {
        **_head(fields, found["raw"], views["raw"]),
        "edges": edges.tolist(),
        "density": {
            kind: json_numbers(population.histogram(one, edges).density) for kind, one in found.items()
        },
        "figures": {kind: _figures(one) for kind, one in figures.items()},
        "shift_percent": {
            name: _percent(after / before - 1) if before and after else None
            for name in FIGURES
            for before, after in [(figures["raw"][name].value, figures["corrected"][name].value)]
        },
        "seen_whole_percent": _percent(len(seen) / float(border.border_weights(seen).sum()))
        if len(seen)
        else None,
    }


def scatter(fields: Fields, x: DescriptorName, y: DescriptorName) -> dict[str, Any]:
    """Two descriptors against each other; of more than 2,000 particles an evenly spaced selection."""
    total = len(fields.number)
    chosen = (
        np.unique(np.linspace(0, total - 1, min(total, _MOST_DOTS)).astype(int)) if total else np.arange(0)
    )
    return {
        **{
            axis: {
                "descriptor": name,
                "name": BY_NAME[name].label,
                "unit": BY_NAME[name].unit,
                "values": json_numbers(fields.values[name][chosen]),
            }
            for axis, name in (("x", x), ("y", y))
        },
        "micrograph": fields.ids[fields.micrograph[chosen]].tolist(),
        "number": fields.number[chosen].tolist(),
        "shown": len(chosen),
        "particles": total,
    }


def particles_in_bin(
    fields: Fields, descriptor: DescriptorName, low: float, high: float, *, closed: bool, limit: int
) -> dict[str, Any]:
    """Particles of a histogram bin: their number per micrograph, and an evenly spaced selection."""
    values = fields.values[descriptor]
    inside = (values >= low) & ((values <= high) if closed else (values < high))
    places = np.flatnonzero(inside)
    per_micrograph = np.bincount(fields.micrograph[places], minlength=len(fields.ids))
    most = np.argsort(-per_micrograph, kind="stable")[:50]
    chosen = (
        places[np.unique(np.linspace(0, len(places) - 1, min(len(places), limit)).astype(int))]
        if len(places)
        else places
    )
    return {
        "particles": len(places),
        "micrographs": [
            {"id": int(fields.ids[index]), "particles": int(per_micrograph[index])}
            for index in most
            if per_micrograph[index]
        ],
        "chosen": [
            {
                "micrograph": int(fields.ids[fields.micrograph[place]]),
                "number": int(fields.number[place]),
                "value": json_numbers(float(values[place])),
            }
            for place in chosen.tolist()
        ],
    }


def compare_manual(fields: Fields, manual: NDArray[np.float64], column: str) -> dict[str, Any] | None:
    """Manually measured diameters against the automatic ones; None if either has too few."""
    view = View()
    automatic = select(fields, view)
    tests = comparison.compare(automatic.values, manual)
    if tests is None:
        return None
    measured = population.make_population(manual, np.zeros(len(manual), np.int64), 1)
    edges = population.bin_edges(measured, automatic)
    return {
        **_head(fields, automatic, view),
        "column": column,
        "edges": edges.tolist(),
        "density": {
            "automatic": json_numbers(population.histogram(automatic, edges).density),
            "manual": json_numbers(population.histogram(measured, edges).density),
        },
        **{
            key: json_numbers(list(value)) if isinstance(value, tuple) else json_numbers(value)
            for key, value in asdict(tests).items()
        },
    }


def _head(fields: Fields, found: Population, view: View) -> dict[str, Any]:
    descriptor = BY_NAME[view.descriptor]
    return {
        **asdict(view),
        "name": descriptor.label,
        "unit": descriptor.unit,
        "particles": len(found.values),
        "micrographs": len(fields.ids),
        "fields": found.fields,
    }


def _figures(found: Mapping[str, Figure]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"value": json_numbers(figure.value), "half_width": json_numbers(figure.half_width)}
        for name, figure in found.items()
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else json_numbers(100 * share)


def json_numbers(value: Any) -> Any:
    """Numbers rounded to six digits, more than a chart or a person can resolve; None if not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or isinstance(value, (int, str)):
        return value
    values = value.tolist() if isinstance(value, np.ndarray) else value
    return [float(f"{one:.6g}") if math.isfinite(one) else None for one in values]
