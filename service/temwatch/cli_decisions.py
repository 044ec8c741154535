"""The arguments of the commands with which a person decides about the data set."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from temwatch.choices import MAX_BY_CHARACTERS
from temwatch.notes import Note

_PATHS = "path below the watched folder, as in micrographs.csv, or a shell pattern in quotes"

Add = Callable[..., argparse.ArgumentParser]
"""Adds a command with its name, one line about it, and examples."""


def add_retry(add: Add) -> None:
    """`temwatch retry`."""
    text = "analyse failed and refused micrographs again"
    example = "--config temwatch.toml Au/Au_07.dm3 --pixel-size 0.05"
    option = add("retry", text, "--config temwatch.toml", example, config=True).add_argument
    text = "these only, as in micrographs.csv (default: all failed or refused)"
    option("paths", nargs="*", metavar="PATH", help=text)
    option("--pixel-size", type=float, metavar="NM", help="nm per pixel where the file states none")


def add_exclude(add: Add) -> None:
    """`temwatch exclude`."""
    text = "take micrographs, frames or particles out of the data set"
    examples = ('Au/Au_07.dm3 --reason "astigmatic"', "Au/Au_08.dm3 --particle 3", "'Au/*_bad*'")
    _add(add, "exclude", text, examples)


def add_include(add: Add) -> None:
    """`temwatch include`."""
    text = "put back what was excluded"
    _add(add, "include", text, ("Au/Au_07.dm3", "Au/Au_08.dm3 --particle 3"))


def add_dismiss(add: Add) -> None:
    """`temwatch dismiss`."""
    text = "show remarks on micrographs or on a sample no more; the tables keep them"
    examples = ("Au/Au_07.dm3", "'Au/*' --note few_px_per_particle --reason \"known\"")
    command = add("dismiss", text, *(f"--config temwatch.toml {example}" for example in examples))
    option = command.add_argument
    option("paths", nargs="*", metavar="PATH", help=_PATHS)
    option("--sample", metavar="SAMPLE", help="or remarks on a whole sample")
    add_where(command)
    help_text = f"only this remark; may be repeated: {', '.join(Note)}"
    option("--note", choices=[*Note], action="append", metavar="NAME", help=help_text)
    option("--frame", type=_number(0), metavar="N", help="only this frame of a stack, from 0")
    option("--again", action="store_true", help="show them again")
    add_author(command)


def add_calibrate(add: Add) -> None:
    """`temwatch calibrate`."""
    text = "correct the pixel size that files state"
    examples = ('--sample Au --factor 1.02 --reason "cross grating"', "Au/Au_07.dm3 --pixel-size 0.051")
    more = ("--sample Au --undo",)
    command = add("calibrate", text, *(f"--config temwatch.toml {each}" for each in (*examples, *more)))
    option = command.add_argument
    option("paths", nargs="*", metavar="PATH", help=_PATHS)
    option("--sample", metavar="SAMPLE", help="or a whole sample, also what arrives later")
    option("--pixel-size", type=float, metavar="NM", help="nm per pixel")
    option("--factor", type=float, metavar="X", help="or a factor for the stated size")
    option("--undo", action="store_true", help="undo the last correction")
    add_where(command)
    add_author(command)


def add_settings(add: Add) -> None:
    """`temwatch settings`."""
    text = "show and change the settings of one sample"
    examples = ("Au", 'Au separation.min_diameter_nm=5 --reason "dust"', "Au filter.min_circularity=0.8")
    more = ("Au --unset separation.min_diameter_nm",)
    command = add("settings", text, *(f"--config temwatch.toml {each}" for each in (*examples, *more)))
    option = command.add_argument
    option("sample", metavar="SAMPLE", help="name of the sample")
    option("settings", nargs="*", metavar="KEY=VALUE", help="set these; without any, all are shown")
    option("--unset", action="append", default=[], metavar="KEY", help="back to what is configured")
    add_where(command)
    add_author(command)


def add_corrections(add: Add) -> None:
    """`temwatch corrections`."""
    text = "add corrected label images to a training set"
    example = "--config temwatch.toml Au labels --output corrected"
    more = (
        " LABELS is the folder of `export --formats labels`, with the images edited, for example in napari."
        " `train --data corrected --start-from default` learns from them."
    )
    command = add("corrections", text, example, more=more)
    add_where(command, "--results")
    option = command.add_argument
    option("sample", metavar="SAMPLE")
    option("labels", type=Path, metavar="LABELS", help="folder with the label images")
    option("--output", type=Path, required=True, metavar="DIR", help="the training set, new or not")
    option("--all", action="store_true", help="also those that are as exported: they are right as they are")


def add_history(add: Add) -> None:
    """`temwatch history`."""
    text = "show who changed what, when and why, newest first"
    command = add("history", text, "--config temwatch.toml", "--output results --sample Au --json")
    add_where(command)
    option = command.add_argument
    option("--sample", metavar="SAMPLE", help="changes in this sample only")
    option("--limit", type=_number(1), default=100, metavar="N", help="how many at most (default 100)")
    option("--json", action="store_true", help="JSON, with what was there before and after")


def add_undo(add: Add) -> None:
    """`temwatch undo`."""
    command = add("undo", "undo changes of the history", "--config temwatch.toml 12")
    text = "number of the change, as in temwatch history"
    command.add_argument("changes", nargs="+", type=_number(1), metavar="CHANGE", help=text)
    add_where(command)
    add_author(command)


def _add(add: Add, name: str, text: str, examples: tuple[str, ...]) -> None:
    command = add(name, text, *(f"--config temwatch.toml {example}" for example in examples))
    option = command.add_argument
    option("paths", nargs="+", metavar="PATH", help=_PATHS)
    add_where(command)
    option("--particle", type=_number(1), action="append", metavar="N", help="only this one; may be repeated")
    option("--frame", type=_number(0), metavar="N", help="only this frame of a stack, from 0")
    add_author(command)


DECISIONS = (
    add_exclude,
    add_include,
    add_dismiss,
    add_calibrate,
    add_settings,
    add_history,
    add_undo,
    add_corrections,
)


def add_where(command: argparse.ArgumentParser, option: str = "--output") -> None:
    """Whose results: those of the service or those of `analyse`."""
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", type=Path, metavar="FILE", help="configuration of the service")
    where.add_argument(option, type=Path, metavar="DIR", help="or the output folder of analyse")


def add_author(command: argparse.ArgumentParser) -> None:
    """Who decides, and why."""
    command.add_argument("--reason", default="", metavar="TEXT", help="why; it is kept in the history")
    command.add_argument("--by", type=_name, metavar="NAME", help="who decides (default: the user's name)")


def _name(text: str) -> str:
    if not 0 < len(text) <= MAX_BY_CHARACTERS:
        raise argparse.ArgumentTypeError(f"must have 1 to {MAX_BY_CHARACTERS} characters")
    return text


def _number(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value < 2**63:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return value

    return number
