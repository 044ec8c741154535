"""`temwatch demo` and `temwatch simulate`, and what the README shows."""

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from system import command, rows, temwatch
from temwatch.config import load

pytestmark = pytest.mark.system

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_demo_ends_by_itself_with_results(tmp_path):
    """Progress, the table of statistics, the folder of the results, and how to open the page again."""
    done = temwatch("demo", "--micrographs", 1, "--port", 0, "--output", tmp_path / "demo", fresh=True)
    assert 0 == done.returncode, done.stderr
    assert done.stdout.index("live page: http://127.0.0.1:") < done.stdout.index("Au_01.dm3: done")
    assert "equivalent diameter" in done.stdout
    assert "too few fields of view for an interval of the mean: 1 of at least 4" in done.stdout
    assert 1 == len(rows(tmp_path / "demo" / "results" / "Au" / "micrographs.csv"))
    # a page that has ended is not offered
    assert 1 == done.stdout.count("http://")
    offered = re.search(r"open it again with these results: (.*)", done.stdout)[1]
    assert load(Path(shlex.split(offered)[-1])).output.folder == tmp_path / "demo" / "results"
    assert "temwatch demo --serve" in done.stdout


def test_simulate_writes_exactly_what_was_asked_for(tmp_path):
    """N files that end in .dm3, all different, the same for the same seed."""
    for folder in ("a", "b"):
        done = command("simulate", "--output", tmp_path / folder, "--micrographs", 3, "--seed", 5)
        assert 0 == done.returncode, done.stderr
    digests = [
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((tmp_path / folder).glob("*.dm3"))]
        for folder in ("a", "b")
    ]
    assert digests[0] == digests[1]
    assert 3 == len(set(digests[0]))


def test_the_python_of_the_readme_runs(tmp_path, series, analysed):
    """As it stands, on a simulated micrograph of that name and results of such."""
    shutil.copytree(analysed / "results", tmp_path / "results")
    (tmp_path / "Au_01.dm3").write_bytes(sorted(series.glob("*.dm3"))[0].read_bytes())
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL)) + "\nprint(len(table))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert int(done.stdout) > 0


def test_every_command_is_in_the_readme():
    """A command that the README does not know is a secret."""
    from test_cli import COMMANDS

    assert [name for name in COMMANDS if name not in README] == []
