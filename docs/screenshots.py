"""Takes the screenshots of README.md: a real service, a simulated microscope, and Debian's Chromium.

Called by docs/pictures.py. Needs Chromium (apt-get install chromium) and the development tools.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from walk import walk as tasks_done

from temwatch import simulator

MICROGRAPHS, SEED = 6, 3
OTHER_SAMPLE, OTHER_MICROGRAPHS, OTHER_SEED = "Au_seeded", 4, 8
TOKEN = "token of the screenshots"
WAIT_S = 1200.0
PORT = 8757
SIZE, SHOWN = (1440, 900), (1200, 750)
QUALITY = 80
PATIENCE_S = 180.0
CHARTS_S = 4.0
"""Charts and outlines are drawn after the numbers."""
OVERLAY_PX = (860, 560)
"""Part of the overlay that is shown, from its top left corner."""
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
CONFIG = f"""\
[watch]
folder = "acquisition"
[output]
folder = "results"
[http]
listen = "127.0.0.1:{PORT}"
token_file = "token"
"""


def main(output: Path) -> None:
    """Write live_page.webp, overlay.png and the pictures of the tasks, and print their clicks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "acquisition").mkdir()
        (folder / "temwatch.toml").write_text(CONFIG, encoding="utf-8")
        (folder / "token").write_text(TOKEN, encoding="utf-8")
        command = [sys.executable, "-m", "temwatch", "run", "--config", "temwatch.toml"]
        with (folder / "service.log").open("wb") as log:
            service = subprocess.Popen(command, cwd=folder, stderr=log)
        try:
            wait(lambda: answers("readyz"))
            for _ in simulator.acquire(folder / "acquisition", MICROGRAPHS, seed=SEED):
                pass
            overlays = folder / "results"
            wait(lambda: len(list(overlays.rglob("*_overlay.png"))) == MICROGRAPHS)
            page = folder / "page.png"
            photograph(page)
            save_page(page, output / "live_page.webp")
            overlay = sorted(overlays.rglob("*_overlay.png"))[-1]
            save(Image.open(overlay).crop((0, 0, *OVERLAY_PX)), output / "overlay.png", colours=32)
            for _ in simulator.acquire(
                folder / "acquisition", OTHER_MICROGRAPHS, seed=OTHER_SEED, sample=OTHER_SAMPLE
            ):
                pass
            (folder / "acquisition" / "Au_99.dm3").write_text("no micrograph", encoding="utf-8")
            wait(lambda: len(list(overlays.rglob("*_overlay.png"))) == MICROGRAPHS + OTHER_MICROGRAPHS)
            walk(output, folder / "walk.png")
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(timeout=60)


def photograph(file: Path) -> None:
    """The page as it shows the last micrograph."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="dark")
        page.goto(f"http://127.0.0.1:{PORT}/#live")
        wait(lambda: page.evaluate("document.querySelector('#state').classList.contains('ready')"))
        time.sleep(CHARTS_S)
        page.screenshot(path=file)
        browser.close()


def walk(output: Path, picture: Path) -> None:
    """The tasks; where something is to be seen, a picture is taken."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="dark")
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(f"http://127.0.0.1:{PORT}/healthz")
        page.evaluate(f"sessionStorage.setItem('token', '{TOKEN}'); localStorage.setItem('by', 'Anna')")

        def show(name: str) -> None:
            time.sleep(CHARTS_S)
            page.screenshot(path=picture)
            save_page(picture, output / f"walk_{name}.webp")

        for task, hand in tasks_done(page, f"http://127.0.0.1:{PORT}/", show):
            print(f"{task.words}: {hand.clicks} clicks, {hand.typed} fields")  # noqa: T201
        browser.close()


def save_page(picture: Path, file: Path) -> None:
    """A picture of the page, below 150 kB."""
    small = Image.open(picture).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)
    small.save(file, quality=QUALITY, method=6)


def save(picture: Image.Image, file: Path, colours: int) -> None:
    """As a small file: few colours are enough, if the rare ones of the outlines are among them."""
    few = picture.convert("RGB").quantize(
        colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    few.save(file, optimize=True)


def answers(path: str) -> bool:
    """Whether the service says yes."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait(condition: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the service did not get there")
        time.sleep(0.3)
