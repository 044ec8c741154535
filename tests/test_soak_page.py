"""How soon a person sees what was changed, with 200,000 particles; prints what docs/page.md says."""

import json
import statistics
import time
import urllib.request

import pytest

from browser_cases import TOKEN, free_port, launched, opener, until
from large_sample import put_large_sample
from ledger_cases import result
from system import Service, wait_until

pytestmark = [pytest.mark.system, pytest.mark.soak]

MICROGRAPHS, PER_MICROGRAPH = 1000, 200
ALL = MICROGRAPHS * PER_MICROGRAPH
MOVES, EXCLUSIONS = 20, 5

# from the key that moves a limit to the frame that shows the chart drawn again
MOVE = """
(limit) => new Promise((drawn) => {
  const chart = document.querySelector('#view-population .chart');
  const input = document.querySelector('#filter-panel [name=min_diameter_nm]');
  const began = performance.now();
  const seen = () => {
    if (!document.querySelector('#filtered').textContent.includes(' of ')) return;
    chart.removeListener('plotly_afterplot', seen);
    requestAnimationFrame(() => drawn(performance.now() - began));
  };
  chart.on('plotly_afterplot', seen);
  input.value = limit;
  input.dispatchEvent(new Event('input', { bubbles: true }));
})
"""


@pytest.fixture(scope="module")
def diameters_nm():
    """Of the particles of each micrograph, rising."""
    return sorted(one.equivalent_diameter_nm for one in result("any", PER_MICROGRAPH).analysis.particles)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service with a large sample, all of it published."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "token").write_text(TOKEN)
    http = {"listen": f"127.0.0.1:{free_port()}", "token_file": str(folder / "token")}
    running = Service(folder, output={"pictures": False}, http=http)
    put_large_sample(running, MICROGRAPHS, PER_MICROGRAPH)
    with running.start(fresh=True):
        yield running


@pytest.fixture(scope="module")
def chromium():
    yield from launched()


@pytest.fixture
def open_page(chromium, service):
    yield from opener(chromium, service)


def in_words(number):
    """As the page writes it, with a thin space."""
    return f"{number:,}".replace(",", "\N{THIN SPACE}")


def counted(service):
    return service.json("api/samples/large/population")["particles"]


def said(name, seconds):
    middle, most = 1000 * statistics.median(seconds), 1000 * max(seconds)
    print(f"{name}: {middle:.0f} ms in the median of {len(seconds)}, {most:.0f} ms at most")


def test_a_filter_that_is_moved(open_page, diameters_nm):
    """Each limit is another one, so that nothing was computed before; the number of particles is right."""
    page = open_page("population")
    page.keyboard.press("f")
    until(page, "!!document.querySelector('#view-population .chart .barlayer path')")
    spent = []
    for move in range(MOVES):
        limit = 0.55 + 0.05 * move
        spent.append(page.evaluate(MOVE, f"{limit:.3f}") / 1000)
        left = f"{in_words(sum(one >= limit for one in diameters_nm) * MICROGRAPHS)} of"
        until(page, f"document.querySelector('#filtered').textContent.startsWith('{left}')")
        until(page, "!document.querySelector('.loading')")
    said("filter moved to chart drawn", spent)


def test_an_exclusion(service, open_page):
    """In the API, on the page and in particles.csv."""
    page = open_page("population")
    ids = [one["id"] for one in service.json(f"api/micrographs?limit={EXCLUSIONS}")]
    table = service.output / "large" / "particles.csv"
    size = table.stat().st_size
    spent = {"the API": [], "the page": [], "particles.csv": []}
    for number, micrograph in enumerate(ids, 1):
        left = ALL - number * PER_MICROGRAPH
        began = time.monotonic()
        request = urllib.request.Request(
            f"{service.page()}api/micrographs/{micrograph}/exclude",
            json.dumps({"by": "anna"}).encode(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        urllib.request.urlopen(request).close()
        wait_until(lambda left=left: counted(service) == left, what="the API")
        spent["the API"].append(time.monotonic() - began)
        until(
            page,
            f"document.querySelector('#view-population .lead').textContent.startsWith('{in_words(left)} ')",
        )
        spent["the page"].append(time.monotonic() - began)
        wait_until(lambda size=size: table.stat().st_size < size, what="particles.csv")
        spent["particles.csv"].append(time.monotonic() - began)
        size = table.stat().st_size
    for name, seconds in spent.items():
        said(f"exclusion to {name}", seconds)
