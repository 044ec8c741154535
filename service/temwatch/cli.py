"""The command line: argument parsing and exit codes, nothing else."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, get_args

import temwatch
from temwatch.choices import SeparationMethod
from temwatch.errors import EXTRAS, MissingExtra, TemwatchError

_EPILOG = """\
a first look:   temwatch demo
at the desk:    temwatch analyse Au_01.dm3 Au_02.dm3 --output results
at the scope:   temwatch check --config temwatch.toml && temwatch run --config temwatch.toml

exit codes: 0 all well; 1 some inputs failed or were refused, each named on standard error;
2 wrong usage or configuration; 3 the service cannot start (weights, port, ledger in use)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what a user can cause is one line, never a traceback."""
    arguments = _parser().parse_args(argv)
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
        print("temwatch: interrupted; what was finished is kept", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _fail(error: TemwatchError) -> int:
    print(f"temwatch: {error}", file=sys.stderr)  # noqa: T201
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="temwatch",
        description="Watches the acquisition folder of a transmission electron microscope and measures every "
        "nanoparticle as the micrographs arrive.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"temwatch {temwatch.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    service = (_run, _analyse, _demo, _check, _status, _retry, _rebuild, _export, _report, _simulate)
    network = (_train, _evaluate, _convert_antema)
    for add in (*service, *network, _benchmark):
        add(commands)
    return parser


class _Commands(Protocol):
    """What `add_subparsers` returns; argparse has no public name for it."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser: ...


def _add(commands: _Commands, name: str, text: str, *, config: bool = False) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(module=name.replace("-", "_"))
    if config:
        command.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="configuration of the service"
        )
    return command


def _run(commands: _Commands) -> None:
    _add(commands, "run", "the service: watch the acquisition folder until told to stop", config=True)


def _analyse(commands: _Commands) -> None:
    command = _add(commands, "analyse", "analyse micrographs, folders and stacks once")
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="dm3, dm4 or TIFF files, or folders"
    )
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    command.add_argument("--config", type=Path, metavar="FILE", help="take the settings of a service")
    command.add_argument(
        "--sample", metavar="NAME", help="one sample for all (default: from folder or file name)"
    )
    command.add_argument(
        "--sequence", action="store_true", help="numbered files of a folder are frames of a sequence"
    )
    command.add_argument(
        "--separate",
        metavar="METHOD",
        help=f"how to separate overlapping particles: {', '.join(get_args(SeparationMethod))}",
    )
    command.add_argument("--formats", metavar="LIST", help="tables to write: csv,xlsx,parquet (default csv)")
    command.add_argument(
        "--pixel-size", type=float, metavar="NM", help="nm per pixel for files that do not state their own"
    )
    command.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), help="where the network runs (default auto)"
    )
    command.add_argument("--dask", metavar="ADDRESS", help="spread the work over a Dask cluster")


def _demo(commands: _Commands) -> None:
    command = _add(commands, "demo", "a simulated microscope, watched by the real service")
    command.add_argument("--micrographs", type=_positive, default=6, metavar="N", help="how many (default 6)")
    command.add_argument("--output", type=Path, metavar="DIR", help="where (default: ./temwatch-demo)")
    command.add_argument(
        "--port", type=_port, default=8750, metavar="P", help="port of the live page (default 8750)"
    )
    command.add_argument(
        "--serve", action="store_true", help="keep the live page up at the end, until Ctrl-C"
    )


def _check(commands: _Commands) -> None:
    _add(commands, "check", "say what would stop the service, one line each", config=True)


def _status(commands: _Commands) -> None:
    _add(commands, "status", "what the service has done and has to do, from its ledger", config=True)


def _retry(commands: _Commands) -> None:
    command = _add(commands, "retry", "take failed and refused micrographs up again", config=True)
    command.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="these only, as in micrographs.csv (default: all failed or refused)",
    )
    command.add_argument(
        "--pixel-size", type=float, metavar="NM", help="nm per pixel where the file states none"
    )


def _rebuild(commands: _Commands) -> None:
    command = _add(commands, "rebuild", "write tables and pictures anew from the ledger", config=True)
    command.add_argument("sample", nargs="?", metavar="SAMPLE", help="this sample only (default: all)")


def _export(commands: _Commands) -> None:
    command = _add(commands, "export", "write the tables of a sample in other formats", config=True)
    command.add_argument("sample", metavar="SAMPLE")
    command.add_argument(
        "--formats", default="csv,xlsx,parquet", metavar="LIST", help="csv,xlsx,parquet (default all)"
    )
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the tables")


def _report(commands: _Commands) -> None:
    command = _add(commands, "report", "write the one-page report of a sample and its charts", config=True)
    command.add_argument("sample", metavar="SAMPLE")
    command.add_argument(
        "--output", type=Path, metavar="DIR", help="folder (default: report in the sample's results)"
    )


def _simulate(commands: _Commands) -> None:
    command = _add(commands, "simulate", "write synthetic micrographs with their ground truth")
    command.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the micrographs"
    )
    command.add_argument("--micrographs", type=_positive, default=6, metavar="N", help="how many (default 6)")
    command.add_argument("--frames", type=_positive, metavar="N", help="one stack of N frames instead")
    command.add_argument(
        "--drift", type=float, default=0.0, metavar="PX", help="px that the field of a stack travels a frame"
    )
    command.add_argument(
        "--flicker", type=float, default=0.0, metavar="SHARE", help="share of particles a frame does not show"
    )
    command.add_argument("--overlap", choices=("low", "medium", "high"), default="low", help="default low")
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="same seed, same micrographs (default 0)"
    )


def _train(commands: _Commands) -> None:
    command = _add(commands, "train", "train a network on labelled micrographs, or go on with it")
    _data(command)
    command.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for weights, checkpoint and measures",
    )
    command.add_argument(
        "--recipe",
        choices=("paper", "temwatch", "refine"),
        default="paper",
        help="the paper's; simulated micrographs first, then yours, with contacts; or the second half "
        "of that alone, for --start-from (default paper)",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="same seed, same weights (default 0)"
    )
    _device(command)
    command.add_argument(
        "--workers", type=_natural, metavar="N", help="processes that prepare tiles (default: half the cores)"
    )
    command.add_argument(
        "--steps", type=_positive, metavar="N", help="batches in all; brings every stage to scale"
    )
    command.add_argument(
        "--batch", type=_positive, metavar="N", help="tiles a batch (default: the recipe's, 30 or 16)"
    )
    command.add_argument(
        "--start-from", type=Path, metavar="WEIGHTS", help="begin with these weights of the same network"
    )
    command.add_argument(
        "--simulated", type=_natural, metavar="N", help="simulated micrographs (default: the recipe's)"
    )


def _evaluate(commands: _Commands) -> None:
    command = _add(commands, "evaluate", "hold a network, or the threshold, against labelled micrographs")
    _data(command)
    command.add_argument("--weights", type=Path, metavar="FILE", help="default: the service's segmenter")
    command.add_argument("--method", choices=("deeplab", "threshold"), help="threshold: the baseline")
    command.add_argument(
        "--separate",
        metavar="METHOD",
        help=f"separate as the service does: {', '.join(get_args(SeparationMethod))}",
    )
    command.add_argument("--json", action="store_true", help="JSON instead of a table")
    command.add_argument("--picture", type=Path, metavar="FILE", help="png of the best and worst cases")
    command.add_argument(
        "--part", choices=("train", "validation", "test"), help="only this part of a training's division"
    )
    command.add_argument(
        "--division", type=Path, metavar="FILE", help="division.json (default: beside the weights)"
    )
    _device(command)


def _convert_antema(commands: _Commands) -> None:
    command = _add(commands, "convert-antema", "turn the Keras weights of ANTEMA into weights of temwatch")
    command.add_argument("weights", type=Path, metavar="WEIGHTS.h5")
    command.add_argument("output", type=Path, metavar="OUTPUT", help="a safetensors file")
    command.add_argument(
        "--particle-class",
        choices=("first", "second"),
        default="second",
        help="which of the two classes is particle (default second)",
    )


def _benchmark(commands: _Commands) -> None:
    command = _add(commands, "benchmark", "time every stage beside scikit-image, and micrographs end to end")
    command.add_argument("--json", action="store_true", help="JSON instead of tables")
    command.add_argument(
        "--size",
        type=_positive,
        metavar="PX",
        help="this size alone (default: 2048 px in detail, then 1024 to 4096 px with 50 to 5000 particles)",
    )
    command.add_argument(
        "--particles", type=_positive, default=2000, metavar="N", help="particles in it (default 2000)"
    )
    command.add_argument(
        "--repeat", type=_positive, default=5, metavar="N", help="repeats, of which the median (default 5)"
    )


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="DIR",
        help="data sets, or folders of them: images/ with instances/ or masks/ beside it",
    )


def _device(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where the network runs (default auto)",
    )


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return value
