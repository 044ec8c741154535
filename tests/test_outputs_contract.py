"""What every table format must do: a newcomer in `OUTPUTS` is tested at once."""

from typing import get_args

import pytest

from ledger_cases import arrival, take
from temwatch.choices import TableFormat
from temwatch.ledger import open_ledger, queue
from temwatch.outputs import exports
from temwatch.outputs.sample_folder import OUTPUTS

formats = pytest.mark.parametrize("name", OUTPUTS)


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "state") as ledger:
        take(ledger, "Au/1.dm3", content=1, sample="Au")
        yield ledger


def exported(ledger, folder, name):
    """The file that an export writes, as bytes."""
    folder.mkdir(parents=True)
    with ledger.reader() as reader:
        (file,) = exports.export(reader, folder, "Au", [name])
    return file.read_bytes()


def test_config_offers_every_format():
    """csv is no entry: it is appended to, and always written."""
    assert {"csv", *OUTPUTS} == set(get_args(TableFormat))


def test_file_names_differ():
    names = [pattern.format(sample="Au") for pattern, _ in OUTPUTS.values()]
    assert len(set(names)) == len(names)


@formats
def test_it_can_be_written_again(ledger, tmp_path, name):
    """A view of the ledger: the same bytes from the same rows."""
    first = exported(ledger, tmp_path / "a", name)
    assert first
    assert first == exported(ledger, tmp_path / "b", name)


@formats
def test_it_holds_what_arrives_later(ledger, tmp_path, name):
    before = exported(ledger, tmp_path / "a", name)
    take(ledger, "Au/2.dm3", content=2, particles=40, sample="Au")
    assert len(before) < len(exported(ledger, tmp_path / "b", name))


@formats
def test_a_sample_without_particles_has_a_file(tmp_path, name):
    with open_ledger(tmp_path / "state") as ledger:
        queue.add(ledger, arrival("Au/1.dm3", sample="Au"))
        assert exported(ledger, tmp_path / "a", name)
