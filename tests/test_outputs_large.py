"""A sample of many particles: what one more micrograph costs, and files that others can read."""

import io
import itertools
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import duckdb
import numpy as np
import openpyxl
import pandas
import polars
import pytest

from ledger_cases import START, arrival, result, sha256
from temwatch.analysis.statistics.summary import SUMMARISED
from temwatch.ledger import open_ledger, pack, publications, queue, recording
from temwatch.outputs import sample_folder, sheet_rows, workbook
from temwatch.outputs.incremental_statistics import IncrementalStatistics
from temwatch.outputs.tables import summary

PER_MICROGRAPH = 200


@pytest.fixture(scope="module")
def packed():
    """One micrograph; what is measured here does not look into it."""
    return pack(result("any", PER_MICROGRAPH))


def append(ledger, packed, numbers, output=None):
    """Record micrographs as the engine does; gives the CPU seconds of each record and its publication."""
    costs = []
    for number in numbers:
        queue.add(ledger, arrival(f"Au/{number}.dm3", sample="Au"))
        (file,) = queue.claim(ledger, 1, START)
        row = {**packed.micrograph, "sha256": sha256(str(number))}
        started = time.process_time()
        assert recording.recognise(ledger, file.id, row["sha256"], START) is None
        recording.record(ledger, file.id, [replace(packed, micrograph=row)])
        if output is not None:
            sample_folder.publish_tables(ledger, output, "Au")
        costs.append(time.process_time() - started)
    return costs


@pytest.mark.parametrize(
    "particles", [50_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(0)])]
)
def test_one_more_micrograph_costs_the_same_in_a_large_sample(tmp_path, packed, particles):
    """At 1 M particles 1.2 times what it costs at 10 k, at most; medians of CPU seconds of one run."""
    few, many = 10_000 // PER_MICROGRAPH, particles // PER_MICROGRAPH
    with open_ledger(tmp_path / ".temwatch") as ledger:
        append(ledger, packed, range(few))
        sample_folder.publish_tables(ledger, tmp_path, "Au")
        at_few = append(ledger, packed, range(few, few + 20), tmp_path)
        append(ledger, packed, range(few + 20, many))
        sample_folder.publish_tables(ledger, tmp_path, "Au")
        at_many = append(ledger, packed, range(many, many + 20), tmp_path)
    print(f"{np.median(at_few) * 1e3:.2f} ms, {np.median(at_many) * 1e3:.2f} ms")
    assert np.median(at_many) < (1.2 if particles == 1_000_000 else 1.5) * np.median(at_few)


def test_incremental_statistics_are_those_of_the_ledger(tmp_path, packed):
    """After every micrograph, and after rows that were read have changed."""
    statistics = IncrementalStatistics()
    with open_ledger(tmp_path / ".temwatch") as ledger, ledger.reader() as reader:
        for number in range(7):
            append(ledger, packed, [number])
            if number == 4:
                publications.mark_stale(ledger, "Au")
            kept, whole = statistics.columns(reader, "Au"), reader.particle_columns("Au", SUMMARISED)
            for name in SUMMARISED:
                assert np.array_equal(whole[name], kept[name])
            assert summary(reader, "Au") == summary(reader, "Au", kept)


def test_a_workbook_goes_on_in_a_further_sheet(tmp_path, packed, monkeypatch):
    """A sheet that is full is followed by another, with a note in the first one's place of the sheets."""
    monkeypatch.setattr(workbook, "SHEET_ROWS", 300)
    with open_ledger(tmp_path / ".temwatch") as ledger, ledger.reader() as reader:
        append(ledger, packed, range(3))
        stream = io.BytesIO()
        workbook.write(reader, "Au", stream)
        expected = reader.particle_columns("Au", ["area_nm2"])["area_nm2"]
    stream.seek(0)
    book = openpyxl.load_workbook(stream, read_only=True)
    sheets = [name for name in book.sheetnames if name.startswith("particles")]
    assert ["particles", "particles 2", "particles 3"] == sheets
    rows = [list(book[name].iter_rows(values_only=True)) for name in sheets]
    assert all(len(sheet) <= 300 for sheet in rows)
    assert rows[0][0] == rows[1][0] == rows[2][0]
    place = rows[0][0].index("area_nm2")
    areas = [row[place] for row in itertools.chain.from_iterable(sheet[1:] for sheet in rows)]
    assert np.allclose(expected, areas)
    notes = list(book["notes"].iter_rows(values_only=True))
    assert any("particles 2" in str(row[0]) and "particles 3" in str(row[0]) for row in notes)


def test_a_sheet_beyond_the_limit_of_a_plain_zip(tmp_path, packed, monkeypatch):
    """It is written as zip64, and only it; the limit of 2 GiB and the rows of it are made small here."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 200_000)
    monkeypatch.setattr(sheet_rows, "ZIP64_ROWS", 100)
    with open_ledger(tmp_path / ".temwatch") as ledger, ledger.reader() as reader:
        append(ledger, packed, range(2))
        stream = io.BytesIO()
        workbook.write(reader, "Au", stream)
    with zipfile.ZipFile(stream) as book:
        entries = book.infolist()
        assert 200_000 < book.getinfo("xl/worksheets/sheet1.xml").file_size
    needed = {entry.filename for entry in entries if entry.extract_version == zipfile.ZIP64_VERSION}
    assert {"xl/worksheets/sheet1.xml"} == needed
    assert {(1980, 1, 1, 0, 0, 0)} == {entry.date_time for entry in entries}
    sheet = openpyxl.load_workbook(stream, read_only=True)["particles"]
    assert 1 + 2 * PER_MICROGRAPH == sum(1 for _ in sheet.iter_rows(max_col=1))


@pytest.mark.slow
def test_a_large_workbook_takes_little_time_and_memory(tmp_path, packed):
    """300,000 rows: below 300 MB in a process of its own, and a few times the CPU seconds of csv."""
    with open_ledger(tmp_path / "state") as ledger:
        append(ledger, packed, range(300_000 // PER_MICROGRAPH))
    script = """if True:
        import re, sys, time
        from pathlib import Path
        from temwatch.ledger import Reader
        from temwatch.outputs import tables, workbook
        folder, steps = Path(sys.argv[1]), []
        with Reader(folder / "state") as reader:
            started = time.process_time()
            for table in tables.TABLES:
                for text in tables.csv_text(table, reader, "Au"):
                    pass
            as_csv = time.process_time() - started
            with (folder / "Au.xlsx").open("w+b") as stream:
                workbook.write(reader, "Au", stream, lambda: steps.append(1))
            as_workbook = time.process_time() - started - as_csv
        # its own peak; that of getrusage begins with the peak of the process that started it
        peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
        print(as_csv, as_workbook, peak_kb / 1024, len(steps))
    """
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    as_csv, as_workbook, peak_mb, steps = map(float, ended.stdout.split())
    print(f"{as_csv:.1f} s as csv, {as_workbook:.1f} s as workbook, {peak_mb:.0f} MB")
    assert steps == 300_000 // PER_MICROGRAPH
    assert peak_mb < 300
    assert as_workbook < 4 * as_csv
    with (tmp_path / "Au.xlsx").open("rb") as stream:
        book = openpyxl.load_workbook(stream, read_only=True)
        assert 300_001 == sum(1 for _ in book["particles"].iter_rows(max_col=1))


def test_parquet_is_read_by_pandas_polars_and_duckdb(tmp_path, packed):
    """The same numbers, whoever reads them."""
    with open_ledger(tmp_path / ".temwatch") as ledger:
        append(ledger, packed, range(3))
        sample_folder.write_formats(ledger, tmp_path, "Au", ["parquet"])
        with ledger.reader() as reader:
            areas = reader.particle_columns("Au", ["area_nm2"])["area_nm2"]
    path = tmp_path / "Au" / "particles.parquet"
    count, mean = duckdb.execute(f"SELECT count(*), avg(area_nm2) FROM '{path}'").fetchone()
    assert (len(areas), pytest.approx(areas.mean())) == (count, mean)
    assert np.array_equal(areas, polars.read_parquet(path)["area_nm2"].to_numpy())
    assert np.array_equal(areas, pandas.read_parquet(path)["area_nm2"].to_numpy())
