"""`temwatch check`: finds what would stop the service and prints one line for each part."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from temwatch import config as configuration
from temwatch import operating_system
from temwatch.commands import check_paths
from temwatch.commands.check_paths import Finding
from temwatch.config import Config
from temwatch.errors import ConfigError, InputError, LedgerMissing, MissingExtra, TemwatchError
from temwatch.names import plural

_NVIDIA = Path("/proc/driver/nvidia")  # of its kernel module


def run(arguments: argparse.Namespace) -> int:
    """Print ok, warning or error for each part; exit code 2 for a wrong configuration, 3 for other errors."""
    operating_system.need_linux("check")
    try:
        config = configuration.load(arguments.config)
    except ConfigError as error:
        print(f"error    configuration: {error}")  # noqa: T201
        return error.exit_code
    worst = 0
    print(f"ok       configuration: {arguments.config}")  # noqa: T201
    checks: tuple[tuple[str, Callable[[Config], Iterator[Finding]]], ...] = (
        ("user", _user),
        ("weights", _weights),
        ("watched folder", check_paths.watched),
        ("output folder", check_paths.output),
        ("ledger", _ledger),
        ("inotify", check_paths.inotify),
        ("port", _port),
        ("token", _token),
        ("hook", _hook),
        ("messages", _messages),
        ("extras", _extras),
        ("RosettaSciIO", other_formats),
    )
    for name, check in checks:
        for level, text in check(config):
            print(f"{level:<8} {name}: {text}")  # noqa: T201
            worst = max(worst, 3 if level == "error" else 0)
    return worst


def _user(_: Config) -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield (
            "warning",
            "root has every permission; check as the service's user: sudo -u temwatch ...",
        )


def _weights(config: Config) -> Iterator[Finding]:
    from temwatch.analysis import segmentation

    try:
        segmenter = segmentation.build(config.segmentation)
    except TemwatchError as error:
        yield "error", str(error)
        return
    yield "ok", f"{segmenter.name} {segmenter.model_sha256[:12]}".rstrip()
    if segmenter.probe is None:
        if segmenter.model_sha256:
            yield "warning", unused_gpu() or "no GPU; the network runs on the CPU"
        return
    try:
        segmenter.probe()
    except RuntimeError as error:
        yield "error", f"the GPU does not work: {' '.join(str(error).split())[:200]}"
    else:
        yield "ok", "the GPU works"


def unused_gpu(driver: Path = _NVIDIA) -> str:
    """What keeps a GPU of NVIDIA that this machine has from being used; empty where there is none."""
    try:
        cards = len(list((driver / "gpus").iterdir()))
    except OSError:
        cards = 0
    if not cards and shutil.which("nvidia-smi") is None:
        return ""
    import torch

    if torch.version.cuda is None:
        return (
            "this machine has a GPU of NVIDIA, but its torch is built without CUDA; the network runs on the "
            "CPU; install the torch of requirements.lock"
        )
    return (
        "this machine has the driver of NVIDIA, but torch finds no GPU; the network runs on the CPU; "
        f"torch needs a driver for CUDA {torch.version.cuda}, and permission to open /dev/nvidia*"
    )


def _ledger(config: Config) -> Iterator[Finding]:
    from temwatch.ledger import Reader, is_held

    if not config.output.state.is_dir():
        yield "ok", "none yet; the service creates it"
        return
    try:
        with Reader(config.output.state) as reader:
            receipt = reader.receipt()
    except LedgerMissing as error:
        yield "warning", str(error)
        return
    except TemwatchError as error:
        yield "error", str(error)
        return
    running = " (the service is running)" if is_held(config.output.state) else ""
    yield "ok", f"{plural(receipt.seen, 'file')} seen, {receipt.pending} pending{running}"


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


def _token(config: Config) -> Iterator[Finding]:
    file = config.http.token_file
    if file is None:
        yield "ok", "made by the service; temwatch status --link shows a link with it"
        return
    try:
        with file.open("rb") as stream:
            empty, mode = not stream.read().strip(), os.fstat(stream.fileno()).st_mode
    except OSError as error:
        yield "error", f"{file} cannot be read: {error.strerror}; see [http] token_file"
        return
    if empty:
        yield "error", f"{file} is empty, so the page cannot change anything; write a token into it"
    elif mode & 0o007:
        yield "warning", f"{file} can be read by every user of this machine; fix it with chmod o="
    else:
        yield "ok", str(file)


def _hook(config: Config) -> Iterator[Finding]:
    """The program of the hook, where there is one."""
    if not config.hook.command:
        return
    program = config.hook.command[0]
    if os.path.isfile(program) and os.access(program, os.X_OK):  # noqa: PTH113 - no link in a loop raises
        yield "ok", " ".join(config.hook.command)
    else:
        yield "error", f"{program} is no program that this user may run; see [hook] command"


def _messages(config: Config) -> Iterator[Finding]:
    """The targets of messages, where there are any; nothing is sent."""
    from temwatch.daemon import outbox

    if config.notify.targets_file is None:
        return
    try:
        targets = outbox.read_targets(config.notify.targets_file)
    except ModuleNotFoundError:
        yield "error", str(MissingExtra("apprise"))
    except ConfigError as error:
        yield "error", str(error)
    else:
        yield "ok", f"{', '.join(target.name for target in targets)}; temwatch notify sends a test message"


def _extras(config: Config) -> Iterator[Finding]:
    """Optional packages that this configuration needs."""
    if config.engine.dask and find_spec("distributed") is None:
        yield "error", str(MissingExtra("distributed"))
    if config.output.pictures and find_spec("imageio_ffmpeg") is None:
        yield "warning", f"sequences are drawn without films: {MissingExtra('imageio_ffmpeg')}"


def other_formats(config: Config) -> Iterator[Finding]:
    """What reads the files among the patterns that temwatch does not read itself."""
    from temwatch.formats import READERS, rosettasciio

    wanted = {Path(pattern.lower()).suffix for pattern in config.watch.patterns} - {"", *READERS}
    python = config.watch.rosettasciio or rosettasciio.interpreter()
    if python is None:
        if wanted:
            yield (
                "warning",
                f"{', '.join(sorted(wanted))}: temwatch reads no such files; see [watch] rosettasciio",
            )
        return
    try:
        found = rosettasciio.installation(python)
    except InputError as error:
        yield "error", str(error).removeprefix(rosettasciio.FAILED)
        return
    yield "ok", f"{found.version} of {python}"
    if unread := wanted - found.extensions:
        yield "warning", f"it does not read {', '.join(sorted(unread))} of [watch] patterns"
