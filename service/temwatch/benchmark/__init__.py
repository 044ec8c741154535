"""How long everything takes on this machine: each stage beside scikit-image, and micrographs end to end."""

from temwatch.benchmark.end_to_end import EndToEnd
from temwatch.benchmark.limits import Limits
from temwatch.benchmark.report import OTHERS, Machine, Report, run
from temwatch.benchmark.scaling import Case
from temwatch.benchmark.stages import Stage

__all__ = ["OTHERS", "Case", "EndToEnd", "Limits", "Machine", "Report", "Stage", "run"]
