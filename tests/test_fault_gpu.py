"""A device that has no memory left, computes no more, or does not answer."""

from functools import partial

import pytest

import sick_service
from system import Service, wait_until

pytestmark = pytest.mark.system


class Sick(Service):
    """A service whose device obeys."""

    def __init__(self, folder):
        super().__init__(folder, watch={"settle_seconds": 0.1})
        self.mood = self.folder / "mood"
        self.main = partial(sick_service.main, self.mood)
        self.device_is("well")

    def device_is(self, mood):
        fresh = self.mood.with_suffix(".new")
        fresh.write_text(mood)
        fresh.replace(self.mood)


def test_out_of_memory_is_counted_and_the_micrograph_is_refused_only_at_last(tmp_path, contents):
    """Smaller tiles where they fit; where nothing does, a failure with its reason; the service goes on."""
    with Sick(tmp_path) as service:
        assert (0, 1) == (service.metric("out_of_memory_total"), service.metric("gpu_healthy"))
        service.device_is("little memory")
        (service.watched / "large_01.dm3").write_bytes(contents())
        service.count_of(done=1)
        service.device_is("no memory")
        (service.watched / "large_02.dm3").write_bytes(contents())
        service.count_of(done=1, failed=1)
        counted = service.metric("out_of_memory_total")
        assert counted > 1
        assert 1 == service.metric('micrographs_failed_total{reason="out_of_memory"}')
        service.device_is("well")
        (service.watched / "large_03.dm3").write_bytes(contents())
        service.count_of(done=2, failed=1)
        assert counted == service.metric("out_of_memory_total")


@pytest.mark.parametrize("mood", ["sick", "hung"])
def test_a_device_that_fails_ends_the_service_for_a_restart(tmp_path, contents, mood):
    """Exit code 3 and one line; the micrograph in hand is not failed for it, and done after the restart."""
    with Sick(tmp_path) as service:
        (service.watched / "Au_01.dm3").write_bytes(contents())
        service.count_of(done=1)
        service.device_is(mood)
        (service.watched / "Au_02.dm3").write_bytes(contents())
        wait_until(lambda: service.process.poll() is not None, what="the end of the service")
        assert 3 == service.process.returncode
        reason = {"sick": "CUDA error", "hung": "no answer within 3 s"}[mood]
        last = service.log.read_text().strip().splitlines()[-1]
        assert "the device of the network does not work" in last
        assert reason in last
        assert "Traceback" not in service.log.read_text()
        service.device_is("well")
        with service.start():
            service.count_of(done=2, failed=0)


def test_while_the_service_ends_for_a_hung_device_the_metric_says_why(tmp_path, contents):
    """gpu_healthy 0 is there to be scraped while what is in hand gets its time."""
    with Sick(tmp_path) as service:
        service.device_is("hung")
        (service.watched / "Au_01.dm3").write_bytes(contents())

        def said():
            try:
                return service.metric("gpu_healthy") == 0
            except OSError:
                return False

        wait_until(said, what="gpu_healthy 0")
        assert 503 == service.status("readyz")
        service.process.kill()


def test_a_device_that_is_sick_at_the_start_is_exit_code_3(tmp_path):
    """Before anything is taken up."""
    service = Sick(tmp_path)
    service.device_is("sick")
    service.start(ready=False)
    assert 3 == service.process.wait(timeout=180)
    assert "the device of the network does not work" in service.log.read_text()
