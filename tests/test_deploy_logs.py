"""The log of a real service: JSON lines, one id for each micrograph, two lines at info, no secrets."""

import contextlib
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections import defaultdict

import pytest

from system import Service, command, wait_until
from temwatch.ledger import Reader

pytestmark = pytest.mark.system

SECRET = "correct-horse-battery-staple-4711"


def of_micrographs(running):
    """Log lines by id; every line is JSON with event, level and time."""
    found = defaultdict(list)
    for line in running.log.read_text().splitlines():
        entry = json.loads(line)
        assert {"event", "level", "timestamp"} <= set(entry), line
        if "id" in entry:
            found[entry["id"]].append(entry)
    return dict(found)


@pytest.fixture(scope="module")
def quiet(series, tmp_path_factory):
    """A service at info that finished four files of three kinds, and was asked with and without the token."""
    folder = tmp_path_factory.mktemp("quiet")
    token = folder / "token"
    token.write_text(SECRET + "\n")
    token.chmod(0o600)
    with Service(folder, http={"listen": "127.0.0.1:0", "token_file": str(token)}) as running:
        sources = sorted(series.glob("*.dm3"))
        # `copy` sets permissions when the content is there: a change, for which the file is read again
        shutil.copyfile(sources[0], running.watched / "Au_01.dm3")
        shutil.copyfile(sources[1], running.watched / "Au_02.dm3")
        wait_until(lambda: len(running.micrographs()) == 2, what="two rows")
        shutil.copyfile(sources[0], running.watched / "Au_03.dm3")
        (running.watched / "Au_99.dm3").write_text("not a micrograph")
        wait_until(lambda: len(running.micrographs()) == 4, what="four rows")
        for value in (SECRET, SECRET[::-1]):
            for path in ("api/samples", f"api/samples?token={value}", "nothing"):
                request = urllib.request.Request(
                    running.page() + path, headers={"Authorization": f"Bearer {value}"}, method="POST"
                )
                with contextlib.suppress(urllib.error.HTTPError):
                    urllib.request.urlopen(request, timeout=10).close()
    return running


def test_a_micrograph_costs_two_lines_at_info(quiet):
    """Whatever becomes of it; both with its id, sample and path."""
    lines = of_micrographs(quiet)
    assert 4 == len(lines)
    for entries in lines.values():
        assert ["micrograph started", "micrograph finished"] == [entry["event"] for entry in entries]
        assert 1 == len({(entry["sample"], entry["path"]) for entry in entries})
    statuses = {entries[0]["path"]: entries[1]["status"] for entries in lines.values()}
    assert {
        "Au_01.dm3": "done",
        "Au_02.dm3": "done",
        "Au_03.dm3": "duplicate",
        "Au_99.dm3": "refused",
    } == statuses


def test_no_other_line_speaks_of_a_micrograph(quiet):
    """A path without an id could not be followed."""
    for line in quiet.log.read_text().splitlines():
        assert ".dm3" not in line or "id" in json.loads(line)


def test_the_id_is_that_of_the_ledger(quiet):
    """So that a line can be found again from the table of files."""
    with Reader(quiet.output / ".temwatch") as reader:
        files = {row.file_id: row.micrograph for row in reader.recent()}
    assert files == {number: entries[0]["path"] for number, entries in of_micrographs(quiet).items()}


def test_secrets_are_not_logged(quiet):
    """Neither the token nor what a client sent as one."""
    log = quiet.log.read_text()
    assert SECRET not in log
    assert SECRET[::-1] not in log


def test_at_debug_the_id_is_bound_through_all_stages(tmp_path, series):
    """From taking it up to the finished row, and again when it is retried."""
    with Service(tmp_path, logging={"level": "debug"}) as running:
        shutil.copyfile(sorted(series.glob("*.dm3"))[0], running.watched / "Au_01.dm3")
        (running.watched / "Au_99.dm3").write_text("not a micrograph")
        wait_until(lambda: len(running.micrographs()) == 2, what="two rows")
        assert 0 == command("retry", "--config", running.config, "Au_99.dm3").returncode
        wait_until(lambda: running.log.read_text().count("micrograph finished") == 3, what="the retry")
    by_path = {entries[0]["path"]: entries for entries in of_micrographs(running).values()}
    assert {"Au_01.dm3", "Au_99.dm3"} == set(by_path)
    good = by_path["Au_01.dm3"]
    assert ("micrograph started", "micrograph finished") == (good[0]["event"], good[-1]["event"])
    assert ["read", "segment", "resolve", "record", "publish"] == [
        entry["stage"] for entry in good if entry["event"] == "stage"
    ]
    finished = [entry["status"] for entry in by_path["Au_99.dm3"] if entry["event"] == "micrograph finished"]
    assert ["refused", "refused"] == finished


@pytest.mark.parametrize("where", ["defect()", "threading.Thread(target=defect).start()"])
def test_what_ends_the_process_or_a_thread_is_one_json_line(where):
    """With the traceback in it; a warning of a library is one too."""
    script = f"""
import threading, warnings
from temwatch.config import LoggingSettings
from temwatch.daemon import logs

def defect():
    raise ZeroDivisionError("nobody thought of this")

logs.set_up(LoggingSettings())
warnings.warn("old function")
{where}
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    warned, ended = (json.loads(line) for line in done.stderr.splitlines())
    assert "old function" in warned["event"]
    assert ("internal error", "critical") == (ended["event"], ended["level"])
    assert "nobody thought of this" in str(ended["exception"])
    assert "defect" in str(ended["exception"])
