"""The ten tasks of docs/page.md in a real browser: each is done on the page of a service, its clicks counted.

Called by docs/screenshots.py, which takes the pictures, and by the slow tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from playwright.sync_api import Locator, Page


class Hand:
    """A person at the mouse; `clicks` and `typed` fields are counted, opening a list and choosing are two.

    `show` is called with the name of a picture when there is something to be seen.
    """

    def __init__(self, page: Page, show: Callable[[str], object]) -> None:
        self.page = page
        self.show = show
        self.clicks = 0
        self.typed = 0

    def click(self, what: str | Locator) -> None:
        """One click on a selector or an element."""
        (self.page.locator(what) if isinstance(what, str) else what).click()
        self.clicks += 1

    def view(self, name: str) -> None:
        """One click on the name of a view."""
        self.click(f"#to-{name}")
        self.page.wait_for_selector(f"#view-{name}:not([hidden])")

    def choose(self, label: str, value: str, within: str) -> None:
        """An entry of a list; its label may hold the entries, too."""
        self.page.locator(within).get_by_label(label).select_option(value)
        self.clicks += 2

    def fill(self, label: str, text: str, within: str = "body") -> None:
        """One field."""
        self.page.locator(within).get_by_label(label, exact=True).fill(text)
        self.typed += 1

    def told(self, words: str) -> None:
        """Wait for the line at the bottom, with what was done."""
        self.page.wait_for_selector(f"#told:not([hidden]) #told-words:has-text('{words}')")


def exclude(hand: Hand) -> None:
    """The field in view."""
    hand.fill("Reason for excluding", "out of focus")
    hand.click(hand.page.get_by_role("button", name="Exclude", exact=True))
    hand.told("excluded")
    hand.show("exclude")


def undo(hand: Hand) -> None:
    """The last decision."""
    hand.click("#told >> text=Undo")
    hand.told("Undone")


def calibrate(hand: Hand) -> None:
    """By a factor, for the whole sample."""
    hand.click("text=Correct size")
    hand.fill("Factor", "1.02", "dialog")
    hand.click("dialog >> button:text-is('Apply')")
    hand.told("Calibration corrected")


def raise_minimum(hand: Hand) -> None:
    """Of one sample, in nm; the preview shows what it does."""
    hand.click(".decide >> text=Settings")
    hand.fill("Smallest equivalent diameter", "4", "form.settings")
    hand.page.wait_for_selector("form.settings >> text=rejected.")
    hand.show("settings")
    hand.click("form.settings >> button:text-is('Apply')")
    hand.told("measured again")


def compare(hand: Hand) -> None:
    """The last two or three samples are chosen already."""
    hand.view("compare")
    hand.page.wait_for_selector("#view-compare table >> text=Cliff")
    hand.show("compare")


def download(hand: Hand) -> None:
    """Only particles of a diameter from 4 nm."""
    hand.click("#filter")
    hand.fill("Diameter from", "4", "#filter-panel")
    hand.page.wait_for_selector("#filtered:has-text(' of ')")
    hand.show("filter")
    hand.view("downloads")
    with hand.page.expect_download() as download:
        hand.click("#view-downloads >> text=particles.csv")
    assert "min_diameter_nm=4" in download.value.suggested_filename


def who(hand: Hand) -> None:
    """Newest first, with the reason."""
    hand.view("history")
    hand.page.wait_for_selector("#view-history >> text=out of focus")
    hand.show("history")


def dismiss(hand: Hand) -> None:
    """A file that is none."""
    hand.view("problems")
    hand.click(hand.page.get_by_role("button", name="Dismiss").first)
    hand.told("dismissed")


def bright(hand: Hand) -> None:
    """The files are segmented again."""
    hand.click(".decide >> text=Settings")
    hand.choose("Particles are", "bright", "form.settings")
    hand.click("form.settings >> button:text-is('Apply')")
    hand.told("measured again")


def report(hand: Hand) -> None:
    """It opens in a tab of its own, one A4 page, which the browser prints."""
    hand.view("downloads")
    with hand.page.expect_popup() as opened:
        hand.click("text=Open the report")
    opened.value.wait_for_load_state()
    assert "ISO 21363" in opened.value.content()
    opened.value.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row of the table: its words, how it is done, and how many clicks and typed fields that takes."""

    words: str
    act: Callable[[Hand], None]
    clicks: int
    typed: int = 0


TASKS = (
    Task(words="exclude a bad field, with a reason", act=exclude, clicks=1, typed=1),
    Task(words="undo", act=undo, clicks=1),
    Task(words="correct a calibration by a factor", act=calibrate, clicks=2, typed=1),
    Task(words="raise the minimum size for one sample", act=raise_minimum, clicks=2, typed=1),
    Task(words="compare two samples", act=compare, clicks=1),
    Task(words="download the filtered table", act=download, clicks=3, typed=1),
    Task(words="find who excluded a field", act=who, clicks=1),
    Task(words="dismiss a refusal", act=dismiss, clicks=2),
    Task(words="switch to bright particles", act=bright, clicks=4),
    Task(words="print the report", act=report, clicks=2),
)
"""In the order of docs/page.md; each begins on the live view."""


_TAKEN_BACK = (calibrate, raise_minimum, bright)  # so that all is as before


def walk(
    page: Page, address: str, show: Callable[[str], object] = lambda _: None
) -> Iterator[tuple[Task, Hand]]:
    """Do one task after the other on the page of a service that has a refused file; the token is known."""
    for task in TASKS:
        if task.act is not undo:  # which begins where the task before it ended
            page.goto("about:blank")
            page.goto(f"{address}#live")
            page.wait_for_selector(".viewer:not(.loading) .particles path")
        hand = Hand(page, show)
        task.act(hand)
        if task.act in _TAKEN_BACK:
            page.keyboard.press("u")
            hand.told("Undone")
        yield task, hand
