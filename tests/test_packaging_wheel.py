"""The wheel alone: base dependencies, no extras, no sources, another working directory."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import compiled_cache
from system import rows
from system import temwatch as from_sources

ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.system


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Built as for a release."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert 0 == done.returncode, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def temwatch(wheel, tmp_path_factory):
    """Runs the command that the wheel installs, where nothing else of temwatch can be found."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    packages = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    installed = Distribution.at(next(packages.glob("temwatch-*.dist-info")))
    for name in with_dependencies(installed.requires):
        link(distribution(name), packages)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["NUMBA_CACHE_DIR"] = str(compiled_cache.copy_for(packages / "temwatch", folder / "cache"))

    def run(*arguments, cwd):
        code = "import sys; from temwatch.cli import main; sys.exit(main())"
        return subprocess.run(
            [folder / "bin" / "python", "-c", code, *map(str, arguments)],
            cwd=cwd,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    return run


def with_dependencies(requirements):
    """Names of what these requirements bring here, without any extra that they do not ask for."""
    names, seen = set(), set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        names.add(name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in distribution(name).requires or ():
                further = Requirement(text)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    further.marker = None
                    waiting.append(further)
    return names


def link(package, folder):
    """Make a package of this environment visible in another."""
    for name in {file.parts[0] for file in package.files or ()}:
        source, target = Path(package.locate_file(name)), folder / name
        if name in ("..", "__pycache__"):
            continue
        if not target.exists():
            target.symlink_to(source)
        elif not target.is_symlink() or target.resolve() != source.resolve():
            # parts of a namespace that several packages fill
            raise AssertionError(f"{name} is there twice")


def test_only_the_base_is_there(temwatch, tmp_path):
    """No package of an extra; the command says which one it misses, in one line."""
    done = temwatch("benchmark", "--json", cwd=tmp_path)
    expected = "temwatch: scikit-image is not installed; install it with: pip install 'temwatch[train]'\n"
    assert (2, expected) == (done.returncode, done.stderr)


@pytest.mark.slow
def test_a_micrograph_is_analysed_from_another_folder(temwatch, series, tmp_path):
    """With the network of the wheel; the rows are those that the sources give."""
    source = sorted(series.glob("*.dm3"))[0]
    results = []
    for run, name in ((temwatch, "wheel"), (from_sources, "sources")):
        done = run("analyse", source, "--output", name, cwd=tmp_path)
        assert 0 == done.returncode, done.stderr
        (micrograph,) = rows(next((tmp_path / name).glob("*/micrographs.csv")))
        found = rows(next((tmp_path / name).glob("*/particles.csv")))
        assert ("done", len(found)) == (micrograph["status"], int(micrograph["particles"]))
        results.append([row | {"analysed_at": ""} for row in found])
    assert results[0]
    assert results[0] == results[1]


@pytest.mark.slow
def test_a_stack_is_tracked_without_a_film(temwatch, tmp_path):
    """Everything else of a sequence is written, and a line of the log says what is missing."""
    done = temwatch("simulate", "--frames", "8", "--output", "stack", cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    stack = next((tmp_path / "stack").glob("*.dm*"))
    (tmp_path / "temwatch.toml").write_text(
        '[watch]\nfolder = "."\n[output]\nfolder = "results"\n[segmentation]\nmethod = "threshold"\n'
        '[separation]\nmethod = "none"\n'
    )
    done = temwatch("analyse", stack, "--config", "temwatch.toml", "--output", "results", cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    assert list(tmp_path.glob("results/*/tracks.csv"))
    assert not list(tmp_path.glob("results/**/film.mp4"))


def test_check_names_missing_extras(temwatch, tmp_path):
    """A cluster that cannot be reached is an error, films that cannot be encoded a warning."""
    (tmp_path / "in").mkdir()
    (tmp_path / "temwatch.toml").write_text(
        '[watch]\nfolder = "in"\n[output]\nfolder = "results"\n[segmentation]\nmethod = "threshold"\n'
        '[http]\nlisten = "127.0.0.1:0"\n[engine]\ndask = "tcp://127.0.0.1:1"\n'
    )
    done = temwatch("check", "--config", "temwatch.toml", cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if " extras: " in line]
    assert 3 == done.returncode
    assert [("error", "temwatch[cluster]"), ("warning", "temwatch[film]")] == [
        (line.split()[0], re.search(r"temwatch\[\w+\]", line)[0]) for line in lines
    ]


def test_a_cluster_needs_its_extra(temwatch, series, tmp_path):
    """One line and exit code 2."""
    source = sorted(series.glob("*.dm3"))[0]
    arguments = ("analyse", source, "--output", "results", "--dask", "tcp://127.0.0.1:1")
    done = temwatch(*arguments, cwd=tmp_path)
    assert 2 == done.returncode
    assert done.stderr.strip().endswith("pip install 'temwatch[cluster]'")
    assert "Traceback" not in done.stderr


def test_everything_that_ships_is_in_the_wheel(wheel):
    """Weights, an example of the configuration, the files of deployment, and the mark of types."""
    names = set(zipfile.ZipFile(wheel).namelist())
    deploy = {f"temwatch/{path.relative_to(ROOT)}" for path in (ROOT / "deploy").rglob("*") if path.is_file()}
    expected = {"temwatch/models/deeplab.safetensors", "temwatch/config.example.toml", "temwatch/py.typed"}
    assert expected | deploy <= names
    assert not [name for name in names if "test" in name.lower() and not name.startswith("temwatch/deploy/")]
