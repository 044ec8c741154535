"""The live page in a real browser, served by a real service; requests to any other host are blocked."""

import csv
import io
import os
import shutil
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from browser_cases import PATIENCE_MS, TOKEN, launched, opener, running_service, until
from system import Service, command, wait_until
from temwatch import simulator

pytestmark = pytest.mark.system

VIEWS = (
    "live",
    "population",
    "convergence",
    "border",
    "compare",
    "manual",
    "problems",
    "downloads",
    "history",
)
FORMER = {"now": "live", "enough": "convergence", "trouble": "problems", "takeaway": "downloads"}


@pytest.fixture(scope="module")
def chromium():
    yield from launched()


@pytest.fixture(scope="module")
def service(series, tmp_path_factory):
    yield from running_service(series, tmp_path_factory.mktemp("page"))


@pytest.fixture
def open_page(chromium, service):
    yield from opener(chromium, service)


def plotted(page, selector):
    """Wait for a chart and return its first trace."""
    until(page, f"document.querySelector('{selector}')?.data?.length")
    return page.evaluate(
        f"(({{ x, customdata }}) => ({{ x, customdata }}))(document.querySelector('{selector}').data[0])"
    )


def test_the_live_view_shows_the_last_micrograph_with_outlines_and_numbers(open_page, service):
    """The picture itself, and one outline per particle and per rejected region."""
    page = open_page()
    until(page, "document.querySelectorAll('.viewer .particles path').length")
    last = service.json("api/now")["last"]
    assert last["name"] == page.inner_text("#view-live h1")
    assert last["particles"] == page.locator(".viewer .particles path").count()
    rejected = sum(value for name, value in last.items() if name.startswith("rejected_"))
    assert rejected == page.locator(".viewer .rejections path").count()
    loaded = page.evaluate(
        "new Promise(done => { const i = new Image(); i.onload = () => done(i.naturalWidth); "
        "i.src = document.querySelector('.viewer image').getAttribute('href') })"
    )
    assert 256 == loaded
    assert str(last["particles"]) == page.inner_text(".one dd >> nth=0")
    assert "arrival to result" in page.inner_text(".one")


def test_outlines_can_be_hidden_and_have_tooltips(open_page):
    """By button and by key; the tooltip of a rejected region states the reason."""
    page = open_page()
    until(page, "document.querySelectorAll('.viewer .rejections path').length")
    page.locator(".viewer .particles path").first.dispatch_event("pointermove")
    page.wait_for_selector(".tip:has-text('· contrast 0.')")
    page.locator(".viewer .rejections path").first.dispatch_event("pointermove")
    page.wait_for_selector(".tip:has-text('Rejected: ')")
    total = page.locator(".viewer .particles path").count()
    parts = [int(text) for text in page.locator(".legend:not(.rejected) b").all_inner_texts()]
    assert total == sum(parts)
    for key, group, shown in (("o", ".particles", total), ("r", ".rejections", None)):
        visible = page.locator(f".viewer {group} path:visible")
        shown = shown or visible.count()
        page.keyboard.press(key)
        assert 0 == visible.count()
        page.keyboard.press(key)
        assert shown == visible.count()
    page.click(".legend.alone")
    assert total - parts[0] == page.locator(".viewer .particles path:visible").count()
    assert "false" == page.get_attribute(".legend.alone", "aria-pressed")


def test_the_micrograph_can_be_zoomed_and_moved(open_page):
    """By wheel, keys and dragging; a scale bar appears, and `0` fits the view again."""
    page = open_page()
    until(page, "document.querySelectorAll('.viewer .particles path').length")

    def box():
        return [float(part) for part in page.get_attribute(".frame > svg", "viewBox").split()]

    whole = box()
    page.hover(".frame > svg")
    page.mouse.wheel(0, -600)
    until(page, "document.querySelector('.viewer').classList.contains('zoomed')")
    zoomed = box()
    assert zoomed[2] < whole[2] / 2
    assert page.inner_text(".scalebar").endswith("nm")
    bar, frame = (page.locator(name).bounding_box() for name in (".scalebar", ".frame"))
    assert bar["x"] > frame["x"] + frame["width"] / 2, "the one in the picture is at the left"
    page.keyboard.press("ArrowRight")
    assert box()[0] > zoomed[0]
    page.mouse.down()
    page.mouse.move(*(value - 60 for value in (500, 500)), steps=3)
    page.mouse.up()
    page.keyboard.press("0")
    assert whole == box()
    assert page.is_hidden(".scalebar")


def test_a_new_micrograph_appears_without_reload(open_page, service, series):
    """An event triggers it, since polling is off. Numbers and outlines come in one answer."""
    page = open_page(before="window.setInterval = () => 0")
    until(page, "document.querySelectorAll('.viewer .particles path').length")
    page.evaluate(
        """() => {
            window.same = true;
            window.seen = {};
            const title = document.querySelector('#view-live h1');
            new MutationObserver(() => (window.seen[title.textContent] ??= Date.now()))
                .observe(title, { childList: true, characterData: true, subtree: true });
        }"""
    )
    page.wait_for_timeout(1000)
    asked = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path.rpartition("/")[2]))
    shutil.copy(sorted(series.glob("*.dm3"))[3], service.watched / "Au_04.dm3")
    until(page, "window.seen['Au_04']")
    assert page.evaluate("window.same"), "the page was reloaded"
    row = next(row for row in service.json("api/micrographs") if row["name"] == "Au_04")
    recorded = datetime.fromisoformat(row["analysed_at"]).timestamp()
    # about a second on an idle machine; other tests may run at the same time
    assert page.evaluate("window.seen['Au_04']") / 1000 - recorded < PATIENCE_MS / 1000
    page.wait_for_selector(".strip li:first-child >> text=Au_04")
    until(page, "document.querySelector('.strip li:first-child canvas')?.width === 320")
    assert {"now", "preview.jpg"} == set(asked), asked
    assert 1 == asked.count("preview.jpg")


def test_the_histogram_counts_the_rows_of_the_csv_and_a_bar_shows_its_particles(open_page, service):
    """A click on a bar shows the crops; a click on a crop shows the micrograph."""
    page = open_page("population")
    bars = plotted(page, ".population .picker .chart")
    rows = list(csv.DictReader(io.StringIO(service.get("api/samples/Au/particles?format=csv").decode())))
    assert len(rows) == sum(bars["customdata"])
    index = max(range(len(bars["customdata"])), key=bars["customdata"].__getitem__)
    bar = page.locator(".population .picker .bars .point").nth(index)
    box = bar.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8)
    page.wait_for_selector(".picked:not([hidden])")
    assert page.inner_text(".picked h2").startswith(f"{bars['customdata'][index]} particle")
    shown = min(24, bars["customdata"][index])
    assert shown == page.locator(".crops img").count()
    page.locator(".crops img").last.scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('.crops img')].every(i => i.naturalWidth === 160)")
    alt = page.get_attribute(".crops img >> nth=0", "alt")
    page.locator(".crops button").first.click()
    page.wait_for_selector("#view-live:not([hidden])")
    page.wait_for_selector(".readings button:has-text('Back to live')")
    # the particle is marked among the others
    page.wait_for_selector(f".selected-particles:not([hidden]) >> text={alt.rpartition(' of ')[0]} ")
    assert 1 == page.locator(".viewer path.chosen").count()


def test_bins_and_axis_of_the_histogram_are_chosen(open_page, service):
    """Width, range and logarithmic axis; the files have what the page shows, another descriptor its own."""
    page = open_page("population")
    until(page, "document.querySelector('.axis input').placeholder")
    page.get_by_label("Bin width").fill("0.25")
    page.get_by_label("Axis to").fill("3")
    until(page, "document.querySelector('.axis .caption').textContent.includes('beyond the axis')")
    href = page.get_attribute("#view-population .files a[aria-label='Distribution, csv']", "href")
    rows = csv.DictReader(io.StringIO(service.get(href).decode()))
    bars = [row for row in rows if row["series"] == "bars"]
    assert {0.25} == {
        round(float(row["equivalent_diameter_nm_to"]) - float(row["equivalent_diameter_nm_from"]), 6)
        for row in bars
    }
    assert "3.0" == bars[-1]["equivalent_diameter_nm_to"]
    page.get_by_label("Log", exact=True).check()
    until(
        page, "!document.querySelector('[aria-label=\"Ratio of the edges of a bin\"]').parentElement.hidden"
    )
    until(page, "document.querySelector('#view-population .ytitle')?.textContent.includes('per unit of ln')")
    page.get_by_label("Descriptor").first.select_option("circularity")
    until(page, "document.querySelector('#view-population .xtitle')?.textContent === 'circularity'")
    assert not page.get_by_label("Log", exact=True).is_checked()


def test_samples_are_compared(open_page):
    """Each with the reference, which is chosen; one micrograph is too few for a test."""
    page = open_page("compare")
    until(page, "document.querySelector('#view-compare tbody [class=tick]')")
    differences = page.get_by_role("region", name="Differences from Au")
    differences.wait_for()
    assert "too few fields" in differences.inner_text()
    page.select_option("#view-compare .head label select", "Pt")
    page.get_by_role("region", name="Differences from Pt").wait_for()
    assert "too few fields for a test" in page.inner_text("#view-compare .lead >> nth=1")


def test_words_for_equal_samples_and_equal_fits(open_page):
    """Nothing lies "0 nm below", and of fits that the data do not tell apart none is better."""
    page = open_page()
    said = page.evaluate(
        """async () => {
            const { inWords } = await import("./static/compare.js");
            const { fitsInWords } = await import("./static/population.js");
            const test = (difference, p) =>
                inWords({ sample: "A", against_reference: { difference, p, effect: "small" } }, "B", "nm");
            const names = ["normal", "log-normal"];
            const fit = (distance, index) => ({ name: names[index], distance, location: 1, scale: 0.1 });
            const fits = (equal, ...distances) =>
                fitsInWords({ unit: "nm", fits_are_equal: equal, fits: distances.map(fit) });
            return [
                test(0, 1), test(0, null), test(-0.5, 0.4),
                fits(true, 0.02, 0.02), fits(false, 0.02, 0.05), fits(false, 0.2),
            ];
        }"""
    )
    assert [
        "The means of A and B are equal.",
        "The means of A and B are equal. There are too few fields for a test.",
        "The mean of A is 0.500 nm below that of B: the difference is not significant (p = 0.40).",
    ] == said[:3]
    assert "fit equally well" in said[3]
    assert "better" not in said[3] + said[5]
    assert said[4].startswith("Normal fits better: mean 1.00 nm")
    assert said[5].endswith("It does not fit well.")


def test_a_chart_is_drawn_for_the_size_of_its_place(open_page):
    """Its title is not cut on a phone, and letters and legend follow when the window becomes wider."""
    page = open_page("compare", width=390, height=844)
    chart = "#view-compare .chart"
    until(page, f"document.querySelector('{chart} .ytitle tspan')")  # in two lines
    outside = f"""(() => {{
        const place = document.querySelector('{chart}').getBoundingClientRect();
        return [...document.querySelectorAll('{chart} .ytitle, {chart} .legend')].filter((one) => {{
            const box = one.getBoundingClientRect();
            return box.top < place.top - 1 || box.bottom > place.bottom + 1
                || box.left < place.left - 1 || box.right > place.right + 1;
        }}).length;
    }})()"""
    assert 0 == page.evaluate(outside)
    letters = f"parseFloat(getComputedStyle(document.querySelector('{chart} .legendtext')).fontSize)"
    small = page.evaluate(letters)
    page.set_viewport_size({"width": 1920, "height": 1080})
    until(page, f"{letters} > {small} && !document.querySelector('{chart} .ytitle tspan')")
    assert 0 == page.evaluate(outside)


def test_the_keyboard_reaches_everything(open_page):
    """Digits change the view, arrows and Enter select a bin of the histogram, L changes the theme."""
    page = open_page()
    page.keyboard.press("2")
    page.wait_for_selector("#view-population:not([hidden])")
    plotted(page, ".population .picker .chart")
    page.focus(".picker")
    page.keyboard.press("ArrowRight")
    assert "1" == page.get_attribute(".picker", "aria-valuenow")
    assert "particle" in page.get_attribute(".picker", "aria-valuetext")
    page.keyboard.press("Enter")
    page.wait_for_selector(".picked:not([hidden])")
    page.keyboard.press("l")
    assert "light" == page.get_attribute("html", "data-theme")
    # digits name the same view beside hidden ones, and work on a control that has the focus
    page.focus("#sample")
    page.keyboard.press("8")
    page.wait_for_selector("#view-problems:not([hidden])")
    page.keyboard.press("6")  # there are no sequences
    assert page.is_visible("#view-problems")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_of_the_system_is_the_first(open_page, theme):
    """It changes with the system until somebody chooses one."""
    page = open_page("downloads", color_scheme=theme)
    assert theme == page.get_attribute("html", "data-theme")
    other = {"light": "dark", "dark": "light"}[theme]
    page.emulate_media(color_scheme=other)
    until(page, f"document.documentElement.dataset.theme === '{other}'")
    page.click("#theme")
    page.reload()
    page.wait_for_selector("#view-downloads:not([hidden])")
    assert theme == page.get_attribute("html", "data-theme")


@pytest.mark.parametrize("view", ["border", "downloads"])
def test_the_chosen_sample_is_shown_while_the_service_is_idle(open_page, view):
    """In views that ask for more than the state of the service, which is the same as before."""
    page = open_page(view, before="window.setInterval = () => 0")
    for sample in ("Pt", "Au"):
        page.select_option("#sample", sample)
        page.wait_for_selector(f"#view-{view} >> text={sample}")
        if view == "downloads":
            until(page, f"document.querySelector('.download-list a').href.includes('/{sample}/')")


def test_bookmarks_of_renamed_views_still_open_them(open_page):
    """Addresses with the former names; an unknown one opens the live view."""
    page = open_page()
    for former, view in (*FORMER.items(), ("nothing", "live")):
        page.evaluate(f"location.hash = '{former}'")
        page.wait_for_selector(f"#view-{view}:not([hidden])")
        assert [view] == [name for name in VIEWS if page.is_visible(f"#view-{name}")]


def test_manual_diameters_are_compared(open_page, tmp_path):
    """A csv gives both means and both tests; a bad file is refused with a reason."""
    page = open_page("manual", refusals=[422])
    good = tmp_path / "by_hand.csv"
    good.write_text("diameter_nm\n" + "\n".join(str(2 + 0.05 * n) for n in range(60)))
    page.set_input_files("#manual", good)
    page.fill("#token", TOKEN)
    page.click("dialog button[type=submit]")
    page.wait_for_selector(".manual table")
    words = page.inner_text("#view-manual")
    for expected in ("by_hand.csv", "Welch", "Kolmogorov–Smirnov", "automatic", "manual", "3.475"):
        assert expected in words, expected
    bad = tmp_path / "letter.csv"
    bad.write_text("dear all")
    with page.expect_console_message(lambda said: "422" in said.text):
        page.set_input_files("#manual", bad)
    page.wait_for_selector(".manual .failed:not([hidden])")
    assert "no column holds three positive numbers" in page.inner_text(".manual .failed")
    assert page.is_hidden(".manual table")


def test_a_link_brings_the_token(open_page, service):
    """The page of `temwatch status --link` asks for none, and its address does not keep it."""
    done = command("status", "--config", service.config, "--link")
    assert 0 == done.returncode, done.stderr
    link = urlsplit(done.stdout.strip())
    assert (service.page(), TOKEN) == (
        link._replace(fragment="").geturl(),
        parse_qs(link.fragment)["token"][0],
    )
    page = open_page()
    page.goto(done.stdout.strip())
    until(page, "location.hash === ''")
    assert TOKEN == page.evaluate("sessionStorage.getItem('token')")
    assert page.is_visible("#view-live")


def test_a_refused_file_is_retried_with_the_token(open_page, service):
    """A wrong token is refused; with the right one the service analyses the file again."""
    page = open_page("problems", refusals=[401])
    page.wait_for_selector(".problem-item")
    assert "Au_99.dm3" in page.inner_text(".problem-item")
    before = next(row for row in service.json("api/trouble")["files"])["analysed_at"]
    page.click("button[aria-label='Retry Au_99.dm3']")
    page.fill("#token", "wrong")
    with page.expect_console_message(lambda said: "401" in said.text):
        page.click("dialog button[type=submit]")
    page.wait_for_selector("text=the token is wrong")
    page.fill("#token", TOKEN)
    page.click("dialog button[type=submit]")
    page.wait_for_selector("text=Retrying 1 file")
    wait_until(
        lambda: [row for row in service.json("api/trouble")["files"] if row["analysed_at"] > before],
        what="the second refusal",
    )
    assert TOKEN not in service.log.read_text()


@pytest.mark.slow
def test_no_view_is_wider_than_the_screen(open_page):
    """From a phone to a wall screen; only tables may scroll sideways."""
    page = open_page(width=390, height=844)
    for view in VIEWS:
        page.evaluate(f"location.hash = '{view}'")
        page.wait_for_selector(f"#view-{view}:not([hidden])")
        for width in (390, 1024, 1920, 3840):
            page.set_viewport_size({"width": width, "height": 844 if width == 390 else round(width * 9 / 16)})
            page.wait_for_timeout(400)
            fits = "document.documentElement.scrollWidth <= innerWidth"
            assert page.evaluate(fits), (view, width)


@pytest.mark.parametrize("theme", [pytest.param("dark", marks=pytest.mark.slow), "light"])
def test_no_serious_accessibility_fault(open_page, theme):
    """According to axe-core, on every view in both themes."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core is not installed"
    ).Axe()
    page = open_page()
    if theme == "light":
        page.keyboard.press("l")
    faults = []
    for view in VIEWS:
        page.evaluate(f"location.hash = '{view}'")
        page.wait_for_selector(f"#view-{view}:not([hidden])")
        page.wait_for_timeout(1200)
        for fault in axe.run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                faults.append((view, fault["id"], [node["target"] for node in fault["nodes"]][:5]))
    assert [] == faults


def test_the_report_prints_to_one_page(open_page, service):
    """A4, with its charts and the required statements."""
    page = open_page("downloads")
    page.goto(f"{service.page()}api/samples/Au/report")
    words = page.inner_text("body")
    standards = ("ISO 21363", "ISO 13322-1")
    for expected in (*standards, "temwatch", "per pixel", "touching the border", "fields of view"):
        assert expected in words, expected
    assert 2 == page.locator("svg").count()
    paper = page.pdf(format="A4", prefer_css_page_size=True)
    assert 1 == paper.count(b"/Type /Page\n") or 1 == paper.count(b"/Type /Page") - paper.count(
        b"/Type /Pages"
    )


def test_the_page_survives_a_restart_of_the_service(chromium, service, series):
    """It reports the outage, reconnects automatically, and shows what happened meanwhile."""
    page = chromium.contexts[0].pages[0]
    try:
        page.goto(service.page())
        until(page, "document.querySelector('#state').classList.contains('ready')")
        page.evaluate("window.same = true")
        service.stop()
        page.wait_for_selector("#state-words:has-text('does not answer')")
        shutil.copy(sorted(series.glob("*.dm3"))[5], service.watched / "Au_05.dm3")
        service.start()
        page.wait_for_selector("#view-live h1:has-text('Au_05')")
        until(page, "document.querySelector('#state').classList.contains('ready')")
        assert page.evaluate("window.same")
    finally:
        page.goto("about:blank")
        if service.process.poll() is not None:
            service.start()


@pytest.mark.soak
def test_pages_that_stay_open_do_not_grow(chromium, tmp_path):
    """Two pages through a long simulated acquisition: the memory of the scripts does not grow."""
    micrographs = int(os.environ.get("TEMWATCH_SOAK_MICROGRAPHS", "1000"))
    used = []
    pages = [chromium.new_page() for _ in range(2)]
    try:
        with Service(tmp_path) as service:
            for page, view in zip(pages, ("live", "population"), strict=True):
                page.goto(f"{service.page()}#{view}")
                page.wait_for_selector(f"#view-{view}:not([hidden])")
            for quarter in range(4):
                for path in simulator.write_series(
                    service.watched / "Au", micrographs=micrographs // 4, seed=quarter, size_px=256
                ):
                    # waiting lets playwright handle the events of both pages
                    pages[0].wait_for_selector(f"#view-live h1:has-text('{path.stem}')")
                used.append([heap_bytes(page) for page in pages])
    finally:
        for page in pages:
            page.close()
    print("MB of script after each quarter:", [[round(n / 1e6, 1) for n in both] for both in used])
    for first, last in zip(used[0], used[-1], strict=True):
        assert last < 1.25 * first + 2e6, used


def heap_bytes(page):
    """Memory of the page's script after garbage collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used
