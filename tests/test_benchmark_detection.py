"""`temwatch benchmark --detection`: which particles of 2 nm are found, as table, JSON and picture."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture
from rich.console import Console

from system import command
from temwatch.analysis.segmentation import build
from temwatch.benchmark import detection, detection_report
from temwatch.benchmark.detection import CellDetection, DetectionCell
from temwatch.config import SegmentationSettings
from temwatch.domain import Segmentation

CLEAR = DetectionCell(
    contrast=0.3, dose_e_per_nm2=64000.0, defocus_nm=-100.0, pixel_size_nm=0.13, size_px=256
)


@pytest.fixture(scope="module")
def threshold():
    return build(SegmentationSettings(method="threshold"))


def test_clear_particles_are_found_and_an_empty_mask_finds_none(threshold):
    """And the same micrographs come again."""
    found = detection.measure_cell(CLEAR, threshold)
    assert found.truth > 20
    assert found.recall > 0.8
    assert found == detection.measure_cell(CLEAR, threshold)

    def nothing(images):
        return [Segmentation(mask=np.zeros(image.shape, bool)) for image in images]

    missed = detection.measure_cell(CLEAR, replace(threshold, segment=nothing), repeat=2)
    assert (missed.found, missed.matched) == (0, 0)
    assert missed.truth > found.truth


def test_the_signal_is_that_of_rose():
    """Contrast times the root of the electrons on the area of a particle, at any pixel size."""
    assert CLEAR.signal_to_noise == pytest.approx(0.3 * math.sqrt(64000 * math.pi))
    finer = replace(CLEAR, pixel_size_nm=0.035)
    assert finer.signal_to_noise == CLEAR.signal_to_noise
    electrons = finer.dose_e_per_px * math.pi / 4 * (2 / 0.035) ** 2
    assert finer.signal_to_noise == pytest.approx(0.3 * math.sqrt(electrons))


def test_cells_differ_and_take_their_contrast_from_the_beam():
    assert len(set(detection.CELLS)) == len(detection.CELLS) > 100
    assert {cell.contrast for cell in detection.CELLS} == {0.02, 0.05, 0.1, 0.3}
    assert {cell.pixel_size_nm for cell in detection.CELLS} == {0.035, 0.13}
    for cell in detection.CELLS:
        assert 1 - math.exp(-2 * cell.settings.attenuation_per_nm) == pytest.approx(cell.contrast)
        assert cell.signal_to_noise <= detection.HIGHEST_SIGNAL_TO_NOISE


def results(*recalls):
    """Cells of growing signal, a factor of two apart, with these recalls of 100 particles."""
    return [
        CellDetection(
            cell=replace(CLEAR, contrast=0.02, dose_e_per_nm2=1000.0 * 4**number),
            truth=100,
            found=recall + 7,
            matched=recall,
        )
        for number, recall in enumerate(recalls)
    ]


def test_the_limit_lies_between_the_cells_around_it():
    """Half way on a logarithmic scale where the recall is; NaN where it is never reached."""
    signal = results(0)[0].cell.signal_to_noise
    (limit,) = detection.limits(results(0, 40, 60, 100))
    assert limit.half == pytest.approx(signal * 2**1.5)
    assert limit.most == pytest.approx(signal * 2**2.5)
    (limit,) = detection.limits(results(60, 60, 70, 75))
    assert limit.half == pytest.approx(limit.lowest) == pytest.approx(signal)
    assert math.isnan(limit.most)


def test_a_recall_that_falls_once_by_chance_gives_one_limit():
    """It is taken as growing with the signal."""
    (limit,) = detection.limits(results(0, 60, 40, 100))
    signal = results(0)[0].cell.signal_to_noise
    assert signal < limit.half <= 4 * signal
    assert detection.limits([]) == []


def test_table_and_json_have_every_cell_with_its_numbers():
    found = [*results(0, 40), *(replace(one, cell=replace(one.cell, defocus_nm=50.0)) for one in results(9))]
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(detection_report.cells_table(found), detection_report.limits_table(found))
    text = console.export_text()
    for words in ("40 (40/100; 7)", "9 (9/100; 7)", "+50 nm", "-100 nm"):
        assert words in text
    assert "nan" not in text
    report = json.loads(json.dumps(detection_report.as_json(found), allow_nan=False))
    assert [0, 0.4, 0.09] == [cell["recall"] for cell in report["cells"]]
    assert [None, None] == [limit["half"] for limit in report["limits"]]


def test_the_picture_is_drawn_from_any_cells(tmp_path):
    for number, some in enumerate((results(0, 40, 90), results(5), [])):
        detection_report.draw(some, tmp_path / f"{number}.png")
        with Picture.open(tmp_path / f"{number}.png") as picture:
            assert picture.width > 1000


@pytest.mark.parametrize(
    "arguments",
    [
        ("--detection", "--size", "256"),
        ("--detection", "--particles", "9"),
        ("--detection", "--picture", "detection.gif"),
        ("--detection", "--accuracy"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(arguments):
    done = command("benchmark", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_command_measures_the_segmenter_of_the_service(monkeypatch, tmp_path):
    monkeypatch.setattr(detection, "CELLS", (CLEAR, replace(CLEAR, dose_e_per_nm2=250.0)))
    picture = tmp_path / "detection.png"
    done = command("benchmark", "--detection", "--json", "--picture", picture)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["segmentation"] == "deeplab"
    assert report["cells"][0]["recall"] > 0.9
    assert picture.read_bytes().startswith(b"\x89PNG")
    done = command("benchmark", "--detection")
    assert "least signal over noise" in done.stdout
