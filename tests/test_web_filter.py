"""A filter chooses the same particles in every view and download, and never in the folder of the sample."""

import csv
import io
import json

import pyarrow.parquet
import pytest
from openpyxl import load_workbook

from system import command, rows
from web_cases import TOKEN, Site, copied

pytestmark = pytest.mark.system
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
AU = "/api/samples/Au"
SIZE = "equivalent_diameter_nm"


@pytest.fixture(scope="module")
def site(analysed, tmp_path_factory):
    """The application on six micrographs of two samples."""
    with Site(copied(analysed, tmp_path_factory.mktemp("filter"))) as running:
        yield running


@pytest.fixture
def middle(site):
    """The median diameter as particles.csv writes it, and how many are not smaller."""
    found = sorted(float(row[SIZE]) for row in table(site))
    limit = found[len(found) // 2]
    return limit, sum(one >= limit for one in found)


def table(site, query=""):
    answer = site.get(f"{AU}/particles?format=csv{query}")
    assert 200 == answer.status_code, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def save(site, **limits):
    body = {"settings": {f"filter.{name}": value for name, value in limits.items()}}
    answer = site.client.post(f"{AU}/settings", json=body, headers=ALLOWED)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def test_the_picture_knows_which_particles_are_left_out(site, middle):
    """Those of each micrograph that do not pass, by number; with no filter, none."""
    limit, count = middle
    rows = [row for row in site.json(f"{AU}/micrographs") if row["status"] == "done"]
    left = 0
    for row in rows:
        path = f"/api/micrographs/{row['id']}/left_out"
        outlines = site.json(f"/api/micrographs/{row['id']}/outlines")["particles"]
        small = {
            one["number"] for one in outlines if float(f"{one['equivalent_diameter_nm']:.6g}") < limit * 0.999
        }
        left_out = {*site.json(f"{path}?min_diameter_nm={limit}")["numbers"]}
        assert small <= left_out <= {one["number"] for one in outlines}
        assert [] == site.json(path)["numbers"]
        left += len(left_out)
    assert 0 < left == sum(row["particles"] for row in rows) - count
    assert 404 == site.get("/api/micrographs/999999/left_out").status_code


def test_every_view_and_download_counts_the_same(site, middle):
    """A limit that is taken from the csv lets that particle through; names say what was chosen."""
    limit, count = middle
    query = f"min_diameter_nm={limit}"
    assert 0 < count < len(table(site))
    assert count == len(table(site, f"&{query}")) == len(site.json(f"{AU}/particles?{query}"))
    assert limit == min(float(row[SIZE]) for row in table(site, f"&{query}"))
    answer = site.json(f"{AU}/summary?{query}")
    assert (count, count) == (answer["particles"], answer["statistics"][SIZE]["count"])
    assert {"min_diameter_nm": limit} == answer["filter"]
    assert limit == pytest.approx(answer["statistics"][SIZE]["min"], rel=1e-6)
    for view in ("population", "convergence", "border", "scatter"):
        assert count == site.json(f"{AU}/{view}?{query}")["particles"], view
    within = f"{AU}/particles/between?low=0&high=1e9&{query}"
    assert count == site.json(within)["particles"]
    now = site.json(f"/api/now?sample=Au&also=population&also=convergence&also=scatter&{query}")["also"]
    assert [count] * 3 == [now[part]["particles"] for part in ("population", "convergence", "scatter")]
    assert {"min_diameter_nm": limit} == now["filter"]
    compared = site.client.post(
        f"{AU}/comparison?{query}",
        content="diameter_nm\n5\n6\n7\n",
        headers=ALLOWED | {"Content-Type": "text/csv"},
    )
    assert count == compared.json()["particles"]
    download = site.get(f"{AU}/particles?format=parquet&{query}")
    assert f"Au_particles_min_diameter_nm%3D{limit}.parquet" in download.headers["content-disposition"]
    parquet = pyarrow.parquet.read_table(io.BytesIO(download.content))
    assert count == parquet.num_rows
    assert f"equivalent diameter ≥ {limit} nm".encode() == parquet.schema.metadata[b"filter"]
    book = load_workbook(io.BytesIO(site.get(f"{AU}/workbook.xlsx?{query}").content), read_only=True)
    assert count == sum(1 for _ in book["particles"].rows) - 1
    note = next(iter(book["notes"].iter_rows(min_row=2)))[0].value
    assert f"only particles with: equivalent diameter ≥ {limit} nm" == note
    one_table = site.get(f"{AU}/tables/particles.csv?{query}").text
    assert count == len(list(csv.DictReader(io.StringIO(one_table))))
    report = site.get(f"{AU}/report?{query}").text
    assert f"Only particles with equivalent diameter ≥ {limit} nm: {count} of" in report
    chart = site.get(f"{AU}/charts/histogram.svg?{query}").headers["content-disposition"]
    assert f"Au_histogram_min_diameter_nm%3D{limit}.svg" in chart


@pytest.mark.parametrize(
    ("query", "keeps"),
    [
        ("separated=false", lambda row: row["separated"] == "false"),
        ("separated=true", lambda row: row["separated"] == "true"),
        ("min_circularity=0.85", lambda row: float(row["circularity"]) >= 0.85),
        ("max_aspect_ratio=1.1", lambda row: float(row["aspect_ratio"]) <= 1.1),
        ("min_confidence=0.5", lambda row: row["confidence"] != ""),  # of the method threshold: none
        ("min_contrast=0.5", lambda row: float(row["contrast"]) >= 0.5),
        ("min_visible_fraction=1", lambda row: float(row["visible_fraction"]) >= 1),
        ("min_diameter_nm=2&max_diameter_nm=4", lambda row: 2 <= float(row[SIZE]) <= 4),
    ],
)
def test_each_limit_is_that_of_the_column(site, query, keeps):
    """In the table, which the ledger chooses, and in the population, which arrays choose."""
    expected = [row for row in table(site) if keeps(row)]
    assert expected == table(site, f"&{query}")
    assert len(expected) == site.json(f"{AU}/population?{query}")["particles"]


@pytest.mark.parametrize(
    "query",
    [
        "min_diameter_nm=-1",
        "min_diameter_nm=nan",
        "min_diameter_nm=",
        "min_diameter_nm=5&max_diameter_nm=4",
        "min_diameter=5",
        "max_aspect_ratio=0.5",
        "separated=5",
    ],
)
def test_what_cannot_be_compared_is_refused(site, query):
    """Also what this version does not measure, what lets nothing pass, and names with a slip."""
    for view in ("population", "particles", "summary"):
        assert 422 == site.get(f"{AU}/{view}?{query}").status_code


def test_a_saved_filter_is_in_views_and_named_exports_and_never_in_the_folder(site, middle, tmp_path):
    """A request may add to it, or leave it out; nothing is measured again."""
    limit, count = middle
    folder = site.output / "Au"
    before = {name: (folder / name).read_bytes() for name in ("particles.csv", "summary.json")}
    assert 0 == save(site, min_diameter_nm=limit)["micrographs"]
    assert count == len(table(site)) == site.json(f"{AU}/summary")["particles"]
    now = site.json("/api/now?sample=Au&also=population")["also"]
    assert (count, {"min_diameter_nm": limit}) == (now["population"]["particles"], now["filter"])
    everything = site.json(f"{AU}/population?saved_filter=false")["particles"]
    assert everything == len(table(site, "&saved_filter=false")) > count
    assert 0 == site.json(f"{AU}/population?max_diameter_nm=0")["particles"]
    body = {"settings": {"filter.max_diameter_nm": limit / 2}}
    refused = site.client.post(f"{AU}/settings", json=body, headers=ALLOWED)
    assert 422 == refused.status_code
    assert "no particle would be left" in refused.json()["detail"]
    where = ["--results", site.output]
    done = command("export", "Au", "--formats", "csv,coco,geojson", "--output", tmp_path, *where)
    assert 0 == done.returncode, done.stderr
    assert f"only particles with equivalent diameter ≥ {limit} nm" in done.stderr
    assert count == len(rows(tmp_path / "particles.csv"))
    coco = json.loads(next(tmp_path.rglob("*coco*.json")).read_text())
    assert count == len(coco["annotations"])
    assert f"≥ {limit} nm" in (tmp_path / "filter.txt").read_text()
    assert before == {name: (folder / name).read_bytes() for name in before}
    save(site, min_diameter_nm=None)
    assert everything == site.json(f"{AU}/population")["particles"]
