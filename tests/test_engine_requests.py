"""A request of a command goes on beside the files that arrive, and no worker is waited for."""

import json
import os
import shutil
import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from system import wait_until
from temwatch.acquisition.arrival import arrivals_at
from temwatch.analysis import pipeline, segmentation
from temwatch.config import Config
from temwatch.engine import requests
from temwatch.engine.engine import Engine
from temwatch.engine.run_mode import RunMode
from temwatch.ledger import open_ledger, post_request, queue
from temwatch.ledger.requests import answer_to

pytestmark = pytest.mark.system


def settings(folder, least_nm):
    return Config.model_validate(
        {
            "watch": {"folder": folder / "acquisition"},
            "output": {"folder": folder / "results", "pictures": False},
            "segmentation": {"method": "threshold"},
            "separation": {"method": "none", "min_diameter_nm": least_nm},
            "engine": {"workers": 1},
        }
    )


def engine(config, ledger, mode):
    segmenter = segmentation.build(config.segmentation)
    method = pipeline.describe(segmenter, config.separation)
    return Engine(config=config, ledger=ledger, segmenter=segmenter, method=method, mode=mode)


@pytest.fixture
def outdated(tmp_path, series):
    """Folder and ledger of two micrographs that were separated with another setting than the service has."""
    (tmp_path / "acquisition" / "Au").mkdir(parents=True)
    for number, path in enumerate(sorted(series.glob("*.dm3"))[:2]):
        shutil.copy(path, tmp_path / "acquisition" / "Au" / f"Au_{number}.dm3")
    config = settings(tmp_path, 0.5)
    config.output.state.mkdir(parents=True)
    with open_ledger(config.output.state) as ledger:
        queue.add_all(ledger, arrivals_at(config.watch.folder, config, ["*.dm3"]))
        engine(config, ledger, RunMode.one_shot()).run(threading.Event())
        yield tmp_path, ledger


@contextmanager
def running(config, ledger):
    """An engine in its thread, with its one worker started."""
    service, stop = engine(config, ledger, RunMode.service()), threading.Event()
    thread = threading.Thread(target=service.run, args=(stop,), daemon=True)
    thread.start()
    try:
        wait_until(lambda: service.status.turned_s or not thread.is_alive(), seconds=240, what="the engine")
        yield service
    finally:
        stop.set()
        service.wake()
        thread.join(timeout=120)
    assert not thread.is_alive()


def turns(service, count):
    """Wait until the conductor has turned so many times."""
    for _ in range(count):
        before = service.status.turned_s
        wait_until(lambda before=before: service.status.turned_s > before, what="a turn of the conductor")


def test_a_rebuild_of_slow_micrographs_holds_up_nothing(outdated, series):
    """Its worker stands still; the conductor turns and begins with a file that arrives meanwhile."""
    folder, ledger = outdated
    config = settings(folder, 2.0)
    with running(config, ledger) as service:
        (worker,) = service._processes._pool._processes
        os.kill(worker, signal.SIGSTOP)
        try:
            number = post_request(config.output.state, "rebuild", {"sample": "Au"}, datetime.now(UTC))
            service.wake()
            wait_until(lambda: service._requests._underway, what="the request in hand")
            turns(service, 3)
            shutil.copy(sorted(series.glob("*.dm3"))[2], config.watch.folder / "Au" / "Au_2.dm3")
            queue.add_all(ledger, arrivals_at(config.watch.folder, config, ["*.dm3"]))
            service.wake()
            wait_until(lambda: service.status.in_hand == 1, what="the file that has arrived")
            turns(service, 3)
            with ledger.reader() as reader:
                assert answer_to(reader, number) is None
        finally:
            os.kill(worker, signal.SIGCONT)

        def answer():
            with ledger.reader() as reader:
                return answer_to(reader, number)

        assert 2 == json.loads(wait_until(answer, seconds=120, what="the answer"))["renewed"]
        wait_until(lambda: service.status.last_finished.startswith("Au_2"), what="the new micrograph")
    with ledger.reader() as reader:
        assert 1 == len({row.method for row in reader.micrographs("Au")})


def test_a_worker_that_dies_of_a_rebuild_is_its_answer(outdated):
    """The engine goes on, and the next rebuild does it."""
    folder, ledger = outdated
    config = settings(folder, 2.0)
    with running(config, ledger) as service:
        for sign, expected in ((signal.SIGKILL, "error"), (signal.SIGCONT, "renewed")):
            (worker,) = service._processes._pool._processes
            os.kill(worker, signal.SIGSTOP)
            number = post_request(config.output.state, "rebuild", {"sample": "Au"}, datetime.now(UTC))
            service.wake()
            wait_until(lambda: service._requests._underway, what="the request in hand")
            os.kill(worker, sign)

            def answer(number=number):
                with ledger.reader() as reader:
                    return answer_to(reader, number)

            assert expected in json.loads(wait_until(answer, seconds=240, what="the answer"))
            wait_until(lambda: not service._processes.has_dead_worker, seconds=240, what="a new worker")


def test_without_a_service_the_command_does_all_steps_itself(outdated):
    """In its own process, with the same result."""
    folder, ledger = outdated
    config = settings(folder, 2.0)
    steps = requests.act(ledger, config, "rebuild", {"sample": "Au"}, requests.workers_here(config))
    assert 2 == requests.complete(steps)["renewed"]
    again = requests.act(ledger, config, "rebuild", {"sample": "Au"}, requests.workers_here(config))
    assert 0 == requests.complete(again)["renewed"]


def test_a_corrected_calibration_is_measured_again_while_the_service_runs(outdated):
    """The answer comes at once, rows and tables follow."""
    folder, ledger = outdated
    config = settings(folder, 0.5)

    def sizes():
        with ledger.reader() as reader:
            return {row.micrograph: row.pixel_size_nm for row in reader.micrographs("Au")}

    expected = {path: 2 * size for path, size in sizes().items()}
    arguments = {"sample": "Au", "factor": 2.0, "by": "anna", "source": "command"}
    table = config.output.folder / "Au" / "micrographs.csv"
    with running(config, ledger) as service:
        number = post_request(config.output.state, "calibrate", arguments, datetime.now(UTC))
        service.wake()
        wait_until(lambda: sizes() == expected, what="the corrected sizes")
        wait_until(lambda: 2 == table.read_text().count(",corrected,"), what="the table")
    with ledger.reader() as reader:
        assert 2 == json.loads(answer_to(reader, number))["micrographs"]


@pytest.mark.parametrize("size", [-1.0, 0.0, 5e-10, 5e7])
def test_a_retry_with_a_size_that_cannot_be_is_answered_with_why(tmp_path, size):
    """Whoever posted it; nothing is put into the queue."""
    arguments = {"paths": None, "pixel_size_nm": size}
    config = settings(tmp_path, 2.0)
    with open_ledger(tmp_path) as ledger:
        steps = requests.act(ledger, config, "retry", arguments, requests.workers_here(config))
        assert "pixel size" in requests.complete(steps)["error"]
