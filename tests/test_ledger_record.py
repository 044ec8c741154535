"""What an analysis found goes into the ledger whole, once, and comes out as it was."""

import dataclasses
from dataclasses import astuple, replace

import numpy as np
import pytest

from ledger_cases import METHOD, START, arrival, result, segmented, sha256, take
from temwatch.domain import Reason, Status
from temwatch.ledger import analyses, counters, open_ledger, queue, recording
from temwatch.notes import Note


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path) as ledger:
        yield ledger


def claimed(ledger, path="a.dm3", **more):
    file_id = queue.add(ledger, arrival(path, **more))
    assert file_id in [file.id for file in queue.claim(ledger, 100, START)]
    return file_id


def statuses(ledger, sample="Au"):
    with ledger.reader() as reader:
        return [(row.micrograph, str(row.status)) for row in reader.micrographs(sample)]


def counts(ledger):
    """Seen, done, refused, failed, duplicates, superseded, pending."""
    with ledger.reader() as reader:
        *counted, excluded = astuple(reader.receipt())
    assert not excluded
    return tuple(counted)


def assert_equal_fields(expected, actual):
    """Field by field, arrays and nested regions included."""
    assert type(expected) is type(actual)
    for field in dataclasses.fields(expected):
        one, other = getattr(expected, field.name), getattr(actual, field.name)
        if dataclasses.is_dataclass(one) and field.name != "method":
            assert_equal_fields(one, other)
        elif isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        elif isinstance(one, tuple) and one and dataclasses.is_dataclass(one[0]):
            for a, b in zip(one, other, strict=True):
                assert_equal_fields(a, b)
        else:
            assert one == other, field.name


@pytest.mark.parametrize("content", range(4))
def test_an_analysis_comes_out_as_it_went_in(ledger, content):
    """Bit for bit: every number, every region, every mask."""
    given = result(content, particles=5)
    (number,) = recording.record(ledger, claimed(ledger), [given]).micrograph_ids
    with ledger.reader() as reader:
        assert_equal_fields(given.analysis, analyses.load(reader, number))
        assert_equal_fields(given.segmentation, analyses.segmentation(reader, number))
        assert {METHOD.digest: METHOD} == reader.methods()
        row = reader.micrograph(number)
    assert (88, 96, 0.1, 5, 1) == (
        row.width_px,
        row.height_px,
        row.pixel_size_nm,
        row.particles,
        row.rejected[Reason.TOUCHES_BORDER],
    )
    assert (given.metadata, given.acquired_at, given.analysed_at) == (
        row.metadata,
        row.acquired_at,
        row.analysed_at,
    )
    assert given.analysis.particle_fraction == row.particle_fraction


def test_a_micrograph_without_particles_is_a_result(ledger):
    """It counts as done, with a mean that is not defined."""
    (number,) = recording.record(ledger, claimed(ledger), [result(particles=0)]).micrograph_ids
    with ledger.reader() as reader:
        assert (0, None) == (
            reader.micrograph(number).particles,
            reader.micrograph(number).mean_equivalent_diameter_nm,
        )
        assert ((), {"area_nm2": 0}) == (
            analyses.particles(reader, number),
            {name: column.size for name, column in reader.particle_columns("Au", ["area_nm2"]).items()},
        )


def test_numpy_numbers_are_numbers(ledger):
    """A float32 or int64 that slips in must not make a blob, and one that is not finite stays so."""
    given = result(particles=1)
    odd = given.analysis.particles[0]
    values = {**odd.descriptors, "convexity": np.float32(0.5), "solidity": float("nan")}
    odd = replace(odd, descriptors=values)
    odd = replace(odd, region=replace(odd.region, origin_px=(np.int64(1), np.int64(2))))
    analysis = replace(given.analysis, particles=(odd,))
    recording.record(ledger, claimed(ledger), [replace(given, analysis=analysis, seconds=np.float32(2))])
    with ledger.reader() as reader:
        columns = reader.particle_columns("Au", ["convexity", "solidity", "bbox_x_px"])
    assert [0.5] == columns["convexity"].tolist()
    assert [2] == columns["bbox_x_px"].tolist()
    assert np.isnan(columns["solidity"]).all()


def test_masks_of_two_micrographs_are_a_defect(ledger):
    """And nothing is recorded of them."""
    file_id = claimed(ledger)
    segmentation, _ = segmented(size_px=32)
    with pytest.raises(ValueError, match="two micrographs"):
        recording.record(ledger, file_id, [replace(result(), segmentation=segmentation)])
    assert (1, 0, 0, 0, 0, 0, 1) == counts(ledger)


def test_recording_twice_changes_nothing(ledger):
    """A worker that was given up may hand in late."""
    file_id = claimed(ledger)
    first = recording.record(ledger, file_id, [result()])
    assert (Status.DONE, ()) == (
        recording.record(ledger, file_id, [result()]).status,
        recording.record(ledger, file_id, [result()]).micrograph_ids,
    )
    late = recording.reject_file(
        ledger, file_id, status=Status.FAILED, code="crashed", reason="late", at=START
    )
    assert (Status.DONE, 1) == (late.status, len(first.micrograph_ids))
    assert ([("a.dm3", "done")], (1, 1, 0, 0, 0, 0, 0)) == (statuses(ledger), counts(ledger))
    assert Status.SUPERSEDED is recording.record(ledger, 999, [result()]).status


def test_a_failure_in_the_middle_leaves_nothing(ledger):
    """All rows of a micrograph or none."""
    file_id = claimed(ledger)
    given = result()
    broken = replace(given.analysis, particles=(*given.analysis.particles, None))
    with pytest.raises(AttributeError):
        recording.record(ledger, file_id, [given, replace(given, analysis=broken)])
    assert ([], (1, 0, 0, 0, 0, 0, 1)) == (statuses(ledger), counts(ledger))


def test_the_same_content_counts_once_in_a_sample(ledger):
    """Known before the analysis, and found out after it where two were analysed at once."""
    take(ledger, "a.dm3")
    known = recording.recognise(ledger, claimed(ledger, "b.dm3"), sha256(0), START, seconds=0.5)
    assert (Status.DUPLICATE, "a.dm3") == (known.status, known.duplicate_of)
    assert "a.dm3" == take(ledger, "c.dm3").duplicate_of
    assert Status.DONE is take(ledger, "d.dm3", sample="Pt").status
    assert recording.recognise(ledger, claimed(ledger, "e.dm3"), sha256("else"), START) is None
    assert (5, 2, 0, 0, 2, 0, 1) == counts(ledger)
    with ledger.reader() as reader:
        assert ["same content as a.dm3"] * 2 == [row.reason for row in reader.micrographs("Au")][1:]


def test_equal_frames_of_one_sequence_are_not_duplicates(ledger):
    """A blank or repeated frame is a point in time; in another sequence it is a copy."""
    for number in (0, 1):
        take(ledger, f"run/{number}.dm3", sequence="run", frame=number)
    assert Status.DUPLICATE is take(ledger, "copy/0.dm3", sequence="copy", frame=0).status
    assert [f"run/{number}.dm3" for number in (0, 1)] == [row[0] for row in statuses(ledger)[:2]]
    assert (3, 2, 0, 0, 1, 0, 0) == counts(ledger)


def test_a_replaced_file_supersedes_its_earlier_revision(ledger):
    """Its row stays with that status, its particles leave the sample."""
    take(ledger, content=1, particles=4)
    take(ledger, content=2, particles=2, mtime_ns=2)
    assert [("a.dm3", "superseded"), ("a.dm3", "done")] == statuses(ledger)
    with ledger.reader() as reader:
        assert 2 == reader.particle_columns("Au", ["area_nm2"])["area_nm2"].size
        assert 2 == reader.samples()[0].particles
    file_id = claimed(ledger, mtime_ns=3)
    recording.reject_file(ledger, file_id, status=Status.REFUSED, code="truncated", reason="short", at=START)
    assert ["superseded", "superseded", "refused"] == [status for _, status in statuses(ledger)]


def test_a_file_that_was_only_touched_keeps_its_row(ledger):
    """Same content, new time: nothing is analysed, nothing is superseded, and it is not found again."""
    take(ledger)
    touched = claimed(ledger, mtime_ns=2)
    assert Status.DONE is recording.recognise(ledger, touched, sha256(0), START).status
    assert ([("a.dm3", "done")], (1, 1, 0, 0, 0, 0, 0)) == (statuses(ledger), counts(ledger))
    assert queue.add(ledger, arrival(mtime_ns=2)) is None


def test_content_comes_back_under_its_copy_when_the_original_is_replaced(ledger):
    """The copy was a duplicate; now nothing else stands for what it holds."""
    take(ledger, "a.dm3")
    take(ledger, "b.dm3")
    take(ledger, "a.dm3", content=1, mtime_ns=2)
    (again,) = queue.claim(ledger, 9, START)
    assert "b.dm3" == again.path
    assert Status.DONE is recording.record(ledger, again.id, [result(0)]).status
    assert (3, 2, 0, 0, 0, 1, 0) == counts(ledger)


def test_a_copy_that_was_touched_while_its_original_is_replaced_is_analysed(ledger):
    """It must not be taken for a mere touch of a duplicate whose original is gone."""
    take(ledger, "a.dm3")
    take(ledger, "b.dm3")
    replaced, touched = claimed(ledger, "a.dm3", mtime_ns=2), claimed(ledger, "b.dm3", mtime_ns=2)
    recording.record(ledger, replaced, [result(1)])
    assert recording.recognise(ledger, touched, sha256(0), START) is None
    assert Status.DONE is recording.record(ledger, touched, [result(0)]).status


def frames(*indices):
    return [result("stack", frame=index) for index in indices]


def test_a_stack_goes_on_where_it_was_killed(ledger, tmp_path):
    """Batches of frames; one that is handed in twice adds nothing."""
    file_id = claimed(ledger, "stack.dm4")
    assert (
        Status.PENDING
        is recording.record(ledger, file_id, frames(0, 1), finished=False, frames_total=5).status
    )
    ledger.close()
    with open_ledger(tmp_path) as again:
        (file,) = queue.claim(again, 9, START)
        assert (2, 5) == (file.frames_recorded, file.frames_total)
        assert 1 == len(recording.record(again, file_id, frames(1, 2), finished=False).micrograph_ids)
        assert Status.DONE is recording.record(again, file_id, frames(3, 4)).status
        with again.reader() as reader:
            rows = list(reader.micrographs("Au"))
            totals = counters.totals(reader)
        assert [(number, number * 0.5) for number in range(5)] == [(row.frame, row.elapsed_s) for row in rows]
        assert (5, 1) == (totals["frames_processed", ""], totals["micrographs_processed", "done"])
        assert (1, 1, 0, 0, 0, 0, 0) == counts(again)


def test_a_stack_that_turns_out_to_be_a_copy_leaves_its_frames(ledger):
    """Two copies were in hand at once: only one of them counts."""
    one, other = claimed(ledger, "a.dm4"), claimed(ledger, "b.dm4")
    for file_id in (one, other):
        recording.record(ledger, file_id, frames(0), finished=False, frames_total=2)
    assert Status.DONE is recording.record(ledger, one, frames(1)).status
    assert "a.dm4" == recording.record(ledger, other, frames(1)).duplicate_of
    assert [("a.dm4", "done"), ("a.dm4", "done"), ("b.dm4", "duplicate")] == sorted(statuses(ledger))


def test_a_stack_that_breaks_keeps_its_good_frames(ledger):
    """The file failed, with its reason; what was measured stays measured."""
    file_id = claimed(ledger)
    recording.record(ledger, file_id, frames(0, 1), finished=False, frames_total=3)
    recording.reject_file(
        ledger, file_id, status=Status.FAILED, code="input_output", reason="frame 2", at=START
    )
    assert ["done", "done", "failed"] == [status for _, status in statuses(ledger)]
    assert (1, 0, 0, 1, 0, 0, 0) == counts(ledger)


def test_totals_only_grow(ledger):
    """They are counters of Prometheus: a retry takes rows away, but what was done was done."""
    take(ledger, particles=3)
    file_id = claimed(ledger, "b.dm3")
    recording.reject_file(ledger, file_id, status=Status.FAILED, code="vanished", reason="gone", at=START)
    queue.retry(ledger, ["a.dm3", "b.dm3"])
    counters.count(ledger, "out_of_memory", amount=2)
    with ledger.reader() as reader:
        assert {
            ("files_detected", "event"): 2,
            ("micrographs_failed", "vanished"): 1,
            ("micrographs_processed", "done"): 1,
            ("micrographs_processed", "failed"): 1,
            ("out_of_memory", ""): 2,
            ("particles_measured", ""): 3,
            ("particles_rejected", "touches_border"): 1,
            ("retries", "requested"): 2,
        } == counters.totals(reader)


def test_another_analysis_takes_the_place_of_the_first(ledger):
    """Rebuilding with other settings keeps the order of the rows."""
    first, second = (take(ledger, path, content=path).micrograph_ids[0] for path in ("a.dm3", "b.dm3"))
    with ledger.reader() as reader:
        old = analyses.load(reader, first)
    other = replace(METHOD, separation="none")
    new = replace(old, particles=old.particles[:1], rejections=old.rejections * 2, method=other)
    analyses.replace(ledger, first, new, START)
    with ledger.reader() as reader:
        assert_equal_fields(new, analyses.load(reader, first))
        assert [(first, 1, other.digest), (second, 3, METHOD.digest)] == [
            (row.id, row.particles, row.method) for row in reader.micrographs("Au")
        ]


def test_notes_of_every_stage_are_joined_and_each_is_renewed_by_its_own_stage(ledger):
    """The segmenter's come back with its segmentation; what the ledger found outlasts an analysis."""
    given = result()
    segmentation = replace(given.segmentation, notes=(Note.BLANK_FIELD,))
    analysis = replace(given.analysis, notes=(Note.BLANK_FIELD, Note.TWO_KINDS))
    given = replace(given, segmentation=segmentation, analysis=analysis)
    (number,) = recording.record(ledger, claimed(ledger), [given]).micrograph_ids
    with ledger.transaction() as connection:
        connection.execute("UPDATE micrographs SET notes_of_record = ?", (Note.FILE_GONE,))
    with ledger.reader() as reader:
        assert (Note.BLANK_FIELD, Note.TWO_KINDS, Note.FILE_GONE) == reader.micrograph(number).notes
        assert (Note.BLANK_FIELD,) == analyses.segmentation(reader, number).notes
        assert {Note.BLANK_FIELD, Note.TWO_KINDS, Note.FILE_GONE} == set(reader.notes())
        assert {(1, "a.dm3")} == set(reader.notes().values())
    analyses.replace(ledger, number, replace(analysis, notes=(Note.BLANK_FIELD,)), START)
    with ledger.reader() as reader:
        assert (Note.BLANK_FIELD, Note.FILE_GONE) == reader.micrograph(number).notes


def test_what_has_no_result_has_no_analysis(ledger):
    """KeyError, and an empty list of particles."""
    file_id = claimed(ledger)
    refused = recording.reject_file(
        ledger, file_id, status=Status.REFUSED, code="empty", reason="0 bytes", at=START
    )
    with ledger.reader() as reader:
        for read in (analyses.load, analyses.segmentation):
            with pytest.raises(KeyError):
                read(reader, refused.micrograph_ids[0])
        assert ((), ()) == (analyses.particles(reader, 999), analyses.rejections(reader, 999))
        assert reader.micrograph(999) is None
        assert [("refused", "empty", "0 bytes")] == [
            (str(row.status), row.reason_code, row.reason) for row in reader.troubles()
        ]


def test_a_reader_sees_one_moment_while_the_writer_writes(ledger):
    """And the next moment after it."""
    take(ledger)
    with ledger.reader() as reader:
        with reader.snapshot():
            assert 1 == reader.receipt().done
            take(ledger, "b.dm3", content=1)
            assert (1, 1) == (reader.receipt().done, len(reader.recent()))
        assert ["b.dm3", "a.dm3"] == [row.micrograph for row in reader.recent()]
        assert START == reader.last_success_at()
