"""Settings of a sample over HTTP."""

import pytest

from temwatch.setting_keys import KEYS
from web_cases import TOKEN, Site, copied

pytestmark = pytest.mark.system
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
URL = "/api/samples/Au/settings"


@pytest.fixture(scope="module")
def site(analysed, tmp_path_factory):
    """The application on six micrographs of two samples."""
    with Site(copied(analysed, tmp_path_factory.mktemp("settings"))) as running:
        yield running


def post(site, settings, *, code=200, headers=ALLOWED, url=URL, **more):
    answer = site.client.post(url, json={"settings": settings, **more}, headers=headers)
    assert code == answer.status_code, answer.text
    return answer.json()


def test_set_shown_undone_and_set_again(site):
    """The state of the service says how many are measured again; the history has every step."""
    assert [*KEYS] == [*site.json(URL)]
    assert ["dark", "bright"] == site.json(URL)["segmentation.particles"]["choices"]
    assert "contour" in site.json(URL)["separation.method"]["choices"]
    key = "separation.convexity_threshold"
    assert ("configuration", 0.95) == (site.json(URL)[key]["source"], site.json(URL)[key]["value"])
    answer = post(site, {key: 0.9}, by="anna", reason="round ones")
    assert (4, 1) == (answer["micrographs"], len(answer["changes"]))
    assert 4 == site.json("/api/now")["queue"]["measured_again"]
    shown = site.json(URL)[key]
    assert ("sample", 0.9, "anna", *answer["changes"]) == (
        shown["source"],
        shown["value"],
        shown["by"],
        shown["change"],
    )
    assert [] == post(site, {key: 0.9})["changes"]
    undone = site.client.post("/api/history/undo", json={"changes": answer["changes"]}, headers=ALLOWED)
    assert 200 == undone.status_code
    assert "configuration" == site.json(URL)[key]["source"]
    again = site.client.post("/api/history/undo", json={"changes": undone.json()["changes"]}, headers=ALLOWED)
    assert 200 == again.status_code
    assert 0.9 == site.json(URL)[key]["value"]
    words = [one["what"] for one in site.json("/api/history?limit=3&sample=Au")]
    assert [f"{key} = 0.9", f"{key} unset", f"{key} = 0.9"] == words
    assert 1 == len(post(site, {key: None})["changes"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"output.folder": "/"}, "no setting of a sample"),
        ({"separation.method": "magic"}, "separation.min_diameter_px"),
        ({"separation.min_diameter_nm": True}, "cannot be"),
        ({"separation.min_diameter_nm": 1, "separation.min_diameter_px": 1}, "set one of them"),
    ],
)
def test_what_is_not_in_the_list_is_refused(site, settings, said):
    """With the list; nothing has changed."""
    before = site.json("/api/history?limit=1")
    assert said in post(site, settings, code=422)["detail"]
    assert before == site.json("/api/history?limit=1")


def test_nothing_changes_without_the_token_or_for_a_sample_that_is_not_there(site):
    """The token is asked for before anything is parsed."""
    post(site, {"x": 1}, code=401, headers={})
    post(site, {"filter.separated": False}, code=404, url="/api/samples/none/settings")
    assert 404 == site.get("/api/samples/none/settings").status_code


def preview(site, number, settings, *, code=200, headers=ALLOWED):
    return post(site, settings, code=code, headers=headers, url=f"/api/micrographs/{number}/settings/preview")


def test_a_preview_shows_what_settings_would_find_and_changes_nothing(site):
    """Counts and outlines of the micrograph in view; as they are where the settings are."""
    row = next(row for row in site.json("/api/samples/Au/micrographs") if row["particles"] > 3)
    now = site.json(f"/api/micrographs/{row['id']}/outlines")
    history = site.json("/api/history?limit=1")
    same = preview(site, row["id"], {"separation.min_diameter_nm": 0.5})
    assert same["before"] == same["after"]
    assert [one["polygon"] for one in now["particles"]] == [
        one["polygon"] for one in same["outlines"]["particles"]
    ]
    sizes = sorted(one["equivalent_diameter_nm"] for one in now["particles"])
    fewer = preview(site, row["id"], {"separation.min_diameter_nm": sizes[len(sizes) // 2] + 0.3})
    assert 0 < fewer["after"]["particles"] < fewer["before"]["particles"] == row["particles"]
    assert fewer["after"]["particles"] == len(fewer["outlines"]["particles"])
    assert fewer["after"]["rejected"]["too_small"] > fewer["before"]["rejected"]["too_small"]
    assert not fewer["segments_again"]
    assert preview(site, row["id"], {"segmentation.particles": "bright"})["segments_again"]
    assert history == site.json("/api/history?limit=1")
    assert now == site.json(f"/api/micrographs/{row['id']}/outlines")


def test_a_preview_that_cannot_be_is_refused(site):
    """The token first, then the micrograph, then the settings."""
    preview(site, 1, {"x": 1}, code=401, headers={})
    preview(site, 10**6, {"separation.method": "none"}, code=404)
    assert "cannot be" in preview(site, 1, {"separation.method": "magic"}, code=422)["detail"]
