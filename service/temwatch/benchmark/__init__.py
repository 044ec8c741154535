"""How long each stage and a whole run take on this machine, how true sizes are, and what is found."""

from temwatch.benchmark.end_to_end import EndToEnd
from temwatch.benchmark.gpu_bars import Bar, gpu_bars
from temwatch.benchmark.limits import MachineLimits
from temwatch.benchmark.scaling import MicrographCost, rate_with
from temwatch.benchmark.stages import StageTiming
from temwatch.benchmark.suite import FURTHER_FIELDS, BenchmarkReport, Machine, run

__all__ = [
    "FURTHER_FIELDS",
    "Bar",
    "BenchmarkReport",
    "EndToEnd",
    "Machine",
    "MachineLimits",
    "MicrographCost",
    "StageTiming",
    "gpu_bars",
    "rate_with",
    "run",
]
