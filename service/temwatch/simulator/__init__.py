"""Synthetic bright-field micrographs with exact ground truth, and an acquisition that writes them as dm3."""

from temwatch.simulator.acquisition import acquire
from temwatch.simulator.dm_writer import write_dm, write_dm_stack
from temwatch.simulator.micrograph import Simulated, simulate_mask, simulate_micrograph
from temwatch.simulator.series import write_series
from temwatch.simulator.settings import HIGH_RESOLUTION, SURVEY, Family, Overlap, Settings, random_settings
from temwatch.simulator.truth import Truth, overlaps, save_truth

__all__ = [
    "HIGH_RESOLUTION",
    "SURVEY",
    "Family",
    "Overlap",
    "Settings",
    "Simulated",
    "Truth",
    "acquire",
    "overlaps",
    "random_settings",
    "save_truth",
    "simulate_mask",
    "simulate_micrograph",
    "write_dm",
    "write_dm_stack",
    "write_series",
]
