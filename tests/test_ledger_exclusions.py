"""What somebody excludes leaves the data set, and comes back as it was; every step stays on record."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from ledger_cases import METHOD, START, arrival, result, segmented, sha256, take
from temwatch.domain import Region, Status
from temwatch.ledger import (
    analyses,
    changes,
    exclusions,
    open_ledger,
    publications,
    queue,
    recording,
    selection,
)
from temwatch.ledger.changes import Author
from temwatch.ledger.sample_columns import fields
from temwatch.ledger.sequences import progress
from temwatch.notes import Note
from temwatch.outputs import paths, pictures, sample_folder, tables

ANNA = Author(by="anna", at=START, source="command", reason="astigmatic")


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "results" / ".temwatch") as ledger:
        yield ledger


@pytest.fixture
def output(tmp_path):
    return tmp_path / "results"


def decide(ledger, what, *arguments, author=ANNA):
    """One decision in a transaction of its own."""
    with ledger.transaction() as connection:
        return what(connection, *arguments, author)


def row(ledger, path="a.dm3"):
    """The newest row of a file."""
    with ledger.reader() as reader:
        return [one for one in reader.micrographs("Au") if one.micrograph == path][-1]


def texts(ledger, sample="Au"):
    """Every table of a sample as csv writes it."""
    with ledger.reader() as reader:
        return {table.file: "".join(tables.csv_text(table, reader, sample)) for table in tables.TABLES}


def rows(text):
    return list(csv.DictReader(text.splitlines()))


def history(ledger):
    with ledger.reader() as reader:
        return changes.history(reader, limit=100)


def test_an_excluded_micrograph_is_in_no_number(ledger):
    """micrographs.csv shows it with what was measured; nothing of it is anywhere else."""
    take(ledger, "a.dm3", 0, particles=3)
    take(ledger, "b.dm3", 1, particles=4)
    assert decide(ledger, exclusions.exclude_file, 1, None)
    found = {name: rows(text) for name, text in texts(ledger).items()}
    assert ["excluded", "done"] == [one["status"] for one in found[paths.MICROGRAPHS]]
    assert "3" == found[paths.MICROGRAPHS][0]["particles"]
    assert {"b.dm3"} == {one["micrograph"] for one in found[paths.PARTICLES]}
    assert {"b.dm3"} == {one["micrograph"] for one in found[paths.REJECTIONS]}
    with ledger.reader() as reader:
        summary = tables.summary(reader, "Au")
        assert (1, 4) == (summary["micrographs"], summary["particles"])
        assert (1, 1) == (summary["files"]["done"], summary["files"]["excluded"])
        assert 4 == summary["statistics"]["equivalent_diameter_nm"]["count"]
        receipt = reader.receipt()
        assert receipt.seen == receipt.done + receipt.excluded == 2
        assert [2] == fields(reader, "Au").ids.tolist()
        assert 4 == len(fields(reader, "Au").number) == publications.particles_after(reader, "Au", 0)


def test_excluded_particles_are_rejections_and_numbers_keep_gaps(ledger):
    """Count and mean of the micrograph are those of the particles that stay."""
    take(ledger, particles=4)
    assert decide(ledger, exclusions.exclude_particles, 1, [2, 4, 9])
    found = {name: rows(text) for name, text in texts(ledger).items()}
    assert ["1", "3"] == [one["particle"] for one in found[paths.PARTICLES]]
    micrograph = found[paths.MICROGRAPHS][0]
    assert ("done", "2", "2") == (
        micrograph["status"],
        micrograph["particles"],
        micrograph["excluded_particles"],
    )
    mean = np.mean([float(one["equivalent_diameter_nm"]) for one in found[paths.PARTICLES]])
    assert float(micrograph["mean_equivalent_diameter_nm"]) == pytest.approx(mean, rel=1e-6)
    assert [("1", "touches_border"), ("2", "excluded"), ("3", "excluded")] == [
        (one["rejection"], one["reason"]) for one in found[paths.REJECTIONS]
    ]
    with ledger.reader() as reader:
        recorded = analyses.particles(reader, 1)
        for line, number in zip(found[paths.REJECTIONS][1:], (2, 4), strict=True):
            assert float(line["area_nm2"]) == pytest.approx(recorded[number - 1].area_nm2, rel=1e-6)
            assert int(line["bbox_x_px"]) == recorded[number - 1].region.origin_px[1]
        assert [1, 3] == fields(reader, "Au").number.tolist()
        assert {2, 4} == exclusions.excluded_numbers(reader, 1)


def test_what_is_included_again_is_as_it_was(ledger):
    """Every table to the last digit, whatever the order."""
    take(ledger, particles=5)
    before = texts(ledger)
    decide(ledger, exclusions.exclude_particles, 1, [1, 2])
    decide(ledger, exclusions.exclude_file, 1, None)
    decide(ledger, exclusions.exclude_particles, 1, [5])
    decide(ledger, exclusions.include_file, 1, None)
    assert {"3", "4"} == {one["particle"] for one in rows(texts(ledger)[paths.PARTICLES])}
    decide(ledger, exclusions.include_particles, 1, [1, 5, 2])
    assert before == texts(ledger)


def test_history_holds_every_step_and_what_undid_it(ledger):
    """Newest first; a second exclusion of the same is none."""
    take(ledger, particles=5)
    first = decide(ledger, exclusions.exclude_particles, 1, [2, 3])
    assert decide(ledger, exclusions.exclude_particles, 1, [2]) is None
    decide(ledger, exclusions.include_particles, 1, [2])
    assert history(ledger)[-1].undone_by is None
    last = decide(
        ledger, exclusions.include_particles, 1, [3], author=Author(by="b" * 200, at=START, source="api")
    )
    assert decide(ledger, exclusions.include_particles, 1, [3]) is None
    found = history(ledger)
    assert ["include", "include", "exclude"] == [one.action for one in found]
    oldest, newest = found[-1], found[0]
    assert (first, "anna", "astigmatic", last) == (
        oldest.id,
        oldest.made_by,
        oldest.reason,
        oldest.undone_by,
    )
    assert ([], [2, 3]) == (oldest.before["excluded_particles"], oldest.after["excluded_particles"])
    assert ([3], []) == (newest.before["excluded_particles"], newest.after["excluded_particles"])
    assert ("a.dm3", START, 100) == (newest.micrograph, newest.made_at, len(newest.made_by))


def again(ledger, item, path="a.dm3"):
    """Retry a file, which then gives this result."""
    queue.retry(ledger, [path])
    (file,) = queue.claim(ledger, 10, START)
    recording.record(ledger, file.id, [item])


def moved(item, by_px):
    """A result whose particles lie elsewhere."""
    particles = []
    for one in item.analysis.particles:
        row, column = one.region.origin_px
        region = dataclasses.replace(one.region, origin_px=(row + by_px, column))
        particles.append(dataclasses.replace(one, region=region))
    analysis = dataclasses.replace(item.analysis, particles=tuple(particles))
    return dataclasses.replace(item, analysis=analysis)


def one_disc(radius_px=8):
    """A result with one particle."""
    item = result(0, 1)
    (particle,) = item.analysis.particles
    y, x = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    region = Region(origin_px=(30, 40), mask=x * x + y * y <= radius_px**2)
    analysis = dataclasses.replace(item.analysis, particles=(dataclasses.replace(particle, region=region),))
    return dataclasses.replace(item, analysis=analysis)


def test_exclusions_are_in_force_after_a_retry(ledger):
    """Of the micrograph and of the particle that is in the same place, under whichever number."""
    take(ledger, content=0, particles=5)
    decide(ledger, exclusions.exclude_particles, 1, [2])
    decide(ledger, exclusions.exclude_file, 1, None)
    item = result(0, 5)
    turned = dataclasses.replace(item.analysis, particles=item.analysis.particles[::-1])
    again(ledger, dataclasses.replace(item, analysis=turned))
    found = row(ledger)
    assert (Status.EXCLUDED, 1, 4) == (found.status, found.excluded_particles, found.particles)
    with ledger.reader() as reader:
        assert [(4,)] == reader.excluded_values(found.id, ["number"])
    decide(ledger, exclusions.include_file, 1, None)
    decide(ledger, exclusions.include_particles, found.id, [4])
    assert (Status.DONE, 0, 5) == (row(ledger).status, row(ledger).excluded_particles, row(ledger).particles)


@pytest.mark.parametrize(("by_px", "applies"), [(0, True), (3, True), (8, False), (17, False)])
def test_a_particle_is_known_by_half_of_its_outline(ledger, by_px, applies):
    """A disc of 17 px moved by 3 px shares 0.63 of the union, by 8 px 0.27; then a note says so."""
    queue.add(ledger, arrival())
    (file,) = queue.claim(ledger, 10, START)
    recording.record(ledger, file.id, [one_disc()])
    decide(ledger, exclusions.exclude_particles, 1, [1])
    again(ledger, moved(one_disc(), by_px))
    found = row(ledger)
    assert int(applies) == found.excluded_particles == 1 - found.particles
    assert applies == (Note.EXCLUSION_LOST not in found.notes)
    again(ledger, one_disc())  # found once more
    assert 1 == row(ledger).excluded_particles
    assert Note.EXCLUSION_LOST not in row(ledger).notes


def test_a_lost_exclusion_is_ended_by_its_old_number(ledger):
    """Its note leaves with it."""
    take(ledger, content=0, particles=5)
    decide(ledger, exclusions.exclude_particles, 1, [5])
    again(ledger, result(0, 0))
    assert Note.EXCLUSION_LOST in row(ledger).notes
    assert decide(ledger, exclusions.include_particles, row(ledger).id, [5])
    assert Note.EXCLUSION_LOST not in row(ledger).notes


def test_a_later_revision_starts_included(ledger):
    """Its content is another; the rows of the earlier one stay as they were."""
    take(ledger, content=0, particles=3)
    decide(ledger, exclusions.exclude_file, 1, None)
    take(ledger, content=1, particles=4, size_bytes=200)
    assert (Status.DONE, 4) == (row(ledger).status, row(ledger).particles)
    assert 4 == len(rows(texts(ledger)[paths.PARTICLES]))


def test_a_file_saved_again_with_the_same_content_stays_excluded(ledger):
    """Only its time has changed."""
    take(ledger, content=0)
    decide(ledger, exclusions.exclude_file, 1, None)
    queue.add(ledger, arrival(mtime_ns=2))
    (file,) = queue.claim(ledger, 10, START)
    recording.recognise(ledger, file.id, result(0).sha256, START)
    assert Status.EXCLUDED is row(ledger).status


def test_a_pending_file_can_be_excluded(ledger):
    """Its result is recorded, and counts nowhere."""
    file_id = queue.add(ledger, arrival())
    decide(ledger, exclusions.exclude_file, file_id, None)
    (file,) = queue.claim(ledger, 10, START)
    recording.record(ledger, file.id, [result(0)])
    assert Status.EXCLUDED is row(ledger).status
    assert [] == rows(texts(ledger)[paths.PARTICLES])


def test_a_new_separation_keeps_exclusions(ledger):
    """As `rebuild` does it: numbers and counts follow."""
    take(ledger, content=0, particles=5)
    decide(ledger, exclusions.exclude_particles, 1, [1])
    analysis = result(0, 5).analysis
    fewer = dataclasses.replace(
        analysis,
        particles=analysis.particles[::-1],
        method=dataclasses.replace(METHOD, separation="watershed"),
    )
    analyses.replace(ledger, 1, fewer, START)
    assert (1, 4) == (row(ledger).excluded_particles, row(ledger).particles)
    with ledger.reader() as reader:
        assert [(5,)] == reader.excluded_values(1, ["number"])


@pytest.mark.parametrize("inside", [True, False])
def test_a_polygon_takes_the_particles_whose_centre_it_holds(ledger, inside):
    """In px, x to the right and y down, whichever way round it is drawn."""
    take(ledger, content=3, particles=6)
    with ledger.reader() as reader:
        centres = {
            number: (x / 0.1, y / 0.1)
            for number, x, y in reader.particle_values(1, ("number", "centroid_x_nm", "centroid_y_nm"))
        }
    x, y = centres[2]
    polygon = [(x - 2, y - 2), (x + 2, y - 2), (x + 2, y + 2), (x - 2, y + 2)]
    polygon = polygon if inside else [(x + 500, y) for x, y in polygon]
    expected = {n for n, (a, b) in centres.items() if inside and abs(a - x) < 2 and abs(b - y) < 2}
    for points in (polygon, polygon[::-1]):
        with ledger.transaction() as connection:
            assert expected == selection.numbers_within(connection, 1, points)


def test_excluded_frames_and_particles_are_linked_again_without_them(ledger):
    """What was linked of them is pending again, and a gap of excluded frames needs no waiting."""
    queue.add(ledger, arrival())
    (file,) = queue.claim(ledger, 10, START)
    recording.record(ledger, file.id, [result(0, frame=n) for n in range(4)], frames_total=4)
    with ledger.transaction() as connection:
        connection.execute("DELETE FROM unfollowed")
    decide(ledger, exclusions.exclude_file, 1, 1)
    decide(ledger, exclusions.exclude_particles, 3, [1])
    with ledger.reader() as reader:
        (sequence,) = progress.sequences(reader)
        assert 1 == sequence.first
        sequence = dataclasses.replace(sequence, through=0)
        found = progress.ready_frames(reader, sequence, limit=9, now=START, gap_s=60.0)
    assert [(1, None), (2, 3)] == [(one.frame, one.micrograph_id) for one in found]


def test_the_overlay_draws_excluded_outlines_grey(ledger, output):
    """Of the particle, and after that of all particles of the micrograph; no other outline is grey."""
    take(ledger, particles=4)
    item = segmented(0, 4)[1]
    folder = paths.micrograph_folder(output, "Au", "a")
    pictures.write_pictures(folder, "a", np.zeros(item.mask.shape, np.float32), item)

    def grey():
        sample_folder.publish(ledger, output, "Au")
        with Image.open(paths.picture(folder, "a", "overlay")) as picture:
            return np.count_nonzero((np.asarray(picture) == pictures.EXCLUDED).all(axis=-1))

    assert 0 == grey()
    decide(ledger, exclusions.exclude_particles, 1, [2])
    one = grey()
    decide(ledger, exclusions.exclude_file, 1, None)
    assert 0 < one < grey()
    assert 1 == len(paths.micrograph_table(folder).read_text().splitlines())
    decide(ledger, exclusions.include_file, 1, None)
    decide(ledger, exclusions.include_particles, 1, [2])
    assert 0 == grey()
    assert 5 == len(paths.micrograph_table(folder).read_text().splitlines())


def test_published_tables_follow(ledger, output):
    """Rows that were appended before leave the file, and summary.json with them."""
    take(ledger, "a.dm3", 0)
    take(ledger, "b.dm3", 1)
    sample_folder.publish(ledger, output, "Au")
    decide(ledger, exclusions.exclude_file, 2, None)
    sample_folder.publish(ledger, output, "Au")
    folder = paths.sample_folder(output, "Au")
    for name, text in texts(ledger).items():
        assert text == (folder / name).read_text()
    assert 1 == json.loads((folder / paths.SUMMARY).read_text())["micrographs"]
    assert not list(folder.glob("*.edited-*"))


def test_what_is_excluded_while_an_unchanged_file_waits_to_be_read_again_stays_excluded(ledger):
    """Its time had changed alone; a rule does not exclude again what somebody put back."""
    take(ledger, "a.dm3", 0)
    take(ledger, "b.dm3", 1)
    by_rule = changes.rule_author("b*", START)
    assert decide(ledger, exclusions.exclude_file, 2, None, author=by_rule)
    assert decide(ledger, exclusions.include_file, 2, None)
    again = [
        queue.add(ledger, arrival("a.dm3", mtime_ns=2)),
        queue.add(ledger, arrival("b.dm3", mtime_ns=2, excluded_by="b*")),
    ]
    assert decide(ledger, exclusions.exclude_file, again[0], None)
    for file, content in zip(queue.claim(ledger, 2, START), (0, 1), strict=True):
        assert recording.recognise(ledger, file.id, sha256(content), START)
    assert [("a.dm3", "excluded"), ("b.dm3", "done")] == [
        (one.micrograph, str(one.status)) for one in (row(ledger, "a.dm3"), row(ledger, "b.dm3"))
    ]
    assert decide(ledger, exclusions.include_file, 1, None)
    assert "done" == row(ledger, "a.dm3").status
