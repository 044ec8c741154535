"""docs/exports.md: every format is told of, and its examples run."""

import re
from pathlib import Path

import pytest

from export_cases import record
from temwatch.ledger import open_ledger
from temwatch.outputs import exports
from temwatch.outputs.exports import EXPORTS

TEXT = (Path(__file__).parents[1] / "docs" / "exports.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sample in all formats."""
    folder = tmp_path_factory.mktemp("exported")
    with open_ledger(folder / "state") as ledger, ledger.reader() as reader:
        record(ledger)
        exports.export(reader, folder, "Au", EXPORTS)
    return folder


def test_every_format_has_its_row():
    """In the order of the command's help."""
    assert list(EXPORTS) == re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE)


def test_the_files_it_names_are_the_files(folder):
    written = {re.sub(r"^Au_01|^Au", "", path.name) for path in folder.rglob("*") if path.is_file()}
    named = set(re.findall(r"(?:<sample>|<name>)([._A-Za-z]+)`", TEXT))
    assert named
    assert named <= written


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.search(r"(?:import|from) (\w+)", text)[1])
def test_an_example_runs(example, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(example, "exports.md", "exec"), {})
