"""What the code imports is declared, what is declared is imported and justified, and both locks hold it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

import temwatch
from temwatch.errors import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BASE = PROJECT["project"]["dependencies"]
OPTIONAL = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
RECORD = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
LOCKS = ("requirements.lock", "requirements-dev.lock")
# imported under the names of others: starlette belongs to fastapi, whose classes it lends;
# plotly is read as a file, not imported
BROUGHT_BY = {"starlette": "fastapi"}
NOT_IMPORTED = {"plotly"}


def name_of(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def imported(folder):
    """Distributions that the modules of a folder import, with the modules that do."""
    found = {}
    owners = packages_distributions()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            else:
                continue
            for top in {module.partition(".")[0] for module in modules} - sys.stdlib_module_names:
                if top in owners and top != "temwatch":
                    package = name_of(owners[top][0])
                    found.setdefault(BROUGHT_BY.get(package, package), set()).add(top)
    return found


def test_every_import_is_declared_and_every_dependency_imported():
    """In the base or in an extra."""
    extras = {
        name_of(requirement) for name, those in OPTIONAL.items() if name != "all" for requirement in those
    }
    declared = {name_of(requirement) for requirement in BASE} | extras
    assert declared - NOT_IMPORTED == set(imported(ROOT / "service"))


def test_missing_extras_are_known_by_their_modules():
    """Each package of an extra has its line in errors.EXTRAS, with the right extra."""
    owners = packages_distributions()
    known = {(name_of(owners[module][0]), extra) for module, (_, extra) in EXTRAS.items()}
    declared = {
        (name_of(text), extra) for extra, texts in OPTIONAL.items() if extra != "all" for text in texts
    }
    assert declared == known


def test_all_is_every_other_extra():
    assert {name for name in OPTIONAL if name != "all"} == set(
        re.search(r"\[(.*)\]", OPTIONAL["all"][0])[1].split(",")
    )


def test_each_is_justified():
    """Its row in docs/decisions/0002-dependencies.md, in the right table."""
    base, extras, tools = re.findall(
        r"^\| (?:package|extra|group) \|.*\n\|[-|]+\n((?:\|.*\n)+)", RECORD, re.M
    )
    assert {name_of(text) for text in BASE} == {
        name for row in base.splitlines() for name in row.split("|")[1].strip().split(", ")
    }
    for table, declared in ((extras, OPTIONAL), (tools, GROUPS)):
        rows = [[cell.strip() for cell in row.split("|")[1:3]] for row in table.splitlines()]
        expected = {
            (group, name_of(text))
            for group, texts in declared.items()
            if group not in ("all", "dev")
            for text in texts
        }
        assert expected == {(group, name) for group, names in rows for name in names.split(", ")}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_are_hashed_and_name_no_index(lock):
    """Every pin has a hash; no address."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "index" not in text.replace("python_full_version", "").lower()


def pins(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.M))


def test_the_locks_hold_what_is_declared_and_agree():
    """The one for running all extras, the one for working all groups; a package of both has one version."""
    running, working = (dict(pins(lock)) for lock in LOCKS)
    assert {name_of(text) for text in BASE} <= set(running)
    assert {name_of(text) for name, texts in OPTIONAL.items() if name != "all" for text in texts} <= set(
        running
    )
    tools = {name_of(text) for name, texts in GROUPS.items() if name != "dev" for text in texts}
    assert tools <= set(working)
    # the service's host gets no browser driver and no test tool; timm and dask need pyyaml as well
    assert {"pyyaml"} == tools & set(running)
    shared = {pin for pin in pins(LOCKS[1]) if pin[0] in running}
    assert shared <= pins(LOCKS[0])


def test_one_version_everywhere():
    """In the package, the citation, the changelog and the supported versions."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert temwatch.__version__ == citation["version"]
    assert f"\n## [{temwatch.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"| {temwatch.__version__.rpartition('.')[0]} | yes |" in (ROOT / "SECURITY.md").read_text()


def test_hooks_before_a_commit_run_what_is_installed():
    """The tools of .venv, at the versions of the lock; nothing is fetched from a repository."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert ["local"] == [repository["repo"] for repository in hooks["repos"]]
    tools = {hook["entry"].split()[0] for hook in hooks["repos"][0]["hooks"]}
    assert {".venv/bin/ruff", ".venv/bin/mypy"} == tools


def test_the_workflow_runs_the_check():
    """The same script as everywhere else."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["check"]["steps"]
    assert 1 == sum("bash .ci/run" in step.get("run", "") for step in steps)
