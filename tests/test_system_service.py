"""The service as a real process: from arriving files to rows, page, metrics and signals."""

import contextlib
import json
import os
import shutil
import signal
import socket
import time
import urllib.request
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from system import Service, command, rows, temwatch, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def service(series, tmp_path_factory):
    """A running service that has seen the series and one bad file."""
    with Service(tmp_path_factory.mktemp("service")).start(fresh=True) as running:
        for path in sorted(series.glob("*.dm3")):
            shutil.copy(path, running.watched / f"Au_{path.stem[-2:]}.dm3")
        (running.watched / "Au_99.dm3").write_text("not a micrograph")
        wait_until(lambda: len(running.micrographs()) == 7, what="seven rows")
        yield running


def test_every_arriving_file_becomes_a_row(service):
    """Good ones are measured, the bad one says why not."""
    found = {row["micrograph"]: row["status"] for row in service.micrographs()}
    assert "refused" == found.pop("Au_99.dm3")
    assert ["done"] * 6 == list(found.values())
    assert rows(service.output / "Au" / "particles.csv")


def test_a_file_written_in_pieces_is_analysed_once_when_it_is_complete(service, series):
    """A dm3 that has reached its declared length needs no settling."""
    content = sorted(series.glob("*.dm3"))[0].read_bytes()
    with (service.watched / "pieces_01.dm3").open("wb") as stream:
        for start in range(0, len(content), len(content) // 10 + 1):
            stream.write(content[start : start + len(content) // 10 + 1])
            stream.flush()
            time.sleep(0.1)
    wait_until(lambda: service.micrographs("pieces"), what="the row of the file in pieces")
    time.sleep(1)
    assert ["done"] == [row["status"] for row in service.micrographs("pieces")]


def test_a_replaced_file_supersedes_its_rows(service, series):
    """Its particles leave particles.csv, its row stays and says superseded."""
    first, second = (path.read_bytes() for path in sorted(series.glob("*.dm3"))[:2])
    target = service.watched / "again_01.dm3"
    target.write_bytes(first)
    wait_until(lambda: service.micrographs("again"), what="the first revision")
    target.write_bytes(second)
    found = wait_until(
        lambda: len(service.micrographs("again")) == 2 and service.micrographs("again"),
        what="the second revision",
    )
    assert ["superseded", "done"] == [row["status"] for row in found]
    particles = rows(service.output / "again" / "particles.csv")
    assert int(found[1]["particles"]) == len(particles)


def test_the_api_tells_what_the_tables_hold(service):
    """Samples, summary, particles in three forms, one micrograph and its overlay."""
    names = [sample["sample"] for sample in service.json("api/samples")]
    assert "Au" in names
    summary = service.json("api/samples/Au/summary")
    table = rows(service.output / "Au" / "particles.csv")
    assert len(table) == summary["particles"] == len(service.json("api/samples/Au/particles"))
    assert (service.output / "Au" / "particles.csv").read_bytes() == service.get(
        "api/samples/Au/particles?format=csv"
    )
    assert b"PAR1" == service.get("api/samples/Au/particles?format=parquet")[:4]
    done = next(row for row in service.json("api/micrographs?limit=100") if row["status"] == "done")
    assert done["id"] == service.json(f"api/micrographs/{done['id']}")["id"]
    assert b"\x89PNG" == service.get(f"api/micrographs/{done['id']}/overlay.png")[:4]
    assert 404 == service.status("api/micrographs/999999")
    assert 404 == service.status("api/samples/none/summary")
    assert "/api/samples" in service.json("api/openapi.json")["paths"]


def test_health_and_page(service):
    """Alive, ready, and a page that a browser can show."""
    assert 200 == service.status("healthz")
    assert 200 == service.status("readyz")
    assert b"<title>temwatch</title>" in service.get("")


def test_a_foreign_host_name_is_turned_away(service):
    """A page of another site must not reach the service through a name that points here."""
    request = urllib.request.Request(service.page() + "api/samples", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()
    assert 400 == caught.value.code


def test_metrics_agree_with_the_tables(service):
    """Totals come from the ledger, so they cannot differ."""
    text = service.get("metrics").decode()
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    done = sum(
        row["status"] == "done"
        for name in service.json("api/samples")
        for row in service.micrographs(name["sample"])
    )
    assert done <= values[("temwatch_micrographs_processed_total", (("outcome", "done"),))]
    assert 1 == values[("temwatch_micrographs_processed_total", (("outcome", "refused"),))]
    assert 1 == values[("temwatch_ready", ())] == values[("temwatch_watch_folder_up", ())]
    assert values[("temwatch_stage_duration_seconds_count", (("stage", "resolve"),))] >= done
    expected = (
        "build_info gpu_healthy particles_measured_total frames_processed_total out_of_memory_total "
        "event_overflows_total queue_micrographs last_success_timestamp_seconds last_scan_timestamp_seconds "
        "spool_free_bytes arrival_to_result_seconds_count equivalent_diameter_meters_count"
    )
    assert {f"temwatch_{name}" for name in expected.split()} <= {name for name, _ in values}


def test_an_event_tells_the_page_of_a_finished_micrograph(service, series):
    """The browser learns it without asking."""
    host, port = service.page().removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=180) as line:
        line.sendall(f"GET /api/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        time.sleep(0.3)
        shutil.copy(sorted(series.glob("*.dm3"))[3], service.watched / "event_01.dm3")
        text = ""
        while "event_01.dm3" not in text:
            text += line.recv(4096).decode()
    assert "event: micrograph" in text


def test_status_ends_with_a_receipt_that_adds_up(service):
    """seen = done + refused + failed + duplicates + superseded + pending + excluded."""
    done = temwatch("status", "--config", service.config)
    assert 0 == done.returncode, done.stderr
    receipt = done.stdout.strip().splitlines()[-1]
    seen, *parts = (
        int(word) for word in receipt.replace("=", " ").replace("+", " ").split() if word.isdigit()
    )
    assert seen == sum(parts) >= 7
    assert "running" in done.stdout


def test_a_token_is_made_where_none_is_configured(service):
    """Only the service's user can read it; with it, things can be changed."""
    path = service.output / ".temwatch" / "token"
    assert (0o600, True) == (path.stat().st_mode & 0o777, len(path.read_text().strip()) >= 40)
    nothing = f"{service.page()}api/micrographs/999999/retry"
    for token, expected in (("wrong", 401), (path.read_text().strip(), 404)):
        headers = {"Authorization": f"Bearer {token}"}
        assert expected == httpx.post(nothing, headers=headers, json={}, timeout=60).status_code
    done = command("status", "--config", service.config, "--link")
    assert (2, "") == (done.returncode, done.stdout)
    assert "[http] listen leaves the port to the system" in done.stderr


def test_check_finds_nothing_wrong(service):
    """Every part has its line."""
    done = temwatch("check", "--config", service.config)
    assert 0 == done.returncode, done.stdout
    lines = [line.split()[0] for line in done.stdout.strip().splitlines()]
    assert set(lines) <= {"ok", "warning"}
    assert len(lines) >= 6


def test_retry_while_the_service_runs(service):
    """A refused micrograph is taken up again, here to be refused again."""
    before = next(row for row in service.micrographs() if row["micrograph"] == "Au_99.dm3")
    done = temwatch("retry", "--config", service.config, "Au_99.dm3")
    assert 0 == done.returncode, done.stderr

    def again():
        return [
            row
            for row in service.micrographs()
            if row["micrograph"] == "Au_99.dm3" and row["analysed_at"] != before["analysed_at"]
        ]

    assert "refused" == wait_until(again, what="the second refusal")[0]["status"]
    assert 1 == command("retry", "--config", service.config, "nothing.dm3").returncode


def test_rebuild_while_the_service_runs_gives_the_same_bytes(service):
    """The running service does it itself; the edited table is kept beside."""
    folder = service.output / "Au"
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    (folder / "particles.csv").write_text("somebody edited this\n")
    done = temwatch("rebuild", "--config", service.config, "Au")
    assert 0 == done.returncode, done.stderr
    (edited,) = folder.glob("particles.edited-*.csv")
    assert "somebody edited this\n" == edited.read_text()
    edited.unlink()
    assert before == {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def test_sigterm_ends_it_with_exit_code_0(tmp_path, series):
    """What is in hand is finished or goes back; the log says stopped."""
    running = Service(tmp_path).start()
    for path in series.glob("*.dm3"):
        shutil.copy(path, running.watched / path.name)
    time.sleep(0.5)
    assert 0 == running.stop()
    with_restart = running.start()
    sample = wait_until(lambda: [s["sample"] for s in with_restart.json("api/samples")], what="a sample")[0]
    wait_until(lambda: len(running.micrographs(sample)) == 6, what="six rows")
    assert 0 == running.stop()
    assert ["done"] * 6 == [row["status"] for row in running.micrographs(sample)]
    summary = json.loads((running.output / sample / "summary.json").read_text())
    assert (6, len(rows(running.output / sample / "particles.csv"))) == (
        summary["micrographs"],
        summary["particles"],
    )


def test_systemd_hears_ready_status_watchdog_and_stopping(tmp_path):
    """Over a real datagram socket, as systemd gives it."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(60)
        running = Service(tmp_path / "s").start(env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
        heard = ""
        while "WATCHDOG=1" not in heard:
            heard += channel.recv(4096).decode() + "\n"
        assert "READY=1" in heard
        assert "STATUS=" in heard
        running.process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in heard:
            heard += channel.recv(4096).decode() + "\n"
        assert 0 == running.process.wait(timeout=180)


def test_a_taken_port_is_exit_code_3(tmp_path):
    """With the key to change."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        service = Service(tmp_path, http={"listen": listen})
        done = temwatch("run", "--config", service.config)
    assert 3 == done.returncode
    assert "[http] listen" in done.stderr


def test_a_folder_that_is_missing_at_the_start_is_waited_for(tmp_path, series):
    """Not ready, watch_folder_up 0, then work as soon as it is there."""
    service = Service(tmp_path, watch={"scan_interval_seconds": 0.5})
    service.watched.rmdir()
    service.start(ready=False)
    try:
        wait_until(service.page, what="the page")
        assert 503 == service.status("readyz")
        assert "temwatch_watch_folder_up 0.0" in service.get("metrics").decode()
        service.watched.mkdir()
        shutil.copy(sorted(series.glob("*.dm3"))[0], service.watched / "Au_01.dm3")
        wait_until(service.micrographs, what="the first row")
        assert 200 == service.status("readyz")
    finally:
        assert 0 == service.stop()


def test_log_lines_are_json(service):
    """One object a line, for journald."""
    lines = service.log.read_text().splitlines()
    assert lines
    assert all(json.loads(line)["event"] for line in lines)


def workers_of(pid):
    """Processes below `pid` that do no more than work: children of the fork server."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    children = [child for child, parent in parents.items() if parent == pid]
    return [child for child, parent in parents.items() if parent in children]


def test_a_worker_that_dies_costs_no_micrograph_and_none_outlives_the_service(tmp_path, series):
    """Its work is done again, alone; the service goes on. A kill -9 leaves no process behind."""
    with Service(tmp_path).start(fresh=True) as running:
        for path in sorted(series.glob("*.dm3")):
            shutil.copy(path, running.watched / f"Au_{path.stem[-2:]}.dm3")
        victims = wait_until(lambda: workers_of(running.process.pid), what="workers")
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(running.micrographs()) == 6, what="six rows")
        assert ["done"] * 6 == [row["status"] for row in running.micrographs()]
        assert running.process.poll() is None
        assert "a worker process died" in running.log.read_text()
        left = wait_until(lambda: workers_of(running.process.pid), what="workers")
        running.kill()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), what="the workers' end")
