"""The hook: a command of the configuration that gets the record of each sample that has come to rest."""

import errno
import json
import sys
import threading
import time
from pathlib import Path

import pytest
import structlog

from ledger_cases import arrival, take
from system import Service, wait_until
from temwatch.config_messages import HookSettings
from temwatch.daemon.at_rest import RestClock
from temwatch.daemon.hook import Hook
from temwatch.ledger import counters, open_ledger, publications, queue, rest
from temwatch.outputs import sample_record


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "state") as ledger:
        take(ledger, "Au/1.dm3", content=1, sample="Au")
        yield ledger


@pytest.fixture
def taken(tmp_path):
    """The records that the command was given."""
    folder = tmp_path / "archive"
    folder.mkdir()
    return lambda: [json.loads(path.read_text()) for path in sorted(folder.iterdir())]


SAVE = """
import os, sys, time
record = sys.stdin.read()
with open(os.path.join(sys.argv[1], str(time.monotonic_ns())), "w") as stream:
    stream.write(record)
"""


def hook(ledger, *command, timeout_seconds=30.0):
    return Hook(HookSettings(command=command, rest_seconds=10.0, timeout_seconds=timeout_seconds), ledger)


def python(code, *arguments):
    return (sys.executable, "-I", "-S", "-c", code, *map(str, arguments))


def turn(one, *moments, stop=None):
    """Turns at these seconds; gives the log."""
    with structlog.testing.capture_logs() as said:
        for now_s in moments:
            one.turn(now_s, stop or threading.Event())
    return said


def runs(ledger):
    with ledger.reader() as reader:
        totals = counters.totals(reader)
    return totals.get(("hook_runs", "done"), 0), totals.get(("hook_runs", "failed"), 0)


def test_a_sample_rests_when_nothing_has_changed_for_long_enough(ledger):
    """And not while a file of it is pending."""
    clock = RestClock(10.0)

    def at_rest(now_s):
        with ledger.reader() as reader:
            return clock.at_rest(rest.progress(reader), now_s)

    assert [] == at_rest(0)
    assert ["Au"] == at_rest(10)
    take(ledger, "Au/2.dm3", content=2, sample="Au")
    assert [] == at_rest(11)
    assert [] == at_rest(20)
    assert ["Au"] == at_rest(21)
    queue.add(ledger, arrival("Au/3.dm3", sample="Au"))
    assert [] == at_rest(100)
    assert [] == at_rest(200)


def test_the_command_gets_the_record_once_for_each_state_of_a_sample(ledger, taken, tmp_path):
    """Also after a restart, and after a rebuild, which changes no row."""
    command = python(SAVE, tmp_path / "archive")
    one = hook(ledger, *command)
    turn(one, 0, 5)
    assert [] == taken()
    turn(one, 10, 15, 1000)
    assert ["Au"] == [record["sample"] for record in taken()]
    turn(hook(ledger, *command), 0, 20)
    publications.mark_stale(ledger, "Au")
    turn(one, 2000, 2020)
    assert 1 == len(taken())
    take(ledger, "Au/2.dm3", content=2, sample="Au")
    turn(one, 3000, 3010)
    assert [1, 2] == [len(record["datasets"]) for record in taken()]
    assert (2, 0) == runs(ledger)


def test_no_shell_reads_its_arguments(ledger, tmp_path):
    """They are handed over as they stand."""
    out = tmp_path / "out"
    code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    turn(hook(ledger, *python(code, out, "$HOME; touch x | *")), 0, 10)
    assert "$HOME; touch x | *" == out.read_text()


def test_a_failure_is_told_once_and_tried_again_with_growing_pauses(ledger, taken, tmp_path):
    """One line for each reason, not one for each attempt; then the command is given the record after all."""
    switch = tmp_path / "switch"
    code = f"import os, sys\nif not os.path.exists({str(switch)!r}): sys.exit('archive is down')\n{SAVE}"
    one = hook(ledger, *python(code, tmp_path / "archive"))
    said = turn(one, 0, 10, 20, 69)
    assert ["hook failed, will retry"] == [line["event"] for line in said]
    assert "exit code 1: archive is down" == said[0]["reason"]
    assert (0, 1) == runs(ledger)
    assert [] == turn(one, 70, 100, 189)
    assert (0, 2) == runs(ledger)
    switch.touch()
    said = turn(one, 190)
    assert [("hook done", 2)] == [(line["event"], line["failures_before"]) for line in said]
    assert 1 == len(taken())


@pytest.mark.parametrize(
    ("error", "events", "reason"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            ["hook failed, will retry"],
            "its input cannot be written: No space left on device",
        ),
        (ValueError("no JSON"), ["internal error", "hook failed, will retry"], "internal error: no JSON"),
    ],
    ids=["full", "unexpected"],
)
def test_input_that_cannot_be_made_is_tried_again(
    ledger, taken, tmp_path, monkeypatch, error, events, reason
):
    """The folder for temporary files is full, or nobody expected it: the service goes on."""
    one = hook(ledger, *python(SAVE, tmp_path / "archive"))

    def fail(*_):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(sample_record, "write", fail)
        said = turn(one, 0, 10)
    assert (events, reason) == ([line["event"] for line in said], said[-1]["reason"])
    turn(one, 100)
    assert ["Au"] == [record["sample"] for record in taken()]
    assert (1, 1) == runs(ledger)


def test_a_command_with_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        HookSettings(command=("/bin/true", "a\0"))


def test_what_a_command_says_cannot_control_a_terminal(ledger):
    code = r"import sys; sys.exit('\x1b[2J')"
    (line,) = turn(hook(ledger, *python(code)), 0, 10)
    assert r"exit code 1: \x1b[2J" == line["reason"]


def test_looking_for_rest_takes_no_more_steps_with_more_frames(tmp_path):
    """It looks every five seconds, and a sequence may have a million frames."""

    def steps(frames):
        count = 0

        def step():
            nonlocal count
            count += 1

        with open_ledger(tmp_path / str(frames)) as ledger:
            take(ledger, "Au/1.dm3", content=1, sample="Au")
            with ledger.transaction() as connection:
                connection.execute("INSERT INTO sequences (id, sample, sequence) VALUES (1, 'Au', 'run')")
                connection.executemany(
                    "INSERT INTO followed (sequence_id, frame) VALUES (1, ?)", [(n,) for n in range(frames)]
                )
            with ledger.reader() as reader:
                reader.connection.set_progress_handler(step, 1)
                assert rest.progress(reader)["Au"].linked_id
        return count

    assert steps(1000) < steps(10) + 100


def test_a_program_that_is_not_there_is_named(ledger):
    (line,) = turn(hook(ledger, "/nowhere/archive"), 0, 10)
    assert "/nowhere/archive cannot be started: No such file or directory" == line["reason"]


FORKS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    open(sys.argv[1], "w").write(str(child))
time.sleep(600)
"""


def is_alive(pid):
    """A process that has ended and that nobody has waited for counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_command_that_hangs_ends_with_all_that_it_has_started(ledger, tmp_path, is_stopped):
    """After its time, or when the service stops; neither of the two listens to SIGTERM."""
    told, stop = tmp_path / "child", threading.Event()
    one = hook(ledger, *python(FORKS, told), timeout_seconds=600.0 if is_stopped else 1.0)
    if is_stopped:
        threading.Thread(target=lambda: (wait_until(told.exists), stop.set())).start()
    started = time.monotonic()
    said = turn(one, 0, 10, stop=stop)
    assert time.monotonic() - started < 30
    child = int(told.read_text())
    wait_until(lambda: not is_alive(child), 10)
    reasons = [line["reason"] for line in said]
    assert reasons == ([] if is_stopped else ["not done after 1 s"])


def test_a_command_that_reads_nothing_and_says_much_does_no_harm(ledger):
    """No pipe fills up; only the end of what it says is logged."""
    code = "import sys; sys.stdout.write('x' * 10**7 + 'the end'); sys.exit(3)"
    (line,) = turn(hook(ledger, *python(code)), 0, 10)
    assert line["reason"].startswith("exit code 3: x")
    assert line["reason"].endswith("the end")
    assert len(line["reason"]) < 600


def test_it_does_not_speak_to_systemd_for_the_service(ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    out = tmp_path / "out"
    turn(
        hook(ledger, *python("import os, sys; open(sys.argv[1], 'w').write(repr(dict(os.environ)))", out)),
        0,
        10,
    )
    assert "NOTIFY_SOCKET" not in out.read_text()


@pytest.mark.slow
@pytest.mark.system
def test_the_service_runs_it(tmp_path, series):
    """From its configuration, beside the work; the metric says so."""
    archive = tmp_path / "archive"
    archive.mkdir()
    settings = {"command": list(python(SAVE, archive)), "rest_seconds": 0.5}
    with Service(tmp_path / "service", hook=settings) as service:
        (service.watched / "Au_01.dm3").write_bytes(next(iter(sorted(series.glob("*.dm3")))).read_bytes())
        wait_until(lambda: list(archive.iterdir()), what="a record")
        wait_until(lambda: service.metric('hook_runs_total{outcome="done"}') >= 1)
        (first, *_) = sorted(archive.iterdir())
        wait_until(first.read_text)
        assert "Au" == json.loads(first.read_text())["sample"]
