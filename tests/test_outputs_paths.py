"""Names of results are known to one module alone, and are those of the contract."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import temwatch
from temwatch.outputs import paths

SERVICE = Path(temwatch.__file__).parent
NAMES = {value for key, value in vars(paths).items() if key.isupper() and isinstance(value, str)}
COMPOSED = re.compile(r"^(_?(micrograph|mask|overlay)\.png|_?particles\.csv|(micrographs|sequences)/)$")
FOLDERS = {"micrographs", "sequences", "spool", ".temwatch"}
OTHER = {"outputs/paths.py", "simulator", "training"}  # the last two write files of their own
TEMPLATES = {path.name for path in (SERVICE / "outputs" / "templates").iterdir()}


def strings(tree: ast.AST) -> set[str]:
    """Every text of a module that is a whole name or part of a path; docstrings are whole sentences."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(text := node.value, str):
            found |= {text} if text in NAMES - TEMPLATES or COMPOSED.match(text) else set()
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = {side.value for side in (node.left, node.right) if isinstance(side, ast.Constant)}
            found |= parts & FOLDERS
    return found


def test_no_other_module_composes_the_name_of_a_result():
    modules = {path.relative_to(SERVICE).as_posix(): path for path in SERVICE.rglob("*.py")}
    found = {
        name: strings(ast.parse(path.read_text()))
        for name, path in modules.items()
        if name not in OTHER and name.split("/")[0] not in OTHER
    }
    assert {} == {name: texts for name, texts in found.items() if texts}


def test_the_search_finds_such_a_name():
    assert {"micrographs", "_overlay.png"} == strings(
        ast.parse('path = output / sample / "micrographs" / name / f"{name}_overlay.png"')
    )
    assert {"summary.json"} == strings(ast.parse('_SUMMARY = "summary.json"'))


def test_paths_are_those_of_the_contract():
    folder = paths.micrograph_folder(Path("out"), "Au", "Au_07")
    assert Path("out/Au/micrographs/Au_07") == folder
    assert [folder / f"Au_07_{kind}.png" for kind in ("micrograph", "mask", "overlay")] == [
        paths.picture(folder, "Au_07", kind) for kind in paths.PICTURES
    ]
    assert folder / "Au_07_particles.csv" == paths.micrograph_table(folder)
    assert "Au.xlsx" == paths.WORKBOOK.format(sample="Au")
    assert "stack_000012" == paths.picture_name("stack", 12)


def test_every_file_of_a_micrograph_is_known_and_nothing_else(tmp_path):
    folder = paths.micrograph_folder(tmp_path, "Au", "stack")
    folder.mkdir(parents=True)
    written = {
        paths.picture(folder, paths.picture_name("stack", frame), kind)
        for frame in (None, 0, 1_000_000)
        for kind in paths.PICTURES
    } | {paths.micrograph_table(folder)}
    for path in (*written, folder / "notes.txt", folder / "mine.png"):
        path.touch()
    assert written == set(paths.micrograph_files(folder))
