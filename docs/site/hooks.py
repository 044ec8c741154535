"""Hooks of mkdocs: pages that lie outside docs/, and links that hold in the repository and on the site.

Documents link to each other as files of the repository, so that they can be read there. On the site a link to
another page becomes one within the site, a link to any other file one to the repository. A link that leads
nowhere ends the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deploy/README.md",
    "deploy/dask/README.md",
    "models/README.md",
)
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """List the decision records, by number."""
    decisions = sorted(f"decisions/{path.name}" for path in (ROOT / "docs" / "decisions").glob("*.md"))
    developing = config["nav"][-1]["Developing"]
    developing[-1]["Decisions"] = decisions
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/, at the place that they have in the repository."""
    for name in OUTSIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    return moved(markdown, page.file.src_uri, config["repo_url"], {file.src_uri for file in files})


def moved(markdown: str, here: str, repository: str, pages: set[str]) -> str:
    """Text of the page `here` with its links as the site needs them."""
    folder = posixpath.dirname(here if here in OUTSIDE else f"docs/{here}")

    def link_on_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if not (ROOT / target).exists():
            raise PluginError(f"{here}: there is no {target}")
        anchor = link[2] or ""
        on_site = target.removeprefix("docs/")
        if on_site in pages:
            return f"]({posixpath.relpath(on_site, posixpath.dirname(here))}{anchor})"
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"]({repository}/{kind}/main/{target}{anchor})"

    parts = _FENCE.split(markdown)  # code blocks stand at the odd places
    parts[::2] = [_LINK.sub(link_on_site, part) for part in parts[::2]]
    return "".join(parts)
