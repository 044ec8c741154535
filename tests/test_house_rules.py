"""The rules of the house that no linter knows: the vocabulary, the names, the length of files."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import temwatch

SOURCE = Path(temwatch.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
SCRIPTS = sorted((SOURCE / "web" / "static").glob("*.js"))

# a part of a name between underscores or capitals, and the words of the field that stand for it now
RETIRED_PARTS = {
    "fate": "track_events",
    "fates": "track_events",
    "encounter": "track_contacts",
    "encounters": "track_contacts",
    "furnish": "artifacts",
    "furnished": "artifacts",
    "furnisher": "ArtifactWriter",
    "furnishing": "artifacts",
    "unfurnished": "artifacts",
    "lane": "segmentation_pool",
    "lanes": "segmentation_pool",
    "patience": "retry",
    "patient": "RunMode",
    "steer": "requests",
    "steering": "requests",
    "bury": "restart_workers",
    "parting": "separate_clumps",
    "parted": "separated",
    "sift": "filter_particles",
    "bookkeeping": "supersede",
    "resampling": "bootstrap",
    "takeaway": "downloads",
    "follower": "SequenceTracker",
    "pulse": "status",
}
# a whole name
RETIRED_NAMES = {
    "way": "Backend",
    "local": "ProcessBackend",
    "cluster": "DaskBackend",
    "came_back": "task_finished",
    "seen": "on_read",
    "follow": "track",
    "following": "track",
    "part": "separate_clumps",
    "arrivals": "queue",
    "kept": "cache",
    "drawn": "is_drawn",
    "answers": "serialize",
    "now": "live",
    "precision": "convergence",
    "places": "check_paths",
    "running": "incremental_statistics",
}
# names of the public JSON
CONTRACT_NAMES = {("ledger/rows.py", "seen")}


def parts(name):
    """The words of a name: `_was_furnished` and `WasFurnished` are was, furnished."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def defined(tree):
    """Names of classes, functions and fields, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id, field.lineno
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def retired(name):
    """The word to use instead of a name, None where the name is good."""
    whole = RETIRED_NAMES.get(name.lower().strip("_"))
    return whole or next((RETIRED_PARTS[part] for part in parts(name) if part in RETIRED_PARTS), None)


@pytest.mark.parametrize("name", ["_was_furnished", "Follower", "part", "_Lanes", "is_patient", "Way"])
def test_a_retired_word_is_found_in_a_name(name):
    assert retired(name)


def test_no_module_class_function_or_field_has_a_retired_name():
    found = [f"{path.relative_to(SOURCE)}: module" for path in (*MODULES, *SCRIPTS) if retired(path.stem)]
    for path in MODULES:
        for name, line in defined(ast.parse(path.read_text(encoding="utf-8"))):
            place = str(path.relative_to(SOURCE))
            if (word := retired(name)) and (place, name) not in CONTRACT_NAMES:
                found.append(f"{place}:{line}: {name}, use {word}")
    assert [] == found


def test_no_parameter_is_called_of():
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.arg) and node.arg == "of"
    ]
    assert [] == found


def test_no_file_is_longer_than_a_reader_can_hold():
    lengths = {
        str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES
    }
    assert {} == {name: length for name, length in lengths.items() if length > 350}


def test_a_class_name_stands_for_one_thing():
    """Private classes too: a reader who searches for a name finds one."""
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places[node.name.strip("_")].append(str(path.relative_to(SOURCE)))
    assert {} == {name: paths for name, paths in places.items() if len(paths) > 1}


def test_no_two_modules_of_a_room_differ_by_an_ending():
    """`tracks` beside `tracking` makes a reader guess."""
    found = []
    rooms = defaultdict(set)
    for path in MODULES:
        if path.stem != "__init__":
            rooms[path.parent].add(path.stem)
    for room, names in rooms.items():
        stems = defaultdict(list)
        for name in sorted(names):
            stems[re.sub(r"(ings?|ers?|ed|es|s|e)$", "", name)].append(name)
        found += [
            f"{room.relative_to(SOURCE)}: {', '.join(same)}" for same in stems.values() if len(same) > 1
        ]
    assert [] == found
