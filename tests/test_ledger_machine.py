"""The ledger under any order of new files, replacements, analyses, crashes, retries and publications."""

import shutil
import tempfile
from collections import Counter
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger_cases import START, arrival, result, sha256
from temwatch.domain import Status
from temwatch.ledger import Reader, open_ledger, presence, queue, recording
from temwatch.outputs import sample_folder
from temwatch.outputs.tables import TABLES, csv_text

SAMPLES = ("Au", "Pt")
PATHS = st.sampled_from(["Au/a.dm3", "Au/b.dm3", "Au/A.dm3", "Pt/a.dm3"])
STACK, BAD = "stack", "bad"  # two frames in one file, and nothing that can be measured
CONTENTS = st.sampled_from(["0", "1", STACK, BAD])
TOUCH = "the same as before"
FRAMES = 2
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # thousands of commits, none of which must last


class LedgerMachine(RuleBasedStateMachine):
    """A microscope, an engine that may die at any step, and the ledger between them."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=MEMORY))
        self.output = self.root / "results"
        self.ledger = open_ledger(self.output / ".temwatch")
        self.disk = {}  # path: content
        self.clock = 0
        self.jobs = []  # in the engine's hands: file, content, next frame
        self.recorded = []

    def teardown(self):
        try:
            self._drain()
            self._everything_once()
        finally:
            self.ledger.close()
            shutil.rmtree(self.root)

    @initialize(contents=st.lists(CONTENTS, min_size=3, max_size=3))
    def begin(self, contents):
        self.arrive([(f"Au/{path}.dm3", content) for path, content in zip("abA", contents, strict=True)])

    @rule(files=st.lists(st.tuples(PATHS, CONTENTS | st.just(TOUCH)), min_size=1, max_size=3))
    def arrive(self, files):
        for path, content in files:
            if content != TOUCH or path not in self.disk:
                self.disk[path] = "0" if content == TOUCH else content
            self.clock += 1
            queue.add(self.ledger, arrival(path, mtime_ns=self.clock, sample=path.partition("/")[0]))

    @rule(steps=st.lists(st.sampled_from(["read", "record first", "record last"]), min_size=1, max_size=8))
    def engine(self, steps):
        for step in steps:
            if step == "read":
                self._read()
            elif self.jobs:
                self._record(self.jobs.pop(0 if step == "record first" else -1))

    def _read(self):
        """Claim a file, read what is there now, and look whether it is known."""
        for file in queue.claim(self.ledger, 1, START):
            content = self.disk[file.path]
            if content == BAD:
                self._refuse(file, content)
            elif recording.recognise(self.ledger, file.id, sha256(content), START) is None:
                self.jobs.append((file, content, file.frames_recorded))

    def _record(self, job):
        """Record a micrograph, or the next frame of a stack."""
        file, content, frame = job
        if content != STACK:
            recording.record(self.ledger, file.id, [result(content)])
            self.recorded.append((file, content))
            return
        finished = frame + 1 >= FRAMES
        recorded = recording.record(
            self.ledger, file.id, [result(content, frame=frame)], finished=finished, frames_total=FRAMES
        )
        if recorded.status is Status.PENDING:
            self.jobs.append((file, content, frame + 1))

    @precondition(lambda self: self.jobs)
    @rule(outcome=st.sampled_from(["crashed", "released", "vanished"]))
    def go_wrong(self, outcome):
        file, content, _ = self.jobs.pop()
        match outcome:
            case "crashed":
                queue.release_crashed(self.ledger, file.id)
            case "released":
                queue.release(
                    self.ledger, file.id, not_before=START - timedelta(seconds=1), reason="input_output"
                )
            case "vanished":
                self._refuse(file, content, status=Status.FAILED, code="vanished")

    @precondition(lambda self: self.recorded)
    @rule()
    def record_twice(self):
        """A worker that was thought dead hands in what is recorded."""
        file, content = self.recorded.pop()
        with self.ledger.reader() as reader:
            pending = {waiting.id for waiting in reader.pending()}
        if file.id not in pending:  # it may have been retried since, and hold something else now
            recording.record(self.ledger, file.id, [result(content)])

    @rule()
    def kill(self):
        self.jobs, self.recorded = [], []
        self.ledger.close()
        self.ledger = open_ledger(self.output / ".temwatch")

    @rule(path=st.none() | PATHS)
    def retry(self, path):
        files, unknown = queue.retry(self.ledger, None if path is None else [path])
        assert (path is None or path in self.disk) == (not unknown)
        assert path is None or {path} >= {file.path for file in files}

    @precondition(lambda self: self.disk)
    @rule(data=st.data())
    def publish(self, data):
        sample = data.draw(st.sampled_from(self._samples()))
        sample_folder.publish(self.ledger, self.output, sample)
        self._tables_are_right(sample)
        self._nothing_new()

    @precondition(lambda self: self.disk)
    @rule(data=st.data())
    def rebuild(self, data):
        sample = data.draw(st.sampled_from(self._samples()))
        sample_folder.rebuild(self.ledger, self.output, sample)
        self._tables_are_right(sample)

    @invariant()
    def adds_up(self):
        with self.ledger.reader() as reader:
            for receipt in (reader.receipt(), *(reader.receipt(sample) for sample in SAMPLES)):
                seen, *parts = astuple(receipt)
                assert seen == sum(parts)

    @invariant()
    def of_a_file_one_revision_is_in_hand(self):
        with self.ledger.reader() as reader:
            in_hand = Counter(file.path for file in reader.pending() if file.claimed)
        assert set(in_hand.values()) <= {1}

    @invariant()
    def content_counts_once(self):
        """In a sample no content is done twice, and a duplicate has an original that is done."""
        for sample in SAMPLES:
            rows = self._rows(sample)
            files = {row.file_id: row for row in rows}.values()
            done = Counter(row.sha256 for row in files if row.status is Status.DONE and self._finished(row))
            assert set(done.values()) <= {1}
            assert {row.sha256 for row in files if row.status is Status.DUPLICATE} <= set(done)
            live = Counter(row.micrograph for row in files if row.status is not Status.SUPERSEDED)
            assert set(live.values()) <= {1}

    def _nothing_new(self):
        """What a scan finds now is all known."""
        known = presence.known(self.ledger, "/microscope")
        assert set(self.disk) == set(known)
        again = [
            arrival(path, mtime_ns=mtime_ns, sample=path.partition("/")[0])
            for path, (_, mtime_ns, _) in known.items()
        ]
        assert [None] * len(again) == queue.add_all(self.ledger, again)

    def _samples(self):
        return sorted({path.partition("/")[0] for path in self.disk})

    def _finished(self, row):
        with self.ledger.reader() as reader:
            return row.file_id not in {file.id for file in reader.pending()}

    def _rows(self, sample):
        with self.ledger.reader() as reader:
            return list(reader.micrographs(sample))

    def _refuse(self, file, content, status=Status.REFUSED, code="truncated"):
        recording.reject_file(
            self.ledger, file.id, status=status, code=code, reason=code, at=START, sha256=sha256(content)
        )

    def _tables_are_right(self, sample):
        with self.ledger.reader() as reader:
            for table in TABLES:
                text = (self.output / sample / table.file).read_text(encoding="utf-8")
                assert "".join(csv_text(table, reader, sample)) == text

    def _drain(self):
        """Let the engine finish in peace, failures of before included."""
        self.kill()
        queue.retry(self.ledger)
        while self._waiting():
            self._read()
            while self.jobs:
                self._record(self.jobs.pop())

    def _waiting(self):
        with self.ledger.reader() as reader:
            return reader.queue_length()

    def _everything_once(self):
        """Whatever happened, the tables now say what lies on the disk, each content once a sample."""
        for sample in self._samples():
            sample_folder.publish(self.ledger, self.output, sample)
            self._tables_are_right(sample)
            contents = {content for path, content in self.disk.items() if path.startswith(sample)}
            expected = Counter()
            for content in contents - {BAD}:
                expected[sha256(content)] = FRAMES if content == STACK else 1
            rows = self._rows(sample)
            assert expected == Counter(row.sha256 for row in rows if row.status is Status.DONE)
            paths = {row.micrograph for row in rows if row.status is not Status.SUPERSEDED}
            assert {path for path in self.disk if path.startswith(sample)} == paths
            folders = {row.name for row in rows if row.status is Status.DONE}
            at = self.output / sample / "micrographs"
            assert folders == ({path.name for path in at.iterdir()} if at.is_dir() else set())
            for name in folders:
                own = (at / name / f"{name}_particles.csv").read_text(encoding="utf-8")
                with Reader(self.output / ".temwatch") as reader:
                    mine = list(reader.micrographs_named(sample, name))
                    count = sum(row.particles for row in mine if row.status is Status.DONE)
                assert count + 1 == own.count("\n")


DEEP = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class TestLedgerMachine(LedgerMachine.TestCase):
    """A few stories each time."""

    settings = settings(DEEP, max_examples=10)


@pytest.mark.slow
class TestLedgerMachineInDepth(LedgerMachine.TestCase):
    """More of them."""

    settings = DEEP
