"""What a person decides on the page, by mouse and by keyboard, in a real browser."""

from concurrent.futures import ThreadPoolExecutor

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
    post,
    running_service,
    told,
    until,
)
from system import command, wait_until

SELECTED = "document.querySelector('.selected-particles:not([hidden])')?.innerText"
pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def chromium():
    yield from launched()


@pytest.fixture(scope="module")
def service(series, tmp_path_factory):
    yield from running_service(series, tmp_path_factory.mktemp("decisions"))


@pytest.fixture
def open_page(chromium, service):
    yield from opener(chromium, service)


@pytest.fixture
def live(open_page):
    return live_view(open_page)


def last(service):
    return service.json("api/now")["last"]


def excluded(page):
    return page.locator(".viewer .particles path.excluded").count()


def test_a_micrograph_is_excluded_by_a_button_with_a_reason_and_undone_by_a_key(live, service):
    """It stays in view with grey outlines, leaves every number, and comes back."""
    row, before = last(service), population(service)
    live.fill("[aria-label='Reason for excluding']", "astigmatic")
    live.click(".decide button:has-text('Exclude')")
    told(live, f"{row['name']} excluded")
    until(live, f"!document.querySelector('{OUTLINES}:not(.excluded)')")
    assert row["name"] == live.inner_text("#view-live h1")
    assert before - row["particles"] == population(service)
    assert live.is_visible("text=Excluded: it counts nowhere")
    change = history(service)[0]
    assert ("anna", "astigmatic", "excluded") == (change["made_by"], change["reason"], change["what"])
    live.keyboard.press("u")
    told(live, "Undone")
    until(live, f"!document.querySelector('{OUTLINES}.excluded')")
    assert before == population(service)
    live.keyboard.press("x")
    told(live, f"{row['name']} excluded")
    live.keyboard.press("x")
    told(live, f"{row['name']} put back")
    assert before == population(service)


def test_a_click_on_an_outline_chooses_a_particle_to_exclude(live, service):
    """Its tooltip is told, the key X excludes it, and X again puts it back; Escape chooses none."""
    before = population(service)
    outline = live.locator(f"{OUTLINES}.alone").first
    box = outline.bounding_box()
    live.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    live.wait_for_selector(".selected-particles:not([hidden]) >> text=circularity")
    live.click(".selected-particles button:has-text('Exclude')")
    told(live, "1 particle")
    until(live, f"document.querySelectorAll('{OUTLINES}.excluded.chosen').length === 1")
    assert before - 1 == population(service)
    assert "1" == live.inner_text(".legend.excluded b")
    live.keyboard.press("x")
    told(live, "put back")
    until(live, f"!document.querySelector('{OUTLINES}.excluded')")
    assert before == population(service)
    live.keyboard.press("Escape")
    assert live.is_hidden(".selected-particles >> nth=0")


def test_particles_are_chosen_by_key_and_by_lasso(live, service):
    """N and P go through them; a lasso around the field chooses all; zooming and moving choose none."""
    count = live.locator(OUTLINES).count()
    live.keyboard.press("n")
    live.keyboard.press("n")
    until(live, f"{SELECTED}?.startsWith('Particle 2 ')")
    live.keyboard.press("p")
    until(live, f"{SELECTED}?.startsWith('Particle 1 ')")
    live.keyboard.press("Escape")
    live.keyboard.press("s")
    frame = live.locator(".frame > svg").bounding_box()
    left, top = frame["x"] + 2, frame["y"] + 2
    right, bottom = frame["x"] + frame["width"] - 3, frame["y"] + frame["height"] - 3
    live.mouse.move(left, top)
    live.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        live.mouse.move(x, y, steps=4)
    live.mouse.up()
    live.wait_for_selector(f".selected-particles:not([hidden]) >> text={count} particles")
    before = population(service)
    live.keyboard.press("Delete")
    told(live, f"{count} particles")
    wait_until(lambda: before - count == population(service), what="the exclusion")
    live.click("#told button:has-text('Undo')")
    until(live, f"!document.querySelector('{OUTLINES}.excluded')")
    wait_until(lambda: before == population(service), what="the particles put back")


def test_a_size_is_corrected_from_a_distance_that_is_measured_by_keys(live, service):
    """The mean follows the factor, and the History view takes it back."""
    row = last(service)
    live.keyboard.press("c")
    live.click("dialog >> text=A known distance")
    live.click("dialog >> text=This micrograph only")
    live.click("dialog >> text=Measure on the micrograph")
    live.keyboard.press("Enter")
    for _ in range(10):
        live.keyboard.press("ArrowRight")
    live.keyboard.press("Enter")
    live.wait_for_selector("dialog[open] >> text=51.20 px are")
    live.fill("[name=distance]", str(51.2 * 2 * row["pixel_size_nm"]))
    live.fill("#calibration-reason", "cross grating")
    live.click("dialog button:has-text('Apply')")
    told(live, "Calibration corrected: 1 micrograph is being measured again")

    def size():
        return service.json(f"api/micrographs/{row['id']}")["pixel_size_nm"]

    wait_until(lambda: size() == pytest.approx(2 * row["pixel_size_nm"]), what="the corrected size")
    mean = f"{2 * row['mean_equivalent_diameter_nm']:.2f}"[:4]
    until(live, f"document.querySelector('.one').innerText.includes('{mean}')")
    live.keyboard.press("h")
    live.wait_for_selector(".changes li >> text=cross grating")
    live.locator(".changes button:has-text('Undo')").first.click()
    told(live, "Undone")
    wait_until(lambda: size() == row["pixel_size_nm"], what="the stated size")
    live.wait_for_selector(".changes li.undone >> text=undone by anna")


def test_a_size_that_does_not_fit_is_refused_in_the_dialog(open_page):
    """The words of the service stand beside what was typed, and nothing has changed."""
    page = open_page(stored=KNOWN, refusals=[409])
    until(page, f"document.querySelectorAll('{OUTLINES}').length")
    page.click("text=Correct size")
    page.fill("[name=factor]", "0.000001")
    with page.expect_console_message(lambda said: "409" in said.text):
        page.keyboard.press("Enter")
    page.wait_for_selector("dialog .failed:has-text('pixel size')")
    page.keyboard.press("Escape")
    assert page.is_hidden("dialog")


def test_a_decision_by_command_is_seen_at_once_and_in_the_history(open_page, service):
    """An event brings it, since polling is off; without the token the page asks for it before it changes."""
    page = open_page(before="window.setInterval = () => 0")
    until(page, f"document.querySelectorAll('{OUTLINES}').length")
    path = last(service)["micrograph"]
    page.keyboard.press("n")
    for kind, count in (("exclude", 1), ("include", 0)):
        asked = command(kind, "--config", service.config, path, "--particle", "1", "--by", "bert")
        assert 0 == asked.returncode, asked.stderr
        until(page, f"document.querySelectorAll('{OUTLINES}.excluded').length === {count}")
    page.keyboard.press("h")
    page.wait_for_selector(".changes li:first-child >> text=bert by command")
    changes = history(service)[0]["id"]
    page.locator(".changes button:has-text('Undo')").first.click()
    page.wait_for_selector("dialog #token")
    page.click("dialog button:has-text('Cancel')")
    assert changes == history(service)[0]["id"]
    page.locator(".changes button.link").first.click()
    page.wait_for_selector("#view-live:not([hidden])")


def test_a_refusal_is_dismissed_and_comes_back_by_undoing(open_page, service):
    """It leaves the list and the badge; retrying all leaves it alone."""
    page = open_page("problems", stored=KNOWN)
    page.click("button[aria-label='Dismiss Au_99.dm3']")
    told(page, "Au_99.dm3 dismissed")
    page.wait_for_selector("#view-problems h1:has-text('No problems')")
    assert "" == page.get_attribute("#to-problems", "data-badge")
    change = history(service)[0]
    assert ("Au_99.dm3", "dismissed") == (change["micrograph"], change["reason"])
    done = command("retry", "--config", service.config)
    assert "0 micrographs will be analysed again" in done.stdout, done.stderr
    page.keyboard.press("u")
    page.wait_for_selector("button[aria-label='Dismiss Au_99.dm3']")
    until(page, "document.querySelector('#to-problems').dataset.badge === '1'")


def test_two_people_at_once_lose_nothing(live, service):
    """One on the page, two over HTTP: the history has all, and of one setting the last change wins."""
    row, newest = last(service), max((one["id"] for one in history(service)), default=0)
    (other,) = (one["id"] for one in service.json("api/micrographs") if one["name"] == "Au_01")
    setting = "api/samples/Au/settings"
    with ThreadPoolExecutor(3) as people:
        made = [
            people.submit(post, service, path, **body)
            for path, body in (
                (f"api/micrographs/{other}/exclude", {"by": "bert", "reason": "drift"}),
                (setting, {"by": "bert", "settings": {"filter.max_aspect_ratio": 9.0}}),
                (setting, {"by": "clara", "settings": {"filter.max_aspect_ratio": 8.0}}),
            )
        ]
        live.keyboard.press("x")
        told(live, f"{row['name']} excluded")
        assert [1, 1, 1] == [len(one.result()["changes"]) for one in made]
    changes = [one for one in history(service, 10) if one["id"] > newest]
    assert {
        ("anna", row["micrograph"], "excluded"),
        ("bert", "Au_01.dm3", "excluded"),
        ("bert", None, "filter.max_aspect_ratio = 9.0"),
        ("clara", None, "filter.max_aspect_ratio = 8.0"),
    } == {(one["made_by"], one["micrograph"], one["what"]) for one in changes}
    winner = next(one for one in changes if one["sample"] == "Au" and one["micrograph"] is None)
    now = service.json(setting)["filter.max_aspect_ratio"]
    assert (winner["after"]["filter.max_aspect_ratio"], winner["made_by"]) == (now["value"], now["by"])
    live.keyboard.press("h")
    for who in ("anna", "bert", "clara"):
        live.wait_for_selector(f".changes li:nth-child(-n + 4) >> text={who}")
    post(service, "api/history/undo", changes=[one["id"] for one in changes])
    assert not [one for one in service.json("api/micrographs") if one["status"] == "excluded"]
    assert service.json(setting)["filter.max_aspect_ratio"]["value"] is None


@pytest.mark.slow
def test_two_pages_at_once_lose_nothing(open_page, service):
    """Both exclude the same micrograph, one undoes, the other excludes a particle: one story in both."""
    pages = [
        open_page(stored=KNOWN.replace("anna", name), before="window.setInterval = () => 0")
        for name in ("anna", "bert")
    ]
    for page in pages:
        until(page, f"document.querySelectorAll('{OUTLINES}').length")
    newest = max((one["id"] for one in history(service)), default=0)
    for page in pages:
        page.keyboard.press("x")
    for page in pages:
        until(page, f"!document.querySelector('{OUTLINES}:not(.excluded)')")
    assert "excluded" == history(service)[0]["what"]
    pages[0].keyboard.press("h")
    pages[0].locator(".changes button:has-text('Undo')").first.click()
    until(pages[1], f"!document.querySelector('{OUTLINES}.excluded')")
    pages[1].keyboard.press("n")
    pages[1].keyboard.press("x")
    pages[0].wait_for_selector(".changes li:first-child >> text=1 excluded")
    authors = {one["made_by"] for one in history(service, 10) if one["id"] > newest}
    assert {"anna", "bert"} == authors
    pages[1].keyboard.press("u")
    until(pages[1], f"!document.querySelector('{OUTLINES}.excluded')")


@pytest.mark.parametrize("width", [390, pytest.param(1920, marks=pytest.mark.slow)])
def test_what_can_be_decided_fits_and_has_no_serious_accessibility_fault(open_page, width):
    """A chosen particle, the dialog of the size and the history, on a phone and on a screen."""
    page = open_page(stored=KNOWN, width=width, height=900, color_scheme="light")
    until(page, f"document.querySelectorAll('{OUTLINES}').length")
    for keys in ("n", "c", "h"):
        page.keyboard.press(keys)
        page.wait_for_timeout(500)
        assert [] == faults_of(page), keys
        page.keyboard.press("Escape")
