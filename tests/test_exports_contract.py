"""What every format of `temwatch export` must do: a newcomer in `EXPORTS` is tested at once."""

import sys
from typing import get_args

import pytest

import system
from export_cases import record
from ledger_cases import arrival
from temwatch.choices import ExportFormat
from temwatch.ledger import open_ledger, queue
from temwatch.outputs import exports
from temwatch.outputs.exports import EXPORTS

formats = pytest.mark.parametrize("name", EXPORTS)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    with open_ledger(tmp_path_factory.mktemp("ledger")) as ledger:
        record(ledger)
        yield ledger


def export(ledger, folder, name):
    """Every file of a format by its path below the folder, as bytes."""
    with ledger.reader() as reader:
        written = exports.export(reader, folder, "Au", [name])
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in written}


def test_the_command_offers_every_format():
    assert set(EXPORTS) == set(get_args(ExportFormat))


@formats
def test_it_can_be_written_again(ledger, tmp_path, name):
    """The same bytes from the same rows, and no file beside those that it names."""
    first = export(ledger, tmp_path / "a", name)
    assert first
    assert all(first.values())
    assert first == export(ledger, tmp_path / "b", name)


@formats
def test_a_sample_without_particles_can_be_exported(tmp_path, name):
    with open_ledger(tmp_path / "state") as ledger:
        queue.add(ledger, arrival("Au/1.dm3", sample="Au"))
        export(ledger, tmp_path / "a", name)


def test_no_two_formats_write_the_same_file(ledger, tmp_path):
    """All may go into one folder."""
    with ledger.reader() as reader:
        written = exports.export(reader, tmp_path, "Au", EXPORTS)
    assert len(written) == len(set(written))


def test_progress_is_told_for_each_micrograph(ledger, tmp_path):
    """At most as often as was announced."""
    calls = []
    with ledger.reader() as reader:
        announced = exports.steps(reader, "Au", EXPORTS)
        exports.export(reader, tmp_path, "Au", EXPORTS, lambda: calls.append(1))
    assert len(EXPORTS) - 1 <= len(calls) <= announced


def test_a_missing_extra_is_named(ledger, tmp_path, monkeypatch):
    """In one line with the command that brings it."""
    config = tmp_path / "temwatch.toml"
    config.write_text(
        f'[watch]\nfolder = "{tmp_path}"\n[output]\nfolder = "{tmp_path}"\nstate_folder = "{ledger.state}"\n'
    )
    monkeypatch.setitem(sys.modules, "roifile", None)
    arguments = ("export", "--config", config, "Au", "--formats", "roi", "--output", tmp_path / "out")
    ended = system.command(*arguments)
    assert ended.returncode == 2
    assert "temwatch[imagej]" in ended.stderr
    assert 1 == len(ended.stderr.strip().splitlines())


def test_an_unknown_format_is_named(ledger, tmp_path):
    config = tmp_path / "temwatch.toml"
    config.write_text(
        f'[watch]\nfolder = "{tmp_path}"\n[output]\nfolder = "{tmp_path}"\nstate_folder = "{ledger.state}"\n'
    )
    ended = system.command(
        "export", "--config", config, "Au", "--formats", "roi,word", "--output", tmp_path / "out"
    )
    assert ended.returncode == 2
    assert "'word'" in ended.stderr
    assert not (tmp_path / "out").exists()
