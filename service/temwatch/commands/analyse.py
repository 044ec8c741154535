"""`temwatch analyse`: the service's engine, once over files and folders."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import structlog
from pydantic import ValidationError

from temwatch import compiled_code
from temwatch import config as configuration
from temwatch.acquisition.arrival import arrivals_at
from temwatch.acquisition.scan import Skipped
from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.commands import terminal
from temwatch.config import Config
from temwatch.errors import UsageError
from temwatch.formats import READERS, UNCALIBRATED, rosettasciio
from temwatch.ledger import Arrival, Reader
from temwatch.names import printable

_PATTERNS = tuple(f"*{extension}" for extension in READERS if extension not in UNCALIBRATED)
# read from a folder that holds nothing else: beside micrographs they are masks, plots and copies
_PATTERNS_UNCALIBRATED = tuple(f"*{extension}" for extension in UNCALIBRATED)


def run(arguments: argparse.Namespace) -> int:
    """Analyse every micrograph that is named; 1 where some were refused or failed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    config = _settings(arguments)
    arrivals = _find_files(arguments, config)
    try:
        config.output.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {arguments.output}: {error.strerror}") from None
    rosettasciio.use(config.watch.rosettasciio)
    compiled_code.keep_in(compiled_code.user_folder())
    from temwatch.commands import single_run  # loads numba

    is_complete = single_run.analyse(config, arrivals, arguments.pixel_size)
    with Reader(config.output.state) as reader:
        samples = {reader.sample_named(name) or name for name in {item.sample for item in arrivals}}
        terminal.results(reader, config.output.folder, sorted(samples))
    return 0 if is_complete else 1


def _settings(arguments: argparse.Namespace) -> Config:
    """The service's settings, or the defaults, changed by the options."""
    output = arguments.output.absolute()
    base: dict[str, dict[str, object]] = {"watch": {"folder": str(output)}, "output": {"folder": str(output)}}
    if arguments.config is not None:
        base = configuration.load(arguments.config).model_dump(exclude_unset=True)
    if arguments.dask:
        base["engine"] = base.get("engine", {}) | {"dask": arguments.dask}
    size = arguments.pixel_size
    if size is not None and not is_plausible_pixel_size(size):
        raise UsageError(f"--pixel-size: {implausible_pixel_size(size)}")
    base["output"] = base["output"] | {"folder": output, "state_folder": None}
    if arguments.formats:
        names = tuple(name.strip() for name in arguments.formats.split(",") if name.strip())
        base["output"]["formats"] = names
    if arguments.separate:
        base["separation"] = base.get("separation", {}) | {"method": arguments.separate}
    if arguments.device:
        base["segmentation"] = base.get("segmentation", {}) | {"device": arguments.device}
    if arguments.sequence:
        base["sequences"] = base.get("sequences", {}) | {"folders": ("*", ".")}
    try:
        return Config.model_validate(base)
    except ValidationError as error:
        problem = error.errors()[0]
        option = {"separation": "--separate", "output": "--formats"}.get(str(problem["loc"][0]), "--config")
        raise UsageError(f"{option}: {problem['msg']} (found {problem['input']!r})") from None


def _find_files(arguments: argparse.Namespace, config: Config) -> list[Arrival]:
    """Everything that the paths name, as the options change it."""
    patterns = config.watch.patterns if arguments.config is not None else _PATTERNS
    found: list[Arrival] = []
    for path in arguments.paths:
        absolute = Path(path).absolute()
        if not absolute.exists() and not absolute.is_symlink():
            raise UsageError(f"{path}: there is no such file or folder")
        skipped: list[Skipped] = []
        try:
            arrivals = arrivals_at(absolute, config, patterns, skipped.append)
            if not arrivals and arguments.pixel_size is not None and arguments.config is None:
                skipped.clear()
                arrivals = arrivals_at(absolute, config, _PATTERNS_UNCALIBRATED, skipped.append)
        except OSError as error:
            raise UsageError(f"{path}: cannot be listed: {error.strerror}") from None
        for entry in skipped:
            _tell(path, entry)
        if not arrivals:
            print(f"temwatch: {path}: no micrographs in it", file=sys.stderr)  # noqa: T201
        found += arrivals
    size, sample = arguments.pixel_size, arguments.sample
    return [replace(item, pixel_size_nm=size, sample=sample or item.sample) for item in found]


def _tell(folder: Path, skipped: Skipped) -> None:
    name = printable(str(folder / skipped.path))
    print(f"temwatch: {name}: {skipped.reason}", file=sys.stderr)  # noqa: T201
