"""A corrected calibration measures again from the ledger, and its undoing restores every row."""

import csv

import numpy as np
import pytest

from ledger_cases import START, arrival, disc
from temwatch.analysis import pipeline
from temwatch.config import Config, SeparationSettings
from temwatch.domain import Metadata, PixelSizeSource, Segmentation
from temwatch.engine import decisions, requests
from temwatch.engine.measuring_again import measuring_again
from temwatch.ledger import (
    Result,
    analyses,
    changes,
    open_ledger,
    queue,
    recording,
    selection,
    waiting_rows,
)
from temwatch.outputs import tables

pytestmark = pytest.mark.system
SETTINGS = SeparationSettings(method="none")
WORDS = ("Au/0.dm3", "Au/[12].dm3", "/microscope/Au/[12]*", "*.dm3", "Au/9.dm3")


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / ".temwatch") as ledger:
        yield ledger


@pytest.fixture
def config(tmp_path):
    folder = {"folder": str(tmp_path)}
    return Config.model_validate({"watch": folder, "output": folder | {"pictures": False}})


def field(seed):
    """Discs of three sizes that stand alone."""
    mask = np.zeros((160, 160), bool)
    for number, (row, column) in enumerate([(20, 20), (20, 90), (90, 20), (90, 90)]):
        crop = disc(5 + (number + seed) % 3)
        mask[row : row + len(crop), column : column + len(crop)] |= crop
    return mask


def take(ledger, path, seed, *, stated=0.1, source=PixelSizeSource.FILE, sample="Au", meanwhile=None):
    """A micrograph that the pipeline has measured."""
    file_id = queue.add(ledger, arrival(path, sample=sample))
    (file,) = queue.claim(ledger, 10, START)
    mask = field(seed)
    size = stated or 0.1
    if stated is not None and file.correction is not None and file.correction.size_nm(stated):
        size, source = file.correction.size_nm(stated), PixelSizeSource.CORRECTED
    analysis = pipeline.resolve(mask, pixel_size_nm=size, settings=SETTINGS)
    if meanwhile is not None:
        meanwhile()
    recording.record(
        ledger,
        file.id,
        [
            Result(
                sha256=f"{path} {seed}",
                segmentation=Segmentation(mask=mask),
                analysis=analysis,
                analysed_at=START,
                seconds=0.1,
                metadata=Metadata(),
                pixel_size_source=source,
                stated_pixel_size_nm=stated,
            )
        ],
    )
    return file_id


def ask(ledger, config, **arguments):
    """As the command does it without a service."""
    given = {"sample": None, "paths": None, "factor": None, "pixel_size_nm": None, "undo": False}
    given |= {"by": "anna", "source": "command", "reason": "cross grating", **arguments}
    return requests.complete(requests.act(ledger, config, "calibrate", given, requests.workers_here(config)))


def texts(ledger, sample="Au"):
    with ledger.reader() as reader:
        return {table.file: "".join(tables.csv_text(table, reader, sample)) for table in tables.TABLES}


def rows(ledger, name="micrographs.csv"):
    return list(csv.DictReader(texts(ledger)[name].splitlines()))


def test_a_factor_for_a_sample_is_in_every_number_and_undone_exactly(ledger, config):
    """Also in what arrives meanwhile; a sample of another name is left alone."""
    for number in range(2):
        take(ledger, f"{number}.dm3", number)
    take(ledger, "pt.dm3", 5, sample="Pt")
    before, others = texts(ledger), texts(ledger, "Pt")
    assert 2 == ask(ledger, config, sample="Au", factor=1.5)["micrographs"]
    assert others == texts(ledger, "Pt")
    old = list(csv.DictReader(before["particles.csv"].splitlines()))
    new = rows(ledger, "particles.csv")
    assert len(old) == len(new) == 8
    for one, other in zip(old, new, strict=True):
        for name, power in (("equivalent_diameter_nm", 1), ("area_nm2", 2), ("circularity", 0)):
            assert float(one[name]) * 1.5**power == pytest.approx(float(other[name]), rel=1e-6)
        assert ("0.15", one["method"]) == (other["pixel_size_nm"], other["method"])
    assert {("0.15", "corrected", "0.1")} == {
        (row["pixel_size_nm"], row["pixel_size_source"], row["stated_pixel_size_nm"]) for row in rows(ledger)
    }
    take(ledger, "2.dm3", 2)
    assert ("0.15", "corrected", "0.1") == tuple(
        rows(ledger)[2][name] for name in ("pixel_size_nm", "pixel_size_source", "stated_pixel_size_nm")
    )
    assert 3 == ask(ledger, config, sample="Au", undo=True)["micrographs"]
    assert {("0.1", "file")} == {(row["pixel_size_nm"], row["pixel_size_source"]) for row in rows(ledger)}
    for name, text in before.items():
        assert texts(ledger)[name].startswith(text)
    with ledger.reader() as reader:
        undone, made = changes.history(reader, limit=9)
    assert ("undo calibrate", "calibrate", undone.id) == (undone.action, made.action, made.undone_by)
    assert ({}, 1.5, "cross grating") == (made.before, made.after["factor"], made.reason)


def test_a_micrograph_goes_before_its_sample(ledger, config):
    """Undoing the one leaves the other in force."""
    take(ledger, "0.dm3", 0)
    take(ledger, "1.dm3", 1)
    ask(ledger, config, sample="Au", factor=2.0)
    assert 1 == ask(ledger, config, paths=["1.dm3"], pixel_size_nm=0.3)["micrographs"]
    assert ["0.2", "0.3"] == [row["pixel_size_nm"] for row in rows(ledger)]
    ask(ledger, config, paths=["1.dm3"], undo=True)
    assert ["0.2", "0.2"] == [row["pixel_size_nm"] for row in rows(ledger)]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"pixel_size_nm": 0.2}, "use a factor"),
        ({"factor": 1e-9}, "pixel size"),
        ({"factor": 1e9}, "pixel size"),
        ({"undo": True}, "no correction"),
    ],
)
def test_what_does_not_fit_changes_nothing(ledger, config, how, words):
    """Stated sizes that differ, sizes that cannot be, nothing to undo."""
    take(ledger, "0.dm3", 0, stated=0.1)
    take(ledger, "1.dm3", 1, stated=0.102)
    before = texts(ledger)
    assert words in ask(ledger, config, sample="Au", **how)["refused"]
    assert before == texts(ledger)
    with ledger.reader() as reader:
        assert [] == changes.history(reader, limit=1)


def test_a_size_that_nobody_stated_is_not_corrected(ledger, config):
    """That is what a retry is for; and a retry changes no stated size."""
    take(ledger, "0.dm3", 0, stated=None, source=PixelSizeSource.USER)
    assert "retry" in ask(ledger, config, sample="Au", factor=2.0)["refused"]
    take(ledger, "1.dm3", 1)
    before = rows(ledger)
    arguments = {"paths": ["1.dm3"], "pixel_size_nm": 0.7}
    answer = requests.complete(
        requests.act(ledger, config, "retry", arguments, requests.workers_here(config))
    )
    assert (0, [("1.dm3", 0.1)]) == (answer["files"], answer["stated"])
    assert before == rows(ledger)
    arguments = {"paths": ["0.dm3"], "pixel_size_nm": 0.7}
    answer = requests.complete(
        requests.act(ledger, config, "retry", arguments, requests.workers_here(config))
    )
    assert {"files": 1, "unknown": []} == answer


def test_a_kill_leaves_nothing_half_corrected(ledger, config):
    """What waits stands in the ledger: the next one goes on."""
    for number in range(3):
        take(ledger, f"{number}.dm3", number)
    given = {"sample": "Au", "paths": None, "factor": 2.0, "pixel_size_nm": None, "undo": False}
    given |= {"by": "anna", "source": "command"}
    steps = requests.act(ledger, config, "calibrate", given, requests.workers_here(config))
    next(steps)
    steps.close()
    assert ["0.2", "0.1", "0.1"] == [row["pixel_size_nm"] for row in rows(ledger)]
    ask(ledger, config, sample="Au", factor=2.0)
    assert ["0.2"] * 3 == [row["pixel_size_nm"] for row in rows(ledger)]


def test_an_undo_while_a_row_is_measured_leaves_it_as_stated(ledger):
    """What was measured for the size that is no longer wanted is dropped within the transaction."""
    take(ledger, "0.dm3", 0)
    given = {"sample": "Au", "paths": None, "factor": 2.0, "pixel_size_nm": None, "undo": False}
    given |= {"by": "anna", "source": "command"}
    before = texts(ledger)
    decisions.decide(ledger, "calibrate", given)
    with ledger.reader() as reader:
        wanted = waiting_rows.next_waiting(reader)
    analysis = pipeline.resolve(field(0), pixel_size_nm=0.2, settings=SETTINGS)
    decisions.decide(ledger, "calibrate", given | {"factor": None, "undo": True})
    assert not analyses.replace(ledger, wanted.micrograph_id, analysis, START, wanted=wanted)
    assert before == texts(ledger)


def test_a_file_in_hand_while_its_correction_is_undone_gets_its_stated_size(ledger, config):
    """It was read with the correction, and is recorded after the undoing."""
    take(ledger, "0.dm3", 0)
    ask(ledger, config, sample="Au", factor=1.5)
    take(ledger, "1.dm3", 1, meanwhile=lambda: ask(ledger, config, sample="Au", undo=True))
    steps = measuring_again(ledger, config, requests.workers_here(config), lambda _: None)
    requests.complete(steps)
    found = rows(ledger)
    assert [("0.1", "file", "0.1")] * 2 == [
        (row["pixel_size_nm"], row["pixel_size_source"], row["stated_pixel_size_nm"]) for row in found
    ]


def test_a_row_that_cannot_be_measured_does_not_block_the_others(ledger, config):
    """It is tried twice; the others are corrected, and also samples of earlier corrections are published."""
    take(ledger, "0.dm3", 0)
    take(ledger, "1.dm3", 1)
    with ledger.transaction() as connection:
        connection.execute("UPDATE segmentations SET mask = x'00' WHERE micrograph_id = 1")
    ask(ledger, config, sample="Au", factor=2.0)
    assert ["0.1", "0.2"] == [row["pixel_size_nm"] for row in rows(ledger)]


def test_a_size_that_cannot_be_is_not_wanted(ledger, config):
    """A micrograph that arrives later may state another size, to which the factor does not apply."""
    take(ledger, "0.dm3", 0, stated=0.1)
    ask(ledger, config, sample="Au", factor=2000.0)
    take(ledger, "1.dm3", 1, stated=1000.0)
    assert ["200", "1000"] == [f"{float(row['pixel_size_nm']):g}" for row in rows(ledger)]
    with ledger.reader() as reader:
        assert 0 == waiting_rows.waiting(reader)


def test_many_paths_are_found_without_looking_at_every_name_for_each(ledger):
    """Words without a wildcard are looked up; a pattern is compared only with names that begin like it."""
    for number in range(4):
        queue.add(ledger, arrival(f"Au/{number}.dm3", size_bytes=number))
    with ledger.reader() as reader:
        connection = reader.connection
        names = [[file.path for file in selection.select(connection, [word]).files] for word in WORDS]
    assert ["Au/0.dm3"] == names[0]
    assert ["Au/1.dm3", "Au/2.dm3"] == names[1] == names[2]
    assert 4 == len(names[3])
    assert [] == names[4]
