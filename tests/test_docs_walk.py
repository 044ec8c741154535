"""The ten tasks of docs/page.md take as many clicks as it says."""

import re
import sys
from pathlib import Path

import pytest

from browser_cases import KNOWN, launched, opener, running_service

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tasks():
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    sys.path.insert(0, str(ROOT / "docs"))
    import walk

    yield walk
    sys.path.remove(str(ROOT / "docs"))


def test_the_table_names_each_task_with_its_clicks(tasks):
    """In order; docs/walk.py counts them."""
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (\d+) \| (\d+) \|", PAGE, flags=re.M)
    assert [(task.words, task.clicks, task.typed) for task in tasks.TASKS] == [
        (words, int(clicks), int(typed)) for _, words, clicks, typed in rows
    ]
    assert [str(number) for number in range(1, 11)] == [row[0] for row in rows]


@pytest.fixture(scope="module")
def chromium():
    yield from launched()


@pytest.fixture(scope="module")
def service(series, tmp_path_factory):
    yield from running_service(series, tmp_path_factory.mktemp("walk"))


@pytest.fixture
def open_page(chromium, service):
    yield from opener(chromium, service)


@pytest.mark.slow
@pytest.mark.system
def test_each_task_is_done_with_these_clicks(open_page, service, tasks):
    """On a real service, in a real browser."""
    page = open_page(stored=KNOWN)
    found = [(task.words, hand.clicks, hand.typed) for task, hand in tasks.walk(page, service.page())]
    assert [(task.words, task.clicks, task.typed) for task in tasks.TASKS] == found
