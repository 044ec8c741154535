"""The command line: argument parsing and exit codes, nothing else."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import temwatch
from temwatch import cli_benchmark, cli_decisions
from temwatch.choices import Device, ExportFormat, SegmentationMethod, SeparationMethod, TableFormat
from temwatch.cli_decisions import Add, add_retry
from temwatch.errors import EXTRAS, MissingExtra, TemwatchError
from temwatch.names import print_every_name

_EPILOG = """\
first steps:
  temwatch demo                                           try it with a simulated microscope
  temwatch analyse Au_01.dm3 Au_02.dm3 --output results   analyse your own micrographs
  temwatch check --config temwatch.toml                   check before the service starts
  temwatch run --config temwatch.toml                     run the service
  temwatch COMMAND --help                                 options and examples of a command

exit codes:
  0  success
  1  some inputs failed or were refused; each is named on standard error
  2  wrong usage or configuration
  3  the service cannot start (weights, port, ledger in use)
"""
_CONFIG = "--config temwatch.toml"
_TABLES = ", ".join(get_args(TableFormat))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what a user can cause is one line, never a traceback."""
    print_every_name(sys.stdout)
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as ended:  # --help, --version and wrong usage; argparse has said all there is to say
        return int(ended.code or 0)
    # read when numpy is loaded: the products here are small, and its threads spin while they wait
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        # a command's module is imported only when it is called: torch and pandas take seconds to load
        command = importlib.import_module(f"temwatch.commands.{arguments.module}")
        code: int = command.run(arguments)
        sys.stdout.flush()
    except TemwatchError as error:
        return _fail(error)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        return _fail(MissingExtra(module))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed again, it would break into the end
        print("temwatch: interrupted; finished results are kept", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _fail(error: TemwatchError) -> int:
    print(f"temwatch: {error}", file=sys.stderr)  # noqa: T201
    return error.exit_code


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `module` of what it gives names the command's module."""
    top = argparse.ArgumentParser(
        prog="temwatch",
        description="Watches the acquisition folder of a transmission electron microscope\n"
        "and measures every nanoparticle as the micrographs arrive.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"temwatch {temwatch.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser
    service = (_run, _analyse, _demo, _check, _status, add_retry, _rebuild, _export, _report, _deploy_files)
    others = (_notify, _simulate, _train, _train_edges, _evaluate, _convert_antema, _benchmark)
    for describe in (*service, *cli_decisions.DECISIONS, *others):
        describe(partial(_add, commands))
    return top


def _add(
    commands: Callable[..., argparse.ArgumentParser],
    name: str,
    text: str,
    *examples: str,
    more: str = "",
    config: bool = False,
) -> argparse.ArgumentParser:
    lines = [f"  temwatch {name} {example}".rstrip() for example in examples]
    command = commands(
        name,
        help=text,
        description=text[0].upper() + text[1:] + "." + more,
        epilog="\n".join(["examples:" if len(lines) > 1 else "example:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(module=name.replace("-", "_"))
    if config:
        text = "configuration of the service"
        command.add_argument("--config", type=Path, required=True, metavar="FILE", help=text)
    return command


def _run(add: Add) -> None:
    add("run", "run the service: watch the acquisition folder", _CONFIG, config=True)


def _analyse(add: Add) -> None:
    command = add(
        "analyse",
        "analyse micrographs, folders and stacks once",
        "Au_01.dm3 Au_02.dm3 --output results",
        "/data/2024-05-17 --output results --formats csv,xlsx --pixel-size 0.05",
    )
    option = command.add_argument
    option("paths", nargs="+", type=Path, metavar="PATH", help="dm3, dm4 or TIFF files, or folders")
    _output(command, "folder for the results")
    option("--config", type=Path, metavar="FILE", help="use the settings of this configuration")
    option("--sample", metavar="NAME", help="one sample for all (default: by folder or name)")
    option("--sequence", action="store_true", help="numbered files of a folder are frames of a sequence")
    option("--separate", choices=get_args(SeparationMethod), help="how to separate overlapping particles")
    option("--formats", metavar="LIST", help=f"tables to write: {_TABLES} (default csv)")
    option("--pixel-size", type=float, metavar="NM", help="nm per pixel of files that do not state it")
    _device(command, default=None)
    option("--dask", metavar="ADDRESS", help="distribute the work over a Dask cluster")


def _demo(add: Add) -> None:
    text = "show a simulated microscope, watched by the real service"
    command = add("demo", text, "", "--micrographs 12 --serve")
    option = command.add_argument
    option("--micrographs", type=_positive, default=6, metavar="N", help="how many (default 6)")
    option("--output", type=Path, metavar="DIR", help="where (default: ./temwatch-demo)")
    option("--port", type=_port, default=8750, metavar="P", help="port of the live page (default 8750)")
    option("--serve", action="store_true", help="keep the live page open until Ctrl-C")


def _check(add: Add) -> None:
    add("check", "list what would stop the service, one line each", _CONFIG, config=True)


def _status(add: Add) -> None:
    text = "show what the service has done and what is queued"
    command = add("status", text, _CONFIG, f"{_CONFIG} --link", config=True)
    command.add_argument("--link", action="store_true", help="print a link to the page that allows changes")


def _notify(add: Add) -> None:
    text = "send a test message, or one that the service is down"
    command = add("notify", text, _CONFIG, f"{_CONFIG} --if-down", config=True)
    command.add_argument("--if-down", action="store_true", help="only when it has been down for long enough")


def _rebuild(add: Add) -> None:
    text = "write tables and pictures again from the ledger"
    command = add("rebuild", text, "--config temwatch.toml Au", config=True)
    command.add_argument("sample", nargs="?", metavar="SAMPLE", help="this sample only (default: all)")


def _export(add: Add) -> None:
    text = "write a sample in the formats of other programs"
    example = "--config temwatch.toml Au --formats xlsx,roi --output exported"
    command = add("export", text, example, "--results results Au --formats roi --output exported")
    cli_decisions.add_where(command, "--results")
    command.add_argument("sample", metavar="SAMPLE")
    tables = ",".join(get_args(TableFormat))
    text = f"{', '.join(get_args(ExportFormat))} (default {tables})"
    command.add_argument("--formats", default=tables, metavar="LIST", help=text)
    _output(command, "folder for the files")


def _report(add: Add) -> None:
    text = "write the one-page report of a sample and its charts"
    command = add("report", text, "--config temwatch.toml Au", "--results results Au")
    cli_decisions.add_where(command, "--results")
    command.add_argument("sample", metavar="SAMPLE")
    command.add_argument(
        "--output", type=Path, metavar="DIR", help="folder (default: report in the sample's results)"
    )


def _deploy_files(add: Add) -> None:
    text = "write systemd unit, alert rules and dashboard for a machine"
    command = add("deploy-files", text, "deploy")
    command.add_argument("folder", type=Path, metavar="DIR", help="folder for the files")
    command.add_argument("--force", action="store_true", help="replace files that were changed, too")


def _simulate(add: Add) -> None:
    command = add(
        "simulate",
        "write synthetic micrographs with their ground truth",
        "--output simulated --micrographs 20 --overlap high",
        "--output simulated --frames 100 --drift 0.5",
    )
    option = command.add_argument
    _output(command, "folder for the micrographs")
    option("--micrographs", type=_positive, default=6, metavar="N", help="how many (default 6)")
    option("--frames", type=_positive, metavar="N", help="one stack of N frames instead")
    option(
        "--drift", type=float, default=0.0, metavar="PX", help="drift of a stack, px per frame (default 0)"
    )
    option(
        "--flicker", type=float, default=0.0, metavar="SHARE", help="share of particles missing in each frame"
    )
    option("--overlap", choices=("low", "medium", "high"), default="low", help="default low")
    _seed(command, "micrographs")


def _train(add: Add) -> None:
    text = "train a network on labelled micrographs"
    example = "--data labelled --output training --recipe temwatch"
    command = add("train", text, f"{example} --device cuda")
    option = command.add_argument
    _data(command)
    _output(command, "folder for weights, checkpoint and scores")
    option(
        "--recipe",
        choices=("paper", "temwatch", "refine"),
        help="paper: as published; temwatch: simulated micrographs first, then yours, with contacts; "
        "refine: its second half, for --start-from (default paper, with --start-from default refine)",
    )
    _seed(command, "weights")
    _device(command)
    option(
        "--workers", type=_natural, metavar="N", help="processes that prepare tiles (default: half the cores)"
    )
    option("--steps", type=_positive, metavar="N", help="total number of batches; scales every stage")
    option("--batch", type=_positive, metavar="N", help="tiles per batch (default: the recipe's, 30 or 16)")
    option("--start-from", type=Path, metavar="WEIGHTS", help="begin with these; default: those of temwatch")
    option("--simulated", type=_natural, metavar="N", help="simulated micrographs (default: the recipe's)")


_EDGES = """

This network moves outlines to where particles end. It learns from simulated micrographs alone: their true
outlines are made rough, and it learns the way back. With the defaults it takes about an hour on two cores,
and 1.3 GB of disk. Ctrl-C keeps the weights so far; the same command continues."""


def _train_edges(add: Add) -> None:
    text = "train the edge network on simulated micrographs"
    command = add("train-edges", text, "--output edges", more=_EDGES)
    option = command.add_argument
    _output(command, "folder for edges.safetensors, metrics.csv, checkpoint and examples")
    option("--micrographs", type=_positive, default=3200, metavar="N", help="to learn from (default 3200)")
    option("--steps", type=_positive, default=4000, metavar="N", help="number of batches (default 4000)")
    _seed(command, "weights")
    option("--workers", type=_natural, metavar="N", help="processes that simulate (default: one per core)")


def _evaluate(add: Add) -> None:
    text = "score a segmenter on labelled micrographs, and its outlines on any"
    example = "--weights training/deeplab.safetensors --data labelled --part test"
    others = ("--method threshold --data labelled", "--unlabelled /data/2024-05-17")
    command = add("evaluate", text, example, *others)
    option = command.add_argument
    _data(command, required=False)
    text = "micrographs or folders without labels: how far outlines lie from the edges they show"
    option("--unlabelled", type=Path, nargs="+", action="extend", default=[], metavar="PATH", help=text)
    option("--weights", type=Path, metavar="FILE", help="default: the service's segmenter")
    option("--method", choices=get_args(SegmentationMethod), help="default: deeplab")
    option("--separate", choices=get_args(SeparationMethod), help="how to separate overlapping particles")
    option("--json", action="store_true", help="JSON instead of a table")
    option("--picture", type=Path, metavar="FILE", help="png of the best and worst cases")
    option("--part", choices=("train", "validation", "test"), help="this part of a training's division only")
    option("--division", type=Path, metavar="FILE", help="division.json (default: beside the weights)")
    _device(command)


def _convert_antema(add: Add) -> None:
    text = "convert the Keras weights of ANTEMA to weights of temwatch"
    command = add("convert-antema", text, "antema.h5 antema.safetensors")
    command.add_argument("weights", type=Path, metavar="WEIGHTS.h5")
    command.add_argument("output", type=Path, metavar="OUTPUT", help="a safetensors file")
    text = "which of the two classes is particle (default second)"
    command.add_argument("--particle-class", choices=("first", "second"), default="second", help=text)


def _benchmark(add: Add) -> None:
    cli_benchmark.add_benchmark(add, _positive)


def _data(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    text = "data sets, or folders of them: images/ with instances/ or masks/ beside it"
    option = command.add_argument
    option("--data", type=Path, nargs="+", action="extend", required=required, metavar="DIR", help=text)


def _device(command: argparse.ArgumentParser, default: str | None = "auto") -> None:
    text = "where the network runs (default auto)"
    command.add_argument("--device", choices=get_args(Device), default=default, help=text)


def _seed(command: argparse.ArgumentParser, result: str) -> None:
    text = f"same seed, same {result} (default 0)"
    command.add_argument("--seed", type=_natural, default=0, metavar="N", help=text)


def _output(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help=text)


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    limits = f"{least} or more" if most is None else f"{least} to {most}"

    def number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be {limits}")
        return value

    return number


_natural, _positive, _port = _whole(0), _whole(1), _whole(0, 65535)
