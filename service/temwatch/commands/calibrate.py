"""`temwatch calibrate`: corrects the pixel size that files state, and undoes that."""

from __future__ import annotations

import argparse

from temwatch.choices import implausible_pixel_size, is_plausible_pixel_size
from temwatch.commands.caller import author, config_of
from temwatch.commands.decide import say_unknown
from temwatch.commands.send_request import ask_service
from temwatch.commands.terminal import known_sample
from temwatch.errors import UsageError
from temwatch.ledger import Reader, is_held
from temwatch.names import plural, printable


def run(arguments: argparse.Namespace) -> int:
    """Correct or undo; 1 where a path is not known.

    Raises
    ------
    UsageError
        The correction does not fit the micrographs: nothing has changed.
    """
    if bool(arguments.paths) == (arguments.sample is not None):
        raise UsageError("name either micrographs or a --sample")
    given = (arguments.pixel_size is not None, arguments.factor is not None, arguments.undo)
    if sum(given) != 1:
        raise UsageError("give one of --pixel-size, --factor and --undo")
    if arguments.pixel_size is not None and not is_plausible_pixel_size(arguments.pixel_size):
        raise UsageError(f"--pixel-size: {implausible_pixel_size(arguments.pixel_size)}")
    if arguments.factor is not None and not 0 < arguments.factor < float("inf"):
        raise UsageError("--factor: must be more than 0")
    config = config_of(arguments)
    sample = arguments.sample
    if sample is not None:
        with Reader(config.output.state) as reader:
            sample = known_sample(reader, sample)
    done = ask_service(
        config,
        "calibrate",
        sample=sample,
        paths=arguments.paths or None,
        pixel_size_nm=arguments.pixel_size,
        factor=arguments.factor,
        undo=arguments.undo,
        **author(arguments),
    )
    if "refused" in done:
        raise UsageError(printable(done["refused"]))
    measured = "are being measured again" if is_held(config.output.state) else "measured again"
    what = "calibration as stated" if arguments.undo else "calibration corrected"
    print(f"{what}; {plural(done['micrographs'], 'micrograph')} {measured}")  # noqa: T201
    return say_unknown(done["unknown"])
