"""How long each stage and a whole run take on this machine, how true sizes are, and what is found."""

from temwatch.benchmark.end_to_end import EndToEnd
from temwatch.benchmark.limits import MachineLimits
from temwatch.benchmark.scaling import MicrographCost
from temwatch.benchmark.stages import StageTiming
from temwatch.benchmark.suite import FURTHER_FIELDS, BenchmarkReport, Machine, run

__all__ = [
    "FURTHER_FIELDS",
    "BenchmarkReport",
    "EndToEnd",
    "Machine",
    "MachineLimits",
    "MicrographCost",
    "StageTiming",
    "run",
]
