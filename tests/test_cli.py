"""The command line: help, exit codes, and that it stays light."""

import re
import shlex
import subprocess
import sys
from typing import get_args

import pytest

from system import temwatch
from temwatch import cli, config

COMMANDS = [
    "run",
    "analyse",
    "demo",
    "check",
    "status",
    "retry",
    "rebuild",
    "export",
    "report",
    "deploy-files",
    "exclude",
    "include",
    "dismiss",
    "calibrate",
    "settings",
    "history",
    "undo",
    "corrections",
    "notify",
    "simulate",
    "train",
    "train-edges",
    "evaluate",
    "convert-antema",
    "benchmark",
]


def test_the_help_lists_every_command(capsys):
    """In the order of their use."""
    assert 0 == cli.main(["--help"])
    listed = re.findall(r"(?m)^    ([a-z-]+)(?: |$)", capsys.readouterr().out)
    assert COMMANDS == listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    """--help ends well, and its examples are understood by the parser."""
    assert 0 == cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert f"usage: temwatch {command}" in text
    examples = re.findall(r"(?m)^  temwatch (.*)$", text)
    assert examples
    for example in examples:
        assert command.replace("-", "_") == cli.parser().parse_args(shlex.split(example)).module


def test_the_exit_code_reaches_the_shell():
    """As a process of its own."""
    assert [0, 2] == [temwatch(name, fresh=True).returncode for name in ("--help", "unknown")]


def test_choices_are_those_of_the_configuration(tmp_path):
    """The command line accepts every method that the configuration knows."""
    analyse = ["analyse", "a.dm3", "--output", str(tmp_path)]
    for value in get_args(config.SeparationMethod):
        assert value == cli.parser().parse_args([*analyse, "--separate", value]).separate
    for value in get_args(config.Device):
        assert value == cli.parser().parse_args([*analyse, "--device", value]).device
    for value in get_args(config.SegmentationMethod):
        assert value == cli.parser().parse_args(["evaluate", "--data", "a", "--method", value]).method


@pytest.mark.parametrize("command", ["", "train", "train-edges", "evaluate", "convert-antema"])
def test_help_and_import_load_nothing_heavy(command):
    """They answer at once because torch, pandas and the like stay unloaded."""
    code = (
        "import sys, temwatch, temwatch.cli\n"
        f"temwatch.cli.main([*{command.split()}, '--help'])\n"
        "print([n for n in ('torch', 'pandas', 'numpy', 'skimage', 'pydantic', 'rich') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.splitlines()[-1]


def test_public_names_are_resolved_on_use():
    """And only those."""
    import temwatch as package

    assert {"analyse", "resolve", "read", "read_frames"} <= set(dir(package))
    assert all(callable(getattr(package, name)) for name in package.__all__ if not name.startswith("_"))
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing


def test_version():
    """As the package says."""
    import temwatch as package

    assert f"temwatch {package.__version__}\n" == temwatch("--version", fresh=True).stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["unknown"], 2),
        (["run"], 2),
        (["run", "--config", "none.toml"], 2),
        (["check", "--config", "none.toml"], 2),
        (["status", "--config", "none.toml"], 2),
        (["analyse", "none.dm3", "--output", "out"], 2),
        (["analyse", ".", "--output", "out", "--separate", "magic"], 2),
        (["analyse", ".", "--output", "out", "--formats", "csv,doc"], 2),
        (["analyse", ".", "--output", "out", "--pixel-size", "-1"], 2),
        (["analyse", ".", "--output", "out", "--pixel-size", "5e-10"], 2),
        (["analyse", ".", "--output", "out", "--pixel-size", "nan"], 2),
        (["simulate", "--output", "out", "--micrographs", "0"], 2),
        (["demo", "--port", "99999"], 2),
        (["train-edges", "--output", "out", "--seed", "-1"], 2),
        (["deploy-files"], 2),
    ],
)
def test_wrong_usage_is_exit_code_2_and_no_traceback(arguments, code, tmp_path, monkeypatch, capsys):
    """What is wrong is said, and nothing is raised."""
    monkeypatch.chdir(tmp_path)
    assert code == cli.main(arguments)
    said = capsys.readouterr()
    assert (said.err + said.out).strip()


@pytest.mark.parametrize(("set_already", "expected"), [(None, "1"), ("4", "4")])
def test_products_take_one_thread_unless_told_otherwise(set_already, expected, tmp_path, monkeypatch):
    """Set before numpy is loaded: its threads spin while they wait, and the engine needs the cores."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if set_already:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", set_already)
    code = (
        "import os, sys, temwatch.cli\n"
        "assert 'numpy' not in sys.modules\n"
        f"temwatch.cli.main(['status', '--config', {str(tmp_path / 'none.toml')!r}])\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert expected == done.stdout.split()[-1]
