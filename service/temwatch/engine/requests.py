"""What commands ask of who holds the ledger, in steps: a long one must not hold up what arrives."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from typing import Any

from temwatch.analysis import pipeline
from temwatch.config import Config, SeparationSettings
from temwatch.domain import Analysis, Method, Segmentation, Segmenter, Status
from temwatch.engine import tasks
from temwatch.ledger import Ledger, queue, recording
from temwatch.outputs import sample_folder

Answer = dict[str, object]
Steps = Generator[None, None, Answer]
Resolve = Callable[[tasks.ResolveOrder], Analysis]


def act(
    ledger: Ledger,
    config: Config,
    kind: str,
    arguments: Mapping[str, Any],
    resolve: Resolve,
    are_written: Callable[[str], bool] | None = None,
) -> Steps:
    """Do what a command asks for; the generator's value is the answer.

    "retry" takes `paths` (list or None) and `pixel_size_nm` (float or None), "rebuild" takes `sample`.
    Where an engine runs it writes the output folders, and `are_written` says whether a sample has them all.

    Raises
    ------
    OSError
        A file could not be written; a later call goes on.
    """
    match kind, dict(arguments):
        case "retry", {"paths": list() | None as paths, "pixel_size_nm": float() | None as size}:
            files, unknown = queue.retry(ledger, paths, size)
            return {"files": len(files), "unknown": unknown}
        case "rebuild", {"sample": str() as sample}:
            renewed = yield from _renew(ledger, config.separation, sample, resolve)
            yield from sample_folder.rebuilding(ledger, config.output.folder, sample, are_written)
            return {"renewed": renewed, "separation": config.separation.model_dump()}
    return {"error": f"this service does not know the request {kind!r}"}


def at_once(steps: Steps) -> Answer:
    """All steps one after the other."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def renewed(recorded: Method, separation: SeparationSettings) -> Method:
    """The method of a micrograph that is resolved anew: segmented as it was, separated as it is done now."""
    prefix = "segmentation."
    segmenter = Segmenter(
        name=recorded.segmentation,
        segment=_given,
        model_sha256=recorded.model_sha256,
        parameters=tuple(
            (key.removeprefix(prefix), value) for key, value in recorded.parameters if key.startswith(prefix)
        ),
    )
    return pipeline.describe(segmenter, separation)


def _given(_: object) -> list[Segmentation]:
    raise AssertionError("the segmentation is stored and not made again")


def _renew(
    ledger: Ledger, separation: SeparationSettings, sample: str, resolve: Resolve
) -> Generator[None, None, int]:
    """Resolve what was separated in another way once more, from the stored segmentations."""
    with ledger.reader() as reader:
        methods = {
            digest: method
            for digest, recorded in reader.methods().items()
            if (method := renewed(recorded, separation)).digest != digest
        }
        outdated = [
            row.id
            for row in reader.micrographs(sample)
            if row.status is Status.DONE and row.method in methods
        ]
    count = 0
    for number in outdated:
        with ledger.reader() as reader:
            row = reader.micrograph(number)  # it may have been retried or replaced meanwhile
            if row is None or row.status is not Status.DONE or row.method not in methods:
                continue
            assert row.pixel_size_nm is not None
            order = tasks.ResolveOrder(
                pixel_size_nm=row.pixel_size_nm,
                segmentation=reader.segmentation(number),
                separation=separation,
                method=methods[row.method],
            )
        analysis = resolve(order)
        recording.replace_analysis(ledger, number, analysis, datetime.now(UTC))
        count += 1
        yield
    return count


def resolve_here(order: tasks.ResolveOrder) -> Analysis:
    """Without workers: for a command that holds the ledger itself."""
    return tasks.resolve(order)
