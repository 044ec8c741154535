"""Copies of one exposure count once, whichever came first and whatever becomes of the one that counts."""

from dataclasses import replace
from itertools import permutations

import pytest

from ledger_cases import START, arrival, result, sha256
from temwatch.domain import Kin, PackedFingerprint, Status
from temwatch.ledger import exposures, open_ledger, publications, queue, recording
from temwatch.ledger.sample_columns import fields
from temwatch.notes import Note


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path) as ledger:
        yield ledger


def take(ledger, path, content, *, kin=None, stated=None, **more):
    """Record a file; `kin` are paths of its kin."""
    file_id = queue.add(ledger, arrival(path, **more))
    (file,) = [file for file in queue.claim(ledger, 1000, START) if file.id == file_id]
    with ledger.reader() as reader:
        ids = {
            row.micrograph: row.id for row in reader.micrographs("Au") if row.status is not Status.SUPERSEDED
        }
    known = Kin(**{name: ids[path] for name, path in (kin or {}).items()})
    given = replace(
        result(content),
        stated_pixel_size_nm=stated,
        fingerprint=PackedFingerprint(coarse=b"coarse", whole=b"whole"),
    )
    return recording.record(ledger, file.id, [given], kin=known)


def rows(ledger):
    """Rows by path, the newest of each."""
    with ledger.reader() as reader:
        return {row.micrograph: row for row in reader.micrographs("Au")}


def state(ledger):
    return {path: str(row.status) for path, row in rows(ledger).items()}


def particles(ledger):
    with ledger.reader() as reader:
        return reader.samples()[0].particles, len(reader.particle_columns("Au", ["area_nm2"])["area_nm2"])


def test_a_copy_is_a_duplicate_that_counts_nothing(ledger):
    """Its row names the micrograph that counts, by path and by digest."""
    take(ledger, "a.dm3", 0, stated=0.1)
    done = take(ledger, "a.tif", 1, kin={"copy": "a.dm3"})
    assert (Status.DUPLICATE, "copy of the exposure in a.dm3") == (done.status, done.reason)
    row = rows(ledger)["a.tif"]
    assert ("duplicate", "copy of the exposure in a.dm3") == (str(row.status), row.reason)
    assert Note.SAME_FIELD_AS.about(sha256(0)) in row.notes
    assert (0, None, None) == (row.particles, row.method, row.mean_equivalent_diameter_nm)
    assert (3, 3) == particles(ledger)
    with ledger.reader() as reader:
        receipt = reader.receipt()
        assert (1, 1, 0) == (receipt.done, receipt.duplicates, receipt.pending)


@pytest.mark.parametrize("order", list(permutations(("a.dm3", "a.tif", "b.tif"))))
def test_the_same_copy_counts_whatever_the_order(ledger, order):
    """The microscope's own format, not the export that came before it; the tables are written again."""
    for number, path in enumerate(order):
        kin = {"copy": order[0]} if number else None
        take(ledger, path, path, kin=kin, stated=None if path == "b.tif" else 0.1)
    assert {"a.dm3": "done", "a.tif": "duplicate", "b.tif": "duplicate"} == state(ledger)
    note = Note.SAME_FIELD_AS.about(sha256("a.dm3"))
    found = rows(ledger)
    assert note in found["a.tif"].notes
    assert note in found["b.tif"].notes
    assert "same_field_as" not in str(found["a.dm3"].notes)
    assert found["a.dm3"].reason is None
    with ledger.reader() as reader:
        assert 1 == len(set(fields(reader, "Au").field))
        assert (publications.generations(reader, "Au")[1] > 0) == (order[0] != "a.dm3")


def test_a_copy_takes_the_place_of_what_is_retried_and_gives_it_back(ledger):
    """From the ledger: its own file is not needed."""
    take(ledger, "a.dm3", 0)
    take(ledger, "a.tif", 1, kin={"copy": "a.dm3"})
    queue.retry(ledger, ["a.dm3"])
    assert {"a.tif": "done"} == state(ledger)
    assert (3, 3) == particles(ledger)
    (file,) = queue.claim(ledger, 10, START)
    (other,) = [row.id for row in rows(ledger).values()]
    given = replace(result(0), fingerprint=PackedFingerprint(coarse=b"coarse", whole=b"whole"))
    recording.record(ledger, file.id, [given], kin=Kin(copy=other))
    assert {"a.dm3": "done", "a.tif": "duplicate"} == state(ledger)
    assert (3, 3) == particles(ledger)


def test_a_copy_takes_the_place_of_what_was_replaced(ledger):
    """A later revision of the file is another micrograph."""
    take(ledger, "a.dm3", 0)
    take(ledger, "a.tif", 1, kin={"copy": "a.dm3"})
    take(ledger, "a.dm3", 2, mtime_ns=2)
    with ledger.reader() as reader:
        found = [(row.micrograph, str(row.status)) for row in reader.micrographs("Au")]
    assert [("a.dm3", "superseded"), ("a.tif", "done"), ("a.dm3", "done")] == found
    assert (6, 6) == particles(ledger)


def test_exposures_of_one_area_are_one_field_of_view(ledger):
    """All of them count, and each but the first says so."""
    take(ledger, "a.dm3", 0)
    take(ledger, "b.dm3", 1)
    take(ledger, "c.dm3", 2, kin={"repeat": "a.dm3"})
    take(ledger, "d.dm3", 3, kin={"repeat": "c.dm3"})
    assert {"done"} == set(state(ledger).values())
    assert Note.REPEAT_OF.about(sha256(0)) in rows(ledger)["c.dm3"].notes
    assert Note.REPEAT_OF.about(sha256(2)) in rows(ledger)["d.dm3"].notes
    with ledger.reader() as reader:
        names = fields(reader, "Au").field
    assert names[0] == names[2] == names[3] != names[1]


def test_a_repeat_of_a_copy_is_of_the_field_of_what_counts(ledger):
    """Also where a better copy came later."""
    take(ledger, "a.tif", 0)
    take(ledger, "a.dm3", 1, kin={"copy": "a.tif"})
    take(ledger, "b.dm3", 2, kin={"repeat": "a.tif"})
    take(ledger, "b.tif", 3, kin={"copy": "b.dm3"})
    assert {"a.tif": "duplicate", "a.dm3": "done", "b.dm3": "done", "b.tif": "duplicate"} == state(ledger)
    with ledger.reader() as reader:
        assert 1 == len(set(fields(reader, "Au").field))


def test_kin_that_is_gone_by_now_is_none(ledger):
    """It was retried after it was found."""
    take(ledger, "a.dm3", 0)
    file_id = queue.add(ledger, arrival("b.dm3"))
    queue.claim(ledger, 10, START)
    assert Status.DONE is recording.record(ledger, file_id, [result(1)], kin=Kin(copy=999, repeat=998)).status


def test_what_has_no_particles_is_never_compared(ledger):
    """A blank field is like any other blank field."""
    for number, particles_found in enumerate((0, 2, 2)):
        file_id = queue.add(ledger, arrival(f"{number}.dm3"))
        queue.claim(ledger, 10, START)
        given = replace(
            result(number, particles_found), fingerprint=PackedFingerprint(coarse=b"coarse", whole=b"whole")
        )
        notes = (Note.BLANK_FIELD,) if number == 2 else ()
        given = replace(given, analysis=replace(given.analysis, notes=notes))
        recording.record(ledger, file_id, [given])
    with ledger.reader() as reader:
        ids, maps = exposures.coarse_maps(reader, "Au", without_file=0)
        assert (["1.dm3"], b"coarse") == ([reader.micrograph(id).micrograph for id in ids], maps)
        assert b"whole" == exposures.fingerprint(reader, ids[0])
