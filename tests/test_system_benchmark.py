"""`temwatch benchmark`: the figures are there, and belong to the same particles."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from system import command
from temwatch.analysis.separation import SEPARATORS
from temwatch.benchmark.scaling import MicrographCost, rate_with
from temwatch.benchmark.stages import stages
from temwatch.config import SegmentationSettings
from temwatch.simulator import simulate_mask

SMALL = ("--size", "256", "--particles", "30", "--repeat", "1")


def test_stages_hand_the_same_particles_on():
    """What is timed stage by stage is what `resolve` does in one."""
    timed = {
        (row.stage, row.method): row
        for row in stages(simulate_mask("ellipses", "medium", 512, 0).mask, 0.08, 1)
    }
    assert 1 == timed["scikit-image", ""].ratio
    for method in SEPARATORS:
        found = timed["resolve", method].found
        assert found
        assert found == timed["separate", method].found == timed["measure", method].found


# the command twice, on one measurement
BOTH = """
import sys
from temwatch import benchmark, cli
measure, reports = benchmark.run, []

def run(**options):
    if not reports:
        reports.append(measure(**options))
    return reports[0]

benchmark.run = run
codes = [cli.main(["benchmark", "--json", *sys.argv[1:]])]
print("TABLES")
sys.exit(max(*codes, cli.main(["benchmark", *sys.argv[1:]])))
"""


@pytest.mark.system
@pytest.mark.slow
def test_json_holds_every_figure_and_tables_name_machine_and_warm_up():
    """Seconds of every stage and of the way end to end, all of them positive; what they are figures of."""
    done = subprocess.run(
        [sys.executable, "-c", BOTH, *SMALL], capture_output=True, text=True, timeout=500, check=False
    )
    assert 0 == done.returncode, done.stderr
    figures, tables = done.stdout.split("TABLES\n")
    report = json.loads(figures)
    assert {"scikit-image", "clean", "separate", "measure", "resolve"} == {
        row["stage"] for row in report["stages"]
    }
    assert set(SEPARATORS) == {row["method"] for row in report["stages"]} - {""}
    assert all(row["cpu_seconds"] > 0 and row["wall_seconds"] > 0 for row in report["stages"])
    assert report["machine"]["cores"] >= 1
    assert "numba" in report["machine"]["versions"]
    for way in report["end_to_end"]:
        assert {"read", "segment", "resolve", "record", "publish"} == set(way["stages"])
        before = sum(way["stages"][stage] for stage in ("read", "segment", "resolve", "record"))
        assert 0 < before < way["alone_seconds"]  # pictures are drawn beside them and after
        assert way["micrographs_per_minute"] > 0
        assert 0 <= way["cores_idle"] <= 1
        assert 0 < way["share"] < 1.1
    assert {"threshold"} <= {case["segmentation"] for case in report["scaling"]}
    for case in report["scaling"]:
        assert case["total_seconds"] == pytest.approx(sum(case["stages"].values()))
        assert case["cold_seconds"] > case["total_seconds"] > 0
        assert case["peak_memory_bytes"] > 50e6
        assert case["found"] > 0
        if case["segmentation"] == "deeplab":
            parts = case["network_seconds"], case["feeding_seconds"]
            assert min(parts) > 0
            assert sum(parts) < case["stages"]["segment"]
    assert all(value is None or value > 0 for value in report["limits"].values())
    if "deeplab" in {case["segmentation"] for case in report["scaling"]}:
        assert 0 < report["network_limit_seconds"]["256"]
    assert [10, 15, 90] == list(report["published_seconds"].values())
    one = report["sequence"]
    assert (40, 64) == (one["frames"], one["size_px"])
    assert one["frames_per_second"] > 0
    assert 0 < one["share"] <= 1.1  # ticks of 10 ms
    for words in (
        "cores",
        "warm-up",
        "scikit-image",
        "watershed",
        "end to end",
        "micrographs/min",
        "MB/s",
        "frames/s",
        "all but the network",
    ):
        assert words in tables


@pytest.mark.system
@pytest.mark.slow
def test_what_a_gpu_is_to_reach_is_measured_on_any_device():
    """The same measurement as on a GPU, of tiny micrographs, in seconds."""
    done = command(
        "benchmark",
        "--gpu",
        "--json",
        "--device",
        "cpu",
        "--size",
        "128",
        "--particles",
        "8",
        "--repeat",
        "1",
    )
    assert 0 == done.returncode, done.stderr
    bars = json.loads(done.stdout)
    assert all(bar["measured"] > 0 for bar in bars)
    assert [None, 0.01, 0.35, 30, 0.3, 60] == [bar["to_reach"] for bar in bars]


def test_the_rate_is_that_of_the_busier_of_feeding_thread_and_all_cores():
    """A network on a GPU leaves the cores to the rest."""
    stages = {"read": 0.1, "segment": 5.25, "resolve": 0.2, "record": 0.1, "publish": 0.3}
    cost = MicrographCost(
        size_px=2048,
        particles=500,
        segmentation="deeplab",
        found=500,
        stages=stages,
        total_seconds=sum(stages.values()),
        network_seconds=4.95,
        feeding_seconds=0.2,
        cold_seconds=9.0,
        peak_memory_bytes=1,
    )
    assert rate_with(cost, 0.05, 16) == pytest.approx(1 / 0.25)
    assert rate_with(cost, 0.05, 2) == pytest.approx(2 / 1.0)


def test_the_time_of_a_segmentation_divides_into_network_feeding_and_what_follows():
    """CPU seconds of one core; the parts are the whole."""
    import torch

    from temwatch.analysis.segmentation.network_cost import MeasuredSegmenter

    threads = torch.get_num_threads()
    try:
        segmenter = MeasuredSegmenter(SegmentationSettings(device="cpu"))
        began = time.process_time()
        (found,) = segmenter.segment([np.eye(96, dtype=np.float32)])
        spent = time.process_time() - began
    finally:
        torch.set_num_threads(threads)
    cost = segmenter.cost
    assert (96, 96) == found.mask.shape
    assert min(cost.network, cost.feeding, cost.after) > 0
    assert cost.network + cost.feeding + cost.after == pytest.approx(spent, rel=0.1, abs=0.05)
    assert (0, 0) == segmenter.memory_bytes()


@pytest.mark.parametrize("option", ["--size", "--particles", "--repeat"])
def test_nothing_to_measure_is_refused(option):
    """One line and exit code 2."""
    assert 2 == command("benchmark", option, "0").returncode
