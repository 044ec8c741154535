"""Sizes that would go wrong: a real service refuses them or reads them rightly, also after a restart."""

import json
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from ledger_cases import arrival
from odd_pictures import PICTURES
from system import Service, command
from temwatch.ledger import open_ledger, queue

pytestmark = pytest.mark.system

EXPECTED = Counter(entry.expected for entry in PICTURES)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """It has worked through all of them and was started again."""
    running = Service(tmp_path_factory.mktemp("numbers"), output={"pictures": False})
    for entry in PICTURES:
        (running.watched / "odd" / entry.name).mkdir(parents=True)
        entry.make(running.watched / "odd" / entry.name, None)
    with running:
        running.count_of(**EXPECTED)
        assert 0 == running.stop()
        with running.start():
            running.count_of(**EXPECTED)
            yield running


def by_kind(service):
    return {row["micrograph"].split("/")[1]: row for row in service.micrographs("odd")}


@pytest.mark.parametrize("entry", PICTURES, ids=lambda entry: entry.name)
def test_a_size_is_read_exactly_or_refused_with_its_reason(service, entry):
    row = by_kind(service)[entry.name]
    assert entry.expected == row["status"], row["reason"]
    if entry.expected == "done":
        assert 0.1 == pytest.approx(float(row["pixel_size_nm"]), rel=1e-9)
        assert "1" == row["particles"]
    else:
        assert row["reason"]
        assert not row["pixel_size_nm"]


def post(service, path, body, kind):
    """Status and body of a POST with the token."""
    token = (service.state / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    request = urllib.request.Request(service.page() + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


@pytest.mark.parametrize("size", ["1e-9", "0", "-1", "1e9", "NaN", "1e999"])
def test_a_size_that_cannot_be_is_not_taken(service, size):
    """By the command, and over HTTP with its token."""
    before, path = by_kind(service), "odd/for printing/odd_1.tif"
    done = command("retry", "--config", service.config, f"--pixel-size={size}", path)
    assert (2, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    body = f'{{"paths": ["{path}"], "pixel_size_nm": {size}}}'.encode()
    assert 422 == post(service, "api/retry", body, "application/json")[0]
    service.count_of(**EXPECTED)
    assert before == by_kind(service)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("Nr;Fläche;Mittelw;Max;Feret\n1;3;100;999;2,1\n2;3;100;999;2,4\n3;3;100;999;2,2\n", "Feret"),
        ("\tAire\tMoy\tMax\n1\t3,14\t100\t999\n2\t3,2\t100\t999\n3\t3,1\t100\t999\n", "Aire"),
        (" ,Área,Media,Máx\n1,3.14,100,999\n2,3.2,100,999\n3,3.1,100,999\n", "Área"),
        (" ,Area,Mean,Max\n1,3.14,100,999\n2,3.2,100,999\n3,3.1,100,999\n", "Area"),
    ],
)
def test_a_table_of_imagej_is_compared_by_what_are_sizes_in_it(service, table, column):
    """`Max` is a grey value; a table that has nothing else asks for a choice."""
    status, answer = post(service, "api/samples/odd/comparison", table.encode(), "text/csv")
    assert (200, column) == (status, answer["column"])
    assert 1.9 < answer["mean"][1] < 2.5
    alone = " ,Mean,Max\n1,100,999\n2,100,998\n3,100,997\n"
    status, answer = post(service, "api/samples/odd/comparison", alone.encode(), "text/csv")
    assert 422 == status
    assert "Max" in answer["candidates"]


def test_a_file_that_was_put_back_when_the_clock_was_ahead_does_not_wait(service):
    """Nor does one that was found then: it has its row at once after the next start."""
    assert 0 == service.stop()
    path, ahead = "odd/late/odd_1.tif", datetime.now(UTC) + timedelta(days=30_000)
    (service.watched / path).parent.mkdir()
    PICTURES[0].make((service.watched / path).parent, None)
    found = (service.watched / path).stat()
    late = arrival(
        path,
        root=str(service.watched),
        sample="odd",
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        detected_at=ahead,
    )
    with open_ledger(service.state) as ledger:
        number = queue.add(ledger, late)
        assert [number] == [file.id for file in queue.claim(ledger, 9, ahead)]
        queue.release(ledger, number, not_before=ahead + timedelta(seconds=2), reason="changed")
    service.start()
    service.count_of(**EXPECTED | {"done": EXPECTED["done"] + 1})
    assert "done" == by_kind(service)["late"]["status"]
    assert 0 <= service.metric("arrival_to_result_seconds_sum") < 600
