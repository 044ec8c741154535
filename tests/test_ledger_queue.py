"""The queue of files: added once, named, claimed, released."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger_cases import START, arrival, result, sha256, take
from temwatch.domain import Status
from temwatch.ledger import counters, open_ledger, presence, queue, recording
from temwatch.ledger.requests import answer_request, answer_to, open_requests
from temwatch.names import folder_name


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path) as ledger:
        yield ledger


def pending(ledger):
    with ledger.reader() as reader:
        return reader.pending()


def test_a_file_is_added_once(ledger):
    """Equal size and time mean the same file, however often it is found."""
    assert 1 == queue.add(ledger, arrival())
    assert queue.add(ledger, arrival(source="rescan")) is None
    assert [None, 2] == queue.add_all(ledger, [arrival(), arrival("b.dm3")])
    assert {"a.dm3": (100, 1, None), "b.dm3": (100, 1, None)} == presence.known(ledger, "/microscope")
    assert {} == presence.known(ledger, "/elsewhere")
    with ledger.reader() as reader:
        assert {("files_detected", "event"): 2} == counters.totals(reader)


def test_a_file_that_changes_before_it_is_claimed_keeps_its_row(ledger):
    """A claimed one becomes a new revision instead."""
    assert [1, 1] == [queue.add(ledger, arrival()), queue.add(ledger, arrival(size_bytes=200))]
    queue.claim(ledger, 1, START)
    assert 2 == queue.add(ledger, arrival(size_bytes=300))
    assert [(1, 200), (2, 300)] == [(file.revision, file.size_bytes) for file in pending(ledger)]
    assert {"a.dm3": (300, 1, None)} == presence.known(ledger, "/microscope")


def test_two_revisions_of_a_file_are_never_claimed_together(ledger):
    """They share their pictures: the later one waits until the earlier is finished."""
    queue.add_all(ledger, [arrival(), arrival("b.dm3")])
    assert ["a.dm3"] == [file.path for file in queue.claim(ledger, 1, START)]
    assert 3 == queue.add(ledger, arrival(mtime_ns=2))
    assert ["b.dm3"] == [file.path for file in queue.claim(ledger, 9, START)]
    assert Status.DONE is recording.record(ledger, 1, [result("same")]).status
    assert [2] == [file.revision for file in queue.claim(ledger, 9, START)]
    assert Status.DONE is recording.recognise(ledger, 3, sha256("same"), START).status
    assert [2] == [file.id for file in pending(ledger)]


def test_a_change_of_a_file_that_waits_for_another_attempt_ends_the_wait(ledger):
    """Earlier failures do not count for the new content."""
    queue.add(ledger, arrival())
    for _ in range(3):
        (file,) = queue.claim(ledger, 1, START + timedelta(hours=1))
        queue.release(ledger, file.id, not_before=START + timedelta(seconds=600), reason="changed")
    assert [] == queue.claim(ledger, 1, START)
    assert file.id == queue.add(ledger, arrival(size_bytes=200))
    (file,) = queue.claim(ledger, 1, START)
    assert (200, 0) == (file.size_bytes, file.attempts)


def test_a_revision_that_was_put_back_and_replaced_is_no_work_any_more(ledger):
    """Its content is gone from the disk: only the last revision is analysed."""
    queue.add(ledger, arrival())
    (file,) = queue.claim(ledger, 1, START)
    queue.add(ledger, arrival(mtime_ns=2))
    queue.release(ledger, file.id)
    assert [2] == [file.revision for file in queue.claim(ledger, 9, START)]


def test_after_a_kill_the_work_in_hand_is_pending_again(ledger, tmp_path):
    """Also if the file was replaced meanwhile; a kill is not a failed attempt."""
    queue.add_all(ledger, [arrival("a.dm3"), arrival("b.dm3")])
    assert 2 == len(queue.claim(ledger, 5, START))
    queue.add(ledger, arrival("b.dm3", mtime_ns=2))
    ledger.close()
    with open_ledger(tmp_path) as again:
        assert [("a.dm3", 1, 1), ("b.dm3", 2, 1)] == [
            (file.path, file.revision, file.attempts + 1) for file in queue.claim(again, 5, START)
        ]


def test_what_was_found_while_the_clock_was_ahead_was_found_now(ledger):
    """It is never of the future; once one of them is claimed, their age grows from then on."""
    ahead = replace(arrival("a.dm3"), detected_at=START + timedelta(days=400))
    queue.add_all(ledger, [ahead, replace(ahead, path="b.dm3")])
    with ledger.reader() as reader:
        assert START == reader.oldest_pending_at(START)
    (file,) = queue.claim(ledger, 1, START)
    assert START == file.detected_at
    with ledger.reader() as reader:
        assert START == reader.oldest_pending_at(START + timedelta(hours=1))
        assert [START, START] == [file.detected_at for file in reader.pending()]


def test_claims_go_by_age_and_respect_the_time_to_wait_for(ledger):
    """A claimed file is not claimed twice; a delayed one is not claimed early."""
    queue.add_all(ledger, (arrival(f"{number}.dm3") for number in range(4)))
    first, second = queue.claim(ledger, 2, START)
    assert ("0.dm3", "1.dm3") == (first.path, second.path)
    queue.release(ledger, first.id, not_before=START + timedelta(seconds=30), reason="input_output")
    assert ["2.dm3", "3.dm3"] == [file.path for file in queue.claim(ledger, 9, START)]
    assert [] == queue.claim(ledger, 9, START + timedelta(seconds=29))
    assert ["0.dm3"] == [file.path for file in queue.claim(ledger, 9, START + timedelta(seconds=30))]
    with ledger.reader() as reader:
        assert 1 == counters.totals(reader)["retries", "input_output"]
        assert (4, START) == (reader.queue_length(), reader.oldest_pending_at(START))


def test_crashes_are_counted(ledger):
    """The number of crashes on a file outlives the service."""
    file_id = queue.add(ledger, arrival())
    for crashes in (1, 2):
        queue.claim(ledger, 1, START)
        assert crashes == queue.release_crashed(ledger, file_id)
    assert (2, 2) == (pending(ledger)[0].crashes, pending(ledger)[0].attempts)


def test_a_claim_that_outlives_its_service_counts_as_a_crash(ledger, tmp_path):
    """Whatever killed it may have been the file; after the second time it waits for the others."""
    queue.add_all(ledger, [arrival("poison.dm3"), arrival("a.dm3"), arrival("b.dm3")])
    for crashes in (1, 2):
        (file,) = queue.claim(ledger, 1, START)
        assert ("poison.dm3", crashes - 1) == (file.path, file.crashes)
        ledger.close()
        ledger = open_ledger(tmp_path)
    with ledger:
        claimed = queue.claim(ledger, 3, START)
        assert [("a.dm3", 0), ("b.dm3", 0), ("poison.dm3", 2)] == [
            (file.path, file.crashes) for file in claimed
        ]
        assert {0} == {file.attempts for file in claimed}
        with ledger.reader() as reader:
            assert 2 == counters.totals(reader)["retries", "crashed"]
        for file in claimed:
            queue.release(ledger, file.id)


def names(ledger, *paths, sample="Au"):
    queue.add_all(ledger, (arrival(path, sample=sample) for path in paths))
    return {file.path: file.name for file in pending(ledger) if file.sample == folder_name(sample)}


def test_output_names_are_unique_whatever_the_case(ledger):
    """A share may not tell upper from lower case, and a counter may meet a real name."""
    assert {
        "Au_07.dm3": "Au_07",
        "Au_07.tif": "Au_07_2",
        "x/AU_07.dm3": "AU_07_3",
        "au_07_2.dm3": "au_07_2_2",
        "x/Ä.dm3": "Ä",
        "y/A\u0308.dm3": "A\u0308_2",
    } == names(ledger, "Au_07.dm3", "Au_07.tif", "x/AU_07.dm3", "au_07_2.dm3", "x/Ä.dm3", "y/A\u0308.dm3")
    assert {"Au_07.dm3": "Au_07"} == names(ledger, "Au_07.dm3", sample="other")


@pytest.mark.parametrize("folder_first", [False, True])
def test_a_stack_and_a_folder_of_one_name_are_two_sequences(ledger, folder_first):
    """What comes second gets a number, and frames that come later go where the first ones went."""

    def frames(*numbers):
        queue.add_all(
            ledger, (arrival(f"x/f_{number}.dm3", sequence="x", frame=number) for number in numbers)
        )

    if folder_first:
        frames(1)
    queue.add(ledger, arrival("x.dm4"))
    frames(1, 2)
    queue.add(ledger, arrival("y/x.dm4"))
    frames(3)
    found = {file.path: (file.sequence, file.name) for file in pending(ledger)}
    assert found == {
        "x.dm4": (None, "x_2" if folder_first else "x"),
        "y/x.dm4": (None, "x_3"),
    } | {f"x/f_{n}.dm3": ("x" if folder_first else "x_2", f"f_{n}") for n in (1, 2, 3)}


def test_a_frame_may_be_named_as_its_folder(ledger):
    queue.add_all(ledger, (arrival(f"7/{n}.dm3", sequence="7", frame=n) for n in (6, 7)))
    assert {("7", "6"), ("7", "7")} == {(file.sequence, file.name) for file in pending(ledger)}


def test_a_revision_keeps_the_name(ledger):
    """The pictures of a file that was replaced are replaced."""
    take(ledger, "x/a.dm3")
    take(ledger, "y/a.dm3", content=1)
    take(ledger, "y/a.dm3", content=2, mtime_ns=2)
    with ledger.reader() as reader:
        assert ["a", "a_2", "a_2"] == [row.name for row in reader.micrographs("Au")]


def test_long_names_fit_every_file_system(ledger):
    """With room for the longest suffix: NAME_MAX is 255 bytes, and umlauts take two."""
    stems = ["ü" * 120 + end for end in ("a", "b", "a")]
    paths = [f"{folder}/{stem}.dm3" for folder, stem in zip("xyz", stems, strict=True)]
    found = names(ledger, *paths)
    assert 3 == len({name.casefold() for name in found.values()})
    assert all(len(f".{name}_000000_micrograph.png.new".encode()) <= 255 for name in found.values())
    assert all(name.startswith("üüü") for name in found.values())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Au 5 nm", "Au 5 nm"),
        (".temwatch", "_temwatch"),
        ("..", "__"),
        ("", "_"),
        ("a/b\\c", "a_b_c"),
        ("dot.", "dot_"),
        ("line\nbreak", "line_break"),
        ("caf\udce9", "caf_"),
    ],
)
def test_samples_are_safe_folder_names(ledger, text, name):
    """No sample leaves the output folder, hides in it, or meets the folder of the ledger."""
    queue.add(ledger, arrival(sample=text))
    assert [name] == [file.sample for file in pending(ledger)]


def test_a_name_that_is_not_utf8_comes_back_as_it_was(ledger):
    """Linux names are bytes: such a file must be found, opened and reported like any other."""
    path, root = "caf\udce9/\udcff.dm3", "/micro\udcb5scope"
    take(ledger, path, root=root)
    assert queue.add(ledger, arrival(path, root=root)) is None
    assert {path: (100, 1, None)} == presence.known(ledger, root)
    assert "caf\\xe9/\\xff.dm3" == take(ledger, "copy.dm3").duplicate_of
    assert ([], ["nothing"]) == queue.retry(ledger, ["nothing"])
    for wanted in (f"{root}/{path}", "caf\\xe9/\\xff.dm3"):  # as a shell gives it, and as it is written
        files, _ = queue.retry(ledger, [wanted])
        assert [(root, path)] == [(file.root, file.path) for file in files]


def test_a_file_that_is_given_to_another_sample_leaves_the_first(ledger):
    """`--sample` on a second run: what is counted under one name is not counted under two."""
    take(ledger)
    take(ledger, sample="Pt")
    assert queue.add(ledger, arrival(sample="Pt")) is None
    with ledger.reader() as reader:
        assert [("Au", 0, 1), ("Pt", 1, 0)] == [
            (row.sample, row.receipt.done, row.receipt.superseded) for row in reader.samples()
        ]


def test_requests_reach_the_service_and_answers_come_back(ledger, tmp_path):
    """A command leaves a request beside the running writer."""
    from temwatch.ledger import post_request

    number = post_request(tmp_path, "rebuild", {"sample": "Au"}, START)
    assert [(number, "rebuild", {"sample": "Au"}, START)] == [
        (request.id, request.kind, request.arguments, request.created_at) for request in open_requests(ledger)
    ]
    with ledger.reader() as reader:
        assert answer_to(reader, number) is None
        answer_request(ledger, number, "{}", START)
        assert "{}" == answer_to(reader, number)
    assert [] == open_requests(ledger)


def test_retry_takes_up_what_failed_or_what_is_named(ledger):
    """All that failed or were refused, or the named ones, with the pixel size given to them."""
    take(ledger, "done.dm3")
    for path, status in (("failed.dm3", Status.FAILED), ("refused.dm3", Status.REFUSED)):
        file_id = queue.add(ledger, arrival(path))
        queue.claim(ledger, 1, START)
        recording.reject_file(ledger, file_id, status=status, code="no_pixel_size", reason="none", at=START)
    asked_at = datetime.now(UTC) - timedelta(seconds=1)  # the ledger rounds
    files, unknown = queue.retry(ledger, pixel_size_nm=0.05)
    assert (["failed.dm3", "refused.dm3"], []) == ([file.path for file in files], unknown)
    claimed = queue.claim(ledger, 9, datetime.now(UTC))  # by the clock of the retry
    assert [0.05, 0.05] == [file.pixel_size_nm for file in claimed]
    # the time to a result is told from here on
    assert all(asked_at <= file.detected_at <= datetime.now(UTC) for file in claimed)
    files, unknown = queue.retry(ledger, ["/microscope/done.dm3", "done", "never.dm3"])
    assert (["done.dm3"], ["never.dm3"]) == ([file.path for file in files], unknown)
    assert [("done.dm3", None)] == [(file.path, file.pixel_size_nm) for file in queue.claim(ledger, 9, START)]
    with ledger.reader() as reader:
        assert (3, 0) == (reader.receipt().pending, len(list(reader.micrographs("Au"))))
        assert 3 == counters.totals(reader)["retries", "requested"]
    assert Status.DONE is recording.record(ledger, files[0].id, [result()]).status


def test_a_clock_that_was_ahead_does_not_make_a_file_wait(ledger):
    """It was put back for two seconds when the clock was a day ahead; then the clock was set right."""
    file_id = queue.add(ledger, arrival())
    queue.claim(ledger, 1, START)
    longest = timedelta(seconds=600)
    queue.release(ledger, file_id, not_before=START + timedelta(seconds=2), reason="changed")
    assert [] == queue.claim(ledger, 1, START, longest)
    queue.release(ledger, file_id, not_before=START + timedelta(days=1, seconds=2), reason="changed")
    assert [file_id] == [file.id for file in queue.claim(ledger, 1, START, longest)]


def test_a_file_saved_again_is_told_by_its_time_of_change(ledger):
    """Older ledgers know none: then nothing tells."""
    take(ledger, "a.dm3")
    assert queue.add(ledger, arrival("a.dm3", ctime_ns=5)) is None
    take(ledger, "b.dm3", content=1, ctime_ns=5)
    assert queue.add(ledger, arrival("b.dm3", ctime_ns=5)) is None
    again = queue.add(ledger, arrival("b.dm3", ctime_ns=6))
    assert queue.claim(ledger, 1, START)
    assert Status.DONE == recording.recognise(ledger, again, sha256(1), START).status
    assert (100, 1, 6) == presence.known(ledger, "/microscope")["b.dm3"]
    assert queue.add(ledger, arrival("b.dm3", ctime_ns=6, written_again=True)) is not None


def test_files_of_which_only_the_time_of_change_differs_come_after_new_ones(ledger):
    """`chmod` of a whole archive holds up no new micrograph, and finds no new file."""
    for number in range(3):
        take(ledger, f"{number}.dm3", content=number, ctime_ns=5)
    again = [queue.add(ledger, arrival(f"{number}.dm3", ctime_ns=6)) for number in range(3)]
    new = queue.add(ledger, arrival("new.dm3", ctime_ns=6))
    assert again[1] == queue.add(ledger, arrival("1.dm3", ctime_ns=7))  # once more while it waits
    changed = queue.add(ledger, arrival("2.dm3", ctime_ns=7, size_bytes=101))
    assert [changed, new, *again[:2]] == [file.id for file in queue.claim(ledger, 9, START)]
    for number in (0, 1):
        assert Status.DONE is recording.recognise(ledger, again[number], sha256(number), START).status
    with ledger.reader() as reader:
        assert {"0.dm3": 1, "1.dm3": 1, "2.dm3": 1} == Counter(
            row.micrograph for row in reader.micrographs("Au")
        )
        assert 4 == counters.totals(reader)["files_detected", "event"]
