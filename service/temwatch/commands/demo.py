"""`temwatch demo`: a simulated microscope writes micrographs slowly, and the real service analyses them."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from temwatch import compiled_code, operating_system, simulator
from temwatch.commands import terminal
from temwatch.config import STATE_FOLDER
from temwatch.errors import StartError, UsageError
from temwatch.ledger import Reader
from temwatch.names import plural

_CONFIG = """\
# The configuration that `temwatch demo` runs with; config.example.toml explains every key.
[watch]
folder = "acquisition"
settle_seconds = 1.0
[output]
folder = "results"
[http]
listen = "127.0.0.1:{port}"
"""
_START_SECONDS = 240.0
_TIMEOUT_SECONDS = 120.0


def run(arguments: argparse.Namespace) -> int:
    """Simulate, analyse, and show the results."""
    operating_system.need_linux("demo")
    compiled_code.keep_in(compiled_code.user_folder())  # each demo is a new service
    folder = _fresh(arguments.output or Path("temwatch-demo"))
    acquisition, output = folder / "acquisition", folder / "results"
    acquisition.mkdir()
    config = folder / "temwatch.toml"
    port = _free_port(arguments.port)
    config.write_text(_CONFIG.format(port=port), encoding="utf-8")
    console = terminal.console()
    page = f"http://127.0.0.1:{port}/"
    log = folder / "service.log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "temwatch", "run", "--config", str(config)]
        service = subprocess.Popen(command, stderr=stream)
    try:
        _await_ready(service, page, log)
        console.print(f"the service watches {acquisition}\nlive page: {page}", soft_wrap=True)
        expected = arguments.micrographs
        microscope = threading.Thread(target=_acquire, args=(acquisition, expected), daemon=True)
        microscope.start()
        _show_each(service, page, expected, console, log)
        microscope.join(timeout=5)
        with Reader(output / STATE_FOLDER) as reader:
            samples = [row.sample for row in reader.samples()]
            terminal.results(reader, output, samples)
            receipt = reader.receipt()
        here = Path.cwd()
        named = config.relative_to(here) if config.is_relative_to(here) else config
        again = f"temwatch run --config {shlex.quote(str(named))}"
        if arguments.serve:
            console.print(f"live page: {page}\nthe page stays up; Ctrl-C ends the demo", soft_wrap=True)
            signal.signal(signal.SIGTERM, lambda *_: _interrupt())
            with contextlib.suppress(KeyboardInterrupt):
                service.wait()
        console.print(f"the page has ended; to open it again with these results: {again}", soft_wrap=True)
        if not arguments.serve:
            console.print("a demo whose page stays up: temwatch demo --serve")
        return 0 if receipt.done == expected else 1
    finally:
        if service.poll() is None:
            service.send_signal(signal.SIGTERM)
        service.wait(timeout=60)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _fresh(folder: Path) -> Path:
    """A new folder for the demo; if the name is taken, a number is added, and nothing is deleted."""
    folder = folder.absolute()
    try:
        number = 1
        chosen = folder
        while chosen.exists() and any(chosen.iterdir()):
            number += 1
            chosen = folder.with_name(f"{folder.name}-{number}")
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: {error.strerror}") from None
    return chosen


def _free_port(wanted: int) -> int:
    """The wanted port, or a free one if it is in use."""
    for port in (wanted, 0):
        with socket.socket() as channel:
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                channel.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(channel.getsockname()[1])
    raise StartError("no free port for the live page")


def _acquire(folder: Path, count: int) -> None:
    for _ in simulator.acquire(folder, count, seed=int.from_bytes(os.urandom(3), "big")):
        pass


def _await_ready(service: subprocess.Popen[bytes], page: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if service.poll() is not None:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"]
            raise StartError(f"the service stopped at its start: {lines[-1]}")
        try:
            with urllib.request.urlopen(f"{page}readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise StartError(f"the service was not ready within {_START_SECONDS:.0f} s; its log is {log}")


def _show_each(
    service: subprocess.Popen[bytes], page: str, expected: int, console: Console, log: Path
) -> None:
    """Show each micrograph when it is finished."""
    seen: set[int] = set()
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("the microscope acquires", total=expected)
        while len(seen) < expected:
            if service.poll() is not None:
                raise StartError(f"the service stopped unexpectedly; its log is {log}")
            if time.monotonic() > deadline:
                raise StartError(f"no micrograph for {_TIMEOUT_SECONDS:.0f} s; the service's log is {log}")
            with urllib.request.urlopen(f"{page}api/micrographs?limit=1000", timeout=30) as answer:
                rows = json.load(answer)
            for row in reversed(rows):
                if row["id"] in seen:
                    continue
                seen.add(row["id"])
                deadline = time.monotonic() + _TIMEOUT_SECONDS
                bar.advance(task)
                found = plural(row["particles"], "particle")
                mean = row["mean_equivalent_diameter_nm"]
                size = f", mean diameter {mean:.2f} nm" if mean else ""
                console.print(
                    f"{row['micrograph']}: {row['status']}, {found}{size}, {row['seconds'] or 0:.2f} s"
                )
            time.sleep(0.2)
