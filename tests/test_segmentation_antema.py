"""ANTEMA's weights: layers match by name and shape, and the result is that of the original's own network.

The reference below is written from the layer graph that MATLAB generates for deeplabv3plusLayers, with
convolutions as Keras defines them; it shares nothing with the network that is tested.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from temwatch.analysis.segmentation import build, deeplab, tiled_inference, weights
from temwatch.cli import main
from temwatch.config import SegmentationSettings

# name: size, channels in, channels out
CONVOLUTIONS = {
    "conv1": (7, 3, 64),
    "res2a_branch2a": (3, 64, 64),
    "res2a_branch2b": (3, 64, 64),
    "res2b_branch2a": (3, 64, 64),
    "res2b_branch2b": (3, 64, 64),
    "res3a_branch2a": (3, 64, 128),
    "res3a_branch2b": (3, 128, 128),
    "res3a_branch1": (1, 64, 128),
    "res3b_branch2a": (3, 128, 128),
    "res3b_branch2b": (3, 128, 128),
    "res4a_branch2a": (3, 128, 256),
    "res4a_branch2b": (3, 256, 256),
    "res4a_branch1": (1, 128, 256),
    "res4b_branch2a": (3, 256, 256),
    "res4b_branch2b": (3, 256, 256),
    "res5a_branch2a": (3, 256, 512),
    "res5a_branch2b": (3, 512, 512),
    "res5a_branch1": (1, 256, 512),
    "res5b_branch2a": (3, 512, 512),
    "res5b_branch2b": (3, 512, 512),
    "aspp_Conv_1": (1, 512, 256),
    "aspp_Conv_2": (3, 512, 256),
    "aspp_Conv_3": (3, 512, 256),
    "aspp_Conv_4": (3, 512, 256),
    "dec_c1": (1, 1024, 256),
    "dec_c2": (1, 64, 48),
    "dec_c3": (3, 304, 256),
    "dec_c4": (3, 256, 256),
    "scorer": (1, 256, 2),
}
TRANSPOSED = {"dec_upsample1": 256, "dec_upsample2": 2}
DILATIONS = {"res5a_branch2b": 2, "res5b_branch2a": 2, "res5b_branch2b": 2}
DILATIONS |= {"aspp_Conv_2": 6, "aspp_Conv_3": 12, "aspp_Conv_4": 18}
HALVING = ("res3a_branch2a", "res3a_branch1", "res4a_branch2a", "res4a_branch1")

Layers = dict[str, dict[str, np.ndarray]]


def norm_of(convolution: str) -> str | None:
    if convolution.startswith("res"):
        return "bn" + convolution[3:]
    special = {"conv1": "bn_conv1", "scorer": None}
    return special.get(convolution, convolution.replace("Conv", "BatchNorm").replace("dec_c", "dec_bn"))


def bilinear(channels: int) -> np.ndarray:
    """The kernel that MATLAB freezes: every channel enlarged four times by itself."""
    line = 1 - np.abs(np.arange(8) - 3.5) / 4
    kernel = np.zeros((8, 8, channels, channels))
    kernel[:, :, range(channels), range(channels)] = np.outer(line, line)[..., None]
    return kernel.astype(np.float32)


@pytest.fixture(scope="module")
def layers() -> Layers:
    """Random weights that keep the size of what passes through them."""
    random = np.random.default_rng(0)
    found: Layers = {}
    for name, (size, inputs, outputs) in CONVOLUTIONS.items():
        sd = np.sqrt(2 / (size * size * inputs))
        found[name] = {
            "kernel": random.normal(0, sd, (size, size, inputs, outputs)),
            "bias": random.normal(0, 0.1, outputs),
        }
        if norm := norm_of(name):
            found[norm] = {
                "gamma": random.uniform(0.5, 1.5, outputs),
                "beta": random.normal(0, 0.2, outputs),
                "moving_mean": random.normal(0, 0.2, outputs),
                "moving_variance": random.uniform(0.5, 2, outputs),
            }
    for name, channels in TRANSPOSED.items():
        found[name] = {"kernel": bilinear(channels), "bias": random.normal(0, 0.1, channels)}
    # asymmetric, so that a kernel that is turned or swapped shows
    found["dec_upsample2"]["kernel"] = found["dec_upsample2"]["kernel"] + random.normal(0, 0.1, (8, 8, 2, 2))
    return {layer: {name: np.float32(v) for name, v in entry.items()} for layer, entry in found.items()}


def write_keras(path: Path, layers: Layers) -> Path:
    """As `Model.save_weights` does; layers without weights are empty groups."""
    with h5py.File(path, "w") as file:
        file.create_group("pool1")
        for layer, variables in layers.items():
            for name, values in variables.items():
                file[f"{layer}_/{layer}_/{name}:0"] = values
    return path


def write_matlab(path: Path, layers: Layers) -> Path:
    """As MATLAB's exporter does: vectors with their shape beside them, and the input's normalisation."""
    shape = (256, 256, 3)
    data = {"mean": np.full(shape, 114.2725), "variance": np.full(shape, 58.9159**2)}
    with h5py.File(path, "w") as file:
        file.attrs["NumLayers"] = len(layers) + 1
        for layer, variables in (layers | {"data": data}).items():
            for number, (name, values) in enumerate(variables.items()):
                entry = file.create_dataset(f"{layer}_/{name}", data=np.float32(values).ravel())
                entry.attrs.update(WeightNum=float(number), Name=name, Shape=np.float64(values.shape))
    return path


def same(size: int, step: int, extent: int, dilation: int) -> tuple[int, int]:
    total = max(0, (-(-extent // step) - 1) * step + dilation * (size - 1) + 1 - extent)
    return total // 2, total - total // 2


class Reference:
    """The original's network over (1, 3, y, x), step by step; remembers what every layer gives."""

    def __init__(self, layers: Layers) -> None:
        self.layers = {
            layer: {name: torch.from_numpy(values) for name, values in variables.items()}
            for layer, variables in layers.items()
        }
        self.outputs: dict[str, torch.Tensor] = {}

    def convolved(self, values: torch.Tensor, name: str) -> torch.Tensor:
        kernel, bias = self.layers[name]["kernel"], self.layers[name]["bias"]
        size, dilation = kernel.shape[0], DILATIONS.get(name, 1)
        step = 2 if name in HALVING or name == "conv1" else 1
        if name == "conv1":
            padding = (3, 3, 3, 3)
        elif name == "res3a_branch2a":  # the graph says [1 1 1 1] here, and "same" for stages 4 and 5
            padding = (1, 1, 1, 1)
        else:
            padding = (
                *same(size, step, values.shape[3], dilation),
                *same(size, step, values.shape[2], dilation),
            )
        padded = functional.pad(values, padding)
        weight = torch.einsum("yxio->oiyx", kernel)
        found = functional.conv2d(padded, weight, stride=step, dilation=dilation) + bias[:, None, None]
        self.outputs[name] = found
        norm = norm_of(name)
        if norm is None:
            return found
        entry = {key: value[:, None, None] for key, value in self.layers[norm].items()}
        scale = entry["gamma"] / torch.sqrt(entry["moving_variance"] + 1e-5)
        found = (found - entry["moving_mean"]) * scale + entry["beta"]
        self.outputs[norm] = found
        return found

    def enlarged(self, values: torch.Tensor, name: str) -> torch.Tensor:
        """Every pixel puts its kernel down at four times its place; two pixels are cropped all around."""
        kernel, bias = self.layers[name]["kernel"], self.layers[name]["bias"]
        height, width = values.shape[2:]
        found = torch.zeros((kernel.shape[2], 4 * height + 4, 4 * width + 4))
        for row in range(8):
            for column in range(8):
                part = torch.einsum("oi,iyx->oyx", kernel[row, column], values[0])
                found[:, row : row + 4 * height : 4, column : column + 4 * width : 4] += part
        self.outputs[name] = (found[:, 2:-2, 2:-2] + bias[:, None, None])[None]
        return self.outputs[name]

    def block(self, values: torch.Tensor, name: str) -> torch.Tensor:
        main = torch.relu(self.convolved(values, f"res{name}_branch2a"))
        main = self.convolved(main, f"res{name}_branch2b")
        shortcut = f"res{name}_branch1"
        return torch.relu(main + (self.convolved(values, shortcut) if shortcut in self.layers else values))

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        found = torch.relu(self.convolved(image, "conv1"))
        found = functional.max_pool2d(found, 3, 2, 1)
        low = self.block(self.block(found, "2a"), "2b")
        deep = low
        for stage in "345":
            deep = self.block(self.block(deep, stage + "a"), stage + "b")
        aspp = torch.cat([torch.relu(self.convolved(deep, f"aspp_Conv_{n}")) for n in (1, 2, 3, 4)], 1)
        deep = self.enlarged(torch.relu(self.convolved(aspp, "dec_c1")), "dec_upsample1")
        both = torch.cat((torch.relu(self.convolved(low, "dec_c2")), deep), 1)
        both = torch.relu(self.convolved(torch.relu(self.convolved(both, "dec_c3")), "dec_c4"))
        return torch.softmax(self.enlarged(self.convolved(both, "scorer"), "dec_upsample2"), 1)


def micrograph() -> np.ndarray:
    random = np.random.default_rng(1)
    blobs = ndimage.gaussian_filter(random.normal(size=(96, 128)), 8) > 0.02
    return (1000 + random.normal(0, 10, blobs.shape) - 100 * blobs).astype(np.float32)


def prepared(image: np.ndarray) -> torch.Tensor:
    smooth = ndimage.gaussian_filter(image.astype(np.float64), 2)
    levels = 255 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    grey = torch.from_numpy(np.float32((levels - 114.2725) / 58.9159))
    return grey.expand(1, 3, *grey.shape)


@pytest.fixture(scope="module", autouse=True)
def whole_precision() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiled_inference, "has_bfloat16", lambda _: False)
        yield


@pytest.fixture(scope="module")
def converted(layers, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("antema")
    output = folder / "antema.safetensors"
    assert main(["convert-antema", str(write_matlab(folder / "weights.h5", layers)), str(output)]) == 0
    return output


def test_every_layer_gives_what_the_original_gives(layers, converted):
    net = deeplab.load(weights.read(converted))
    found: dict[str, torch.Tensor] = {}
    for name, layer in net.layers.items():
        layer.register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
    reference = Reference(layers)

    with torch.inference_mode():
        image = prepared(micrograph())
        particle = torch.sigmoid(net(image[:, :1]))
        expected = reference(image)

    assert found.keys() == reference.outputs.keys() == layers.keys()
    for name, output in reference.outputs.items():
        assert torch.allclose(output, found[name], atol=1e-3 * float(output.abs().max())), name
    assert torch.allclose(expected[:, 1:], particle, atol=1e-3)


def test_converted_weights_are_a_segmenter_of_the_service(layers, converted):
    image = micrograph()
    segmenter = build(SegmentationSettings(method="deeplab", weights=converted, device="cpu"))
    (found,) = segmenter.segment([image])
    with torch.inference_mode():
        expected = Reference(layers)(prepared(image))[0, 1].numpy()

    assert 0.02 < np.mean(found.mask) < 0.98
    assert np.array_equal(
        (expected > 0.5)[np.abs(expected - 0.5) > 1e-3], found.mask[np.abs(expected - 0.5) > 1e-3]
    )
    assert found.contacts is None
    assert segmenter.model_sha256 == weights.read(converted).sha256
    assert weights.read(converted).description.architecture == weights.ANTEMA


def test_keras_own_layout_gives_the_same_weights(layers, converted, tmp_path):
    output = tmp_path / "out.safetensors"
    assert main(["convert-antema", str(write_keras(tmp_path / "w.h5", layers)), str(output)]) == 0
    assert same_tensors(output, converted)


def same_tensors(one: Path, other: Path) -> bool:
    first, second = (deeplab.load(weights.read(path)).state_dict() for path in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def test_one_input_channel_and_missing_biases_are_taken_too(layers, converted, tmp_path):
    grey = {name: {key: v for key, v in entry.items() if key != "bias"} for name, entry in layers.items()}
    grey["conv1"] = {"kernel": layers["conv1"]["kernel"].sum(axis=2, keepdims=True)}
    output = tmp_path / "out.safetensors"
    assert main(["convert-antema", str(write_keras(tmp_path / "w.h5", grey)), str(output)]) == 0

    net = deeplab.load(weights.read(output))
    assert not net.layers["scorer"].bias.any()
    conv1 = deeplab.load(weights.read(converted)).layers["conv1"].weight
    assert torch.allclose(conv1, net.layers["conv1"].weight, atol=1e-6)


def test_the_other_order_of_classes_turns_the_mask_over(layers, converted, tmp_path):
    source, output = write_keras(tmp_path / "w.h5", layers), tmp_path / "out.safetensors"
    assert main(["convert-antema", str(source), str(output), "--particle-class", "first"]) == 0
    image = prepared(micrograph())[:, :1]
    with torch.inference_mode():
        logits = [deeplab.load(weights.read(path))(image) for path in (converted, output)]
    assert torch.allclose(logits[0], -logits[1], atol=1e-4)


def changed(layers: Layers, **changes) -> Layers:
    return {name: entry for name, entry in (layers | changes).items() if entry is not None}


def test_what_does_not_match_is_listed_by_kind_and_name(layers, tmp_path, capsys):
    wrong = changed(
        layers,
        res5b_branch2b=None,
        dec_c1=None,
        fc1000={"kernel": np.zeros((512, 1000), np.float32)},
        scorer={"kernel": np.zeros((1, 1, 256, 11), np.float32), "bias": np.zeros(11, np.float32)},
        bn_conv1={key: value for key, value in layers["bn_conv1"].items() if key != "gamma"},
        dec_bn4=layers["dec_bn4"] | {"beta": np.full(256, np.nan, np.float32)},
        data={"mean": np.float32([120.0]), "variance": np.float32([1.0])},
    )
    output = tmp_path / "out.safetensors"
    assert main(["convert-antema", str(write_keras(tmp_path / "w.h5", wrong)), str(output)]) == 1

    text = capsys.readouterr().err
    assert "missing: bn_conv1/gamma, dec_c1, res5b_branch2b\n" in text
    assert "unexpected: fc1000\n" in text
    assert "scorer/kernel (1, 1, 256, 11) instead of (1, 1, 256, 2)" in text
    assert "not finite: dec_bn4/beta\n" in text
    assert "data: mean 120 to 120, SD 1 instead of 114.272, 58.9159" in text
    assert not output.exists()


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_what_is_no_h5_is_refused_in_one_line(content, tmp_path, capsys):
    (tmp_path / "w.h5").write_bytes(content)
    assert main(["convert-antema", str(tmp_path / "w.h5"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_file_an_empty_one_and_a_folder_that_is_not_there(layers, tmp_path, capsys):
    assert main(["convert-antema", str(tmp_path / "none.h5"), str(tmp_path / "out")]) == 1
    assert "no such file" in capsys.readouterr().err

    assert main(["convert-antema", str(write_keras(tmp_path / "e.h5", {})), str(tmp_path / "out")]) == 1
    assert "no named layers" in capsys.readouterr().err

    source = write_keras(tmp_path / "w.h5", layers)
    assert main(["convert-antema", str(source), str(tmp_path / "none" / "out")]) == 2
    assert "No such file" in capsys.readouterr().err
