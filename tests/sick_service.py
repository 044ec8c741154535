"""The service with a network whose device is as a file says: well, sick, hung, or short of memory.

Everything but the device is real.
"""

import sys
import time
from pathlib import Path

from temwatch import config
from temwatch.analysis.segmentation import classical
from temwatch.daemon import service
from temwatch.domain import Segmenter
from temwatch.errors import StartError

LARGEST_PX = {"little memory": 300**2, "no memory": 0}


def network(mood, on_out_of_memory):
    """Dark is particle; what a tile may have at most depends on the mood. Torch takes its time to load."""
    import torch

    from temwatch.analysis.segmentation import deeplab, preprocessing, weights

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(-8.0), requires_grad=False)

        def forward(self, inputs):
            if inputs.shape[-2] * inputs.shape[-1] > LARGEST_PX[mood()]:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return (inputs + 1.5) * self.factor

    net = Net()
    described = weights.Description(
        classes=("mask",), preprocessing=preprocessing.NAME, temwatch_version="0", enlarge=2
    )

    def segment(images):
        return deeplab.segmentations(net, images, described, on_out_of_memory=on_out_of_memory)

    return segment


def main(mood_file, arguments):
    """`temwatch run --config CONFIG` with such a network."""

    def mood():
        return Path(mood_file).read_text()

    def probe():
        if mood() == "hung":
            time.sleep(1e6)
        if mood() == "sick":
            raise RuntimeError("CUDA error: unspecified launch failure")

    def build(settings, on_out_of_memory):
        well = classical.build(settings).segment

        def segment(images):
            probe()
            if mood() in LARGEST_PX:
                return network(mood, on_out_of_memory)(images)
            return well(images)

        return Segmenter(name="sick", segment=segment, probe=probe)

    try:
        service.run(config.load(Path(arguments[-1])), build=build, probe_every_s=0.5, probe_deadline_s=3.0)
    except StartError as error:
        print(f"temwatch: {error}", file=sys.stderr)
        return error.exit_code
    return 0
