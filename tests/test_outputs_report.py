"""The report, the charts and the workbook of a sample, from a ledger of known content."""

import gc
import io
import re
import shutil
import weakref
import xml.etree.ElementTree as ElementTree
import zipfile
from datetime import UTC, datetime

import numpy as np
import openpyxl
import pytest
from PIL import Image

from ledger_cases import METHOD, arrival, sha256, take
from system import Service, command, temwatch
from temwatch.domain import Status
from temwatch.engine import decisions
from temwatch.ledger import open_ledger, queue, recording
from temwatch.ledger.sample_columns import fields, renewed
from temwatch.outputs import charts, sample_report, workbook
from temwatch.outputs.numbers_in_words import interval_in_words, number_in_words
from temwatch.outputs.population_summary import POPULATIONS, View, select

ODD = "Au & 'Pt'"
AT = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Eight micrographs with twenty particles each, one of them empty, and a refused file."""
    with open_ledger(tmp_path_factory.mktemp("report")) as ledger:
        for number in range(8):
            take(ledger, f"Au_{number}.dm3", content=number, particles=0 if number == 5 else 20)
        file_id = queue.add(ledger, arrival("Au_bad.dm3"))
        queue.claim(ledger, 1, AT)
        recording.reject_file(
            ledger,
            file_id,
            status=Status.REFUSED,
            code="empty",
            reason="no bytes at all",
            at=AT,
            sha256=sha256("bad"),
        )
        take(ledger, "other.dm3", content="other", sample=ODD)
        with ledger.reader() as found:
            yield found


def test_the_report_states_what_must_be_stated(reader):
    """Version, method, parameters, calibration, numbers, exclusions by reason, uncertainty."""
    text = re.sub(r"<svg.*?</svg>", "", sample_report.report(reader, "Au", AT), flags=re.S)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.partition("<body>")[2]))
    mean = np.mean(fields(reader, "Au").values["equivalent_diameter_nm"])
    for expected in (
        "ISO 21363",
        "2026-05-01 09:30 UTC",
        METHOD.digest,
        "convexity_threshold = 0.95",
        "300 kV",
        "0.1 nm per pixel",
        "touching the border 8",
        "8 measured, 1 refused",
        "140 particles",
        "8 micrographs",
        "8 independent fields of view",
        "not the calibration",
        "ISO 13322-1",
        f"{mean:.1f}",
    ):
        assert expected in words, expected


def test_the_report_says_who_states_each_size_and_what_people_changed(tmp_path):
    """By hand is not "in the files"; what was undone is not told, what was done again is."""
    with open_ledger(tmp_path) as ledger:
        for number in range(3):
            take(ledger, f"Au_{number}.dm3", content=number)
        with ledger.transaction() as connection:
            connection.execute(
                "UPDATE micrographs SET pixel_size_source = 'user', pixel_size_nm = 0.2 WHERE id = 1"
            )
            connection.execute(
                """UPDATE micrographs SET pixel_size_source = 'corrected', pixel_size_nm = 0.3,
                    stated_pixel_size_nm = 0.29 WHERE id = 2"""
            )

        def decide(kind, **arguments):
            given = arguments | {"by": "anna", "source": "command", "reason": "astigmatic"}
            return decisions.decide(ledger, kind, given).answer["changes"]

        first = decide("exclude", micrograph=3, particles=[1])
        assert "Au_2.dm3 particle 1 excluded, anna: astigmatic" in words_of(ledger)
        back = decide("undo", changes=first)
        assert "Changes by people" not in words_of(ledger)
        decide("undo", changes=back)
        words = words_of(ledger)
    assert 1 == words.count("particle 1")
    for expected in (
        "0.2 nm per pixel, given by hand for files that state none (1)",
        "0.3 nm per pixel, corrected from 0.29 nm as stated in the files (1)",
        "0.1 nm per pixel, as stated in the files (1)",
    ):
        assert expected in words, expected


def words_of(ledger):
    with ledger.reader() as reader:
        text = sample_report.report(reader, "Au", AT)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.partition("<body>")[2]))


def test_a_report_needs_nothing_else(reader):
    """No script, no address, well-formed charts, and names of its parts that are used once."""
    text = sample_report.report(reader, "Au", AT)
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="(?!#|data:)', text.replace("xlink:href", "href"))
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert 2 == len(drawings)
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names))


def test_report_and_charts_are_made_of_one_reading_of_the_particles(tmp_path, reader):
    """Of a large sample it takes seconds."""
    queries = []
    reader.connection.set_trace_callback(queries.append)
    try:
        written = sample_report.write(reader, "Au", tmp_path, AT)
    finally:
        reader.connection.set_trace_callback(None)
    assert sample_report.report(reader, "Au", AT) == written[0].read_text(encoding="utf-8")
    assert 1 == sum("JOIN particles" in query for query in queries)


def test_a_sample_cannot_write_into_the_report(reader):
    """Its name is text."""
    text = sample_report.report(reader, ODD, AT)
    assert "Au &amp; &#39;Pt&#39;" in text
    assert ODD not in text


def test_a_sample_with_one_micrograph_has_a_report_without_intervals(reader):
    """Nothing to tell the uncertainty from."""
    text = sample_report.report(reader, ODD, AT)
    assert "Too few fields of view for an interval: 1 of at least 4" in text
    assert "±" not in text
    assert " to " not in re.search(r"<tbody>.*?</tbody>", text, flags=re.S)[0]


@pytest.mark.parametrize(
    ("value", "half_width", "number", "interval"),
    [
        (3.5642, 0.0731, "3.564", "3.491 to 3.637"),
        (3.5642, 0.731, "3.56", "2.83 to 4.30"),
        (123.4, 17.2, "123", "106 to 141"),
        (0.98765, 0.00096, "0.98765", "0.98669 to 0.98861"),
        (2.0, 0.0996, "2.00", "1.90 to 2.10"),
        (3.0, None, "3.00", "–"),
        (3.5642, None, "3.56", "–"),
        (12345.6, None, "12346", "–"),
        (None, None, "–", "–"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_allows(value, half_width, number, interval):
    """Two digits of the half-width; the interval stands apart."""
    known = {"value": value, "half_width": half_width}
    assert (number, interval) == (number_in_words(known), interval_in_words(known))


@pytest.mark.parametrize("chart", charts.CHARTS)
def test_a_chart_is_of_publication_quality_and_repeatable(reader, chart):
    """85 mm wide at 600 dpi, or text that stays text; the same ledger gives the same bytes."""
    known = fields(reader, "Au")
    png, svg, pdf = (charts.render(known, "Au", chart, kind, View()) for kind in ("png", "svg", "pdf"))
    with Image.open(io.BytesIO(png)) as picture:
        assert (2010, 1440) == picture.size
        assert 600 == pytest.approx(picture.info["dpi"][0], abs=1)
    assert b"<text" in svg
    ElementTree.fromstring(svg)
    assert png == charts.render(known, "Au", chart, "png", View())
    assert svg == charts.render(known, "Au", chart, "svg", View())
    assert pdf.startswith(b"%PDF-")
    assert b"/CIDFontType2" in pdf  # letters and no shapes
    assert pdf == charts.render(known, "Au", chart, "pdf", View())


@pytest.mark.parametrize("chart", charts.CHARTS)
@pytest.mark.parametrize("particles", [0, 1])
def test_a_chart_of_next_to_nothing_is_drawn(tmp_path, chart, particles):
    """One micrograph with no particle, or one."""
    with open_ledger(tmp_path) as ledger:
        take(ledger, "a.dm3", particles=particles)
        with ledger.reader() as reader:
            assert charts.render(fields(reader, "Au"), "Au", chart, "svg", View())
            assert sample_report.report(reader, "Au", AT)


def test_the_workbook_has_charts_of_its_own(reader):
    """Histograms whose counts are those of the particles, drawn by the spreadsheet."""
    stream = io.BytesIO()
    workbook.write(reader, "Au", stream)
    book = openpyxl.load_workbook(stream)
    sheet = book["charts"]
    assert 2 == len(sheet._charts)
    known = fields(reader, "Au").values
    for column, name in ((1, "equivalent_diameter_nm"), (5, "circularity")):
        rows = [
            [sheet.cell(line, column + offset).value for offset in range(3)]
            for line in range(2, sheet.max_row + 1)
            if sheet.cell(line, column).value is not None
        ]
        edges = [row[0] for row in rows] + [rows[-1][1]]
        assert np.histogram(known[name], edges)[0].tolist() == [row[2] for row in rows]
    with zipfile.ZipFile(stream) as parts:
        assert {"xl/charts/chart1.xml", "xl/charts/chart2.xml"} <= set(parts.namelist())


def test_fields_that_follow_are_those_that_were_read_at_once(reader):
    """What the page reads as it comes is what it would read anew."""
    whole = fields(reader, "Au")
    middle = int(whole.ids[3])
    first = fields(reader, "Au")
    first = type(first)(
        ids=whole.ids[:4],
        field=whole.field[:4],
        width_px=whole.width_px[:4],
        height_px=whole.height_px[:4],
        pixel_size_nm=whole.pixel_size_nm[:4],
        changes=whole.changes[:4],
        micrograph=whole.micrograph[whole.micrograph < 4],
        number=whole.number[whole.micrograph < 4],
        values={name: column[whole.micrograph < 4] for name, column in whole.values.items()},
    )
    joined = first.extended_by(fields(reader, "Au", after_id=middle))
    assert whole.field == joined.field
    for name in ("ids", "micrograph", "number", "width_px"):
        assert getattr(whole, name).tolist() == getattr(joined, name).tolist()
    for name, column in whole.values.items():
        np.testing.assert_array_equal(column, joined.values[name])  # what was not measured is NaN


def test_fields_that_changed_are_those_that_are_read_at_once(tmp_path):
    """After each of many decisions, also about several micrographs, with new ones between them."""
    random = np.random.default_rng(3)
    with open_ledger(tmp_path) as ledger:
        for number in range(8):
            take(ledger, f"{number}.dm3", content=number, particles=3 + number)
        with ledger.reader() as reader:
            known = fields(reader, "Au")
            for step in range(25):
                if step % 8 == 7:
                    take(ledger, f"later {step}.dm3", content=f"later {step}", particles=4)
                known.sorted_by("equivalent_diameter_nm")
                for number in random.choice(8, 1 + step % 3, replace=False).tolist():
                    asked = {"micrograph": number + 1, "by": "anna", "source": "api"}
                    if random.random() < 0.6:
                        asked["particles"] = random.integers(1, 8, 2).tolist()
                    decisions.decide(ledger, random.choice(["exclude", "include"]), asked)
                known, whole = renewed(reader, "Au", known), fields(reader, "Au")
                assert whole.field == known.field
                for name in ("ids", "changes", "width_px", "pixel_size_nm", "micrograph", "number"):
                    assert getattr(whole, name).tolist() == getattr(known, name).tolist(), name
                assert [*whole.values] == [*known.values]
                for name, column in whole.values.items():
                    np.testing.assert_array_equal(column, known.values[name])
                for one in (known, whole):
                    diameters = one.values["equivalent_diameter_nm"][one.sorted_by("equivalent_diameter_nm")]
                    assert sorted(whole.values["equivalent_diameter_nm"].tolist()) == diameters.tolist()


def test_values_are_rounded_as_the_csv_writes_them():
    """Seven digits or four, correctly, over forty powers of ten."""
    from temwatch.ledger.sample_columns import rounded

    random = np.random.default_rng(1)
    values = np.concatenate((random.lognormal(0, 8, 5000), -random.lognormal(0, 2, 50), [0.0, np.nan, 1e8]))
    for digits in (7, 4):
        expected = np.array([float(f"{value:.{digits}g}") for value in values])
        np.testing.assert_array_equal(expected, rounded(values, digits))


@pytest.mark.system
def test_the_command_writes_report_and_charts(tmp_path, analysed):
    """Into the sample's folder, or where the user says; an unknown sample is named."""
    service = Service(tmp_path)
    shutil.copytree(analysed / "results", service.output)
    done = temwatch("report", "Au", "--config", service.config)
    assert 0 == done.returncode, done.stderr
    folder = service.output / "Au" / "report"
    kinds = ("png", "svg", "pdf", "csv")
    expected = {"report.html", *(f"{chart}.{kind}" for chart in charts.CHARTS for kind in kinds)}
    assert expected == {path.name for path in folder.iterdir()}
    assert len(expected) == len(done.stdout.splitlines())
    done = command("report", "Au", "--config", service.config, "--output", tmp_path / "elsewhere")
    assert 0 == done.returncode, done.stderr
    assert expected == {path.name for path in (tmp_path / "elsewhere").iterdir()}
    missing = command("report", "Pt", "--config", service.config)
    assert 2 == missing.returncode
    assert "Pt" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_populations_last_as_long_as_their_particles(reader):
    """Computed once for several answers; at most four are held, and none once the sample is read anew."""
    particles = fields(reader, "Au")
    first = select(particles, View())
    assert first is select(particles, View())
    for name in POPULATIONS:
        select(particles, View(descriptor=name, weighting="area"))
    assert 4 == len(particles.derived)
    assert first is not select(particles, View())
    held = weakref.ref(particles.derived[View()].values)
    del particles, first
    gc.collect()
    assert held() is None
