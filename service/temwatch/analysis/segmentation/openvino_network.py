"""A network on the CPU, computed by OpenVINO: the same function within rounding, in two thirds of the time.

OpenVINO is an extra. Of it the core and the reader of traced networks are used, not its converter, which
would report its use to the maker; the package that does so is kept from being loaded.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
import warnings
from typing import Any

import torch

from temwatch.analysis.segmentation.tiled_inference import MIN_INPUT_PX, has_bfloat16
from temwatch.choices import CpuEngine
from temwatch.errors import MissingExtra

_CPU = torch.device("cpu")


def is_chosen(engine: CpuEngine) -> bool:
    """Whether OpenVINO computes on the CPU.

    Raises
    ------
    MissingExtra
        It is asked for and not installed.
    """
    if engine == "torch":
        return False
    is_installed = importlib.util.find_spec("openvino") is not None
    if engine == "openvino" and not is_installed:
        raise MissingExtra("openvino")
    return is_installed


class OpenVinoNetwork(torch.nn.Module):
    """A network with fixed weights, (n, 1, y, x) to (n, class, y, x), whose forward does not use torch.

    Each call takes as many cores as torch has threads in the calling thread; calls from several threads at
    once do not wait for each other while there are cores.
    """

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net  # whoever asks for parameters or the device finds them there
        self._cores = torch.get_num_threads()
        self._model = _converted(net)
        self._compiled: dict[int, Any] = {}
        self._compiling = threading.Lock()
        self._here = threading.local()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Float32, whatever it is computed in."""
        request = self._request(min(torch.get_num_threads(), self._cores))
        (outputs,) = request.infer([inputs.contiguous().numpy()], share_inputs=True).values()
        return torch.from_numpy(outputs)

    def _request(self, cores: int) -> Any:
        """What computes for the calling thread: it has the memory of the layers."""
        requests: dict[int, Any] = self._here.__dict__.setdefault("requests", {})
        if cores not in requests:
            with self._compiling:
                if cores not in self._compiled:
                    self._compiled[cores] = self._compile(cores)
            requests[cores] = self._compiled[cores].create_infer_request()
        return requests[cores]

    def _compile(self, cores: int) -> Any:
        options = {
            "INFERENCE_NUM_THREADS": self._cores,
            "NUM_STREAMS": self._cores // cores,
            "ENABLE_CPU_PINNING": False,  # other processes compute beside it
            "INFERENCE_PRECISION_HINT": "bf16" if has_bfloat16(_CPU) else "f32",
        }
        return _core().compile_model(self._model, "CPU", options)


def _converted(net: torch.nn.Module) -> Any:
    """The network as OpenVINO has it, for inputs of any size."""
    _openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros((1, 1, MIN_INPUT_PX, MIN_INPUT_PX))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # torch announces a successor, which OpenVINO does not use
        traced = TorchScriptPythonDecoder(net, example_input=example)
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(traced))
    model.reshape([-1, 1, -1, -1])
    return model


@functools.cache
def _core() -> Any:
    """For the whole life of the process.

    The thread that first computes gets a stack for signals, which would be freed with the last core though
    the thread may still run: its next signal would end the process.
    """
    return _openvino().Core()


def _openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
