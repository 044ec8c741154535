"""The documentation as a site: builds without a warning, needs no other host, and its picture is true."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(config, folder):
    """The site, as `make docs` builds it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config]
    return subprocess.run(
        [*command, "--site-dir", folder], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed (make test installs it)")
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs" / "site" / "mkdocs.yml", folder)
    assert 0 == done.returncode, done.stdout + done.stderr
    return folder


def test_every_document_is_a_page(site):
    """Those of docs/, the decisions, and the readers' ways in outside of it."""
    documents = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(documents) > 15
    outside = (
        "deploy/index",
        "deploy/dask/index",
        "models/index",
        "index",
        "CONTRIBUTING",
        "CHANGELOG",
        "SECURITY",
    )
    for page in (*(document.with_suffix("") for document in documents), *outside):
        assert (site / f"{page}.html").is_file(), page


def test_a_page_loads_nothing_from_elsewhere(site):
    """No script, style, font or picture of another host; links may lead there."""
    loaded = [
        address
        for page in site.rglob("*.html")
        for tag in re.findall(r"<(?:script|img|source|iframe|link)\b[^>]*>", page.read_text(encoding="utf-8"))
        if 'rel="canonical"' not in tag
        for address in re.findall(r'(?:src|href)="?(https?:[^" >]+)', tag)
    ]
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert [] == loaded
    assert not [text for text in styles if re.search(r"url\(['\"]?https?:", text)]


def test_links_hold_on_the_site(site):
    """A link to another document stays within the site, one to another file leads to the repository."""
    page = (site / "operations.html").read_text(encoding="utf-8")
    assert 'href="deploy/index.html"' in page
    assert 'href="runbook.html"' in page
    text = (site / "deploy" / "index.html").read_text(encoding="utf-8")
    assert 'href="https://github.com/temwatch/temwatch/blob/main/deploy/grafana/temwatch.json"' in text


@pytest.mark.usefixtures("site")  # which skips where mkdocs is missing
def test_a_dead_link_ends_the_build():
    """The hook of the real build refuses it."""
    specification = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "site" / "hooks.py")
    hooks = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hooks)
    with pytest.raises(hooks.PluginError, match=r"operations\.md: there is no docs/nowhere\.md"):
        hooks.moved("[text](nowhere.md)", "operations.md", "https://example.org", set())


@pytest.mark.slow
@pytest.mark.usefixtures("site")  # which skips where mkdocs is missing
def test_a_dead_anchor_ends_the_build(tmp_path):
    """In a copy of the documents, of which one leads to a heading that is not there."""
    names = [path.name for path in ROOT.iterdir() if not path.name.startswith((".", "build"))]
    for name in names:
        if name != "docs":
            (tmp_path / name).symlink_to(ROOT / name)
    docs = shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (docs / "page.md").open("a", encoding="utf-8") as page:
        page.write("\n[text](operations.md#no-such-heading)\n")
    done = build(docs / "site" / "mkdocs.yml", tmp_path / "site")
    assert 1 == done.returncode
    assert "no-such-heading" in done.stderr


def test_links_to_elsewhere_are_whole():
    """Encrypted, with the name of a host and without anything that a browser would have to guess."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
    texts = [path.read_text(encoding="utf-8") for path in documents]
    links = [link for text in texts for link in re.findall(r"\]\((\w+:[^)]*)\)", text)]
    whole = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w./#?=&%+~-]*)?")
    assert len(links) > 3
    assert [] == [link for link in links if not whole.fullmatch(link)]


def test_the_picture_of_the_rooms_is_true():
    """As docs/architecture.py draws it from the import rules; run it again after a change."""
    specification = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    architecture = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(architecture)
    assert architecture.draw() == architecture.FILE.read_text(encoding="utf-8")
