"""How long everything takes on this machine: each stage beside scikit-image, and micrographs end to end."""

from temwatch.benchmark.end_to_end import EndToEnd
from temwatch.benchmark.limits import Limits
from temwatch.benchmark.scaling import Case
from temwatch.benchmark.stages import Stage
from temwatch.benchmark.suite import OTHERS, Machine, Report, run

__all__ = ["OTHERS", "Case", "EndToEnd", "Limits", "Machine", "Report", "Stage", "run"]
