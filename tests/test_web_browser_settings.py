"""A filter, and the settings of a sample with their preview, by mouse and by keyboard in a real browser."""

import pytest

from browser_cases import (
    OUTLINES,
    history,
    launched,
    live_view,
    opener,
    population,
    running_service,
    told,
    until,
)
from system import wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def chromium():
    yield from launched()


@pytest.fixture(scope="module")
def service(series, tmp_path_factory):
    yield from running_service(series, tmp_path_factory.mktemp("settings"))


@pytest.fixture
def open_page(chromium, service):
    yield from opener(chromium, service)


@pytest.fixture
def live(open_page):
    return live_view(open_page)


def test_a_filter_moves_every_view_is_in_the_address_and_saved_for_the_sample(live, open_page, service):
    """By key and by mouse, on a narrow page too; undone like any decision."""
    before = population(service)
    live.set_viewport_size({"width": 390, "height": 844})
    live.keyboard.press("f")
    live.fill("#filter-panel [name=max_diameter_nm]", "0.001")
    until(live, "location.hash.endsWith('max_diameter_nm=0.001')")
    until(live, "document.querySelector('#filtered').textContent.startsWith('0 of')")
    assert live.evaluate("document.documentElement.scrollWidth") <= 390
    live.keyboard.press("Escape")
    assert "Only particles: diameter ≤ 0.001 nm" in live.inner_text("#filter-words")
    live.keyboard.press("2")
    until(live, "document.querySelector('#view-population .lead').textContent.startsWith('0 particles')")
    address = live.evaluate("location.hash")
    assert address.startswith("#population?")
    other = open_page("border")
    other.evaluate(f"location.hash = '{address}'")  # a link shows the same to others
    until(other, "document.querySelector('#view-population .lead').textContent.startsWith('0 particles')")
    other.close()
    assert before == population(service)
    live.click("#filter")
    live.click("#filter-panel button:has-text('Save for Au')")
    told(live, "Filter saved for Au: diameter ≤ 0.001 nm")
    assert "#population" == live.evaluate("location.hash")
    assert 0 == population(service)
    live.click("#filter-panel button:has-text('Show all')")
    until(live, "!document.querySelector('#view-population .lead').textContent.startsWith('0 particles')")
    live.keyboard.press("Escape")
    live.keyboard.press("u")
    told(live, "Undone")
    assert before == population(service)


def test_settings_are_seen_on_the_micrograph_before_they_are_applied(live, service):
    """The preview changes nothing; applied, the sample is measured again, and undone it is as before."""
    before, decided = population(service), history(service)
    count = live.locator(OUTLINES).count()

    def measured():
        return service.json("api/now")["queue"]["measured_again"] == 0

    live.keyboard.press("e")
    live.fill("[aria-label='Smallest equivalent diameter']", "1000")
    live.wait_for_selector(".settings .found:has-text('→ 0 particles')")
    until(live, f"!document.querySelector('{OUTLINES}')")
    assert decided == history(service)
    live.keyboard.press("Escape")
    until(live, f"document.querySelectorAll('{OUTLINES}').length === {count}")
    assert live.is_hidden("form.settings")
    live.click(".decide button:has-text('Settings')")
    live.fill("[aria-label='Smallest equivalent diameter']", "1000")
    live.click(".settings button:has-text('Apply')")
    told(live, "Settings of Au changed")
    wait_until(lambda: measured() and population(service) == 0, what="the settings in every row")
    assert "separation.min_diameter_nm = 1000.0" == history(service)[0]["what"]
    live.keyboard.press("u")
    told(live, "Undone")
    wait_until(lambda: measured() and population(service) == before, what="the rows as before")
