"""Beside Linux, analyse, report, export and the Python functions work.

Here temwatch only believes that it is there (tests/other_system); the workflow of GitHub runs there.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import system
from temwatch import operating_system

TESTS = Path(__file__).parent
SYSTEMS = ("win32", "darwin")
COMMANDS = [
    *("temwatch.commands.analyse", "temwatch.commands.single_run", "temwatch.commands.simulate"),
    *("temwatch.commands.report", "temwatch.commands.export", "temwatch.outputs.published_results"),
]


def python(name, folder, *arguments):
    """An interpreter in which temwatch sees this system; see tests/other_system/sitecustomize.py."""
    path = os.pathsep.join(filter(None, (str(TESTS / "other_system"), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"OTHER_SYSTEM": name, "OTHER_SYSTEM_FOLDER": str(folder), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env=environment,
        start_new_session=True,
    )


def threshold(folder):
    """Settings with little to compute."""
    path = folder / "settings.toml"
    path.write_text(
        '[watch]\nfolder = "."\n[output]\nfolder = "."\n[segmentation]\nmethod = "threshold"\n'
        '[separation]\nmethod = "none"\n[engine]\nworkers = 1\n'
    )
    return path


@pytest.mark.system
def test_micrographs_are_analysed_reported_and_exported_on_windows(tmp_path, series):
    """From the folder to the report, the exports and the tables in Python."""
    (acquired := tmp_path / "all" / "acquired" / "Au").mkdir(parents=True)
    shutil.copy(sorted(series.glob("*.dm3"))[0], acquired)
    walk_through("win32", tmp_path, "--formats", "csv")


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_sequence_too_and_all_of_it_a_second_time(name, tmp_path):
    """With pictures and a film that are replaced."""
    walk_through(name, tmp_path)


def walk_through(name, folder, *options):
    walk = (TESTS / "every_system.py", folder / "all", "--config", threshold(folder), *options)
    done = python(name, folder, *walk)
    assert 0 == done.returncode, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{sys.platform}: ")


LOCKED = """
import json, sys
from pathlib import Path
from temwatch import memory, operating_system
from temwatch.errors import StartError
from temwatch.ledger import is_held, open_ledger
state, refusal = Path(sys.argv[1]), ""
with open_ledger(state):
    try:
        open_ledger(state)
    except StartError as error:
        refusal = str(error)
    held = is_held(state)
facts = [operating_system.sys.platform, operating_system.PROCESS_START, held, is_held(state), refusal]
print(json.dumps([*facts, memory.limit_bytes(), operating_system.usable_cores()]))
"""


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_ledger_has_one_writer_there(name, tmp_path):
    """By the lock of that system; memory and cores are those of the machine."""
    done = python(name, tmp_path, "-c", LOCKED, tmp_path / "state")
    assert 0 == done.returncode, done.stderr
    seen, start, held, held_after, refusal, memory_bytes, cores = json.loads(done.stdout)
    assert (name, "spawn", True, False) == (seen, start, held, held_after)
    assert "another temwatch (process " in refusal
    assert operating_system.memory_bytes() == memory_bytes
    assert os.cpu_count() == cores


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("import temwatch.web.download_process", "DupFd"),
        ("import temwatch.daemon.systemd as module; module.socket.AF_UNIX", "AF_UNIX"),
    ],
)
def test_the_stand_in_hides_what_is_missing(code, missing, tmp_path):
    """The service, which is for Linux, meets it."""
    done = python("win32", tmp_path, "-c", code)
    assert 1 == done.returncode
    assert missing in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["run", "check", "demo"])
def test_the_service_says_that_it_needs_linux(command, monkeypatch, tmp_path):
    """One line and the exit code of a service that cannot start."""
    monkeypatch.setattr(operating_system, "sys", SimpleNamespace(platform="win32"))
    options = () if command == "demo" else ("--config", tmp_path / "any.toml")
    done = system.command(command, *options)
    expected = f"temwatch: temwatch {command} needs Linux, where the service runs; "
    assert 3 == done.returncode
    assert done.stderr.startswith(expected)
    assert 1 == len(done.stderr.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_types_know_no_name_that_is_missing_there(name, tmp_path):
    """mypy has the names of each system; nothing that these commands import uses another."""
    modules = [argument for module in COMMANDS for argument in ("-m", module)]
    command = [sys.executable, "-m", "mypy", "--platform", name, "--cache-dir", tmp_path]
    command += ["--no-warn-unreachable", *modules]  # where one system returns, the others go on
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False, cwd=TESTS.parent)
    assert 0 == done.returncode, done.stdout


def test_the_workflow_runs_tests_that_exist():
    """On both systems, beside the commands."""
    workflow = yaml.safe_load((TESTS.parent / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["other-systems"]
    assert {"windows-latest", "macos-latest"} <= set(job["strategy"]["matrix"]["os"])
    steps = "\n".join(step.get("run", "") for step in job["steps"])
    named = [word for word in steps.split() if word.startswith("tests/")]
    assert "tests/every_system.py" in named
    assert len(named) > 10
    assert not [path for path in named if not (TESTS.parent / path).is_file()]
