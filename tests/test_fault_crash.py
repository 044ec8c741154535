"""Processes that die or are told to: workers on a poison file, the service in any of its stages."""

import json
import os
import signal
from collections import Counter

import numpy as np
import pytest
import tifffile

from faults import logged
from system import Service, command, rows, temwatch, wait_until

pytestmark = pytest.mark.system

# every Python process looks for this module; workers that open a poison file die of it
POISONED = """
import multiprocessing, os, sys

def die(event, arguments):
    if event == "open" and "/poison_" in str(arguments[0]) and multiprocessing.parent_process() is not None:
        if not os.path.exists(os.environ["ANTIDOTE"]):
            os.abort()

sys.addaudithook(die)
"""


def test_a_poison_file_is_tried_again_later_then_put_aside_until_retry(tmp_path, contents):
    """It costs its workers, three times with a growing pause; others are analysed meanwhile and after."""
    (tmp_path / "sitecustomize.py").write_text(POISONED)
    antidote = tmp_path / "antidote"
    image = np.random.default_rng(0).normal(1000, 30, (256, 256)).astype(np.float32)
    image[100:140, 100:140] -= 500
    service = Service(tmp_path, watch={"settle_seconds": 0.2}, samples={"pixel_size_nm": 0.1})
    tifffile.imwrite(service.watched / "poison_01.tif", image)
    for number in range(1, 5):
        (service.watched / f"Au_{number:02d}.dm3").write_bytes(contents())
    environment = {"PYTHONPATH": str(tmp_path), "ANTIDOTE": str(antidote), "PYTHONFAULTHANDLER": ""}
    with service.start(env=environment):
        wait_until(lambda: len(service.micrographs("Au")) == 4, what="the harmless ones")
        wait_until(lambda: service.micrographs("poison"), what="the row of the poison")
        (row,) = service.micrographs("poison")
        assert ("failed", True) == (row["status"], "died on it 3 times" in row["reason"])
        assert {"done"} == {found["status"] for found in service.micrographs("Au")}
        assert service.log.read_text().count("a worker process died") >= 3
        assert 1 == service.metric('micrographs_failed_total{reason="crashed"}')
        assert 3 <= service.metric('retries_total{reason="crashed"}')
        status = command("status", "--config", service.config)
        assert "failed: poison_01.tif: the worker process died on it 3 times" in status.stdout
        antidote.touch()
        assert 0 == command("retry", "--config", service.config, "poison_01.tif").returncode
        service.count_of(done=5, failed=0)
        wait_until(
            lambda: service.micrographs("poison")[-1]["status"] == "done", what="the row of its result"
        )


STAGES = ("read", "segment", "resolve", "record", "publish")


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL],
    ids=["SIGTERM", "SIGKILL"],
)
@pytest.mark.parametrize(
    "stages", [("record",), pytest.param(STAGES, marks=pytest.mark.slow)], ids=["one stage", "every stage"]
)
def test_ended_in_a_stage(tmp_path, contents, number, stages):
    """An orderly end has exit code 0, a kill has none; both leave every micrograph once, in its one place."""
    service = Service(tmp_path, logging={"level": "debug"}, engine={"workers": 1})
    for count, stage in enumerate(stages, 1):
        service.start()
        service.count_of(done=count - 1)  # a file that is in hand at three kills would be put aside
        (service.watched / f"Au_{count:02d}.dm3").write_bytes(contents())
        wait_until(lambda stage=stage: in_stage(service, stage), what=f"stage {stage}")
        service.process.send_signal(number)
        assert (0 if number == signal.SIGTERM else -9) == service.process.wait(timeout=180)
    with service.start():
        service.count_of(done=len(stages))
        wait_until(lambda: len(service.micrographs()) == len(stages), what="all rows")
    found = service.micrographs()
    assert {f"Au_{count:02d}.dm3": "done" for count in range(1, len(stages) + 1)} == {
        row["micrograph"]: row["status"] for row in found
    }
    assert Counter({row["micrograph"]: int(row["particles"]) for row in found}) == Counter(
        row["micrograph"] for row in rows(service.output / "Au" / "particles.csv")
    )
    left = [path for path in service.output.rglob("*") if path.name.startswith(".") and path.is_file()]
    assert [] == left


def in_stage(service, stage):
    """Whether this run of the service has logged that it began the stage."""
    text = service.log.read_bytes()[service.offset :]
    lines = [json.loads(line) for line in text.splitlines() if line.startswith(b"{") and line.endswith(b"}")]
    return any(line.get("stage") == stage for line in lines)


def test_two_services_on_one_ledger(tmp_path, contents):
    """The second ends with exit code 3 and names the first; the first does not notice."""
    with Service(tmp_path) as service:
        second = temwatch("run", "--config", service.config)
        assert 3 == second.returncode
        assert f"another temwatch (process {service.process.pid}) holds this ledger" in second.stderr
        assert "Traceback" not in second.stderr
        (service.watched / "Au_01.dm3").write_bytes(contents())
        service.count_of(done=1)


@pytest.mark.slow
def test_a_second_signal_does_not_disturb_the_end(tmp_path, contents):
    """Somebody is impatient."""
    with Service(tmp_path) as service:
        for number in range(1, 5):
            (service.watched / f"Au_{number:02d}.dm3").write_bytes(contents())
        logged(service, "finished")
        for _ in range(3):
            os.kill(service.process.pid, signal.SIGTERM)
        assert 0 == service.process.wait(timeout=180)
        with service.start():
            service.count_of(done=4)
