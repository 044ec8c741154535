"""The network by OpenVINO: the same as by torch, from any thread, and nothing is told to anybody."""

import importlib.util
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from temwatch.analysis.segmentation import deeplab, openvino_network, weights
from temwatch.analysis.segmentation.tiled_inference import has_bfloat16
from temwatch.config import SegmentationSettings
from temwatch.errors import MissingExtra
from temwatch.simulator import Settings, simulate_micrograph

if importlib.util.find_spec("openvino") is None:  # found, not loaded: how it is loaded is tested
    pytest.skip("the extra openvino is not installed", allow_module_level=True)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def file():
    """The weights that come with temwatch."""
    return weights.read(weights.find_weights(SegmentationSettings()))


@pytest.fixture(scope="module")
def by_torch(file):
    return deeplab.ready(file, CPU, "torch")


@pytest.fixture(scope="module")
def by_openvino(file):
    return deeplab.ready(file, CPU, "openvino")


@pytest.fixture(scope="module")
def picture():
    """A simulated micrograph that no multiple of the network's step divides."""
    return simulate_micrograph(Settings(size_px=340, particles=15), 3).image[:250, :333]


def test_the_same_as_by_torch(file, by_torch, by_openvino, picture):
    """Probabilities within the rounding of the arithmetic, and the same outlines."""
    assert isinstance(by_openvino, openvino_network.OpenVinoNetwork)
    one, other = (deeplab.probabilities(net, picture, file.description) for net in (by_torch, by_openvino))
    np.testing.assert_allclose(one, other, atol=1e-2 if has_bfloat16(CPU) else 1e-4)
    assert one[0].max() > 0.9
    one, other = (
        deeplab.segmentations(net, [picture], file.description)[0] for net in (by_torch, by_openvino)
    )
    assert 1e-3 > np.mean(one.mask != other.mask)


def test_threads_do_not_disturb_each_other(by_openvino):
    """More of them than cores, each with an input of its own size."""
    inputs = [torch.randn(1, 1, 64 + 16 * n, 80) for n in range(6)]
    together = threading.Barrier(len(inputs))

    def run(one):
        torch.set_num_threads(1)
        together.wait()
        return [by_openvino(one) for _ in range(3)]

    with ThreadPoolExecutor(len(inputs)) as pool:
        found = list(pool.map(run, inputs))
    for one, outputs in zip(inputs, found, strict=True):
        expected = by_openvino.net(one)
        assert all(torch.allclose(expected, output, atol=0.1, rtol=1e-2) for output in outputs)


def test_nothing_reports_its_use(by_openvino):
    """What OpenVINO brings for that is installed with it, and not loaded."""
    assert by_openvino is not None
    assert not [name for name, module in sys.modules.items() if "openvino_telemetry" in name and module]


def test_threads_outlive_a_network():
    """What OpenVINO gave the first thread is not taken away with the network, or its next signal is the last.

    A change of users, here to the same, is told to every thread by a signal.
    """
    program = """
import gc, os, torch
from concurrent.futures import ThreadPoolExecutor
from temwatch.analysis.segmentation.openvino_network import OpenVinoNetwork
with ThreadPoolExecutor(1) as pool:
    net = OpenVinoNetwork(torch.nn.Conv2d(1, 2, 3).eval().requires_grad_(False))
    print(pool.submit(net, torch.zeros(1, 1, 64, 64)).result().shape)
    del net
    gc.collect()
    os.setresuid(-1, -1, -1)
    print("alive")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "alive" in done.stdout


def test_torch_where_it_is_chosen_or_alone(by_torch, monkeypatch):
    """Without the extra, auto is torch, and asking for OpenVINO says what to install."""
    assert not isinstance(by_torch, openvino_network.OpenVinoNetwork)
    monkeypatch.setattr(openvino_network.importlib.util, "find_spec", lambda _: None)
    assert not openvino_network.is_chosen("auto")
    with pytest.raises(MissingExtra, match=r"temwatch\[openvino\]"):
        deeplab.build(SegmentationSettings(device="cpu", cpu_engine="openvino"))


def test_a_result_does_not_name_what_computed_it():
    """The same method by either: the digest, by which results are told apart, does not change."""
    one, other = (
        deeplab.build(SegmentationSettings(device="cpu", cpu_engine=engine))
        for engine in ("torch", "openvino")
    )
    assert one.parameters == other.parameters
