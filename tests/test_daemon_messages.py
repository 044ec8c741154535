"""Messages by Apprise: what is told, how often, to whom; against a real receiver on this machine."""

import errno
import http.server
import json
import os
import socket
import sys
import threading
from types import SimpleNamespace

import pytest
import structlog

import system
from ledger_cases import START, arrival, take
from temwatch.config_messages import NotifySettings
from temwatch.daemon.news import NewsFinder
from temwatch.daemon.outbox import Kind, News, Outbox, Target, message, read_targets
from temwatch.domain import Status
from temwatch.errors import ConfigError
from temwatch.ledger import failures, open_ledger, queue, recording


@pytest.fixture
def receiver():
    """An HTTP server that keeps what it is sent; `status` is what it answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            found.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"json://user:secret@127.0.0.1:{server.server_port}/hook"
    found = SimpleNamespace(received=[], status=200, address=address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def targets_file(folder, *lines, mode=0o600):
    path = folder / "targets"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return path


def failed(count, name="Au/{}.dm3"):
    return [News(kind=Kind.FAILED, text=f"{name.format(number)}: damaged") for number in range(count)]


def test_fifty_failures_are_one_message(receiver, tmp_path):
    """It arrives as plain text, names the first of them and counts the others."""
    box = Outbox(read_targets(targets_file(tmp_path, "# the group", "", receiver.address)), 600.0, "tem")
    for moment, one in enumerate(failed(50)):
        box.add([one], moment / 10)
        box.turn(moment / 10)
    assert [] == receiver.received
    box.turn(31.0)
    (one,) = receiver.received
    assert "temwatch on tem: 50 files failed" == one["title"]
    lines = one["message"].splitlines()
    assert ["Files that failed:", "- Au/0.dm3: damaged"] == lines[:2]
    assert "- and 30 more" == lines[-1]
    box.turn(1000.0)
    assert 1 == len(receiver.received)


def test_the_next_message_waits_for_the_pause(receiver, tmp_path):
    box = Outbox(read_targets(targets_file(tmp_path, receiver.address)), 600.0)
    for moment in (0, 31, 40, 100, 630, 632):
        if moment in (0, 40):
            box.add(failed(1), moment)
        box.turn(moment)
    assert 2 == len(receiver.received)


def test_a_target_that_does_not_take_it_gets_it_later_and_is_told_of_once(receiver, tmp_path):
    """With its place in the file and nothing of its address; no other target waits for it."""
    good = []
    path = targets_file(tmp_path, receiver.address)
    box = Outbox(
        [*read_targets(path), Target(name="good", send=lambda *sent: good.append(sent) or True)], 1.0
    )
    receiver.status = 503
    with structlog.testing.capture_logs() as said:
        box.add(failed(3), 0)
        for moment in (30, 60, 89, 91, 200):
            box.turn(moment)
        assert 1 == len(good)
        assert 2 == len(receiver.received)
        receiver.status = 200
        box.add(failed(2), 205)
        box.turn(211)
    assert "5 files failed" in receiver.received[-1]["title"]
    warnings = [line for line in said if line["log_level"] == "warning"]
    assert ["JSON (targets:1)"] == [line["target"] for line in warnings]
    assert "secret" not in str(said)


def test_a_receiver_that_is_not_there_says_nothing_of_its_address(tmp_path, caplog):
    """Neither do the libraries, whatever the level."""
    caplog.set_level("DEBUG")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"json://user:secret@127.0.0.1:{taken.getsockname()[1]}/token-in-path"
        (target,) = read_targets(targets_file(tmp_path, address))
        assert not target.send("a", "b")
    assert "secret" not in caplog.text
    assert "token-in-path" not in caplog.text


def test_names_cannot_add_lines_or_control_a_terminal():
    """A file's name is one line in the message, as text."""
    _, body = message([News(kind=Kind.FAILED, text="a\nb\x1b[2J\u2028c: <b>x</b>" + "y" * 500)], "tem")
    (_, line) = body.splitlines()
    assert line.startswith("- a")
    assert "<b>x</b>" in line
    assert "\x1b" not in line
    assert len(line) < 320


def test_a_message_has_all_kinds_of_news():
    title, body = message(
        [
            *failed(1),
            News(kind=Kind.ENOUGH, text="Au: enough"),
            News(kind=Kind.OUTAGE, text="the watched folder is back"),
        ],
        "tem",
        omitted=7,
    )
    expected = "the watched folder is back, 1 file failed, 1 sample with enough micrographs"
    assert f"temwatch on tem: {expected}" == title
    assert 4 == len(body.split("\n\n"))
    assert "7 further news" in body


@pytest.mark.parametrize(
    ("lines", "mode", "expected"),
    [
        (["json://localhost"], 0o640, "chmod 600"),
        (["json://localhost"], 0o604, "chmod 600"),
        (["# nothing"], 0o600, "holds no address"),
        (["json://localhost", "quark://secret"], 0o600, "targets:2: is no address"),
        (["https://example.org/apprise.yml"], 0o600, "targets:1: is no address"),  # a configuration elsewhere
        (["file:///etc/apprise.yml"], 0o600, "targets:1: is no address"),
    ],
)
def test_a_file_of_targets_that_cannot_be_used_is_refused(tmp_path, lines, mode, expected):
    """In one line that quotes nothing of it."""
    path = targets_file(tmp_path, *lines, mode=mode)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_targets(path)
    assert "secret" not in str(caught.value)


def test_without_apprise_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    config = tmp_path / "temwatch.toml"
    path = targets_file(tmp_path, "json://localhost")
    config.write_text(
        f'[watch]\nfolder = "in"\n[output]\nfolder = "out"\n[notify]\ntargets_file = "{path}"\n'
    )
    ended = system.command("notify", "--config", config)
    assert 2 == ended.returncode
    assert "temwatch[notify]" in ended.stderr


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "state") as ledger:
        take(ledger, "Old/1.dm3", content="old", sample="Old")
        fail(ledger, "Old/2.dm3")
        yield ledger


def fail(ledger, path):
    queue.add(ledger, arrival(path, sample=path.split("/")[0]))
    (file,) = queue.claim(ledger, 1, START)
    recording.reject_file(
        ledger, file.id, status=Status.FAILED, code="input_output", reason="cannot be read", at=START
    )


def finder(ledger, *, is_up=lambda: True, percent=100.0):
    settings = NotifySettings(enough_percent=percent, outage_minutes=5.0)
    return NewsFinder(settings, ledger, lambda: SimpleNamespace(watch_folder_up=is_up()))


def test_files_that_fail_are_news_once_and_those_of_before_are_none(ledger):
    one = finder(ledger)
    assert [] == one.look(0)
    fail(ledger, "Au/7.dm3")
    assert ["Au/7.dm3: cannot be read"] == [news.text for news in one.look(5)]
    assert [] == one.look(10)


def test_a_file_that_fails_while_somebody_looks_is_news_once(ledger, monkeypatch):
    one = finder(ledger)
    after = failures.last_row

    def last_row(reader):
        found = after(reader)
        fail(ledger, "Au/8.dm3")
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(failures, "last_row", last_row)
        first = one.look(5)
    assert ["Au/8.dm3: cannot be read"] == [news.text for news in [*first, *one.look(10), *one.look(15)]]


def test_a_target_that_was_away_for_months_is_tried_on():
    """A thousand failures an hour apart were too many for a float."""
    tried = []
    box = Outbox([Target(name="away", send=lambda *what: tried.append(what) or len(tried) > 1100)], 1.0)
    box.add(failed(1), 0)
    for hour in range(1, 1200):
        box.turn(3600.0 * hour)
    assert 1101 == len(tried)


def test_a_folder_that_is_gone_for_long_enough_is_news_and_so_is_its_return(ledger):
    """A short outage is none."""
    state = {"up": True}
    one = finder(ledger, is_up=lambda: state["up"])
    told = {}
    for moment in range(0, 2000, 60):
        state["up"] = not (120 <= moment < 360 or 600 <= moment < 1200)
        for news in one.look(moment):
            told[moment] = news.text
    assert [900, 1200] == list(told)
    assert told[900].startswith("the watched folder has been missing for 5 min")
    assert "the watched folder is back" == told[1200]


def test_a_sample_with_enough_is_told_of_once_also_after_a_restart(ledger):
    """By the same figures as the page; samples that have not changed since the start are not asked about."""
    one = finder(ledger)
    found = []
    for number in range(12):
        take(ledger, f"Au/{number}.dm3", content=number, particles=20, sample="Au")
        found += one.look(1e6 * number)
    (news,) = found
    assert Kind.ENOUGH is news.kind
    assert news.text.startswith("Au: mean and D50 of the diameter within 100 %, ")
    one.note_sent([news, news])  # to two targets
    again = finder(ledger)
    take(ledger, "Au/99.dm3", content=99, particles=20, sample="Au")
    assert [] == again.look(1e9)


def test_a_sample_with_enough_that_no_target_took_is_told_of_after_a_restart(ledger):
    """It was remembered before it was sent."""
    one = finder(ledger)
    taken = []
    box = Outbox([Target(name="away", send=lambda *_: False)], 1.0)
    for number in range(12):
        take(ledger, f"Au/{number}.dm3", content=number, particles=20, sample="Au")
        box.add(one.look(1e6 * number), 1e6 * number)
        one.note_sent(box.turn(1e6 * number + 500))
    again = finder(ledger)
    box = Outbox([Target(name="back", send=lambda *sent: taken.append(sent) or True)], 1.0)
    for number in range(12, 15):
        take(ledger, f"Au/{number}.dm3", content=number, particles=20, sample="Au")
        box.add(again.look(1e6 * number), 1e6 * number)
        again.note_sent(box.turn(1e6 * number + 500))
    ((title, _),) = taken
    assert title.endswith("1 sample with enough micrographs")


def test_a_sample_that_is_not_precise_enough_is_not_told_of(ledger):
    one = finder(ledger, percent=0.01)
    for number in range(6):
        take(ledger, f"Au/{number}.dm3", content=number, particles=20, sample="Au")
    assert [] == one.look(1e6)


def config_file(folder, receiver, port=1):
    path = folder / "temwatch.toml"
    targets = targets_file(folder, receiver.address)
    path.write_text(
        f'[watch]\nfolder = "in"\n[output]\nfolder = "out"\n[http]\nlisten = "127.0.0.1:{port}"\n'
        f'[notify]\ntargets_file = "{targets}"\noutage_minutes = 0.000001\n'
    )
    return path


def test_the_command_sends_a_test_message(receiver, tmp_path):
    config = config_file(tmp_path, receiver)
    ended = system.command("notify", "--config", config)
    assert (0, "sent to JSON (targets:1)") == (ended.returncode, ended.stdout.strip())
    assert "messages arrive" in receiver.received[0]["message"]
    receiver.status = 500
    assert 1 == system.command("notify", "--config", config).returncode


def test_a_timer_tells_once_that_the_service_is_down_and_once_that_it_is_back(receiver, tmp_path):
    """What could not be sent is tried again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = config_file(tmp_path, receiver, port)

    def watch():
        return system.command("notify", "--config", config, "--if-down").returncode

    assert 0 == watch()
    assert [] == receiver.received
    receiver.status = 500
    assert 1 == watch()
    receiver.status = 200
    assert [0, 0] == [watch(), watch()]
    assert 2 == len(receiver.received)
    assert "the service has not answered" in receiver.received[-1]["title"]

    class Alive(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", port), Alive) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert [0, 0] == [watch(), watch()]
        server.shutdown()
    assert 3 == len(receiver.received)
    assert "answers again" in receiver.received[-1]["title"]


def test_an_outage_that_cannot_be_noted_is_said_and_leaves_the_note_before(receiver, tmp_path, monkeypatch):
    """Half a note would be none, and the outage would begin anew."""
    config = config_file(tmp_path, receiver)
    assert 0 == system.command("notify", "--config", config, "--if-down").returncode
    (note,) = tmp_path.glob("out/.temwatch/outage.json")
    before = note.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        ended = system.command("notify", "--config", config, "--if-down")
    assert (3, True) == (ended.returncode, "outage.json: cannot be written: No space" in ended.stderr)
    assert [note] == list(note.parent.iterdir())
    assert before == note.read_bytes()


def test_without_targets_the_command_says_what_is_missing(tmp_path):
    config = tmp_path / "temwatch.toml"
    config.write_text('[watch]\nfolder = "in"\n[output]\nfolder = "out"\n')
    ended = system.command("notify", "--config", config)
    assert 2 == ended.returncode
    assert "targets_file is not set" in ended.stderr


@pytest.mark.slow
@pytest.mark.system
def test_the_service_does_not_start_with_passwords_that_others_may_read(tmp_path, receiver):
    """A configuration error, exit code 2, which systemd does not restart."""
    config = config_file(tmp_path, receiver)
    (tmp_path / "targets").chmod(0o644)
    ended = system.temwatch("run", "--config", config)
    assert 2 == ended.returncode
    assert "chmod 600" in ended.stderr
