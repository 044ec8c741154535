"""Loaded by the process from which tests fork: what it has loaded and compiled, each of its children has.

A worker would otherwise take a second of CPU time for it, and tests start hundreds.
"""

from temwatch.analysis import pipeline

pipeline.warm_up(("none", "uecs"))
