"""Real processes for the system tests: the service, the command line, and a client for its page."""

import atexit
import contextlib
import csv
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import asdict
from multiprocessing import forkserver
from pathlib import Path

import pytest

from temwatch import cli
from temwatch.errors import StartError
from temwatch.ledger import Reader, publications

COMMAND = [sys.executable, "-m", "temwatch"]


def temwatch(*arguments, timeout=500, fresh=False, **options):
    """Run one command to its end, in an interpreter of its own where it is `fresh` or has `options`."""
    if fresh or options:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = ForkedCommand(*arguments, out=out, err=err)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def command(*arguments):
    """Run one command that starts no worker as `temwatch` does, in this process: it is loaded already."""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        code = cli.main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, code, said.getvalue(), complained.getvalue())


def warm_server():
    """Context of processes that have loaded already what a service loads, which takes it seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["temwatch.engine.tasks", "temwatch.daemon.service", "warm_code"])
    with pytest.MonkeyPatch.context() as changed:  # until Python 3.13 it gets no search path but this
        changed.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()
    return context


class ForkedCommand:
    """A command as a process of its own, as `subprocess.Popen` is, forked from one that has loaded the code.

    What it says is appended to the files `out` and `err`.
    """

    def __init__(self, *arguments, out, err, main=cli.main):
        self._arguments = [str(argument) for argument in arguments]
        for path in (out, err):
            path.touch()
        target = (main, self._arguments, out, err)
        self._process = warm_server().Process(target=_run_forked, args=target)
        self._process.start()
        self.pid = self._process.pid
        atexit.register(self.kill)  # where a test fails: multiprocessing would wait for it

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout)
        return self._process.exitcode

    def send_signal(self, number):
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self):
        self._process.kill()


def _run_forked(main, arguments, out, err):
    """In the new process, whose workers are forked from the same server."""
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None
    for path, number in ((out, 1), (err, 2)):
        with path.open("ab", buffering=0) as stream:
            os.dup2(stream.fileno(), number)
    sys.exit(main(arguments))


def threshold(folder, *, pictures=True, count_copies=True):
    """A configuration for `analyse` without the network, whose seconds would hide what most tests watch.

    Copies of an exposure count: many files are made of few pictures, with bytes added.
    """
    path = folder / "temwatch.toml"
    path.write_text(
        f"[samples]\ncount_copies = {json.dumps(count_copies)}\n"
        f'[watch]\nfolder = "."\n[output]\nfolder = "."\npictures = {json.dumps(pictures)}\n'
        '[segmentation]\nmethod = "threshold"\n'
    )
    return path


def rows(path):
    """Rows of a csv as dicts."""
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def wait_until(condition, seconds=180, what="it"):
    """Poll a condition; the failure says what was waited for. The seconds are a ceiling for busy machines."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what() if callable(what) else what}")


class Service:
    """`temwatch run` as a process of its own, with a folder to acquire into."""

    main = staticmethod(cli.main)

    def __init__(self, folder, **sections):
        self.folder = Path(folder)
        self.watched, self.output = self.folder / "acquisition", self.folder / "results"
        self.state = self.output / ".temwatch"
        self.config = self.folder / "temwatch.toml"
        self.log = self.folder / "service.log"
        self.process = None
        settings = {
            "watch": {"folder": str(self.watched), "settle_seconds": 0.5, "scan_interval_seconds": 2.0},
            "output": {"folder": str(self.output)},
            "segmentation": {"method": "threshold"},  # seconds of network would hide what these tests watch
            "http": {"listen": "127.0.0.1:0"},
            "samples": {"count_copies": True},  # many files are made of few pictures, with bytes added
        }
        for section, keys in sections.items():
            settings.setdefault(section, {}).update(keys)
        self.watched.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            "".join(
                f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
                for section, keys in settings.items()
            )
        )

    def start(self, *, ready=True, env=None, command=None, fresh=False):
        """Start it; `ready` waits until it says so.

        An interpreter of its own, started as users do, takes seconds to load: only where the test is about
        the process, which is `fresh` then, or has another environment or `command`.
        """
        self.offset = self.log.stat().st_size if self.log.exists() else 0
        if fresh or env or command:
            with self.log.open("ab") as stream:
                self.process = subprocess.Popen(
                    [*(command or (*COMMAND, "run", "--config")), str(self.config)],
                    stderr=stream,
                    stdout=stream,
                    env=os.environ | (env or {}),
                )
        else:
            self.process = ForkedCommand(
                "run", "--config", self.config, out=self.log, err=self.log, main=self.main
            )
        if ready:
            try:
                self._until_ready()
            except BaseException:
                self.kill()
                raise
        return self

    def _until_ready(self):
        """The first start on a machine compiles, which takes its time beside other programs."""
        wait_until(lambda: self.page() or self.process.poll() is not None, what="the page's address")
        assert self.process.poll() is None, self.log.read_text()
        wait_until(lambda: self.status("readyz") == 200, 240, what="readiness")

    def page(self):
        """Address of the live page, from the log of this run."""
        for line in self.log.read_bytes()[self.offset :].decode(errors="replace").splitlines():
            if '"page"' in line:
                return json.loads(line)["page"]
        return None

    def status(self, path):
        """HTTP status of a GET."""
        try:
            with urllib.request.urlopen(self.page() + path, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def get(self, path, **headers):
        """Body of a GET."""
        request = urllib.request.Request(self.page() + path, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def json(self, path):
        """A JSON answer."""
        return json.loads(self.get(path))

    def metric(self, name):
        """Value of a metric, by its name and labels as Prometheus writes them."""
        for line in self.get("metrics").decode().splitlines():
            if line.startswith(f"temwatch_{name} "):
                return float(line.rpartition(" ")[2])
        return None

    def receipt(self):
        """Every count of the receipt by its name."""
        with Reader(self.state) as reader:
            return asdict(reader.receipt())

    def count_of(self, **expected):
        """Wait until the receipt says so, nothing is pending any more, and the tables tell of it."""
        wanted = {"pending": 0} | expected
        wait_until(
            lambda: wanted.items() <= self.receipt().items() or self.process.poll() is not None,
            seconds=240,
            what=lambda: f"{wanted}, there are {self.receipt()}",
        )
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        if self.status("readyz") == 200:  # else results may not be writable
            with Reader(self.state) as reader:
                samples = [row.sample for row in reader.samples()]
            for sample in samples:
                self._until_published(sample)

    def kill(self):
        """SIGKILL, as a power cut does."""
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=180)

    def micrographs(self, sample="Au"):
        """Rows of micrographs.csv, none while it is not there; those that are recorded now are among them."""
        self._until_published(sample)
        path = self.output / sample / "micrographs.csv"
        return rows(path) if path.exists() else []

    def _until_published(self, sample):
        """A table comes after the ledger; a service that has ended, or cannot write, brings none any more."""
        with contextlib.suppress(StartError), Reader(self.state) as reader:
            wanted = (publications.generations(reader, sample)[0], publications.last_id(reader, sample))
            deadline = time.monotonic() + 20
            while self.process is not None and self.process.poll() is None and time.monotonic() < deadline:
                table = publications.published(reader, sample).get("micrographs.csv")
                if table is not None and (table.generation, table.through_id) >= wanted:
                    return
                time.sleep(0.05)

    def trouble(self):
        """What the log of this run warns of, and its end."""
        lines = self.log.read_bytes()[self.offset :].decode(errors="replace").splitlines()
        warned = [line for line in lines if '"level":"info"' not in line.replace(" ", "")]
        return "\n".join([*warned[-40:], "...", *lines[-10:]])

    def __enter__(self):
        started = self.process is not None and self.process.poll() is None
        return self if started else self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def _parents():
    """Parent of every process of this machine."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return parents


def workers_of(process):
    """Worker processes: children of the clean server that the service forks them from."""
    parents = _parents()
    servers = [pid for pid, parent in parents.items() if parent == process.pid]
    return [pid for pid, parent in parents.items() if parent in servers]


def memory_bytes(pid, kinds=("Pss",)):
    """Memory of a service and of all processes below it that is theirs alone or their share of it.

    `kinds` are lines of `smaps_rollup`: "Pss_Anon" is what no file stands behind.
    """
    parents, family = _parents(), {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0
    for member in family:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) * 1024 if line.partition(":")[0] in kinds else 0
    return total
