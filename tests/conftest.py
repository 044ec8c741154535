"""What every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of real micrographs; not part of the project, so tests that need it skip without it."""
    value = os.environ.get("TEMWATCH_DATA", "")
    if not value or not Path(value).is_dir():
        pytest.skip("TEMWATCH_DATA does not name the folder of real micrographs")
    return Path(value)
