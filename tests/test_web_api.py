"""The numbers of the API and the page, against the tables and the simulated truth."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from temwatch.analysis.measurement.polygons import polygon
from temwatch.domain import Region
from temwatch.errors import FAILURE_CODES, REFUSAL_CODES
from temwatch.ledger import analyses
from temwatch.ledger.sample_columns import fields
from temwatch.outputs import charts
from temwatch.outputs.population_summary import POPULATIONS, View, select
from temwatch.web import problems
from web_cases import TOKEN, Site, copied

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def site(analysed, tmp_path_factory):
    """The application on six micrographs."""
    with Site(copied(analysed, tmp_path_factory.mktemp("api"))) as running:
        yield running


def table(site, sample="Au", name="particles"):
    """Rows of a downloaded csv."""
    return list(csv.DictReader(io.StringIO(site.get(f"/api/samples/{sample}/tables/{name}.csv").text)))


@pytest.mark.parametrize("descriptor", POPULATIONS)
def test_the_histogram_counts_the_rows_of_the_csv(site, descriptor):
    """Bin by bin; the statistics follow from the same rows."""
    answer = site.json(f"/api/samples/Au/population?descriptor={descriptor}")
    values = np.array([float(row[descriptor]) for row in table(site)])
    expected, _ = np.histogram(values, answer["histogram"]["edges"])
    assert expected.tolist() == answer["histogram"]["counts"]
    assert len(values) == answer["particles"] == sum(answer["histogram"]["counts"])
    assert values.mean() == pytest.approx(answer["figures"]["mean"]["value"], rel=1e-5)
    assert np.percentile(values, 90) == pytest.approx(answer["figures"]["d90"]["value"], rel=1e-5)
    assert answer["figures"]["mean"]["half_width"] > 0
    assert {"normal", "log-normal"} == {fit["name"] for fit in answer["fits"]}


def test_without_intervals_all_else_is_the_same(site):
    """They take most of the time: a page that moves a filter asks for them last."""
    whole, quick = (site.json(f"/api/samples/Au/population?intervals={each}") for each in ("true", "false"))
    assert {None} == {one["half_width"] for one in quick["figures"].values()}
    assert all(one["half_width"] for one in whole["figures"].values())
    for answer in (whole, quick):
        answer["figures"] = {name: one["value"] for name, one in answer["figures"].items()}
    assert whole == quick


def test_a_chosen_axis_draws_the_same_particles_otherwise(site):
    """Bars of a chosen width and range; the statistics stay those of all particles."""
    chosen = "bin_width=0.5&axis_low=2&axis_high=4"
    whole = site.json("/api/samples/Au/population")
    answer = site.json(f"/api/samples/Au/population?{chosen}")
    values = np.array([float(row["equivalent_diameter_nm"]) for row in table(site)])
    edges = np.arange(2, 4.5, 0.5)
    assert edges == pytest.approx(answer["histogram"]["edges"])
    assert np.histogram(values, edges)[0].tolist() == answer["histogram"]["counts"]
    assert np.count_nonzero((values < 2) | (values > 4)) == answer["histogram"]["outside"] > 0
    assert whole["figures"] == answer["figures"]
    log = site.json("/api/samples/Au/population?log_axis=true&bin_ratio=1.25")
    edges = np.array(log["histogram"]["edges"])
    assert edges[1:] / edges[:-1] == pytest.approx(1.25)
    assert site.get("/api/samples/Au/population?axis_low=4&axis_high=2").status_code == 422


@pytest.mark.parametrize("chart", charts.CHARTS)
def test_the_data_behind_a_chart_come_as_csv(site, chart):
    """With the numbers of the API, of the particles that were chosen; the picture comes as pdf, too."""
    query = "descriptor=circularity&weighting=volume&min_diameter_nm=2"
    text = site.get(f"/api/samples/Au/charts/{chart}.csv?{query}").text
    rows = list(csv.DictReader(io.StringIO(text)))
    answer = site.json(f"/api/samples/Au/population?{query}")
    assert site.get(f"/api/samples/Au/charts/{chart}.pdf?{query}").content.startswith(b"%PDF-")
    if chart == "histogram":
        bars = [row for row in rows if row["series"] == "bars"]
        assert answer["histogram"]["counts"] == [int(row["particles"]) for row in bars]
        assert answer["histogram"]["density"] == [float(row["volume_density"]) for row in bars]
        smooth = [float(row["volume_density"]) for row in rows if row["series"] == "smoothed"]
        assert answer["smooth"]["y"] == smooth
        assert {"bars", "smoothed", "normal", "log-normal"} == {row["series"] for row in rows}
    elif chart == "scatter":
        assert answer["particles"] == len(rows)
    elif chart == "convergence":
        assert answer["fields"] == int(rows[-1]["fields"])
        assert float(rows[-1]["mean_half_width_percent"]) > 0
    else:
        border = site.json(f"/api/samples/Au/border?{query}")
        assert border["density"]["corrected"] == [float(row["corrected_volume_density"]) for row in rows]


def test_samples_are_compared_by_their_fields(site):
    """The numbers of both, their difference, and no test where a sample has too few fields."""
    query = "sample=Pt on carbon&sample=Au"
    answer = site.json(f"/api/comparison?{query}")
    means = [site.json(f"/api/samples/{one}/population")["figures"]["mean"] for one in ("Pt on carbon", "Au")]
    first, second = answer["samples"]
    assert ["Pt on carbon", "Au"] == [first["sample"], second["sample"]]
    assert means == [first["figures"]["mean"], second["figures"]["mean"]]
    against = second["against_reference"]
    assert means[1]["value"] - means[0]["value"] == pytest.approx(against["difference"], abs=1e-5)
    assert against["p"] is None  # two fields of platinum
    assert -1 <= against["cliffs_delta"] <= 1
    assert "against_reference" not in first
    rows = list(csv.DictReader(io.StringIO(site.get(f"/api/comparison/chart.csv?{query}").text)))
    assert {"Pt on carbon", "Au"} == {row["sample"] for row in rows}
    assert site.get(f"/api/comparison/chart.svg?{query}&log_axis=true").content.startswith(b"<?xml")
    filtered = site.json(f"/api/comparison?{query}&min_diameter_nm=3")
    assert filtered["samples"][1]["particles"] < second["particles"]
    assert 404 == site.get("/api/comparison?sample=Au&sample=Ag").status_code
    assert 422 == site.get("/api/comparison?sample=Au").status_code
    assert 422 == site.get("/api/comparison?sample=Au&sample=Au").status_code


def test_volume_weighting_uses_the_cubed_diameter(site):
    """The mean equals the average weighted by d³."""
    answer = site.json("/api/samples/Au/population?weighting=volume")
    d = np.array([float(row["equivalent_diameter_nm"]) for row in table(site)])
    assert np.average(d, weights=d**3) == pytest.approx(answer["figures"]["mean"]["value"], rel=1e-5)


def test_a_bar_gives_its_particles_and_their_crops(site):
    """As many as it counts, with their micrographs and a crop each."""
    bars = site.json("/api/samples/Au/population")["histogram"]
    index = int(np.argmax(bars["counts"]))
    low, high = bars["edges"][index : index + 2]
    found = site.json(f"/api/samples/Au/particles/between?low={low}&high={high}&limit=5")
    assert bars["counts"][index] == found["particles"]
    assert found["particles"] == sum(one["particles"] for one in found["micrographs"])
    assert min(5, found["particles"]) == len(found["chosen"])
    rows = {(row["micrograph"], row["particle"]): row for row in table(site)}
    for one in found["chosen"]:
        name = site.json(f"/api/micrographs/{one['micrograph']}")["micrograph"]
        row = rows[(name, str(one["number"]))]
        assert low <= float(row["equivalent_diameter_nm"]) < high
        crop = site.get(f"/api/micrographs/{one['micrograph']}/particles/{one['number']}.png")
        with Image.open(io.BytesIO(crop.content)) as picture:
            assert (160, 160) == picture.size
    assert 404 == site.get(f"/api/micrographs/{one['micrograph']}/particles/99999.png").status_code
    nothing = site.json("/api/samples/Au/particles/between?low=1e6&high=2e6")
    assert 0 == nothing["particles"] == len(nothing["chosen"])


def test_outlines_are_those_of_the_regions(site):
    """Each particle and rejection has an outline, which encloses the measured area."""
    row = next(row for row in site.json("/api/micrographs?limit=50") if row["status"] == "done")
    found = site.json(f"/api/micrographs/{row['id']}/outlines")
    with site.reader() as reader:
        particles, rejections = analyses.particles(reader, row["id"]), analyses.rejections(reader, row["id"])
    assert len(particles) == len(found["particles"])
    assert [str(one.reason) for one in rejections] == [one["reason"] for one in found["rejections"]]
    assert (row["width_px"], row["height_px"]) == (found["width_px"], found["height_px"])
    for particle, shown in zip(particles, found["particles"], strict=True):
        x, y = np.array(shown["polygon"]).reshape(-1, 2).T / 2
        enclosed = 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
        pixels = int(particle.region.mask.sum())
        assert pixels == pytest.approx(enclosed, abs=6 + 4 * np.sqrt(pixels))
        top, left = particle.region.origin_px
        height, width = particle.region.mask.shape
        assert x.min() >= left - 0.5
        assert x.max() <= left + width + 0.5
        assert y.min() >= top - 0.5
        assert y.max() <= top + height + 0.5


def test_the_state_of_the_service_includes_the_parts_of_a_view(site):
    """Equal to the separate answers; for the sample of the last micrograph unless another is named."""
    now = site.json("/api/now?also=outlines&also=population&also=convergence&also=curve&also=scatter")
    last, also = now["last"], now["also"]
    assert (last["id"], last["sample"]) == (also["micrograph"], also["sample"])
    sample = f"/api/samples/{last['sample']}"
    for name, path in (
        ("outlines", f"/api/micrographs/{last['id']}/outlines"),
        ("population", f"{sample}/population"),
        ("convergence", f"{sample}/convergence?curve=false"),
        ("curve", f"{sample}/convergence"),
        ("scatter", f"{sample}/scatter"),
    ):
        assert site.json(path) == also[name], name
    chosen = "weighting=volume&descriptor=feret_max_nm&border=corrected&target_percent=1.5"
    also = site.json(f"/api/now?also=population&also=curve&sample=Au&{chosen}")["also"]
    assert {"sample", "population", "curve"} == set(also)
    assert site.json(f"/api/samples/Au/population?{chosen.partition('&target')[0]}") == also["population"]
    assert site.json(f"/api/samples/Au/convergence?{chosen}") == also["curve"]
    assert {} == site.json("/api/now?also=population&sample=nobody")["also"] == site.json("/api/now")["also"]


def test_a_client_with_the_current_answer_gets_304(site):
    """Without a body; another question gets a full answer."""
    path = "/api/now?also=population"
    first = site.get(path)
    again = site.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (304, b"") == (again.status_code, again.content)
    other = site.get("/api/now", headers={"If-None-Match": first.headers["etag"]})
    assert 200 == other.status_code


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (2, 2)])
def test_the_smallest_regions_have_an_outline(shape):
    """A line of pixels becomes a rectangle."""
    points = np.array(polygon(Region(origin_px=(3, 7), mask=np.ones(shape, bool)))).reshape(-1, 2)
    assert len(points) >= 3
    assert points.min(axis=0) == pytest.approx([7, 3], abs=0.5)
    assert points.max(axis=0) == pytest.approx([7 + shape[1], 3 + shape[0]], abs=0.5)


def test_the_live_state_holds_what_the_live_view_shows(site):
    """Last and recent micrographs, queue, samples, and seconds from arrival to result."""
    now = site.json("/api/now")
    assert "done" == now["last"]["status"]
    assert 0 < now["last"]["arrival_to_result_s"] < 600
    assert {"done", "refused"} == {row["status"] for row in now["recent"]}
    assert {"waiting": 0, "oldest_detected_at": None, "next": [], "measured_again": 0} == now["queue"]
    assert ["Au", "Pt on carbon"] == [one["sample"] for one in now["samples"]]
    assert [] == now["trouble"]


def test_every_reason_has_advice():
    """No user is left with a bare code."""
    assert {*REFUSAL_CODES, *FAILURE_CODES} == set(problems.ADVICE)


def test_problems_are_described_in_words(site):
    """A refused file, a missing share, a faulty graphics card."""
    (refused,) = site.json("/api/trouble")["files"]
    assert "not_a_micrograph" == refused["reason_code"]
    assert problems.ADVICE["not_a_micrograph"] == refused["what_to_do"]
    well = site.vitals
    try:
        site.vitals = replace(well, watch_folder_up=False, gpu_healthy=False, ready=False)
        said = [one["what"] for one in site.json("/api/now")["trouble"]]
    finally:
        site.vitals = well
    assert ["The watched folder is missing.", "The graphics card is not working properly."] == said


def test_convergence_ends_with_the_figures_of_the_population(site):
    """And states the distance to the target."""
    figures = site.json("/api/samples/Au/population")["figures"]["mean"]
    found = site.json("/api/samples/Au/convergence?target_percent=50")
    assert 100 * figures["half_width"] / figures["value"] == pytest.approx(found["mean"]["percent"], rel=1e-4)
    assert found["mean"]["enough"]
    assert 0 == found["mean"]["fields_more"]
    strict = site.json("/api/samples/Au/convergence?target_percent=0.5")
    assert strict["mean"]["fields_more"] > 0
    assert "13322" in strict["iso_13322_1"]


def test_the_border_correction_shifts_the_mean_up(site):
    """Large particles touch the border more often."""
    found = site.json("/api/samples/Au/border")
    assert found["shift_percent"]["mean"] > 0
    assert 50 < found["seen_whole_percent"] < 100
    corrected = site.json("/api/samples/Au/population?border=corrected")
    assert corrected["figures"]["mean"] == found["figures"]["corrected"]["mean"]


def test_a_comparison_reads_a_manual_table(site):
    """Equal diameters give equal distributions; a file that is no table is refused with a reason."""
    text = "No.;Diameter [nm]\n" + "\n".join(
        f"{n};{float(row['equivalent_diameter_nm']):.7g}".replace(".", ",")
        for n, row in enumerate(table(site))
    )
    headers = {"Content-Type": "text/csv; charset=utf-8", "Authorization": f"Bearer {TOKEN}"}
    found = site.client.post("/api/samples/Au/comparison", content=text.encode(), headers=headers).json()
    assert found["count"][0] == found["count"][1]
    assert found["welch_p"] > 0.99
    assert 0 == found["ks_distance"]
    bad = site.client.post("/api/samples/Au/comparison", content=b"hello", headers=headers)
    assert 422 == bad.status_code
    assert "no column" in bad.json()["detail"]
    odd = " ,Mean,Max\n" + "".join(
        f"{n},{9 + n},{row['feret_max_nm']}\n" for n, row in enumerate(table(site), 1)
    )
    asked = site.client.post("/api/samples/Au/comparison", content=odd.encode(), headers=headers)
    assert (422, ["column 1", "Mean", "Max"]) == (asked.status_code, asked.json()["candidates"])
    chosen = site.client.post("/api/samples/Au/comparison?column=Max", content=odd.encode(), headers=headers)
    assert (200, "Max") == (chosen.status_code, chosen.json()["column"])
    gone = site.client.post("/api/samples/none/comparison", content=text.encode(), headers=headers)
    assert 404 == gone.status_code


def test_names_with_spaces_work(site):
    """In the address and in the name of the downloaded file."""
    answer = site.get("/api/samples/Pt%20on%20carbon/tables/micrographs.csv")
    assert 200 == answer.status_code
    assert "Pt%20on%20carbon_micrographs.csv" in answer.headers["content-disposition"]


def test_previews_have_the_requested_sizes(site):
    """A thumbnail, and a preview no larger than the micrograph."""
    last = site.json("/api/now")["last"]["id"]
    for edge in (320, 1600):
        answer = site.get(f"/api/micrographs/{last}/preview.jpg?edge_px={edge}")
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert "JPEG" == picture.format
            assert max(picture.size) == min(edge, 256)
    refused = next(row for row in site.json("/api/micrographs") if row["status"] == "refused")["id"]
    for path in ("preview.jpg", "outlines", "micrograph.png", "particles/1.png"):
        assert 404 == site.get(f"/api/micrographs/{refused}/{path}").status_code


def test_plotly_comes_from_its_package_and_can_be_cached(site):
    """Compressed, with a name that changes with its content."""
    page = site.get("/").text
    path = page.partition('data-plotly="')[2].partition('"')[0]
    answer = site.get(f"/{path}")
    assert "gzip" == answer.headers["content-encoding"]
    assert "plotly.js" in answer.text[:200]
    assert "immutable" in answer.headers["cache-control"]
    again = site.get(f"/{path}", headers={"If-None-Match": answer.headers["etag"]})
    assert 304 == again.status_code


def test_the_page_refers_to_no_other_host(site):
    """Neither page nor scripts nor styles."""
    for path in ("/", *(f"/static/{name}" for name in ("page.js", "charts.js", "style.css", "views.css"))):
        text = site.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path


def test_later_particles_are_merged_into_the_sorted_ones(site):
    """A population that grew micrograph by micrograph equals that of all micrographs, including ties."""
    with site.reader() as reader:
        whole = fields(reader, "Au")
        last = int(whole.ids[-1])
    count = int(np.searchsorted(whole.micrograph, len(whole.ids) - 1))
    grown = replace(
        whole,
        ids=whole.ids[:-1],
        field=whole.field[:-1],
        width_px=whole.width_px[:-1],
        height_px=whole.height_px[:-1],
        pixel_size_nm=whole.pixel_size_nm[:-1],
        micrograph=whole.micrograph[:count],
        number=whole.number[:count],
        values={name: values[:count] for name, values in whole.values.items()},
    )
    select(grown, View(weighting="volume"))
    with site.reader() as reader:
        grown = grown.extended_by(fields(reader, "Au", after_id=int(grown.ids[-1])))
    assert last == grown.ids[-1]
    assert 0 < count == len(grown.order["equivalent_diameter_nm"]) < len(whole.number)
    for view in (View(), View(weighting="volume", border="corrected"), View(descriptor="circularity")):
        expected, found = select(whole, view), select(grown, view)
        for name in ("values", "weights", "field"):
            assert getattr(expected, name).tolist() == getattr(found, name).tolist(), (view, name)
        assert (np.diff(found.values) >= 0).all()


def test_a_listener_receives_what_the_engine_sends(site):
    """As server-sent events, at once: not with the next sign of life."""
    with site.client.stream("GET", "/api/events") as line:
        chunks = line.iter_text()
        assert "retry:" in next(chunks)
        site.hub.send("micrograph", {"id": 7})
        assert 'event: micrograph\ndata: {"id": 7}' in next(chunks)
