"""The network of ANTEMA, layer by layer under MATLAB's names, and its weights from their Keras layout.

It is what MATLAB's `deeplabv3plusLayers(size, 2, "resnet18")` makes, which differs from the networks of
`network.py` in more than names: the first convolution of stage 5 is not dilated, there is no pooled branch,
features are enlarged by transposed convolutions, and "same" paddings are uneven where the stride is two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from temwatch.analysis.segmentation.preprocessing import ANTEMA_MEAN, ANTEMA_SD

Arrays = Mapping[str, Mapping[str, NDArray[np.float32]]]
"""Variables of every layer as Keras has them: kernels (y, x, in, out), of transposed ones (y, x, out, in)."""

NORMALISATION_TOLERANCE = 1e-3

_STAGES = {"2": (64, 64), "3": (64, 128), "4": (128, 256), "5": (256, 512)}
_DILATED = ("res5a_branch2b", "res5b_branch2a", "res5b_branch2b")
_ASPP_DILATIONS = (1, 6, 12, 18)


class Antema(nn.Module):
    """One input channel, one logit: how much more likely a pixel is particle than background.

    The original repeats the grey image in three channels and has one output a class; `filled` adds up the
    kernels of the three, and the difference of the two outputs of a softmax is the logit of a sigmoid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(dict(_layers()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (n, 1, y, x) of images (n, 1, y, x) whose sides divide by 16."""
        found = self._rectified(image, "conv1", "bn_conv1")
        found = functional.max_pool2d(found, 3, stride=2, padding=1)
        fine = self._block(self._block(found, "2a"), "2b")
        deep = fine
        for name in ("3a", "3b", "4a", "4b", "5a", "5b"):
            deep = self._block(deep, name)
        branches = [self._rectified(deep, f"aspp_Conv_{n}", f"aspp_BatchNorm_{n}") for n in range(1, 5)]
        deep = self._rectified(torch.cat(branches, dim=1), "dec_c1", "dec_bn1")
        deep = self.layers["dec_upsample1"](deep)
        found = torch.cat((self._rectified(fine, "dec_c2", "dec_bn2"), deep), dim=1)
        for number in (3, 4):
            found = self._rectified(found, f"dec_c{number}", f"dec_bn{number}")
        classes = self.layers["dec_upsample2"](self.layers["scorer"](found))
        logits: torch.Tensor = classes[:, 1:] - classes[:, :1]
        return logits

    def _rectified(self, values: torch.Tensor, convolution: str, norm: str) -> torch.Tensor:
        return torch.relu(self.layers[norm](self.layers[convolution](values)))

    def _block(self, values: torch.Tensor, name: str) -> torch.Tensor:
        main, shortcut = values, values
        if name == "4a":  # MATLAB's and Keras' "same" of a stride of two pads an even side at its end only
            main = functional.pad(main, (0, 1, 0, 1))
        main = self._rectified(main, f"res{name}_branch2a", f"bn{name}_branch2a")
        main = self.layers[f"bn{name}_branch2b"](self.layers[f"res{name}_branch2b"](main))
        if f"res{name}_branch1" in self.layers:
            shortcut = self.layers[f"bn{name}_branch1"](self.layers[f"res{name}_branch1"](values))
        return torch.relu(main + shortcut)


def _layers() -> Iterator[tuple[str, nn.Module]]:
    yield "conv1", nn.Conv2d(1, 64, 7, stride=2, padding=3)
    yield "bn_conv1", nn.BatchNorm2d(64)
    for stage, (inputs, outputs) in _STAGES.items():
        stride = 2 if stage in "34" else 1
        blocks = {"a": (inputs, stride), "b": (outputs, 1)}
        for block, (channels, step) in blocks.items():
            name = f"{stage}{block}_branch"
            yield f"res{name}2a", _convolution(f"res{name}2a", channels, outputs, step)
            yield f"bn{name}2a", nn.BatchNorm2d(outputs)
            yield f"res{name}2b", _convolution(f"res{name}2b", outputs, outputs, 1)
            yield f"bn{name}2b", nn.BatchNorm2d(outputs)
            if channels != outputs:
                yield f"res{name}1", nn.Conv2d(channels, outputs, 1, stride=step)
                yield f"bn{name}1", nn.BatchNorm2d(outputs)
    for number, dilation in enumerate(_ASPP_DILATIONS, 1):
        size = 1 if number == 1 else 3
        padding = dilation if size == 3 else 0
        yield f"aspp_Conv_{number}", nn.Conv2d(512, 256, size, padding=padding, dilation=dilation)
        yield f"aspp_BatchNorm_{number}", nn.BatchNorm2d(256)
    for number, (inputs, outputs, size) in enumerate(
        ((1024, 256, 1), (64, 48, 1), (304, 256, 3), (256, 256, 3)), 1
    ):
        yield f"dec_c{number}", nn.Conv2d(inputs, outputs, size, padding=size // 2)
        yield f"dec_bn{number}", nn.BatchNorm2d(outputs)
    yield "scorer", nn.Conv2d(256, 2, 1)
    for number, channels in ((1, 256), (2, 2)):
        yield f"dec_upsample{number}", nn.ConvTranspose2d(channels, channels, 8, stride=4, padding=2)


def _convolution(name: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    dilation = 2 if name in _DILATED else 1
    padding = 0 if name == "res4a_branch2a" else dilation  # see Antema._block
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding, dilation=dilation)


def mismatches(arrays: Arrays) -> list[str]:
    """Why the arrays are not weights of this network: a line each for missing, unexpected ... layers."""
    with torch.device("meta"):  # shapes alone
        net = Antema()
    expected = {name: _shapes(name, layer) for name, layer in net.layers.items()}
    found = {name: variables for name, variables in arrays.items() if not _is_normalisation(variables)}
    misshapen, missing, unexpected, broken = [], [], [], []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            missing.append(name)
            continue
        if name not in expected:
            unexpected.append(name)
            continue
        for variable in sorted(expected[name].keys() | found[name].keys()):
            if variable not in expected[name]:
                unexpected.append(f"{name}/{variable}")
            elif variable not in found[name]:
                # Keras leaves the bias out where the layer has none
                missing += [] if variable == "bias" else [f"{name}/{variable}"]
            elif found[name][variable].shape not in expected[name][variable]:
                wanted = " or ".join(map(str, expected[name][variable]))
                misshapen.append(f"{name}/{variable} {found[name][variable].shape} instead of {wanted}")
            elif not np.isfinite(found[name][variable]).all():
                broken.append(f"{name}/{variable}")
    other = [
        f"{name}: {text}"
        for name, variables in arrays.items()
        if _is_normalisation(variables) and (text := _normalisation(variables))
    ]
    kinds = {
        "missing": missing,
        "unexpected": unexpected,
        "misshapen": misshapen,
        "not finite": broken,
        "another normalisation of the input": other,
    }
    return [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]


def filled(arrays: Arrays, *, particle_first: bool = False) -> Antema:
    """The network with these weights, which `mismatches` has found to fit.

    Parameters
    ----------
    arrays
        Variables by layer.
    particle_first
        Particle is the first of the two classes; else the second.
    """
    net = Antema().eval()
    with torch.no_grad():
        for name, layer in net.layers.items():
            variables = {key: torch.from_numpy(np.ascontiguousarray(v)) for key, v in arrays[name].items()}
            if isinstance(layer, nn.BatchNorm2d):
                names = {"weight": "gamma", "bias": "beta"}
                names |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
                for own, keras in names.items():
                    getattr(layer, own).copy_(variables[keras])
                continue
            assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            assert layer.bias is not None
            kernel = variables["kernel"].permute(3, 2, 0, 1)
            if name == "conv1":
                kernel = kernel.sum(dim=1, keepdim=True)
            layer.weight.copy_(kernel)
            layer.bias.copy_(variables.get("bias", torch.zeros_like(layer.bias)))
        if particle_first:
            last = net.layers["dec_upsample2"]
            assert isinstance(last, nn.ConvTranspose2d)
            assert last.bias is not None
            last.weight.copy_(last.weight.flip(1).clone())
            last.bias.copy_(last.bias.flip(0).clone())
    return net


def _shapes(name: str, layer: nn.Module) -> dict[str, list[tuple[int, ...]]]:
    """The shapes that each variable of a layer may have."""
    if isinstance(layer, nn.BatchNorm2d):
        return {key: [(layer.num_features,)] for key in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    outputs, inputs, height, width = (
        layer.weight.shape
    )  # of a transposed one the other way round, as in Keras
    kernels: list[tuple[int, ...]] = [(height, width, inputs, outputs)]
    if name == "conv1":
        kernels.append((height, width, 3, outputs))
    return {"kernel": kernels, "bias": [(layer.out_channels,)]}


def _is_normalisation(variables: Mapping[str, NDArray[np.float32]]) -> bool:
    """Whether this is the input layer of an exported network."""
    return "mean" in variables and variables.keys() <= {"mean", "variance", "count"}


def _normalisation(variables: Mapping[str, NDArray[np.float32]]) -> str:
    """What is wrong with it: pictures are brought to the paper's own mean and standard deviation."""
    low, high = float(variables["mean"].min()), float(variables["mean"].max())
    sd = math.sqrt(float(np.mean(variables.get("variance", np.ones(1)))))
    near = (
        abs(low - ANTEMA_MEAN) < NORMALISATION_TOLERANCE
        and abs(high - ANTEMA_MEAN) < NORMALISATION_TOLERANCE
        and abs(sd - ANTEMA_SD) < NORMALISATION_TOLERANCE
    )
    return "" if near else f"mean {low:g} to {high:g}, SD {sd:g} instead of {ANTEMA_MEAN:g}, {ANTEMA_SD:g}"
