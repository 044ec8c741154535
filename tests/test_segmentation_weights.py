"""Weights files: what is refused, in one line, and what a good one says about itself."""

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import networks
from temwatch.analysis.segmentation import build, deeplab, preprocessing, weights
from temwatch.analysis.segmentation.network import network
from temwatch.config import SegmentationSettings
from temwatch.errors import StartError, WeightsError


def description(**changes) -> weights.Description:
    values = {"classes": ("mask",), "preprocessing": preprocessing.NAME, "temwatch_version": "0"}
    return weights.Description(**values | changes)


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return network(weights.PLAIN, 1).eval()


@pytest.mark.parametrize("architecture", weights.ARCHITECTURES)
def test_every_network_comes_back_as_it_was_saved(architecture, tmp_path):
    half = architecture != weights.ANTEMA  # what was converted stays as it was
    described = networks.description(architecture)
    net = network(architecture, len(described.classes)).eval()
    path = tmp_path / "net.safetensors"
    deeplab.save(net, path, described, half=half)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 64, 96)).astype(np.float32))
    with torch.inference_mode():
        expected, actual = net(image), deeplab.load(weights.read(path))(image)

    assert expected.shape == (1, len(described.classes), 64, 96)
    assert torch.allclose(expected, actual, atol=0.01 * float(expected.abs().max()) if half else 0)


def test_a_network_is_not_taken_for_one_of_other_classes(tmp_path):
    described = networks.description(weights.ANTEMA, classes=("mask", "contacts"))
    deeplab.save(network(weights.ANTEMA, 1), tmp_path / "net.safetensors", described)
    assert "another network: antema-deeplabv3plus-resnet18 with mask,contacts" in refusal(
        tmp_path / "net.safetensors"
    )


def test_files_of_versions_that_knew_fewer_entries_are_still_read(file, monkeypatch):
    monkeypatch.setattr(weights.Description, "header", lambda _: {"format": weights.FORMAT, **OLD})
    deeplab.save(deeplab.load(weights.read(file)), file, description())
    assert description() == weights.read(file).description


OLD = {
    "architecture": weights.PLAIN,
    "classes": "mask",
    "preprocessing": preprocessing.NAME,
    "enlarge": "1",
    "max_side_px": "",
    "temwatch_version": "0",
    "training": "",
}


@pytest.fixture
def file(net: torch.nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    deeplab.save(
        net,
        path,
        description(
            enlarge=2, max_side_px=1024, half_size_from_px=40.0, contacts_threshold=0.8, training="abc"
        ),
    )
    return path


def open_(path: Path):
    return build(SegmentationSettings(method="deeplab", weights=path, device="cpu"))


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        open_(path)
    text = str(caught.value)
    assert str(path.parent) in text
    assert "\n" not in text
    return text


def test_weights_come_back_in_half_precision_with_their_description(net, file):
    read = weights.read(file)
    loaded = deeplab.load(read).state_dict()

    assert (
        description(
            enlarge=2, max_side_px=1024, half_size_from_px=40.0, contacts_threshold=0.8, training="abc"
        )
        == read.description
    )
    assert net.state_dict().keys() == loaded.keys()
    for name, tensor in net.state_dict().items():
        assert torch.allclose(tensor.float(), loaded[name].float(), atol=1e-3)
    assert file.stat().st_size < 26e6


def test_the_segmenter_is_named_by_the_digest_of_its_weights(file):
    digest = file.with_name("net.safetensors.sha256").read_text().split()[0]
    assert digest == open_(file).model_sha256


def test_one_changed_byte_is_found_by_the_digest_beside_the_file(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "damaged or replaced" in refusal(file)


def test_without_a_digest_beside_it_a_file_is_taken_as_it_is(file):
    file.with_name("net.safetensors.sha256").unlink()
    assert open_(file).model_sha256


def test_a_digest_file_without_a_digest_is_an_error(file):
    file.with_name("net.safetensors.sha256").write_text("")
    assert "holds no sha256" in refusal(file)


@pytest.mark.parametrize("length", [0, 4, 100, 20_000, 1_000_000])
def test_a_file_cut_short_is_damaged(file, length):
    file.with_name("net.safetensors.sha256").unlink()
    file.write_bytes(file.read_bytes()[:length])
    assert "damaged" in refusal(file)


def test_a_picture_is_no_weights_file(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    assert "not a weights file" in refusal(path)


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "none.safetensors")
    assert "cannot be read" in refusal(tmp_path)


def test_safetensors_of_somebody_else_are_no_weights_file(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.torch.save({"layer": torch.zeros(3)}, metadata={"format": "pt"}))
    assert "not a weights file" in refusal(path)


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "unet"}, {"classes": ("cell", "nucleus")}, {"preprocessing": "z-score"}],
)
def test_another_network_or_preprocessing_is_refused_by_name(net, tmp_path, changes):
    path = tmp_path / "net.safetensors"
    deeplab.save(net, path, description(**changes))
    text = refusal(path)
    assert "another" in text
    assert all((value if isinstance(value, str) else ",".join(value)) in text for value in changes.values())


def test_layers_that_do_not_match_are_counted_and_the_first_is_named(net, tmp_path):
    path = tmp_path / "net.safetensors"
    deeplab.save(net, path, description(classes=("mask", "contacts")))
    text = refusal(path)
    assert "2 layers do not match" in text
    assert "segmentation_head" in text


def test_weights_that_are_not_finite_are_damaged(tmp_path):
    net = network(weights.PLAIN, 1)
    with torch.no_grad():
        net.segmentation_head[0].bias.fill_(float("nan"))
    deeplab.save(net, tmp_path / "net.safetensors", description())
    assert "not finite" in refusal(tmp_path / "net.safetensors")


def test_default_weights_are_found_in_the_package_or_in_the_checkout(tmp_path):
    package = tmp_path / "service" / "temwatch"
    (package / "models").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    assert weights.default_weights(package) is None

    in_checkout = tmp_path / "models" / weights.DEFAULT_NAME
    in_checkout.touch()
    assert in_checkout == weights.default_weights(package)

    installed = package / "models" / weights.DEFAULT_NAME
    installed.touch()
    assert installed == weights.default_weights(package)


def test_without_any_weights_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(weights, "DEFAULT_NAME", "none.safetensors")
    with pytest.raises(WeightsError, match="threshold"):
        build(SegmentationSettings(method="deeplab", device="cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_stops_the_start(file):
    with pytest.raises(StartError, match="no GPU"):
        build(SegmentationSettings(method="deeplab", weights=file, device="cuda"))


@pytest.mark.parametrize(("set_already", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(set_already, expected, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if set_already:
        monkeypatch.setenv("OMP_WAIT_POLICY", set_already)
    with pytest.raises(WeightsError):
        build(SegmentationSettings(method="deeplab", weights=tmp_path / "none.safetensors"))
    assert expected == os.environ["OMP_WAIT_POLICY"]
