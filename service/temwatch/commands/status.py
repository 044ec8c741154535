"""`temwatch status`: what is done and what is pending, with totals that add up."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode

from rich.table import Table

from temwatch import config as configuration
from temwatch.commands import terminal
from temwatch.config import Config
from temwatch.errors import TemwatchError, UsageError
from temwatch.ledger import File, Reader, is_held, sample_remarks, sample_settings, waiting_rows
from temwatch.ledger.sequences import progress, results
from temwatch.names import plural, printable
from temwatch.outputs import sample_folder
from temwatch.token_file import token_path

_MOST_LINES = 50


def run(arguments: argparse.Namespace) -> int:
    """Print samples, files that are pending or without a result, and the totals."""
    config = configuration.load(arguments.config)
    console = terminal.console()
    if arguments.link:
        console.print(_link(config), soft_wrap=True)
        return 0
    with Reader(config.output.state) as reader, reader.snapshot():
        console.print("service: " + ("running" if is_held(config.output.state) else "stopped"))
        console.print(_samples(reader))
        for line in _sequences(reader):
            console.print(printable(line), soft_wrap=True)
        for line in (
            *_differences(reader),
            *_notes(reader),
            *_waiting(reader),
            *_edited(reader, config),
            *_outdated(reader, config),
        ):
            console.print(printable(line), soft_wrap=True)
        receipt = reader.receipt()
    console.print(
        f"seen {receipt.seen} = done {receipt.done} + refused {receipt.refused} + failed {receipt.failed} "
        f"+ duplicates {receipt.duplicates} + superseded {receipt.superseded} + pending {receipt.pending} "
        f"+ excluded {receipt.excluded}",
        soft_wrap=True,
    )
    return 0


def _link(config: Config) -> str:
    """Address of the page with the token, which a browser keeps to itself.

    Raises
    ------
    UsageError
        There is no token, it cannot be read, or the port is not known.
    """
    path = token_path(config)
    try:
        token = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UsageError(f"there is no token at {path} yet; the service makes it when it starts") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise UsageError(f"{path}: {why}; ask as the user of the service (sudo -u temwatch ...)") from None
    if not token:
        raise UsageError(f"{path} is empty; write a token into it")
    host, _, port = config.http.listen.rpartition(":")
    if port == "0":
        raise UsageError("[http] listen leaves the port to the system; the log of the service names it")
    if host.strip("[]") in ("0.0.0.0", "::", ""):
        host = next((name for name in config.http.allowed_hosts if name != "*"), "localhost")
    return f"http://{host}:{port}/#{urlencode({'token': token})}"


def _samples(reader: Reader) -> Table:
    table = Table("sample", "micrographs", "particles", "pending", "refused", "failed", "last analysed (UTC)")
    for row in reader.samples():
        last = f"{row.last_analysed_at:%Y-%m-%d %H:%M:%S}" if row.last_analysed_at else "-"
        counts = (
            row.micrographs,
            row.particles,
            row.receipt.pending,
            row.receipt.refused,
            row.receipt.failed,
        )
        table.add_row(row.sample, *map(str, counts), last)
    return table


def _sequences(reader: Reader) -> Iterator[str]:
    """Tracking of every sequence: its counts and its missing frames."""
    for sequence in progress.sequences(reader):
        found = results.overview(reader, sequence)
        words = [plural(found.frames, "frame"), plural(found.tracks, "track")]
        words += [f"{count} {event}" for event, count in found.events.items()]
        if found.pending:
            words.append(f"{plural(found.pending, 'frame')} pending")
        elif sequence.ended:
            words.append("ended")
        yield f"sequence {sequence.sample}/{sequence.name}: {', '.join(words)}"
        for first, last in found.gaps[:_MOST_LINES]:
            missing = f"frame {first} is" if first == last else f"frames {first} to {last} are"
            yield f"sequence {sequence.sample}/{sequence.name}: {missing} missing"


def _differences(reader: Reader) -> Iterator[str]:
    """Every file that is not done, by name; at most the last 50."""
    receipt = reader.receipt()
    different = receipt.seen - receipt.done - receipt.excluded - receipt.pending
    if different > _MOST_LINES:
        yield f"the last {_MOST_LINES} of {different} files without a result (all are in micrographs.csv):"
    for row in reversed(reader.without_result(_MOST_LINES)):
        yield f"{row.status}: {row.micrograph}" + (f": {row.reason}" if row.reason else "")
    if receipt.pending > _MOST_LINES:
        yield f"the first {_MOST_LINES} of {receipt.pending} pending files:"
    for file in reader.pending(_MOST_LINES):
        yield f"pending: {file.path}: {_state(file)}"


def _notes(reader: Reader) -> Iterator[str]:
    """Every kind of remark that nobody has dismissed; which micrographs have it is in micrographs.csv."""
    for kind, (count, path) in reader.notes().items():
        yield f"noted: {plural(count, 'micrograph')}: {kind.words}; the last is {path}. {kind.what_to_do}"
    for sample, kinds in sample_remarks.shown(reader).items():
        yield from (f"noted: sample {sample}: {kind.words}. {kind.what_to_do}" for kind in kinds)


def _waiting(reader: Reader) -> Iterator[str]:
    """How many rows wait for what somebody has corrected or set."""
    if waiting := waiting_rows.waiting(reader):
        yield f"calibration or settings changed: {plural(waiting, 'micrograph')} to be measured again"


def _state(file: File) -> str:
    """What a pending file waits for."""
    if file.claimed:
        return "being analysed"
    if file.position is not None and file.frame is None:
        return "waiting for the other frames of its second"
    tried = f"{plural(file.attempts, 'failed attempt')} to read it" if file.attempts else ""
    if file.crashes:
        tried = f"crashed {plural(file.crashes, 'worker process', 'worker processes')}"
    if file.not_before and file.not_before > datetime.now(UTC):
        return f"{tried}, next attempt at {file.not_before:%H:%M:%S} UTC".removeprefix(", ")
    return tried or "queued"


def _edited(reader: Reader, config: Config) -> Iterator[str]:
    """Tables that somebody has edited, until the edited file is moved or removed."""
    for one in sample_folder.edited_tables(reader, config.output.folder)[:_MOST_LINES]:
        yield f"edited: {one.sample}/{one.file} was written anew; your changes are in {one.kept_as}"


def _outdated(reader: Reader, config: Config) -> Iterator[str]:
    """How many micrographs were analysed with settings other than those of the configuration."""
    from temwatch.analysis import pipeline, segmentation
    from temwatch.engine.methods import Methods

    try:
        segmenter = segmentation.build_lazily(config.segmentation)
    except TemwatchError as error:
        yield f"cannot tell whether results are outdated: {error}"
        return
    current = Methods(config, segmenter, pipeline.describe(segmenter, config.separation))
    methods, total, separable = reader.methods(), 0, 0
    for (sample, digest), count in reader.micrographs_by_method().items():
        own = sample_settings.decisive(reader.connection, sample)
        wanted = current.method(own).digest
        if digest != wanted:
            total += count
            if current.renewed(methods[digest], own).digest == wanted:
                separable += count
    if not total:
        return
    yield f"outdated: {plural(total, 'micrograph')} analysed with other settings, weights or version"
    if separable:
        yield f"outdated: temwatch rebuild brings {separable} up to date from their stored segmentations"
    if total - separable:
        yield f"outdated: {total - separable} must be segmented again: temwatch retry PATH"
