"""A file has its picture on the page before there is anything else of it."""

import io
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from browser_cases import PATIENCE_MS, launched, until
from ledger_cases import START, arrival, result
from system import Service, wait_until
from temwatch.engine.hooks import EngineStatus
from temwatch.health import FileInHand
from temwatch.ledger import open_ledger, queue, recording
from temwatch.outputs import paths
from web_cases import Site


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / ".temwatch") as ledger:
        yield ledger


def picture(path, at=START):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def file(ledger, path, **more):
    number = queue.add(ledger, arrival(path, **more))
    with ledger.reader() as reader:
        return reader.file(number)


def test_the_picture_of_a_file_is_of_this_revision_and_the_newest(ledger, tmp_path):
    """What lies there from before does not pass for it; of a stack or frame the last one is taken."""
    known = file(ledger, "a.dm3")
    assert paths.newest_picture(tmp_path, known) is None
    path = paths.picture(paths.micrograph_folder(tmp_path, "Au", "a"), "a", "micrograph")
    picture(path, START - timedelta(hours=1))
    assert paths.newest_picture(tmp_path, known) is None
    assert picture(path) == paths.newest_picture(tmp_path, known)
    frame = file(ledger, "run/f_1.dm3", sequence="run", frame=1)
    folder = paths.sequence_folder(tmp_path, "Au", frame.sequence)
    small = picture(paths.frame_picture(folder, frame.name, 1, in_stack=False))
    picture(paths.frame_picture(folder, f"{frame.name}_2", 2, in_stack=False), START + timedelta(hours=1))
    assert small == paths.newest_picture(tmp_path, frame)
    stack = file(ledger, "s.dm4")
    folder = paths.sequence_folder(tmp_path, "Au", stack.name)
    for number in (0, 7):
        last = picture(
            paths.frame_picture(folder, stack.name, number, in_stack=True), START + timedelta(seconds=number)
        )
    assert last == paths.newest_picture(tmp_path, stack)


def test_a_frame_without_a_picture_of_its_own_shows_the_one_of_the_film(tmp_path):
    """Large pictures are drawn of every n-th frame only; outlines lie on the small one, not on black."""
    output = tmp_path / "results"
    with open_ledger(output / ".temwatch") as ledger:
        queue.add(ledger, arrival("run/f_1.dm3", sequence="run", frame=1))
        (frame,) = queue.claim(ledger, 1, START)
        recording.record(ledger, frame.id, [result(0, frame=1)])
    with Site(output) as site:
        assert 404 == site.get("/api/micrographs/1/preview.jpg").status_code
        folder = paths.sequence_folder(output, "Au", frame.sequence)
        picture(paths.frame_picture(folder, frame.name, 1, in_stack=False))
        assert 200 == site.get("/api/micrographs/1/preview.jpg").status_code
        assert site.json("/api/micrographs/1/outlines")["has_picture"]
        assert site.json("/api/now")["recent"][0]["has_picture"]


def test_a_picture_is_told_of_once():
    """Whatever else changes of the files in hand."""
    status, told = EngineStatus(), []
    status.on_picture = lambda: told.append(len(told))
    jobs = [SimpleNamespace(file=SimpleNamespace(id=n), stage="read", has_picture=False) for n in (1, 2)]
    status.works_on(jobs)
    jobs[0].has_picture = True
    for stage in ("segment", "resolve"):
        jobs[0].stage = stage
        status.works_on(jobs)
    assert ([0], 2) == (told, status.in_hand)
    status.works_on(jobs[1:])
    assert [FileInHand(file_id=2, stage="read", has_picture=False)] == [*status.files_in_hand]


@pytest.fixture(scope="module")
def chromium():
    yield from launched()


@pytest.mark.system
def test_the_first_micrograph_is_seen_before_it_is_analysed(chromium, tmp_path):
    """Large, with the stage that it is in, and among the recent ones."""
    output = tmp_path / "results"
    with open_ledger(output / ".temwatch") as ledger:
        known = file(ledger, "Au_1.dm3")
    site = Site(output)
    site.vitals = replace(
        site.vitals, files_in_hand=(FileInHand(file_id=known.id, stage="segment", has_picture=True),)
    )
    with site:
        assert 404 == site.get("/api/files/1/preview.jpg").status_code
        assert 404 == site.get("/api/files/2/preview.jpg").status_code
        picture(paths.picture(paths.micrograph_folder(output, "Au", "Au_1"), "Au_1", "micrograph"))
        answer = site.get("/api/files/1/preview.jpg?edge_px=320")
        assert (200, "image/jpeg") == (answer.status_code, answer.headers["content-type"])
        assert (8, 8) == Image.open(io.BytesIO(answer.content)).size
        (told,) = site.json("/api/now")["in_hand"]
        assert {"file_id": 1, "micrograph": "Au_1.dm3", "stage": "segment"}.items() <= told.items()
        page = chromium.new_page()
        try:
            page.goto(site.url)
            page.wait_for_selector(".first:not([hidden]) img", timeout=PATIENCE_MS)
            assert "Au_1 is being segmented" == page.inner_text(".first figcaption")
            until(page, "document.querySelector('.strip .arriving img').naturalWidth")
            assert "No micrographs yet" not in page.inner_text("#view-live")
        finally:
            page.close()


@pytest.mark.system
def test_a_running_service_gives_the_picture_and_tells_of_it(tmp_path, series):
    """For as long as it is there, also after the analysis; pages hear of it."""
    with Service(tmp_path) as service:
        assert [] == service.json("api/now")["in_hand"]
        assert 404 == service.status("api/files/1/preview.jpg")
        shutil.copy(sorted(series.glob("*.dm3"))[0], service.watched / "Au_1.dm3")
        wait_until(lambda: service.json("api/now")["recent"], what="its result")
        shown = Image.open(io.BytesIO(service.get("api/files/1/preview.jpg?edge_px=320")))
        assert ("JPEG", (256, 256)) == (shown.format, shown.size)
