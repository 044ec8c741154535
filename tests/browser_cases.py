"""A real browser on a real service, for the tests of the page; requests to any other host are blocked."""

import json
import shutil
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from system import Service, wait_until

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "the token of this test"
KNOWN = f"sessionStorage.setItem('token', '{TOKEN}'); localStorage.setItem('by', 'anna')"
OUTLINES = ".viewer .particles path"
# generous for a busy machine with two cores
PATIENCE_MS = 120_000


def launched():
    """Headless Chromium of the system, with one tab; nothing is downloaded."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        new_tab(browser)
        yield browser
        browser.close()


def new_tab(browser):
    """A page of its own storage, which reaches this machine only."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    context.route(lambda url: urlsplit(url).hostname not in ("127.0.0.1", None), lambda route: route.abort())
    return context.new_page()


def until(page, expression):
    """Wait for an expression; playwright's own wait needs eval, which the page forbids."""
    return wait_until(lambda: page.evaluate(expression), PATIENCE_MS / 1000, expression)


def free_port():
    """A port that a restarted service can use again."""
    with socket.socket() as channel:
        channel.bind(("127.0.0.1", 0))
        return channel.getsockname()[1]


def running_service(series, folder):
    """A running service with four micrographs of two samples, an invalid file, and a token."""
    (folder / "token").write_text(TOKEN)
    http = {"listen": f"127.0.0.1:{free_port()}", "token_file": str(folder / "token")}
    with Service(folder, http=http) as running:
        paths = sorted(series.glob("*.dm3"))
        for name, path in (
            ("Pt_01", paths[4]),
            ("Au_01", paths[0]),
            ("Au_02", paths[1]),
            ("Au_03", paths[2]),
        ):
            shutil.copy(path, running.watched / f"{name}.dm3")
            wait_until(lambda name=name: running.micrographs(name[:2]), what=name)
        (running.watched / "Au_99.dm3").write_text("not a micrograph")
        wait_until(lambda: len(running.micrographs()) == 4, what="the refused file")
        yield running


def opener(chromium, service):
    """Opens views; at the end, the console must be empty and no other host requested.

    The first view of a test has the tab of the test before, in which the scripts of the page are compiled
    already; nothing else is left in it. `stored` is run before the page is there, to fill its storage, and
    `before` before its scripts. `refusals` are status codes that the test provokes; the browser writes these
    to the console.
    """
    console, hosts, expected, opened = [], [], set(), []
    first = chromium.contexts[0].pages[0]

    def write(said):
        if said.type in ("error", "warning"):
            console.append(said.text)

    listeners = {
        "console": write,
        "pageerror": lambda error: console.append(str(error)),
        "request": lambda request: hosts.append(urlsplit(request.url).hostname),
    }

    def open_(view="live", width=1920, height=1080, color_scheme="dark", refusals=(), stored="", before=""):
        expected.update(refusals)
        page = new_tab(chromium) if opened or before else first
        opened.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=color_scheme)
        page.goto(f"{service.page()}healthz")
        page.evaluate(f"localStorage.clear(); sessionStorage.clear(); {stored}")
        for event, listener in listeners.items():
            page.on(event, listener)
        if before:
            page.add_init_script(before)
        page.goto(f"{service.page()}#{view}")
        page.wait_for_selector(f"#view-{view}:not([hidden])")
        until(page, "document.querySelector('#state').classList.contains('ready')")
        return page

    yield open_
    for page in opened:
        if page is first:
            for event, listener in listeners.items():
                page.remove_listener(event, listener)
            page.goto("about:blank")
        else:
            page.context.close()
    assert [] == [said for said in console if not any(f"status of {code}" in said for code in expected)]
    assert set(hosts) <= {"127.0.0.1", None, ""}


def live_view(open_page):
    """The live view of somebody who has the token, with its outlines."""
    page = open_page(stored=KNOWN)
    until(page, f"document.querySelectorAll('{OUTLINES}').length")
    return page


def post(service, path, **body):
    """What the API answers to somebody who has the token."""
    request = urllib.request.Request(
        f"{service.page()}{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_MS / 1000) as answer:
        return json.load(answer)


def faults_of(page):
    """Serious faults of accessibility (axe-core), and whether something is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    found = [
        (one["id"], [node["target"] for node in one["nodes"]][:5])
        for one in axe.Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    return found + ([] if page.evaluate("document.documentElement.scrollWidth <= innerWidth") else ["wide"])


def history(service, limit=1):
    return service.json(f"api/history?limit={limit}")


def population(service):
    return service.json("api/samples/Au/population")["particles"]


def told(page, words):
    page.wait_for_selector(f"#told:not([hidden]) #told-words:has-text('{words}')")
