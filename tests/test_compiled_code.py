"""Where compiled code is kept, and what a command loads before that is settled."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import compiled_cache
import temwatch
from system import Service, wait_until
from temwatch import compiled_code

COMMANDS = ("analyse", "benchmark", "demo", "evaluate", "rebuild", "retry", "run")


def loaded(*modules):
    """Names of all modules that a new process has after importing these."""
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_where_code_is_kept_before_numba_is_loaded(command):
    """numba reads the folder when it is loaded, and never again."""
    assert not loaded(f"temwatch.commands.{command}") & {"numba", "torch"}


def test_evaluate_keeps_it_in_the_cache_of_the_user(tmp_path):
    """numba has the folder that it read when the command loaded it."""
    code = "import sys; from temwatch.cli import main; main(sys.argv[1:]); "
    code += "print(sys.modules['numba'].config.CACHE_DIR)"
    arguments = ("evaluate", "--method", "threshold", "--data", str(tmp_path / "none"))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(Path(temwatch.__file__).parent, tmp_path / "home"),
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "home" / "temwatch" / "numba")


def test_analyse_loads_nothing_of_the_web():
    """Neither before nor after its arguments are checked."""
    both = loaded("temwatch.commands.analyse", "temwatch.commands.single_run")
    assert "numba" in both
    assert not both & {"fastapi", "starlette", "uvicorn", "prometheus_client", "watchdog", "jinja2"}


@pytest.fixture
def installed(tmp_path):
    """The package as one installs it, with nothing compiled beside its sources."""
    copy = tmp_path / "installed" / "temwatch"
    shutil.copytree(Path(temwatch.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    models = Path(__file__).parents[1] / "models"
    if not (copy / "models").exists():
        shutil.copytree(models, copy / "models")
    return copy


def numba_folder(package, home, settle):
    """Where this copy of the package would keep compiled code after these statements."""
    code = f"import os; {settle}; print(os.environ['NUMBA_CACHE_DIR'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=environment(package, home),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "settle",
    [
        "from temwatch import compiled_code; compiled_code.keep_in(compiled_code.user_folder())",
        "import conftest",
    ],
    ids=["a command", "the tests"],
)
def test_a_changed_constant_is_compiled_anew(tmp_path, installed, settle):
    """numba itself sees only changes of the file that a function stands in."""
    before = numba_folder(installed, tmp_path, settle)
    assert before == numba_folder(installed, tmp_path, settle)
    constants = installed / "analysis" / "separation" / "contour_parameters.py"
    constants.write_text(constants.read_text() + "\nANOTHER = 1.0\n")
    assert before != numba_folder(installed, tmp_path, settle)


def test_under_systemd_it_is_kept_in_the_cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    assert tmp_path == compiled_code.service_folder(Path("/state"))
    monkeypatch.delenv("CACHE_DIRECTORY")
    assert Path("/state/cache") == compiled_code.service_folder(Path("/state"))


def environment(installed, home):
    """Of a person who has set nothing."""
    mine = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    return mine | {"PYTHONPATH": str(installed.parent), "XDG_CACHE_HOME": str(home)}


def compiled(folder):
    """Files of numba below a folder."""
    return list(folder.rglob("*.nbi"))


@pytest.mark.system
@pytest.mark.timeout(600)
def test_a_service_keeps_it_in_its_state_folder_before_it_is_ready(tmp_path, installed):
    """And leaves nothing beside the sources."""
    service = Service(tmp_path, separation={"method": "none"}, engine={"workers": 1})
    compiled_cache.copy_for(installed, service.state / "cache")
    assert not compiled_cache.written(service.state)
    variables = {"PYTHONPATH": str(installed.parent)}
    code = f"import os; os.environ.pop('NUMBA_CACHE_DIR', None); os.environ.update({variables!r}); "
    code += f"import sys; sys.path.insert(0, {str(installed.parent)!r}); from temwatch.cli import main; "
    code += "sys.exit(main(['run', '--config', sys.argv[1]]))"
    service.start(ready=False, command=(sys.executable, "-c", code))
    try:
        wait_until(lambda: service.page() or service.process.poll() is not None, 240, what="the page")
        wait_until(lambda: service.status("readyz") == 200, 900, what="readiness")
        assert compiled_cache.written(service.state / "cache" / "numba")
        assert [] == compiled(installed)
    finally:
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=120)


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(600)
def test_analyse_keeps_it_in_the_cache_of_the_user(tmp_path, installed, series):
    """Not in the output folder, which is new each time."""
    command = [sys.executable, "-m", "temwatch", "analyse", str(next(series.glob("*.dm3")))]
    settings = tmp_path / "temwatch.toml"
    settings.write_text(
        '[watch]\nfolder = "."\n[output]\nfolder = "."\n[segmentation]\nmethod = "threshold"\n'
        '[separation]\nmethod = "none"\n[engine]\nworkers = 1\n'
    )
    output, home = tmp_path / "results", tmp_path / "home"
    compiled_cache.copy_for(installed, home / "temwatch")
    done = subprocess.run(
        [*command, "--output", str(output), "--config", str(settings)],
        env=environment(installed, home),
        capture_output=True,
        text=True,
        check=False,
        timeout=1100,
    )
    assert 0 == done.returncode, done.stderr
    assert compiled_cache.written(home / "temwatch" / "numba")
    assert [] == compiled(installed) + compiled(output)
