"""The running prior of a sample: given once, kept with the row, and the same when a row is resolved again."""

import csv
import json
import math

import pytest

from analytic_shapes import disc, on_canvas
from ledger_cases import START, arrival
from system import command, rows, temwatch, threshold
from temwatch.analysis import pipeline
from temwatch.config import Config, SeparationSettings
from temwatch.domain import Segmentation
from temwatch.engine import decisions, requests, sample_prior
from temwatch.engine.measuring_again import measuring_again
from temwatch.ledger import Reader, Result, analyses, open_ledger, queue, recording, sample_priors
from temwatch.lone_particles import LoneParticles
from temwatch.outputs import tables

pytestmark = pytest.mark.system
AUTO = SeparationSettings(method="auto")
PAIR = on_canvas((80, 100), (disc(8), 30, 30), (disc(8), 30, 39))
BY = {"by": "anna", "source": "command", "reason": "test"}


def field(radius):
    """Nine discs that stand alone."""
    places = [(10 + 70 * row, 10 + 70 * column) for row in range(3) for column in range(3)]
    return on_canvas((230, 230), *((disc(radius), *place) for place in places))


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / ".temwatch") as ledger:
        yield ledger


@pytest.fixture
def config(tmp_path):
    folder = {"folder": str(tmp_path)}
    return Config.model_validate(
        {"watch": folder, "output": folder | {"pictures": False}, "separation": {"method": "auto"}}
    )


def take(ledger, path, mask, *, pixel_size_nm=0.5, sample="Au", settings=AUTO):
    """A micrograph on the way that the engine takes it."""
    file_id = queue.add(ledger, arrival(path, sample=sample))
    queue.claim(ledger, 10, START)
    given = sample_prior.give(ledger, file_id, settings)
    segmentation = sample_prior.with_prior(Segmentation(mask=mask), given, pixel_size_nm)
    analysis = pipeline.resolve_segmentation(segmentation, pixel_size_nm=pixel_size_nm, settings=settings)
    result = Result(
        sha256=f"{path}",
        segmentation=segmentation,
        analysis=analysis,
        analysed_at=START,
        seconds=0.1,
        stated_pixel_size_nm=pixel_size_nm,
    )
    return file_id, recording.record(ledger, file_id, [result]).micrograph_ids[0]


def prior_of(ledger, file_id):
    with ledger.reader() as reader:
        return sample_priors.find(reader, file_id)


def particles(ledger):
    """Rows of particles.csv without the time of their analysis."""
    with ledger.reader() as reader:
        text = "".join(tables.csv_text(tables.PARTICLES, reader, "Au"))
    return [{**row, "analysed_at": ""} for row in csv.DictReader(text.splitlines())]


def measure(ledger, config):
    requests.complete(measuring_again(ledger, config, requests.workers_here(config), lambda _: None))


def decide(ledger, config, kind, **arguments):
    answer = decisions.decide(ledger, kind, {**arguments, **BY}).answer
    measure(ledger, config)
    return answer


def test_a_file_gets_what_its_sample_has_shown_and_keeps_it(ledger):
    """In nm: micrographs of other magnifications count; another sample and what is excluded do not."""
    first, _ = take(ledger, "0.dm3", field(10))
    assert LoneParticles() == prior_of(ledger, first)
    take(ledger, "1.dm3", field(20), pixel_size_nm=0.25)
    take(ledger, "pt.dm3", field(25), sample="Pt")
    _, odd = take(ledger, "2.dm3", field(25))
    with ledger.transaction() as connection:
        connection.execute("UPDATE micrographs SET excluded = 1 WHERE id = ?", (odd,))
    last, micrograph = take(ledger, "3.dm3", PAIR, pixel_size_nm=1.0)
    given = prior_of(ledger, last)
    assert 5 == pytest.approx(math.exp(given.log_radius), rel=0.01)
    assert 18 == pytest.approx(given.count, rel=0.05)
    with ledger.reader() as reader:
        assert given == analyses.segmentation(reader, micrograph).sample_prior
    take(ledger, "4.dm3", field(14))
    queue.retry(ledger, ["3.dm3"])
    assert given == sample_prior.give(ledger, last, AUTO)
    assert sample_prior.give(ledger, last, SeparationSettings(method="contour")) is None


def test_rows_are_the_same_when_they_are_resolved_again_whatever_arrived(ledger, config):
    """With corrected sizes and other settings, and with these undone, in any order of arrival."""
    take(ledger, "0.dm3", field(8))
    take(ledger, "1.dm3", PAIR)
    before = particles(ledger)
    assert 11 == len(before)  # the prior has separated the pair
    for number in range(2, 5):
        take(ledger, f"{number}.dm3", field(25))
    calibrate = {"sample": "Au", "paths": None, "factor": 3.0, "pixel_size_nm": None}
    decide(ledger, config, "calibrate", **calibrate, undo=False)
    scaled = particles(ledger)[:11]
    assert [float(row["area_nm2"]) * 9 for row in before] == pytest.approx(
        [float(row["area_nm2"]) for row in scaled], rel=1e-5
    )
    decide(ledger, config, "calibrate", **{**calibrate, "factor": None}, undo=True)
    assert before == particles(ledger)[:11]
    # resolved with other settings, whose effect is that of none
    decide(ledger, config, "settings", sample="Au", values={"separation.min_diameter_nm": 0.6})
    again = particles(ledger)[:11]
    assert [{**row, "method": ""} for row in before] == [{**row, "method": ""} for row in again]


def test_a_row_of_another_method_gets_a_prior_once_auto_is_set(ledger, config):
    """And the same when that is undone and done again."""
    uecs = SeparationSettings(method="uecs")
    take(ledger, "0.dm3", field(8))
    _, pair = take(ledger, "1.dm3", PAIR, settings=uecs)
    assert 10 == len(particles(ledger))
    measured = {"sample": "Au", "values": {"separation.method": "auto"}}
    decide(ledger, config, "settings", **measured)
    after = particles(ledger)
    assert 11 == len(after)
    with ledger.reader() as reader:
        kept = analyses.segmentation(reader, pair).sample_prior
    assert kept.count == pytest.approx(9, rel=0.05)
    take(ledger, "2.dm3", field(25))
    decide(ledger, config, "settings", sample="Au", values={"separation.method": "uecs"})
    assert 10 == len(particles(ledger)[: len(after) - 1])
    decide(ledger, config, "settings", sample="Au", values={"separation.method": "auto"})
    assert after == particles(ledger)[:11]
    with ledger.reader() as reader:
        assert kept == analyses.segmentation(reader, pair).sample_prior


def test_a_row_of_before_the_prior_stays_as_it_is(ledger, config):
    """A ledger of an older version: a corrected pixel size and its undoing change nothing else."""
    take(ledger, "0.dm3", field(8))
    _, pair = take(ledger, "1.dm3", PAIR)
    with ledger.transaction() as connection:
        connection.execute("UPDATE files SET sample_prior = NULL")
        connection.execute("UPDATE segmentations SET sample_prior = NULL")
    calibrate = {"sample": None, "paths": ["1.dm3"], "factor": 2.0, "pixel_size_nm": None}
    decide(ledger, config, "calibrate", **calibrate, undo=False)
    with ledger.reader() as reader:
        assert analyses.segmentation(reader, pair).sample_prior is None


def test_the_engine_gives_it_and_rebuild_uses_it(analysed, tmp_path):
    """Files of one folder, with workers: each has a prior, the last one of several files."""
    output = tmp_path / "results"
    chosen = ["--config", threshold(tmp_path, pictures=False), "--formats", "csv", "--separate", "auto"]
    done = temwatch("analyse", analysed / "acquisition" / "Au", "--output", output, *chosen)
    assert 1 == done.returncode, done.stderr  # one file is no micrograph
    with Reader(output / ".temwatch") as reader:
        given = [sample_priors.find(reader, number).count for number in range(1, 5)]
        stored = reader.connection.execute(
            """SELECT s.sample_prior, f.sample_prior, m.pixel_size_nm FROM segmentations s
                JOIN micrographs m ON m.id = s.micrograph_id JOIN files f ON f.id = m.file_id"""
        ).fetchall()
    assert 4 == len(given) == len(stored)
    for in_px, in_nm, pixel_size_nm in stored:
        expected = LoneParticles.from_json(in_nm).scaled(1 / pixel_size_nm)
        assert expected == LoneParticles.from_json(in_px)
    (table,) = output.rglob("particles.csv")
    before = rows(table)
    table.unlink()
    config = tmp_path / "service.toml"
    config.write_text(
        f"[watch]\nfolder = {json.dumps(str(analysed))}\n[output]\nfolder = {json.dumps(str(output))}\n"
        'pictures = false\n[segmentation]\nmethod = "threshold"\n[separation]\nmethod = "auto"\n'
    )
    assert 0 == command("rebuild", "--config", config).returncode
    assert before == rows(table)
