"""`temwatch check`: says what would stop the service, one line each."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from temwatch import config as configuration
from temwatch.config import Config
from temwatch.errors import ConfigError, TemwatchError

Finding = tuple[str, str]

_LOW_SPACE_BYTES = 5 * 1024**3


def run(arguments: argparse.Namespace) -> int:
    """Print ok, warning or error for each part; 2 for a wrong configuration, else 3."""
    try:
        config = configuration.load(arguments.config)
    except ConfigError as error:
        print(f"error    configuration: {error}")  # noqa: T201
        return error.exit_code
    worst = 0
    print(f"ok       configuration: {arguments.config}")  # noqa: T201
    checks: tuple[tuple[str, Callable[[Config], Iterator[Finding]]], ...] = (
        ("weights", _weights),
        ("watched folder", _watched),
        ("output folder", _output),
        ("ledger", _ledger),
        ("inotify", _inotify),
        ("port", _port),
    )
    for name, check in checks:
        for level, text in check(config):
            print(f"{level:<8} {name}: {text}")  # noqa: T201
            worst = max(worst, 3 if level == "error" else 0)
    return worst


def _weights(config: Config) -> Iterator[Finding]:
    from temwatch.analysis import segmentation

    try:
        segmenter = segmentation.build(config.segmentation)
    except TemwatchError as error:
        yield "error", str(error)
        return
    yield "ok", f"{segmenter.name} {segmenter.model_sha256[:12]}".rstrip()
    if segmenter.model_sha256:
        from temwatch.analysis.segmentation import deeplab

        device = deeplab.find_device(config.segmentation.device)
        yield ("warning", "no GPU, runs on the CPU") if device.type == "cpu" else ("ok", f"runs on {device}")


def _watched(config: Config) -> Iterator[Finding]:
    folder = config.watch.folder
    if not folder.is_dir():
        yield "warning", f"{folder} is not there; the service waits for it"
    elif not os.access(folder, os.R_OK | os.X_OK):
        yield "error", f"{folder} cannot be listed by this user; allow it (chmod o+rx, or the group)"
    else:
        yield "ok", str(folder)


def _output(config: Config) -> Iterator[Finding]:
    for folder in dict.fromkeys((config.output.folder, config.output.state)):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            yield "error", f"{folder} cannot be written by this user ({existing} is not writable)"
            continue
        free = shutil.disk_usage(existing).free
        level = "ok" if free > _LOW_SPACE_BYTES else "warning"
        yield level, f"{folder}, {free / 1024**3:.1f} GiB free"
    if config.watch.folder.is_relative_to(config.output.folder):
        yield (
            "error",
            f"[watch] folder lies in [output] folder {config.output.folder}; nothing would be found",
        )


def _ledger(config: Config) -> Iterator[Finding]:
    from temwatch.ledger import Reader, is_held

    if not (config.output.state).is_dir():
        yield "ok", "none yet, the service makes it"
        return
    try:
        with Reader(config.output.state) as reader:
            receipt = reader.receipt()
    except TemwatchError as error:
        yield "warning" if "there is no ledger yet" in str(error) else "error", str(error)
        return
    running = " (a service holds it now)" if is_held(config.output.state) else ""
    yield "ok", f"{receipt.seen} files seen, {receipt.pending} pending{running}"


def _inotify(_: Config) -> Iterator[Finding]:
    try:
        watches = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())
        instances = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    except (OSError, ValueError):
        yield "warning", "limits unknown; scans find what events do not"
        return
    enough = watches >= 8192 and instances >= 16
    yield "ok" if enough else "warning", f"{watches} watches, {instances} instances"


def _port(config: Config) -> Iterator[Finding]:
    from temwatch.ledger import is_held
    from temwatch.web import server

    try:
        server.bind(config.http).close()
    except TemwatchError as error:
        held = is_held(config.output.state)
        yield (
            ("ok", f"{config.http.listen}, in use by the running service") if held else ("error", str(error))
        )
        return
    yield "ok", config.http.listen
