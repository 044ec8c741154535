"""A real browser on a real service, for the tests of the page; requests to any other host are blocked."""

import shutil
import socket
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
# generous for a busy machine with two cores
PATIENCE_MS = 120_000


def launched():
    """Headless Chromium of the system; nothing is downloaded."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


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

    `refusals` are status codes that the test provokes; the browser writes these to the console.
    """
    contexts, console, hosts, expected = [], [], set(), set()

    def open_(view="live", width=1920, height=1080, refusals=(), before="", **options):
        expected.update(refusals)
        options = {"color_scheme": "dark"} | options
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.add_init_script(before)
        page.on(
            "console", lambda said: console.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: console.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        context.route(
            lambda url: urlsplit(url).hostname not in ("127.0.0.1", None), lambda route: route.abort()
        )
        page.goto(f"{service.page()}#{view}")
        page.wait_for_selector(f"#view-{view}:not([hidden])")
        until(page, "document.querySelector('#state').classList.contains('ready')")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [] == [said for said in console if not any(f"status of {code}" in said for code in expected)]
    assert hosts <= {"127.0.0.1", None, ""}
