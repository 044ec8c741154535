"""Workers and threads that do not advance: told of, replaced, and no good micrograph is lost for it."""

import json
import os
import signal
import sys
import urllib.error

import pytest

import impatient_service
from system import Service, wait_until, workers_of

pytestmark = pytest.mark.system


def not_ready(service):
    """What `/readyz` misses, None while it is ready."""
    try:
        service.get("readyz")
    except urllib.error.HTTPError as error:
        return json.loads(error.read())["missing"]
    return None


def test_what_hangs_is_told_and_replaced(tmp_path, series):
    """Stopped workers, then a segmentation on the CPU; the service never ends for it."""
    mood = tmp_path / "mood"
    mood.write_text("well")
    contents = sorted(series.glob("*.dm3"))
    service = Service(tmp_path, engine={"workers": 2})
    command = (sys.executable, impatient_service.__file__, str(mood))
    with service.start(command=command):
        (service.watched / "Au_01.dm3").write_bytes(contents[0].read_bytes())
        service.count_of(done=1)
        for pid in workers_of(service.process):
            os.kill(pid, signal.SIGSTOP)
        (service.watched / "Au_02.dm3").write_bytes(contents[1].read_bytes())
        wait_until(lambda: (missing := not_ready(service)) and "hang" in missing[0], what="a hung worker")
        assert service.metric("workers_hung") > 0
        service.count_of(done=2)
        wait_until(lambda: service.status("readyz") == 200, what="readiness")
        mood.write_text("hung")
        (service.watched / "Au_03.dm3").write_bytes(contents[2].read_bytes())
        wait_until(lambda: service.metric("workers_hung"), what="a hung segmentation")
        mood.write_text("well")
        service.count_of(done=3)
        wait_until(lambda: not service.metric("workers_hung"), what="no hung worker")
        assert 200 == service.status("readyz")
    assert 0 == service.process.returncode
    assert {"failed": 0, "done": 3} == {key: service.receipt()[key] for key in ("failed", "done")}
