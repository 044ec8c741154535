"""`temwatch corrections`: adds corrected label images to a training set."""

from __future__ import annotations

import argparse
import sys

from temwatch import compiled_code, setting_keys
from temwatch.commands import terminal
from temwatch.commands.caller import configured
from temwatch.errors import UsageError
from temwatch.formats import rosettasciio
from temwatch.ledger import Reader, sample_settings
from temwatch.names import plural


def run(arguments: argparse.Namespace) -> int:
    """Write what was corrected into the data set `--output`; 1 where a label image cannot be used."""
    config = configured(arguments.config, arguments.results)
    rosettasciio.use(config.watch.rosettasciio)
    compiled_code.keep_in(compiled_code.user_folder())
    from temwatch.training import corrections  # loads numba

    with Reader(config.output.state) as reader:
        sample = terminal.known_sample(reader, arguments.sample)
        settings = {
            key: setting.value for key, setting in sample_settings.settings_of(reader, sample).items()
        }
        steps = reader.row_count(sample)
        try:
            with terminal.steps(f"reading corrections of {sample}", steps) as advance:
                outcome = corrections.write(
                    reader,
                    sample,
                    arguments.labels,
                    arguments.output,
                    unchanged_too=arguments.all,
                    bright=setting_keys.polarity(config.segmentation, settings) == "bright",
                    advance=advance,
                )
        except OSError as error:
            raise UsageError(f"--output {arguments.output}: {error.strerror or error}") from None
    for problem in outcome.problems:
        print(f"temwatch: {problem}", file=sys.stderr)  # noqa: T201
    written, left = plural(len(outcome.written), "micrograph"), outcome.unchanged
    print(f"{written} in {arguments.output}")  # noqa: T201
    if left:
        said = f"{plural(left, 'label image')} as exported left out (--all takes them, too)"
        print(said)  # noqa: T201
    return 1 if outcome.problems else 0
