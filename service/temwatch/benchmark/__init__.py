"""How long everything takes on this machine: each stage beside scikit-image, and micrographs end to end."""

from temwatch.benchmark.end_to_end import EndToEnd
from temwatch.benchmark.report import Machine, Report, run
from temwatch.benchmark.stages import Stage

__all__ = ["EndToEnd", "Machine", "Report", "Stage", "run"]
