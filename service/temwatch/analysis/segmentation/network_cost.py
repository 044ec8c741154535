"""What the segmentation by a network takes: its forward, what feeds it, and what other threads do after."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import torch

from temwatch.analysis.refinement import edge_network
from temwatch.analysis.segmentation import deeplab, devices, weights
from temwatch.analysis.segmentation.remarks import remarks
from temwatch.config import SegmentationSettings
from temwatch.domain import Image, Segmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCost:
    """Seconds for one call of `MeasuredSegmenter.segment`: of CPU time, on a GPU of wall-clock time.

    `network` is the forward of the network at all sizes; `feeding` the rest of what the thread does that has
    the device: preparation, tiles, thresholds, transfers; `after` what follows: connected parts, holes,
    outlines, remarks.
    """

    network: float
    feeding: float
    after: float


class MeasuredSegmenter:
    """The segmenter of dark particles that the settings name, which says how its time divides.

    On a CPU everything runs on one core, so that the parts do not overlap. For a process of its own: the
    number of torch's threads stays.
    """

    def __init__(self, settings: SegmentationSettings) -> None:
        torch.set_num_threads(1)
        self._file = weights.read(weights.find_weights(settings))
        self._edges, _ = edge_network.load(weights.find_edges())
        self._device = devices.find(settings.device)
        self._net = _Timed(deeplab.ready(self._file, self._device, settings.cpu_engine), self._device)
        self.cost = SegmentCost(network=0, feeding=0, after=0)
        is_gpu = self._device.type == "cuda"
        self._free_bytes = torch.cuda.mem_get_info(self._device)[0] if is_gpu else 0

    def memory_bytes(self) -> tuple[int, int]:
        """Bytes of the GPU's memory: most that were used, and free at the start; none on a CPU."""
        used = torch.cuda.max_memory_reserved(self._device) if self._free_bytes else 0
        return used, self._free_bytes

    def segment(self, images: Sequence[Image]) -> list[Segmentation]:
        """As `domain.Segmenter.segment`; `cost` is then that of this call."""
        clock = _Clock(self._device)
        turn = _Turn(clock)
        self._net.seconds = 0
        began = clock.read_s()
        found = [
            replace(one, notes=remarks(image, one.mask, dark=True))
            for one, image in zip(
                deeplab.segmentations(
                    self._net,
                    images,
                    self._file.description,
                    edges=self._edges,
                    together=len(images),
                    turn=turn,
                ),
                images,
                strict=True,
            )
        ]
        spent = clock.read_s() - began
        network = self._net.seconds
        self.cost = SegmentCost(network=network, feeding=turn.seconds - network, after=spent - turn.seconds)
        return found


@dataclass(frozen=True, slots=True)
class _Clock:
    device: torch.device

    def read_s(self) -> float:
        if self.device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()


class _Turn(contextlib.AbstractContextManager[None]):
    """Adds up the seconds between entry and exit."""

    def __init__(self, clock: _Clock) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._clock.read_s()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += self._clock.read_s() - self._began


class _Timed(torch.nn.Module):
    """A network that adds up the seconds of its forward."""

    def __init__(self, net: torch.nn.Module, device: torch.device) -> None:
        super().__init__()
        self.net = net
        self.seconds = 0.0
        self._clock = _Clock(device)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        began = self._clock.read_s()
        outputs: torch.Tensor = self.net(inputs)
        self.seconds += self._clock.read_s() - began
        return outputs
