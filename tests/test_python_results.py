"""`temwatch.read_results`: tables with their types, outlines and analyses, each read when it is asked for."""

import csv
import shutil
from dataclasses import replace

import numpy as np
import pandas
import pytest

import temwatch
from export_cases import DISCS, NM, discs, record
from ledger_cases import START, result, take
from temwatch.analysis.measurement.polygons import measured_polygon
from temwatch.errors import LedgerMissing, UsageError
from temwatch.ledger import analyses, changes, exclusions, open_ledger, queue, recording
from temwatch.outputs import pictures, sample_folder
from temwatch.outputs.published_results import read_table
from temwatch.outputs.tables import MICROGRAPHS, PARTICLES


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """An output folder with two samples; one has a picture."""
    output = tmp_path_factory.mktemp("output")
    with open_ledger(output / ".temwatch") as ledger:
        record(ledger, "Au/Au_01.dm3")
        take(ledger, "Au/broken.dm3", content=3, particles=0)
        record(ledger, "NA/=1.dm3", discs(DISCS[2:]), sample="NA")
        segmentation, analysis = discs()
        image = np.where(segmentation.mask, 40, 200).astype(np.float32)
        pictures.write_pictures(output / "Au" / "micrographs" / "Au_01", "Au_01", image, analysis)
        for sample in ("Au", "NA"):
            sample_folder.publish(ledger, output, sample)
    return output


def test_tables_have_the_types_of_their_columns(output):
    results = temwatch.read_results(output / "Au")
    table = results.particles
    assert [column.name for column in PARTICLES.columns] == list(table.columns)
    kinds = {column.name: column.kind for column in PARTICLES.columns}
    assert pandas.api.types.is_bool_dtype(table["separated"])
    assert pandas.api.types.is_datetime64_any_dtype(table["analysed_at"])
    assert all(table[name].dtype == "float64" for name, kind in kinds.items() if kind == "real")
    with (output / "Au" / "particles.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["area_nm2"]) for row in rows] == table["area_nm2"].tolist()
    assert [row["separated"] == "true" for row in rows] == table["separated"].tolist()
    assert table["frame"].isna().all()
    assert results.tracks.empty
    assert results.summary["particles"] == len(table)


def test_names_are_the_true_ones(output):
    """Neither NA, which pandas takes for nothing, nor the guard before a formula."""
    results = temwatch.read_results(output)
    assert ["Au", "NA"] == list(results)
    assert {"NA/=1.dm3"} == set(results["NA"].particles["micrograph"])
    assert {"NA"} == set(results["NA"].particles["sample"])
    assert {"Au", "NA"} == set(results.particles["sample"])


def test_a_guarded_cell_is_read_as_it_was(tmp_path):
    path = tmp_path / "micrographs.csv"
    path.write_text("sample,micrograph,frame\n'-5,./=1.dm3,\n", encoding="utf-8")
    table = read_table(path, MICROGRAPHS.columns)
    assert ["-5", "=1.dm3"] == table.loc[0, ["sample", "micrograph"]].tolist()


def test_outlines_are_those_that_were_measured(output):
    """By the number of the particle, for the path or the name of the micrograph."""
    results = temwatch.read_results(output / "Au")
    outlines = results.outlines("Au/Au_01.dm3")
    assert outlines.keys() == results.outlines("Au_01").keys() == {1, 2, 3, 4, 5}
    for outline, particle in zip(outlines.values(), discs()[1].particles, strict=True):
        assert np.allclose(measured_polygon(particle.region), outline)


def test_an_analysis_comes_with_its_picture(output):
    analysis = temwatch.read_results(output)["Au"].analysis("Au_01")
    assert (len(DISCS), NM) == (len(analysis.particles), analysis.pixel_size_nm)
    assert analysis.image.shape == analysis.mask.shape
    assert analysis.particles[0].region.outline is not None
    assert temwatch.read_results(output)["NA"].analysis("NA/=1.dm3").image is None


def test_outlines_and_analysis_show_one_state_of_the_ledger(output, tmp_path, monkeypatch):
    """The service takes the micrograph back into its queue while it is read."""
    expected = temwatch.read_results(output)["Au"].outlines("Au_01")
    shutil.copytree(output / "Au", tmp_path / "Au")
    particles = analyses.particles
    with open_ledger(tmp_path / ".temwatch") as ledger:

        def overtaken(reader, micrograph_id):
            found = particles(reader, micrograph_id)
            queue.retry(ledger, ["Au/Au_01.dm3"])
            return found

        monkeypatch.setattr(analyses, "particles", overtaken)
        results = temwatch.read_results(tmp_path)["Au"]
        record(ledger)
        outlines = results.outlines("Au_01")
        assert all(np.array_equal(expected[number], outline) for number, outline in outlines.items())
        assert expected.keys() == outlines.keys()
        with pytest.raises(UsageError):
            results.outlines("Au_01")
        (file,) = queue.claim(ledger, 1, START)
        segmentation, analysis = discs()
        one = replace(result("Au/Au_01.dm3"), segmentation=segmentation, analysis=analysis)
        recording.record(ledger, file.id, [one])
        assert len(expected) == len(results.analysis("Au_01").particles)


def test_numbers_of_an_analysis_have_no_gap(tmp_path):
    """The keys of the outlines are the numbers of the table, in the order of the analysis."""
    with open_ledger(tmp_path / ".temwatch") as ledger:
        record(ledger)
        with ledger.transaction() as connection:
            author = changes.Author(by="me", at=START, source="command")
            exclusions.exclude_particles(connection, 1, [2], author)
        sample_folder.publish(ledger, tmp_path, "Au")
    results = temwatch.read_results(tmp_path / "Au")
    table, analysis = results.particles, results.analysis("Au_01")
    assert [1, 3, 4, 5] == list(results.outlines("Au_01")) == table["particle"].tolist()
    assert [1, 2, 3, 4] == analysis.table()["particle"].tolist()
    assert np.allclose(table["area_nm2"], analysis.table()["area_nm2"], rtol=1e-5)


def test_without_the_ledger_there_are_tables(output, tmp_path):
    """A folder that was copied elsewhere; outlines say what is missing."""
    shutil.copytree(output / "Au", tmp_path / "Au")
    results = temwatch.read_results(tmp_path / "Au")
    assert 5 == len(results.particles)
    with pytest.raises(LedgerMissing):
        results.outlines("Au/Au_01.dm3")
    elsewhere = temwatch.read_results(tmp_path / "Au", state_folder=output / ".temwatch")
    assert 5 == len(elsewhere.outlines("Au/Au_01.dm3"))


def test_what_is_not_there_is_named(output, tmp_path):
    with pytest.raises(UsageError, match="no results of temwatch"):
        temwatch.read_results(tmp_path)
    with pytest.raises(UsageError, match=r"no result of Au_07\.dm3"):
        temwatch.read_results(output / "Au").outlines("Au_07.dm3")


def test_results_show_themselves_in_a_notebook(output):
    results = temwatch.read_results(output)
    assert "<td>Au</td>" in results._repr_html_()
    shown = results["Au"]._repr_html_()
    assert "data:image/png;base64," in shown
    assert "equivalent diameter" in shown
    assert "Au" in repr(results)
    assert "5 particles in" in repr(results["Au"])
    assert "<p>5 particles, 2 micrographs</p>" in shown
    assert "particles, 1 micrograph</p>" in results["NA"]._repr_html_()
