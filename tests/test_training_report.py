"""Evaluation as table, JSON and picture."""

import json
import math

import numpy as np
import pytest

from temwatch.analysis.segmentation import build
from temwatch.config import SegmentationSettings
from temwatch.domain import Segmentation
from temwatch.training import evaluation_report
from temwatch.training.datasets import LabelledMicrograph
from temwatch.training.evaluate import compare, evaluate, pipeline_particles, summary
from temwatch.training.scores import watershed


def labelled(name: str, *, instances: bool = True) -> LabelledMicrograph:
    labels = np.zeros((60, 80), np.int32)
    labels[10:30, 10:30], labels[35:50, 50:70] = 1, 2
    image = np.where(labels > 0, -1, 1).astype(np.float16)
    return LabelledMicrograph(name=name, source=name, image=image, labels=labels, instances=instances)


@pytest.fixture
def results():
    good, poor = labelled("good"), labelled("poor")
    half = good.labels == 1
    return [compare(good, Segmentation(mask=good.labels > 0)), compare(poor, Segmentation(mask=half))]


def test_a_summary_pools_pixels_and_particles_and_means_micrographs_where_it_says(results):
    measures = summary(results)
    assert measures["iou_particle"] == pytest.approx((700 + 400) / 1400)
    assert measures["iou_particle_per_micrograph"] == pytest.approx((1 + 400 / 700) / 2)
    assert measures["particle_f1"] == pytest.approx(2 * 3 / (4 + 3))
    assert measures["particle_f1_per_micrograph"] == pytest.approx((1 + 2 / 3) / 2)
    assert measures["count_error"] == pytest.approx(-1 / 4)


def pipeline_regions(found):
    return [particle.region for particle in pipeline_particles(found)]


@pytest.mark.parametrize("separate", [watershed, pipeline_regions])
def test_any_segmenter_is_evaluated_with_any_separation(separate):
    segmenter = build(SegmentationSettings(method="threshold"))
    (found,) = evaluate(segmenter.segment, [labelled("a")], separate)
    assert found.pixels.measures()["iou_particle"] > 0.9
    assert found.counts is not None
    assert found.counts.matched == 2


def test_without_instances_there_are_no_particle_measures():
    item = labelled("a", instances=False)
    assert "particle_f1" not in summary([compare(item, Segmentation(mask=item.labels > 0))])


def test_json_has_every_micrograph_and_a_normalised_confusion_matrix(results):
    found = json.loads(json.dumps(evaluation_report.as_json(results), allow_nan=False))
    assert [row["name"] for row in found["per_micrograph"]] == ["good", "poor"]
    for row in found["confusion"].values():
        assert sum(row.values()) == pytest.approx(1)
    assert found["confusion"]["particle"]["particle"] == pytest.approx(1100 / 1400)


def test_what_is_not_defined_is_null_in_json():
    item = labelled("empty")
    blank = LabelledMicrograph(name="empty", source="", image=item.image, labels=np.zeros_like(item.labels))
    found = evaluation_report.as_json([compare(blank, Segmentation(mask=np.zeros((60, 80), bool)))])
    assert found["pooled"]["iou_particle"] is None
    json.dumps(found, allow_nan=False)


def test_the_table_has_a_line_a_measure_and_a_line_a_micrograph():
    items = [labelled("good"), labelled("poor")]
    found = [Segmentation(mask=items[0].labels > 0), Segmentation(mask=items[1].labels == 1)]
    results = [
        compare(item, mask, service=pipeline_particles) for item, mask in zip(items, found, strict=True)
    ]
    lines = evaluation_report.as_table(results, "uecs").splitlines()
    assert lines[0].startswith("2 micrographs, ")
    first_words = [line.split()[0] for line in lines if line.startswith("  ")]
    assert first_words == [*summary(results), "particle", "background", "good", "poor"]
    assert f"{evaluation_report.SERVICE} (uecs)" in lines
    assert "nan" not in evaluation_report.as_table(results[:1])


def test_particles_of_the_services_own_pipeline_are_counted_apart():
    """A speck that is too small to count for the reference method does not count for the service either."""
    item = labelled("a")
    mask = item.labels > 0
    mask[55, 5:16] = True
    (result,) = evaluate(lambda _: [Segmentation(mask=mask)], [item], service=pipeline_particles)
    measures = summary([result])
    assert measures["particle_f1"] == measures["service_particle_f1"] == 1
    mask[56, 5] = True
    (result,) = evaluate(lambda _: [Segmentation(mask=mask)], [item], service=pipeline_particles)
    assert result.counts.found == result.service_counts.found == 3


def test_the_picture_shows_the_best_above_the_worst_with_both_outlines(results):
    picture = np.asarray(evaluation_report.picture(results, each=1))
    assert picture.shape == (2 * evaluation_report.TILE_PX, evaluation_report.TILE_PX, 3)
    missed = picture[evaluation_report.TILE_PX :]
    assert (missed == evaluation_report.OUTLINES[0]).all(axis=2).any()
    assert not (picture[: evaluation_report.TILE_PX] == evaluation_report.OUTLINES[0]).all(axis=2).any()


def test_curves_are_drawn_from_any_history(tmp_path):
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "particle_f1": math.nan, "iou_particle": 0.5}]
    for number, history in enumerate(([], rows)):
        evaluation_report.draw_curves(history, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
