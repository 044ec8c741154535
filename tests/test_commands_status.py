"""`temwatch status`: the receipt adds up, and every difference between seen and done has its name."""

from datetime import timedelta

import pytest

from ledger_cases import START, arrival, sha256, take
from system import Service, command
from temwatch.domain import Status
from temwatch.ledger import open_ledger, queue, recording


@pytest.fixture
def service(tmp_path):
    """Stopped, with a file of every kind in its ledger."""
    service = Service(tmp_path)
    with open_ledger(service.state) as ledger:
        take(ledger, "good.dm3", 0)
        take(ledger, "replaced.dm3", 1)
        take(ledger, "replaced.dm3", 2, mtime_ns=2)
        for status, code, reason in (
            (Status.REFUSED, "truncated", "is short"),
            (Status.FAILED, "input_output", "the share gave up"),
        ):
            queue.add(ledger, arrival(f"{status}.dm3"))
            (file,) = queue.claim(ledger, 1, START)
            recording.reject_file(ledger, file.id, status=status, code=code, reason=reason, at=START)
        queue.add(ledger, arrival("copy.dm3"))
        (file,) = queue.claim(ledger, 1, START)
        recording.recognise(ledger, file.id, sha256(0), START)
        queue.add(ledger, arrival("later.dm3"))
        (file,) = queue.claim(ledger, 1, START)
        queue.release(ledger, file.id, not_before=START + timedelta(days=36500), reason="input_output")
        queue.add(ledger, arrival("waits.dm3"))
        queue.add(ledger, arrival("held.dm3", sample="Pt"))
    return service


def test_every_difference_is_named(service):
    """With its reason, and what is waited for."""
    done = command("status", "--config", service.config)
    assert 0 == done.returncode, done.stderr
    lines = done.stdout.splitlines()
    assert "service: stopped" == lines[0]
    expected = "seen 9 = done 2 + refused 1 + failed 1 + duplicates 1 + superseded 1 + pending 3 + excluded 0"
    assert expected == lines[-1]
    named = sorted(line for line in lines if ".dm3" in line)
    for begin, line in zip(
        (
            "duplicate: copy.dm3: same content as good.dm3",
            "failed: failed.dm3: the share gave up",
            "noted: 2 micrographs: the field looks blank; the last is replaced.dm3",
            "pending: held.dm3: queued",
            "pending: later.dm3: 1 failed attempt to read it, next attempt at",
            "pending: waits.dm3: queued",
            "refused: refused.dm3: is short",
            "superseded: replaced.dm3",
        ),
        named,
        strict=True,
    ):
        assert line.startswith(begin)


def test_a_sample_keeps_its_name(tmp_path):
    """Also where the name looks like the terminal's markup."""
    service = Service(tmp_path)
    with open_ledger(service.state) as ledger:
        take(ledger, "a.dm3", 0, sample="a[red]b")
    done = command("status", "--config", service.config)
    assert "a[red]b" in done.stdout, done.stderr
