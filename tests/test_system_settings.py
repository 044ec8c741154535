"""Settings of a sample beside a running service, which is killed while it measures again."""

import json
import os
import shutil
import signal
import urllib.error
import urllib.request

import pytest

from system import Service, rows, wait_until
from temwatch.ledger import Reader, changes, waiting_rows

pytestmark = pytest.mark.system
KEY = "separation.min_diameter_nm"
BIG_NM = 3.0


def post(service, values, code=200, **more):
    token = (service.state / "token").read_text().strip()
    request = urllib.request.Request(
        f"{service.page()}api/samples/Au/settings",
        data=json.dumps({"settings": values, **more}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
        error.close()
    assert code == status, body
    return json.loads(body)


def waiting(service):
    with Reader(service.state) as reader:
        return waiting_rows.waiting(reader)


def methods(service):
    """The method of each row of micrographs.csv, by path."""
    path = service.output / "Au" / "micrographs.csv"
    return {row["micrograph"]: row["method"] for row in rows(path)} if path.exists() else {}


@pytest.mark.parametrize("count", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_a_kill_in_the_middle_of_measuring_again(tmp_path, series, contents, count):
    """It goes on; every row has the new settings, once, and so has what arrives afterwards."""
    service = Service(tmp_path, output={"pictures": False})
    (service.watched / "Au").mkdir()
    for number in range(count):
        (service.watched / "Au" / f"Au_{number:03d}.dm3").write_bytes(contents())
    service.start()
    try:
        table = service.output / "Au" / "particles.csv"
        wait_until(lambda: len(methods(service)) == count, 600, what="the results")
        (before,) = {*methods(service).values()}
        answer = post(service, {KEY: BIG_NM}, by="anna", reason="dust")
        assert count == answer["micrographs"]
        wait_until(lambda: waiting(service) < count, what="the first row that was measured again")
        os.kill(service.process.pid, signal.SIGKILL)
        wait_until(lambda: service.process.poll() is not None, what="the end")
        left = waiting(service)
        assert 0 < left < count
        service.start()
        assert "not ready" not in service.json("readyz")["status"]
        wait_until(lambda: not waiting(service), 600, what="the rest")
        wait_until(
            lambda: len({*methods(service).values()}) == 1 and before not in methods(service).values(),
            what="micrographs.csv",
        )
        least = min(float(row["equivalent_diameter_nm"]) for row in rows(table))
        assert least >= 0.95 * BIG_NM  # of the outline between the pixels
        assert 0 == service.json("api/now")["queue"]["measured_again"]
        shutil.copy(sorted(series.glob("*.dm3"))[3], service.watched / "Au" / "later.dm3")
        wait_until(lambda: "Au/later.dm3" in methods(service), what="what arrives later")
        assert 1 == len({*methods(service).values()})
        assert 0 == waiting(service)
        shown = service.json("api/samples/Au/settings")[KEY]
        assert ("sample", BIG_NM, "anna", 0.5) == (
            shown["source"],
            shown["value"],
            shown["by"],
            shown["configured"],
        )
        post(service, {KEY: None})
        wait_until(lambda: {*methods(service).values()} == {before}, 600, what="the rows as they were")
    finally:
        service.kill()
    with Reader(service.state) as reader:
        assert [None, BIG_NM] == [one.after[KEY] for one in changes.history(reader, limit=9)]
