"""A ledger that temwatch 0.1.0 wrote opens today, and its tables can be written again.

The fixture holds the output folder of a run of 0.1.0 without its pictures: a sample of four files (one a
duplicate, one empty) and a sequence of eleven frames, one blank, with a track that ends and one that starts.
"""

import csv
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from temwatch.cli import main
from temwatch.ledger import Reader, analyses, exclusions, open_ledger
from temwatch.ledger.changes import Author
from temwatch.outputs import paths, sample_folder
from temwatch.outputs.tables import MICROGRAPH_COLUMNS

FIXTURE = Path(__file__).parent / "data" / "results_0_1.tar.gz"
OF_THE_RUN = {"method", "analysed_at", "seconds"}  # a newer version analyses again, under a digest of its own


@pytest.fixture
def output(tmp_path):
    """The output folder as 0.1.0 left it."""
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path / "results", filter="data")
    return tmp_path / "results"


@pytest.fixture
def config(tmp_path, output):
    """The settings of that run; sequences are not over while a command takes a second."""
    file = tmp_path / "temwatch.toml"
    file.write_text(
        f"[watch]\nfolder = {json.dumps(str(tmp_path))}\n[output]\nfolder = {json.dumps(str(output))}\n"
        'pictures = false\n[segmentation]\nmethod = "threshold"\n[sequences]\ngap_seconds = 600.0\n'
    )
    return str(file)


def value(text):
    """A cell as a number where it is one; empty cells and words as they are."""
    try:
        return float(text)
    except ValueError:
        return text


def close_to(expected):
    """Numbers agree to six of their seven digits."""
    return pytest.approx(expected, rel=1e-6) if isinstance(expected, float) else expected


def tables(output):
    """Rows of every table, by its path."""
    return {
        path.relative_to(output): list(csv.DictReader(path.read_text().splitlines()))
        for path in sorted(output.rglob("*.csv"))
    }


def filled(found):
    """The cells that are not empty: what is written again has columns that joined since, without values."""
    return {
        path: [{name: text for name, text in row.items() if text} for row in rows]
        for path, rows in found.items()
    }


def test_it_opens_with_its_rows(output):
    """Opening brings it to the current version; nothing is pending and nothing is lost."""
    with open_ledger(output / ".temwatch"), Reader(output / ".temwatch") as reader:
        counts = {row.sample: (row.receipt.seen, row.micrographs, row.particles) for row in reader.samples()}
        assert {"Au": (4, 2, 16), "X": (11, 11, 89)} == counts
        assert 0 == reader.queue_length()
        for row in reader.micrographs("Au"):
            assert row.particles == len(analyses.particles(reader, row.id))


def test_the_service_writes_its_tables_again_with_the_columns_that_joined(output):
    """The header of the older version is not appended to; who stated a pixel size then is not known."""
    with open_ledger(output / ".temwatch") as ledger:
        for sample in ("Au", "X"):
            sample_folder.publish(ledger, output, sample)
    for path, found in tables(output).items():
        if path.name == paths.MICROGRAPHS:
            assert [column.name for column in MICROGRAPH_COLUMNS] == list(found[0])
            assert {("", "")} == {(row["pixel_size_source"], row["notes"]) for row in found}


def test_rebuild_gives_the_same_tables(output, config, capsys):
    """All rows and columns of all tables, those of the sequence included."""
    open_ledger(output / ".temwatch").close()  # as the service does: tables and columns may have joined since
    before = tables(output)
    for path in before:
        (output / path).unlink()
    assert 0 == main(["rebuild", "--config", config]), capsys.readouterr().err
    after = tables(output)
    assert set(before) == set(after)
    assert {paths.PARTICLES, paths.TRACKS, paths.EVENTS, paths.GROWTH_TABLE} <= {path.name for path in before}
    for path, rows in before.items():
        assert len(rows) == len(after[path]), path
        for old, new in zip(rows, after[path], strict=True):
            kept = [name for name in old if name not in OF_THE_RUN]
            assert {name: close_to(value(old[name])) for name in kept} == {
                name: value(new[name]) for name in kept
            }


def test_what_it_holds_can_be_excluded_and_comes_back(output):
    """Micrographs, particles and frames of 0.1.0; its tables are then what they were."""
    author = Author(by="anna", at=datetime.now(UTC), source="command")
    with open_ledger(output / ".temwatch") as ledger:
        for sample in ("Au", "X"):
            sample_folder.publish(ledger, output, sample)
        before = tables(output)
        with ledger.reader() as reader:
            done = {
                sample: [row for row in reader.micrographs(sample) if row.has_result]
                for sample in ("Au", "X")
            }
        (first, second), frame = done["Au"], done["X"][4]
        with ledger.transaction() as connection:
            exclusions.exclude_file(connection, first.file_id, None, author)
            exclusions.exclude_particles(connection, second.id, [1], author)
            exclusions.exclude_file(connection, frame.file_id, None, author)
        for sample in ("Au", "X"):
            sample_folder.publish(ledger, output, sample)
        after = tables(output)
        particles = next(path for path in before if path.match("Au/particles.csv"))
        assert second.particles - 1 == len(after[particles])
        states = {
            path.parts[0]: [row["status"] for row in rows]
            for path, rows in after.items()
            if path.name == paths.MICROGRAPHS
        }
        assert (1, 1) == tuple(states[sample].count("excluded") for sample in ("Au", "X"))
        with ledger.transaction() as connection:
            exclusions.include_file(connection, first.file_id, None, author)
            exclusions.include_particles(connection, second.id, [1], author)
            exclusions.include_file(connection, frame.file_id, None, author)
        for sample in ("Au", "X"):
            sample_folder.publish(ledger, output, sample)
        assert filled(before) == filled(tables(output))
