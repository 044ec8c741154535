"""The networks, random weights in them: DeepLabv3+ on ResNet-18, as published and with a finer decoder.

Chen et al., ECCV 2018, gives its answer at a quarter of the input's resolution and enlarges it: a gap of two
pixels between particles is then lost. The finer decoder goes on from there in two steps, each with what the
encoder saw at that resolution, up to the input's own.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from temwatch.analysis.segmentation.antema_network import Antema
from temwatch.analysis.segmentation.weights import ANTEMA, FINE, PLAIN
from temwatch.library_internals import without_compiler

with without_compiler():
    import segmentation_models_pytorch as smp


def network(architecture: str, classes: int) -> nn.Module:
    """One input channel, one output channel (a logit) a class, both of the same size; nothing downloaded."""
    if architecture == ANTEMA:
        return Antema()
    return {PLAIN: _plain, FINE: _Fine}[architecture](classes)


def _plain(classes: int) -> nn.Module:
    net: nn.Module = smp.DeepLabV3Plus("resnet18", encoder_weights=None, in_channels=1, classes=classes)
    return net


class _Fine(nn.Module):
    """DeepLabv3+ whose decoder is carried on to half and to full resolution."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        whole = smp.DeepLabV3Plus("resnet18", encoder_weights=None, in_channels=1, classes=classes)
        self.encoder, self.decoder = whole.encoder, whole.decoder
        self.coarse = _convolution(256, 48, 1)
        self.detail_half = _convolution(64, 24, 1)
        self.to_half = _convolution(72, 24, 3)
        self.detail_full = nn.Sequential(_convolution(1, 8, 3), _convolution(8, 8, 3))
        self.to_full = _convolution(32, 16, 3)
        self.head = nn.Conv2d(16, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.encoder(image)
        coarse = _doubled(self.coarse(self.decoder(features)))
        half = _doubled(self.to_half(torch.cat((coarse, self.detail_half(features[1])), dim=1)))
        full = self.to_full(torch.cat((half, self.detail_full(image)), dim=1))
        logits: torch.Tensor = self.head(full)
        return logits


def _doubled(values: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(values, scale_factor=2, mode="bilinear")


def _convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
