"""A file that was moved has one place and one set of rows, whatever it was and whatever lay there."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ledger_cases import START, arrival, result, sha256
from temwatch.domain import Kin, PackedFingerprint, PixelSizeSource, Status
from temwatch.ledger import (
    calibrations,
    changes,
    exclusions,
    moves,
    open_ledger,
    presence,
    publications,
    queue,
    recording,
    relocations,
    sample_settings,
    undoing,
)
from temwatch.ledger.changes import Author
from temwatch.ledger.sequences import progress
from temwatch.notes import Note
from temwatch.outputs import paths, relocating, sample_folder

ANNA = Author(by="anna", at=START, source="command", reason="why")
TIME_NS = 1_234_567


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / ".temwatch") as ledger:
        yield ledger


def arrive(ledger, path, inode, **more):
    """A complete file that waits."""
    found = arrival(path, inode=inode, mtime_ns=more.pop("mtime_ns", TIME_NS), **more)
    return queue.add(ledger, found)


def claim(ledger, file_id):
    (file,) = [file for file in queue.claim(ledger, 1000, START) if file.id == file_id]
    return file


def take(ledger, path, inode, content, results=None, **more):
    """A file the whole way; gives its id."""
    total = more.pop("frames_total", None)
    file_id = arrive(ledger, path, inode, **more)
    claim(ledger, file_id)
    recording.record(
        ledger, file_id, results or [result(content)], frames_total=total, kin=more.pop("kin", None)
    )
    return file_id


def move(ledger, former, path, inode, *, sha256=None, kin=None, **more):
    """The file `former` was moved to `path`; gives whether the ledger has followed."""
    file = claim(ledger, arrive(ledger, path, inode, **more))
    assert [former] == [one.file_id for one in moves.suspects(ledger, file, sha256)]
    return moves.move(ledger, file.id, former, kin=kin) is not None


def rows(ledger, sample="Au"):
    """Status by path, of the rows of a sample."""
    with ledger.reader() as reader:
        return {row.micrograph: str(row.status) for row in reader.micrographs(sample)}


def counted(ledger):
    """Particles of every sample."""
    with ledger.reader() as reader:
        return {row.sample: row.particles for row in reader.samples() if row.particles}


def test_a_file_that_may_have_been_moved_comes_first_and_is_analysed_if_it_was_not(ledger):
    """Size, time and inode are those of a file at another path; a time in full seconds tells nothing."""
    take(ledger, "a.dm3", 7, "a")
    arrive(ledger, "b.dm3", 8)
    arrive(ledger, "c.dm3", 7)
    arrive(ledger, "d.dm3", 9, mtime_ns=2_000_000_000)
    files = queue.claim(ledger, 10, START)
    assert ["c.dm3", "b.dm3", "d.dm3"] == [file.path for file in files]
    assert ["moved", "event", "event"] == [file.source for file in files]
    assert [] == moves.suspects(ledger, files[1])


def test_what_waits_or_has_failed_is_analysed_at_its_new_place(ledger):
    """With what was decided about it meanwhile."""
    waiting = arrive(ledger, "a.dm3", 7)
    with ledger.transaction() as connection:
        exclusions.exclude_file(connection, waiting, None, ANNA)
    assert move_unclaimed(ledger, waiting, "b.dm3", 7)
    failed = claim(ledger, arrive(ledger, "c.dm3", 8))
    recording.reject_file(
        ledger, failed.id, status=Status.FAILED, code="vanished", reason="is gone", at=START
    )
    assert move_unclaimed(ledger, failed.id, "d.dm3", 8)
    files = queue.claim(ledger, 10, START)
    assert [(failed.id, "d.dm3")] == [(file.id, file.path) for file in files]
    assert {} == rows(ledger)
    recording.record(ledger, waiting, [result("a")])
    assert {"b.dm3": "excluded"} == rows(ledger)


def move_unclaimed(ledger, former, path, inode, **more):
    """The same for a file that is not analysed, which must not be claimed with the other."""
    number = arrive(ledger, path, inode, **more)
    with ledger.transaction() as connection:
        connection.execute("UPDATE files SET claimed = 1 WHERE id = ?", (number,))
    return moves.move(ledger, number, former) is not None


def test_a_file_in_hand_is_waited_for(ledger):
    """It has its rows first, and then they go along."""
    former = claim(ledger, arrive(ledger, "a.dm3", 7))
    arrived = arrive(ledger, "b.dm3", 7)
    assert [] == queue.claim(ledger, 10, START)
    assert moves.move(ledger, arrived, former.id) is None
    recording.record(ledger, former.id, [result("a")])
    file = claim(ledger, arrived)
    assert moves.move(ledger, file.id, former.id) is not None
    assert {"b.dm3": "done"} == rows(ledger)


def test_a_file_that_is_moved_over_another_supersedes_it(ledger):
    """Its rows and exclusions stay, those of the other leave the tables."""
    one, _ = take(ledger, "a.dm3", 7, "a"), take(ledger, "b.dm3", 8, "b", mtime_ns=TIME_NS + 1)
    with ledger.transaction() as connection:
        (micrograph_id,) = connection.execute(
            "SELECT id FROM micrographs WHERE file_id = ?", (one,)
        ).fetchone()
        exclusions.exclude_particles(connection, micrograph_id, [1], ANNA)
    assert move(ledger, one, "b.dm3", 7)
    with ledger.reader() as reader:
        found = [(row.micrograph, str(row.status), row.sha256) for row in reader.micrographs("Au")]
    assert [("b.dm3", "done", sha256("a")), ("b.dm3", "superseded", sha256("b"))] == found
    assert {"Au": 2} == counted(ledger)
    assert presence.known(ledger, "/microscope").keys() == {"b.dm3"}


def test_a_duplicate_counts_where_its_original_is_not(ledger):
    """Moved to another sample it is analysed; and where the original leaves, the duplicate is."""
    original = take(ledger, "Au/a.dm3", 7, "a")
    duplicate = take(ledger, "Au/b.dm3", 8, "a")
    assert {"Au/a.dm3": "done", "Au/b.dm3": "duplicate"} == rows(ledger)
    assert move(ledger, original, "Pt/a.dm3", 7, sample="Pt")
    assert {"Pt/a.dm3": "done"} == rows(ledger, "Pt")
    assert duplicate == claim(ledger, duplicate).id
    recording.record(ledger, duplicate, [result("a")])
    assert move(ledger, duplicate, "Pt/b.dm3", 8, sample="Pt")
    claim(ledger, duplicate)
    assert "duplicate" == str(recording.record(ledger, duplicate, [result("a")]).status)
    assert {"Pt": 3} == counted(ledger)


def test_copies_of_an_exposure_count_once_in_each_sample(ledger):
    """A copy that leaves counts where it comes to, one that comes to another copy does not."""
    given = replace(result("a"), fingerprint=PackedFingerprint(coarse=b"coarse", whole=b"whole"))
    first = take(ledger, "Au/a.dm3", 7, "a", [given])
    second = arrive(ledger, "Au/a.tif", 8)
    claim(ledger, second)
    recording.record(ledger, second, [replace(given, sha256=sha256("b"))], kin=Kin(copy=1, repeat=None))
    assert {"Au/a.dm3": "done", "Au/a.tif": "duplicate"} == rows(ledger)
    assert move(ledger, first, "Pt/a.dm3", 7, sample="Pt")
    assert ({"Au/a.tif": "done"}, {"Pt/a.dm3": "done"}) == (rows(ledger), rows(ledger, "Pt"))
    assert move(ledger, second, "Pt/a.tif", 8, sample="Pt")
    assert {"Pt/a.dm3": "done", "Pt/a.tif": "duplicate"} == rows(ledger, "Pt")
    other = take(ledger, "Ag/c.tif", 9, "c", [replace(given, sha256=sha256("c"))], sample="Ag")
    assert move(ledger, other, "Pt/c.tif", 9, sample="Pt", kin=Kin(copy=1, repeat=None))
    assert {"Pt": 3} == counted(ledger)


def test_a_hard_link_that_is_deleted_moves_nothing(ledger):
    """What is left of the file was there before, and only its time of last change differs now."""
    take(ledger, "Pt/1.dm3", 7, "a", sample="Pt", ctime_ns=1)
    take(ledger, "Au/1.dm3", 7, "a", ctime_ns=1)
    file = claim(ledger, arrive(ledger, "Pt/1.dm3", 7, sample="Pt", ctime_ns=2))
    assert moves.SOURCE != file.source
    assert [] == moves.suspects(ledger, file)
    assert [] == moves.suspects(ledger, file, sha256("a"))


def test_content_alone_moves_no_frame_and_no_blank_field(ledger):
    """These are like others of their kind."""
    take(ledger, "Au/a.dm3", 7, "blank", [result("blank", 0)])
    take(ledger, "run/0.dm3", 8, "frame", [result("frame", frame=0)], sequence="run", frame=0)
    for inode, content in enumerate(("blank", "frame"), 98):
        file = claim(ledger, arrive(ledger, f"Pt/{content}.dm3", inode, sample="Pt"))
        assert [] == moves.suspects(ledger, file, sha256(content))


def sequences(ledger):
    """Frames to link by sample and sequence."""
    with ledger.reader() as reader:
        found = {}
        for one in progress.sequences(reader):
            numbers = "SELECT frame FROM unfollowed WHERE sequence_id = ? ORDER BY frame"
            found[one.sample, one.name] = [row[0] for row in reader.connection.execute(numbers, (one.id,))]
    return found


def test_frames_take_their_sequence_along(ledger):
    """A renamed folder is another sequence with the same frames, and nothing is left of the former one."""
    ids = [
        take(ledger, f"Au/run/{n}.dm3", 10 + n, n, [result(n, frame=n)], sequence="run", frame=n)
        for n in range(3)
    ]
    for number, file_id in enumerate(ids):
        assert move(ledger, file_id, f"Au/heat/{number}.dm3", 10 + number, sequence="heat", frame=number)
    assert {("Au", "heat"): [0, 1, 2]} == sequences(ledger)
    assert 3 == len(rows(ledger))
    assert move(ledger, ids[1], "Au/one.dm3", 11)
    assert {("Au", "heat"): [0, 1, 2]} == sequences(ledger), "frame 1 is a gap, to be linked again"
    assert ids[1] == claim(ledger, ids[1]).id, "it is no frame any more, and is analysed as a micrograph"
    assert {"Au/heat/0.dm3": "done", "Au/heat/2.dm3": "done"} == rows(ledger)


def test_a_stack_takes_its_frames_along(ledger):
    """Also to another sample, where it is a sequence with the name of its file."""
    frames = [result("stack", frame=n) for n in range(3)]
    stack = take(ledger, "Au/s.dm4", 7, "stack", frames, frames_total=3)
    assert {("Au", "s"): [0, 1, 2]} == sequences(ledger)
    assert move(ledger, stack, "Pt/t.dm4", 7, sample="Pt")
    assert {("Pt", "t"): [0, 1, 2]} == sequences(ledger)
    assert {"Pt": 9} == counted(ledger)


def test_a_correction_goes_along(ledger):
    """Of a sample that is renamed as a whole, of a file that leaves, and undone it is undone for both."""
    stated = {"stated_pixel_size_nm": 0.1, "pixel_size_source": PixelSizeSource.FILE}
    ids = [take(ledger, f"Au/{n}.dm3", 10 + n, n, [replace(result(n), **stated)]) for n in range(2)]
    with ledger.transaction() as connection:
        made, waiting, _ = calibrations.calibrate(connection, ANNA, sample="Au", file_ids=None, factor=2.0)
    assert 2 == waiting

    def wanted():
        with ledger.reader() as reader:
            query = "SELECT sample, wanted_pixel_size_nm FROM micrographs ORDER BY id"
            return reader.connection.execute(query).fetchall()

    assert move(ledger, ids[0], "Pt/0.dm3", 10, sample="Pt")
    assert [("Pt", 0.2), ("Au", 0.2)] == wanted()
    assert move(ledger, ids[1], "Pt/1.dm3", 11, sample="Pt")
    with ledger.reader() as reader:
        assert ["calibrate"] == [row.action for row in changes.history(reader, limit=9, sample="Pt")]
    with ledger.transaction() as connection:
        undoing.undo(connection, made[0], ANNA)
    assert [("Pt", None), ("Pt", None)] == wanted()


@pytest.mark.parametrize("others_first", [False, True])
def test_a_correction_that_the_last_file_brings_elsewhere_is_undone_and_redone(ledger, others_first):
    """Its sample is no more; the one that the file comes to has micrographs of its own, or has not."""
    stated = {"stated_pixel_size_nm": 0.1, "pixel_size_source": PixelSizeSource.FILE}
    own = take(ledger, "Au/0.dm3", 10, 0, [replace(result(0), **stated)])
    if others_first:
        take(ledger, "Pt/1.dm3", 11, 1, [replace(result(1), **stated)], sample="Pt")

    def wanted():
        with ledger.reader() as reader:
            query = "SELECT wanted_pixel_size_nm FROM micrographs ORDER BY id"
            return [row[0] for row in reader.connection.execute(query)]

    with ledger.transaction() as connection:
        (made,), *_ = calibrations.calibrate(connection, ANNA, sample="Au", file_ids=None, factor=2.0)
    assert move(ledger, own, "Pt/0.dm3", 10, sample="Pt")
    for expected in (None, 0.2, None):
        with ledger.transaction() as connection:
            made = undoing.undo(connection, made, ANNA).change
        assert [expected, *([None] if others_first else [])] == wanted()


def test_a_file_that_leaves_a_correction_undoes_it_for_itself_alone(ledger):
    """The change of its former sample is in force there, and can be undone."""
    stated = {"stated_pixel_size_nm": 0.1, "pixel_size_source": PixelSizeSource.FILE}
    ids = [take(ledger, f"Au/{n}.dm3", 10 + n, n, [replace(result(n), **stated)]) for n in range(2)]
    take(ledger, "Pt/9.dm3", 19, 9, sample="Pt")
    with ledger.transaction() as connection:
        (made,), *_ = calibrations.calibrate(connection, ANNA, sample="Au", file_ids=None, factor=2.0)
    assert move(ledger, ids[0], "Pt/0.dm3", 10, sample="Pt")

    def wanted():
        with ledger.reader() as reader:
            query = "SELECT wanted_pixel_size_nm FROM micrographs ORDER BY id"
            return [row[0] for row in reader.connection.execute(query)][:2]

    with ledger.transaction() as connection:
        calibrations.undo(connection, ANNA, sample="Pt", file_ids=[ids[0]])
    assert [None, 0.2] == wanted()
    with ledger.transaction() as connection:
        undoing.undo(connection, made, ANNA)
    assert [None, None] == wanted()


@pytest.mark.parametrize("one_after_the_other", [False, True])
def test_decisions_follow_files_that_swap_their_names(ledger, one_after_the_other):
    """Both are analysed again, and what was excluded is excluded where it lies now; also moved by turns."""
    first, second = (
        take(ledger, f"{name}.dm3", inode, name, mtime_ns=TIME_NS + inode)
        for inode, name in enumerate("ab", 7)
    )
    with ledger.transaction() as connection:
        excluded = exclusions.exclude_file(connection, first, None, ANNA)
        (row,) = connection.execute("SELECT id FROM micrographs WHERE file_id = ?", (second,)).fetchone()
        exclusions.exclude_particles(connection, row, [2], ANNA)
    assert {"Au": 2} == counted(ledger)
    there = [arrive(ledger, "a.dm3", 8, mtime_ns=TIME_NS + 8)]
    if one_after_the_other:
        file = claim(ledger, there[0])
        assert moves.move(ledger, file.id, second) is not None
        there = []
    there.append(arrive(ledger, "b.dm3", 7, mtime_ns=TIME_NS + 7))
    while files := queue.claim(ledger, 9, START):  # the first is a copy of the other until that is read, too
        for file in files:
            assert [] == moves.suspects(ledger, file)
            recording.record(ledger, file.id, [result("a" if file.path == "b.dm3" else "b")])
    with ledger.reader() as reader:
        found = {row.micrograph: (str(row.status), row.particles) for row in reader.micrographs("Au")}
    assert {"a.dm3": ("done", 2), "b.dm3": ("excluded", 3)} == found
    with ledger.transaction() as connection:
        undoing.undo(connection, excluded, ANNA)
    assert {"Au": 5} == counted(ledger)


def test_settings_go_along(ledger):
    """The first micrograph brings them, and undone they are undone for both; others are resolved again."""
    ids = [take(ledger, f"Au/{n}.dm3", 10 + n, n) for n in range(2)]
    take(ledger, "Ag/0.dm3", 20, "Ag", sample="Ag")

    def outdated():
        with ledger.reader() as reader:
            query = "SELECT sample FROM micrographs WHERE is_outdated ORDER BY sample"
            return [row[0] for row in reader.connection.execute(query)]

    def settle():
        with ledger.transaction() as connection:
            connection.execute("UPDATE micrographs SET is_outdated = 0")

    with ledger.transaction() as connection:
        made, _ = sample_settings.change(connection, ANNA, "Au", {"separation.convexity_threshold": 0.9})
    settle()
    assert move(ledger, ids[0], "Pt/0.dm3", 10, sample="Pt")
    assert [] == outdated()
    with ledger.transaction() as connection:
        undoing.undo(connection, made, ANNA)
    assert ["Au", "Pt"] == outdated()
    with ledger.transaction() as connection:
        sample_settings.change(connection, ANNA, "Au", {"separation.convexity_threshold": 0.9})
    settle()
    assert move(ledger, ids[1], "Ag/1.dm3", 11, sample="Ag")
    assert ["Ag"] == outdated(), "the other sample has no such setting"


def test_what_is_gone_is_noted_until_it_is_back(ledger):
    """Its rows count as before; what was moved meanwhile is not known any more."""
    take(ledger, "a.dm3", 7, "a"), take(ledger, "b.dm3", 8, "b")

    def notes():
        with ledger.reader() as reader:
            rows = {row.micrograph: Note.FILE_GONE in row.notes for row in reader.micrographs("Au")}
            return [path for path, gone in rows.items() if gone], reader.notes().get(Note.FILE_GONE)

    assert {"c.dm3"} == presence.note_gone(ledger, "/microscope", {"a.dm3", "c.dm3"})
    assert (["a.dm3"], (1, "a.dm3")) == notes()
    assert {"Au": 6} == counted(ledger)
    assert set() == presence.note_gone(ledger, "/microscope", {"b.dm3"})
    assert ["b.dm3"] == notes()[0]
    presence.note_gone(ledger, "/microscope", ())
    assert ([], None) == notes()


def publish_all(ledger, output):
    for sample in ("Pt", "Au"):
        sample_folder.publish(ledger, output, sample)
    relocating.vacate(ledger, output)


@pytest.mark.parametrize("stop", range(1, 9))
def test_pictures_reach_their_new_folder_whatever_stops_them(ledger, tmp_path, monkeypatch, stop):
    """A kill between two steps leaves each picture in one of the folders; the next start brings the rest."""
    former = take(ledger, "Au/a.dm3", 7, "a")
    old = paths.micrograph_folder(tmp_path, "Au", "a")
    old.mkdir(parents=True)
    for kind in paths.PICTURES:
        paths.picture(old, "a", kind).write_bytes(kind.encode())
    monkeypatch.setattr(sample_folder.redrawing, "redraw", lambda *_: None)
    sample_folder.publish(ledger, tmp_path, "Au")
    (tmp_path / "Au" / "report").mkdir()
    (tmp_path / "Au" / "report" / "report.html").write_text("of Au")
    assert move(ledger, former, "Pt/b.dm3", 7, sample="Pt")

    left = stop
    calls = {name: getattr(Path, name) for name in ("replace", "unlink", "rename")}

    def stopping(name):
        def call(path, *arguments, **named):
            nonlocal left
            if path.is_relative_to(tmp_path) and not path.name.startswith("."):
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return calls[name](path, *arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for name in calls:
            patched.setattr(Path, name, stopping(name))
        with suppress(KeyboardInterrupt):
            publish_all(ledger, tmp_path)
    publish_all(ledger, tmp_path)
    new = paths.micrograph_folder(tmp_path, "Pt", "b")
    assert {kind: kind.encode() for kind in paths.PICTURES} == {
        kind: paths.picture(new, "b", kind).read_bytes() for kind in paths.PICTURES
    }
    assert "of Au" == (tmp_path / "Pt" / "report" / "report.html").read_text()
    assert not (tmp_path / "Au").exists()
    with ledger.reader() as reader:
        assert [] == relocations.vacated(reader)
        assert {} == publications.published(reader, "Au")
