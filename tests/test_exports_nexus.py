"""The NeXus export against the definition NXem, by the validator of pynxtools, which brings it."""

import re
import subprocess

import h5py
import pytest

import throwaway_environment
from export_cases import record
from temwatch.ledger import open_ledger
from temwatch.outputs import exports

# no micrograph says any of this; docs/exports.md names them
NOT_STATED = {
    "/entry/measurement/instrument",
    "/entry/measurement/event1/instrument/ebeam_column",
    "/entry/sample/atom_types",
    "/entry/sample/is_simulation",
    "/entry/sample/preparation_date",
}


@pytest.fixture
def file(tmp_path):
    with open_ledger(tmp_path / "state") as ledger, ledger.reader() as reader:
        record(ledger)
        (path,) = exports.export(reader, tmp_path / "out", "Au", ["nexus"])
    return path


def test_units_are_written_as_programs_read_them(file):
    """In ASCII: udunits and pint read no superscripts."""
    with h5py.File(file) as opened:
        units = {
            name: data.attrs["units"]
            for name, data in opened["entry/particles"].items()
            if "units" in data.attrs
        }
    assert "nm^2" == units["area_nm2"]
    assert all(unit.isascii() for unit in units.values())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_validator_misses_only_what_no_micrograph_states(file, tmp_path):
    python = throwaway_environment.install(tmp_path / "environment", "pynxtools>=0.16", timeout=1000)
    command = [python.with_name("validate_nexus"), file]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    missing = re.findall(r"required (?:group|field) (\S+) hasn't been supplied", said.stdout + said.stderr)
    assert NOT_STATED == set(missing)
    assert "nm²" not in said.stdout + said.stderr
