"""What is busy and does not advance is found and replaced; long honest work is neither."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from ledger_cases import START, arrival
from system import wait_until
from temwatch import library_internals
from temwatch.config import Config
from temwatch.domain import Segmentation, Segmenter
from temwatch.engine import hang, worker_processes
from temwatch.engine.hang import HangDetector, HangReport
from temwatch.engine.hooks import EngineHooks, EngineStatus
from temwatch.engine.job import Job
from temwatch.engine.moved_files import MovedFiles
from temwatch.engine.outcomes import Hung
from temwatch.engine.recovery import Recovery
from temwatch.engine.run_mode import RunMode
from temwatch.engine.segmentation_pool import SegmentationPool
from temwatch.engine.worker_replacement import WorkerReplacement
from temwatch.ledger import moves, open_ledger, queue
from temwatch.library_internals import kill_workers

IMAGE = np.zeros((4, 4), np.float32)


def compute(path):
    """Long honest work, until the file is there."""
    while not path.exists():
        sum(range(10**4))


def look_often(monkeypatch):
    monkeypatch.setattr(hang, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(hang, "TELL_SECONDS", 0.3)
    monkeypatch.setattr(hang, "HANG_SECONDS", 0.9)


@pytest.fixture
def workers():
    pool, _ = worker_processes.start(2, None)
    yield pool
    kill_workers(pool)


def test_a_stopped_worker_is_found_with_its_file_and_one_that_computes_is_not(workers, tmp_path, monkeypatch):
    """Told before it is replaced; with the same file behind both, only one is to blame."""
    look_often(monkeypatch)
    detector = HangDetector(workers.busy, list)
    futures = [worker_processes.submit(workers, number, compute, tmp_path / "end") for number in (7, 0)]
    wait_until(lambda: {0, 7} == set(workers.busy().values()), what="two busy workers")
    pids = {file: pid for pid, file in workers.busy().items()}
    os.kill(pids[7], signal.SIGSTOP)
    told = []

    def found():
        seen = detector.look()
        told.append(detector.workers_hung)
        return seen if seen.processes else None

    seen = wait_until(found, what="the stopped worker")
    assert ({pids[7]}, {7}, False) == (seen.processes, seen.files, seen.segmentation)
    assert 1 in told
    assert detector.hanging_s >= 0.9
    kill_workers(workers)
    for future in futures:
        assert isinstance(future.exception(timeout=60), BrokenProcessPool)
    wait_until(lambda: not detector.look().processes and not detector.workers_hung, what="its end")


def test_idle_workers_that_are_stopped_are_found_once_a_task_waits_for_them(workers, tmp_path, monkeypatch):
    """One of them holds the queue."""
    look_often(monkeypatch)
    (tmp_path / "end").touch()
    for _ in range(2):
        worker_processes.submit(workers, None, compute, tmp_path / "end").result(timeout=120)
    detector = HangDetector(workers.busy, list)
    pids = library_internals.worker_pids(workers)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    assert not detector.look().processes
    worker_processes.submit(workers, 3, compute, tmp_path / "end")
    seen = wait_until(lambda: (found := detector.look()).processes and found, what="the stopped workers")
    assert (set(pids), set()) == (set(seen.processes), set(seen.files))


def test_a_task_that_ends_leaves_an_idle_worker(workers, tmp_path):
    """Whatever it ends with; idle workers are never silent."""
    (tmp_path / "end").touch()
    assert worker_processes.submit(workers, 1, compute, tmp_path / "end").result(timeout=120) is None
    with contextlib.suppress(AttributeError):
        worker_processes.submit(workers, None, compute, None).result(timeout=120)
    wait_until(lambda: not workers.busy(), what="idle workers")


def test_time_in_which_this_process_was_stopped_does_not_count(monkeypatch):
    """The workers were stopped as well."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = hang.ProgressWatch()
    for moment, expected in ((5, 0.0), (10, 5.0), (10_000, 5.0 + 2 * hang.LOOK_SECONDS)):
        now[0] = moment
        assert {"a": expected} == watch.look({"a": ("1",)})
    assert {"a": 0.0} == watch.look({"a": ("2",)})


def test_a_segmentation_does_not_hang_while_others_compute_for_it(monkeypatch):
    """As the tiles of a network do: it waits for them, on a busy machine for minutes; then they hang, too."""
    look_often(monkeypatch)
    numbers, rest, end = set(), threading.Event(), threading.Event()

    def compute():
        numbers.add(threading.get_native_id())
        while not rest.is_set():
            sum(range(10**4))
        end.wait(120)

    def segment(images):
        helper = threading.Thread(target=compute, daemon=True)
        helper.start()
        helper.join(120)
        return [Segmentation(mask=image > 0) for image in images]

    pool = SegmentationPool(Segmenter(name="waits", segment=segment, helpers=lambda: numbers), 1)
    detector = HangDetector(dict, pool.busy, pool.helpers)
    found = pool.submit(IMAGE, 0)
    wait_until(lambda: numbers, what="the helper")
    began_s = time.monotonic()
    while time.monotonic() < began_s + 2 * hang.HANG_SECONDS:
        before = hang.thread_mark(*numbers)
        wait_until(lambda: before != hang.thread_mark(*numbers), what="its progress")  # noqa: B023
        assert HangReport() == detector.look()
        assert 0 == detector.workers_hung
    rest.set()
    wait_until(lambda: detector.look().segmentation, what="the hang")
    end.set()
    assert 0 == found.result(timeout=30).index


def test_a_segmentation_that_hangs_costs_one_micrograph(monkeypatch):
    """Others that waited for it are segmented by new threads."""
    look_often(monkeypatch)
    begun, go, lock = threading.Semaphore(0), threading.Event(), threading.Lock()
    hangs = [True]

    def segment(images):
        begun.release()
        if hangs.pop() if hangs else False:
            go.wait(120)
        with lock:
            return [Segmentation(mask=image > 0) for image in images]

    pool = SegmentationPool(Segmenter(name="hangs", segment=segment, together=1), 2)
    detector = HangDetector(dict, pool.busy)
    lock.acquire()
    first = pool.submit(IMAGE, 0)
    assert begun.acquire(timeout=30)
    second = pool.submit(IMAGE, 1)
    assert begun.acquire(timeout=30)
    wait_until(lambda: detector.look().segmentation, what="the hang")
    lock.release()
    pool.abandon()
    assert isinstance(first.exception(timeout=30), Hung)
    assert 1 == second.result(timeout=30).index
    assert 2 == pool.submit(IMAGE, 2).result(timeout=30).index
    go.set()
    pool.close()


def test_a_former_place_that_hangs_is_no_fault_of_the_file(tmp_path):
    """It is read as another one, without a crash to its name; the place is left alone for a while."""
    config = Config.model_validate({"watch": {"folder": str(tmp_path)}, "output": {"folder": str(tmp_path)}})
    with open_ledger(tmp_path / ".temwatch") as ledger:
        for path in ("Au/1.dm3", "Au/2.dm3"):
            queue.add(ledger, arrival(path, inode=5, mtime_ns=1_234_567, source=moves.SOURCE))
        with ledger.transaction() as connection:
            connection.execute("UPDATE files SET status = 'done' WHERE path = 'Au/1.dm3'")
        (file,) = queue.claim(ledger, 1, START)
        job = Job.begin(file, tmp_path, 1000)
        traced, jobs = [], [job]
        moved = MovedFiles(
            ledger, config, trace=lambda _, suspects: traced.append(suspects), publish_soon=lambda _: None
        )
        assert moved.is_traced(job)
        assert ["Au/1.dm3"] == [suspect.path for (suspect,) in traced]

        class Processes:
            segmentation_pool = SimpleNamespace(busy=list, helpers=list)

            def busy(self):
                return {77: file.id}

            def restart_workers(self, jobs, _):
                return jobs

        hooks = EngineHooks()
        replacement = WorkerReplacement(
            backend=None,
            processes=Processes(),
            sequence_tracker=SimpleNamespace(replace_hung=lambda _: None, busy=dict),
            jobs=jobs,
            hooks=hooks,
            status=EngineStatus(),
            moved_files=moved,
            recovery=Recovery(ledger, RunMode.service(), hooks, end=lambda _: None, record=lambda *_: None),
        )
        replacement.replace(HangReport(processes=frozenset({77}), files=frozenset({file.id})))
        (again,) = queue.claim(ledger, 1, START + timedelta(days=36500))
        assert (file.id, 0, 0) == (again.id, again.crashes, again.attempts)
        job = Job.begin(again, tmp_path, 1000)
        assert not moved.is_traced(job)
        assert not job.suspects
