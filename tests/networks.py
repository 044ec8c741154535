"""Random networks of every architecture whose output is as undecided as a good one's is not."""

import numpy as np
import torch

from temwatch.analysis.segmentation import preprocessing, weights
from temwatch.analysis.segmentation.network import network

LAST = {
    weights.PLAIN: lambda net: net.segmentation_head[0],
    weights.FINE: lambda net: net.head,
    weights.ANTEMA: lambda net: net.layers["dec_upsample2"],
}


def description(architecture: str = weights.PLAIN, **changes) -> weights.Description:
    """Of a weights file of this architecture, with as many classes as it can have."""
    antema = architecture == weights.ANTEMA
    values = {
        "architecture": architecture,
        "classes": weights.ARCHITECTURES[architecture][-1],
        "preprocessing": preprocessing.ANTEMA if antema else preprocessing.NAME,
        "temwatch_version": "0",
    }
    return weights.Description(**values | changes)


def random_network(architecture: str, classes: int, image: np.ndarray) -> torch.nn.Module:
    """Logits of a prepared image get mean 0 and standard deviation 2."""
    torch.manual_seed(0)
    net = network(architecture, classes).eval()
    last = LAST[architecture](net)
    inputs = torch.from_numpy(image)[None, None]
    with torch.no_grad():
        last.weight *= 2 / net(inputs).std()
        last.bias[-classes:] -= net(inputs).mean(dim=(0, 2, 3))
    return net
