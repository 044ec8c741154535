"""From the watched folder to the tables, under any order of writing, events, crashes, retries and outages.

Folder, intake, ledger and tables are the real ones; the clock is turned by hand, and what an engine finds in
a file is made up from its content.
"""

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger_cases import START, arrival, result, sha256
from temwatch.acquisition.intake import Intake, IntakeStatus, Search
from temwatch.acquisition.watcher import Touched
from temwatch.config import WatchSettings
from temwatch.domain import Status
from temwatch.ledger import open_ledger, presence, queue, recording
from temwatch.outputs import sample_folder
from temwatch.outputs.tables import TABLES, csv_text

SAMPLES = ("Au", "Pt")
PATHS = st.sampled_from(["Au/a.dm3", "Au/b.dm3", "Au/c.dm3", "Pt/a.dm3", "Pt/deep/b.dm3"])
WHOLE, BAD = "end", "bad"
CONTENTS = st.sampled_from(["0", "1", "2", BAD])
SETTLE_SECONDS = 2.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Acquisition(RuleBasedStateMachine):
    """A microscope, a share, a service that may die at any step, and its tables."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=MEMORY))
        self.watched, self.output = self.root / "watched", self.root / "results"
        self.watched.mkdir()
        self.now_s, self.mtime_ns = 0.0, 10**18
        self.events = set()  # what happened in the folder and nobody has heard of
        self.jobs = []  # in the engine's hands: file, content as it was read
        self.ledger = None
        self.start()

    def start(self):
        """The service starts; what it remembers is in the ledger."""
        self.ledger = open_ledger(self.output / ".temwatch")
        self.jobs, self.status = [], IntakeStatus()
        parts = Intake(
            settings=WatchSettings(folder=self.watched, settle_seconds=SETTLE_SECONDS),
            skip=(),
            known=lambda: presence.known(self.ledger, "/microscope"),
            add=self.add,
            complete=lambda path: path.read_text().endswith(WHOLE) or None,
        )
        self.search = Search(parts, self.status, lambda: self.now_s)

    def add(self, found, source):
        queue.add_all(
            self.ledger,
            (
                arrival(
                    item.path,
                    size_bytes=item.size_bytes,
                    mtime_ns=item.mtime_ns,
                    ctime_ns=item.ctime_ns,
                    sample=item.path.partition("/")[0],
                    source=source,
                )
                for item in found
            ),
        )
        return ()

    def teardown(self):
        try:
            self.heal()
            self.everything_once()
        finally:
            self.ledger.close()
            shutil.rmtree(self.root)

    # The microscope

    def happened(self, path):
        self.mtime_ns += 10**9
        if (self.watched / path).exists():
            os.utime(self.watched / path, ns=(self.mtime_ns, self.mtime_ns))
        self.events.add(path)

    @rule(path=PATHS, content=CONTENTS, part=st.sampled_from(["whole", "begun"]))
    def write(self, path, content, part):
        (self.watched / path).parent.mkdir(parents=True, exist_ok=True)
        (self.watched / path).write_text(content + (WHOLE if part == "whole" else ""))
        self.happened(path)

    def on_disk(self):
        return sorted(self.watched.rglob("*.dm3"))

    @precondition(lambda self: self.on_disk())
    @rule(data=st.data(), what=st.sampled_from(["complete", "touch", "rename", "delete", "copy"]))
    def change(self, data, what):
        path = data.draw(st.sampled_from(self.on_disk()))
        other = self.watched / data.draw(PATHS)
        other.parent.mkdir(parents=True, exist_ok=True)
        match what:
            case "complete" if not path.read_text().endswith(WHOLE):
                path.write_text(path.read_text() + WHOLE)
            case "rename":
                path.replace(other)
            case "delete":
                path.unlink()
            case "copy" if other != path:
                other.write_text(path.read_text())
        for touched in {path, other} if what in ("rename", "copy") else {path}:
            self.happened(touched.relative_to(self.watched).as_posix())

    @rule(meanwhile=st.lists(st.sampled_from(["look", "read", "record last"]), max_size=3))
    def the_share_goes_and_comes_back(self, meanwhile):
        gone = self.watched.rename(self.root / "gone")
        for step in meanwhile:
            self.look(True, True, 3.0) if step == "look" else self.engine([step])
        gone.rename(self.watched)

    # The service

    @rule(lost=st.booleans(), full=st.booleans(), seconds=st.sampled_from([0.0, 0.5, 3.0]))
    def look(self, lost, full, seconds):
        """A turn of the intake; events may have been lost before it."""
        events, self.events = self.events, set()
        touched = Touched() if lost else Touched({path.rpartition("/")[0]: False for path in events}, events)
        self.now_s += seconds
        self.search.turn(self.now_s, touched, full=full)

    @rule(steps=st.lists(st.sampled_from(["read", "record first", "record last"]), min_size=1, max_size=6))
    def engine(self, steps):
        for step in steps:
            if step == "read":
                self.read()
            elif self.jobs:
                self.record(self.jobs.pop(0 if step == "record first" else -1))

    @rule(events=st.sampled_from(["heard", "lost"]))
    def an_hour_passes(self, events):
        """Everything that is there is found and analysed."""
        for _ in range(2):
            self.look(events == "lost", True, SETTLE_SECONDS + 1)
        for _ in range(self.waiting()):
            self.engine(["read", "record last"])

    def read(self, *, retries=True):
        for file in queue.claim(self.ledger, 1, START):
            try:
                content = (self.watched / file.path).read_text()
            except OSError:
                if retries:
                    queue.release(self.ledger, file.id, reason="vanished")
                else:
                    self.finish(file, "gone", Status.FAILED)
                continue
            if not content.endswith(WHOLE) or content.startswith(BAD):
                self.finish(file, content, Status.REFUSED)
            elif recording.recognise(self.ledger, file.id, sha256(content), START) is None:
                self.jobs.append((file, content))

    def finish(self, file, content, status):
        code = "vanished" if status is Status.FAILED else "truncated"
        recording.reject_file(
            self.ledger, file.id, status=status, code=code, reason=code, at=START, sha256=sha256(content)
        )

    def record(self, job):
        file, content = job
        recording.record(self.ledger, file.id, [result(content)])

    @precondition(lambda self: self.jobs)
    @rule(outcome=st.sampled_from(["crashed", "released", "failed"]))
    def go_wrong(self, outcome):
        file, content = self.jobs.pop()
        match outcome:
            case "crashed":
                queue.release_crashed(self.ledger, file.id)
            case "released":
                queue.release(self.ledger, file.id)
            case "failed":
                self.finish(file, content, Status.FAILED)

    @rule()
    def kill(self):
        self.ledger.close()
        self.start()

    @rule(path=st.none() | PATHS)
    def retry(self, path):
        queue.retry(self.ledger, None if path is None else [path])

    @rule()
    def publish(self):
        for sample in self.samples():
            sample_folder.publish(self.ledger, self.output, sample)
            self.tables_are_right(sample)

    # What must hold

    @invariant()
    def the_receipt_adds_up(self):
        with self.ledger.reader() as reader:
            seen, *parts = astuple(reader.receipt())
        assert seen == sum(parts)

    @invariant()
    def content_counts_once(self):
        for sample in SAMPLES:
            done = Counter(row.sha256 for row in self.rows(sample) if row.status is Status.DONE)
            assert set(done.values()) <= {1}

    def samples(self):
        with self.ledger.reader() as reader:
            return [row.sample for row in reader.samples()]

    def rows(self, sample):
        with self.ledger.reader() as reader:
            return list(reader.micrographs(sample))

    def tables_are_right(self, sample):
        with self.ledger.reader() as reader:
            for table in TABLES:
                path = self.output / sample / table.file
                assert "".join(csv_text(table, reader, sample)) == path.read_text(encoding="utf-8")

    def heal(self):
        """The share is at rest, nobody is killed any more, what failed is tried once more."""
        for _ in range(8):  # events are lost to the end: the scans must find everything
            self.now_s += SETTLE_SECONDS + 1
            self.search.turn(self.now_s, Touched(), full=True)
        while self.jobs:
            self.record(self.jobs.pop())
        queue.retry(self.ledger)
        while self.waiting():
            self.read(retries=False)
            while self.jobs:
                self.record(self.jobs.pop())

    def waiting(self):
        with self.ledger.reader() as reader:
            return reader.queue_length()

    def everything_once(self):
        """Every file there has one row that tells of its present content, and every content counts once."""
        assert not self.search.candidates
        self.publish()
        for sample in SAMPLES:
            rows = self.rows(sample)
            live = {row.micrograph: row for row in rows if row.status is not Status.SUPERSEDED}
            assert len(live) == sum(row.status is not Status.SUPERSEDED for row in rows)
            done = {row.sha256 for row in rows if row.status is Status.DONE}
            for path in (self.watched / sample).rglob("*.dm3"):
                content, row = path.read_text(), live[path.relative_to(self.watched).as_posix()]
                assert sha256(content) == row.sha256
                good = content.endswith(WHOLE) and not content.startswith(BAD)
                assert row.status in ((Status.DONE, Status.DUPLICATE) if good else (Status.REFUSED,))
                assert (sha256(content) in done) == good


DEEP = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class TestAcquisition(Acquisition.TestCase):
    """A few stories each time."""

    settings = settings(DEEP, max_examples=10)


@pytest.mark.slow
class TestAcquisitionInDepth(Acquisition.TestCase):
    """More of them."""

    settings = DEEP
