"""docs/tutorial.ipynb and docs/python.md run; the notebook is stored without outputs."""

import ast
import json
import re
from pathlib import Path

import matplotlib
import pytest
from matplotlib import pyplot

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOK = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))
EXAMPLES = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(encoding="utf-8"), re.DOTALL)
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def run_cell(source, names):
    """Run a cell; gives what a notebook would show: the value of its last line, unless that ends in `;`."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "tutorial.ipynb", "exec"), names)
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), "tutorial.ipynb", "eval"), names)
    if value is None or source.rstrip().endswith(";"):
        return None
    as_html = getattr(value, "_repr_html_", None)
    return as_html() if as_html else repr(value)


def test_no_outputs_are_stored():
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            assert (None, []) == (cell["execution_count"], cell["outputs"])
    assert (4, 5) == (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"])
    assert len(NOTEBOOK["cells"]) == len({cell["id"] for cell in NOTEBOOK["cells"]})


@pytest.mark.system
@pytest.mark.slow  # it loads the network and what separates, for one micrograph
def test_it_runs(analysed, tmp_path, monkeypatch):
    """From the first cell to the last, in a folder with a simulated sample and its results."""
    monkeypatch.chdir(tmp_path)
    for name in ("acquisition", "results"):
        (tmp_path / name).symlink_to(analysed / name)
    matplotlib.use("agg")
    names = {}
    shown = [run_cell(cell, names) for cell in CELLS]
    pyplot.close("all")
    assert names["analysis"].particles
    assert sum("data:image/png" in (text or "") for text in shown) == 3  # two analyses and a sample
    assert all(text for cell, text in zip(CELLS, shown, strict=True) if not cell.rstrip().endswith(";"))


@pytest.mark.system
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example, analysed, monkeypatch, capsys):
    """In the folder of the results."""
    monkeypatch.chdir(analysed)
    matplotlib.use("agg")
    names = {}
    exec(compile(example, "python.md", "exec"), names)
    pyplot.close("all")
    assert ["Au", "Pt on carbon"] == [
        line.rpartition(" ")[0] for line in capsys.readouterr().out.splitlines()
    ]
    assert len(names["outlines"]) > 0
