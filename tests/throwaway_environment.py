"""A Python environment for one test of the slow tier, with packages that are in no lock."""

import subprocess
import sys

import pytest


def install(folder, *requirements, timeout=500):
    """The interpreter of a new environment with these packages; skips where they cannot be installed."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    python = folder / "bin" / "python"
    add(python, *requirements, timeout=timeout)
    return python


def add(python, *requirements, timeout=500):
    """Install further packages beside them; skips where they cannot be."""
    command = [python, "-m", "pip", "install", "--quiet", *requirements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(requirements)} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
