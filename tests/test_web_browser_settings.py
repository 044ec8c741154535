"""A filter, and the settings of a sample with their preview, by mouse and by keyboard in a real browser."""

import contextlib
import sqlite3

import pytest

from browser_cases import (
    KNOWN,
    OUTLINES,
    faults_of,
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

CHART = "#view-live [aria-label^=Histogram]"
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
    until(live, f"document.querySelector('{CHART}').hidden")
    live.fill("#filter-panel [name=max_diameter_nm]", "1000")
    until(live, f"document.querySelector('{CHART}:not([hidden]) .barlayer path')")
    until(live, f"!document.querySelector('{CHART}').ariaLabel.includes('mean of this micrograph')")
    live.fill("#filter-panel [name=max_diameter_nm]", "0.001")
    until(live, "document.querySelector('#filtered').textContent.startsWith('0 of')")
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


@pytest.fixture(scope="module")
def flagged(service):
    """The last micrograph has a remark, and so has its sample."""
    last = service.json("api/now")["last"]["id"]
    with contextlib.closing(sqlite3.connect(service.state / "ledger.sqlite3")) as ledger, ledger:
        ledger.execute(
            "UPDATE micrographs SET notes = 'two_kinds', pixel_size_source = 'user' WHERE id = ?", (last,)
        )


@pytest.mark.usefixtures("flagged")
@pytest.mark.parametrize(
    ("width", "theme"),
    [
        (390, "dark"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in ((390, "light"), (1440, "dark"), (1440, "light"))
        ),
    ],
)
def test_panels_fit_and_have_no_serious_accessibility_fault(open_page, width, theme):
    """Filter, settings and flags in one view, then the history and the comparison."""
    page = open_page(stored=KNOWN, width=width, height=900, color_scheme=theme)
    until(page, f"document.querySelectorAll('{OUTLINES}').length")
    page.wait_for_selector(".notes li >> text=Pixel sizes of this sample")
    page.wait_for_selector(".notes li >> text=Particles look like two kinds")
    page.keyboard.press("e")
    page.wait_for_selector("form.settings")
    page.click("#filter")
    page.wait_for_selector("#filtered:has-text('particles of Au')")
    assert [] == faults_of(page)
    page.keyboard.press("Escape")
    page.click("#to-history")
    page.wait_for_selector("#view-history:not([hidden])")
    assert [] == faults_of(page)
    page.click("#to-compare")
    page.get_by_role("region", name="Differences from Au").wait_for()
    assert [] == faults_of(page)


@pytest.mark.usefixtures("flagged")
def test_a_remark_on_a_sample_is_dismissed_on_the_page(live, service):
    """By its button, and undone by a key; that on the micrograph stays."""
    live.click("[aria-label^='Dismiss: pixel sizes']")
    told(live, "Au: remark dismissed")
    until(live, "document.querySelectorAll('.notes li').length === 1")
    assert history(service)[0]["what"].startswith("remark dismissed: pixel sizes of this sample")
    live.keyboard.press("u")
    until(live, "document.querySelectorAll('.notes li').length === 2")
