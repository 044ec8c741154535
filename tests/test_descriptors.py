"""The table of descriptors: one entry is all that a new one takes."""

import difflib
import html
import json
import math
import re
import shutil
from pathlib import Path

import openpyxl
import pytest
from pyarrow import parquet

from system import Service, rows, wait_until
from temwatch import descriptors
from temwatch.columns import PARTICLE_COLUMNS
from temwatch.descriptors import DESCRIPTORS, NAMES, Outline, Shown, measure_outline, shown

ENTRY = """    Descriptor(
        name="roundness",
        label="roundness",
        meaning="area / area of the disc of the maximum Feret diameter",
        formula=lambda outline: 4 * outline.area / (math.pi * outline.feret_max**2),
        power=0,
        shown=_ALL | Shown.WORKBOOK_CHART,
    ),
"""
END = ")\n\nBY_NAME ="

# every process of the service takes the edited table for the module of that name
IN_ITS_PLACE = """
import importlib.util, sys

class Edited:
    def find_spec(name, path=None, target=None):
        if name == "temwatch.descriptors":
            return importlib.util.spec_from_file_location(name, {path!r})

sys.meta_path.insert(0, Edited)
"""


@pytest.fixture
def edited(tmp_path):
    """Environment of a temwatch whose table has one entry more; the edit is at one place of one file."""
    source = Path(descriptors.__file__)
    before = source.read_text(encoding="utf-8")
    assert 1 == before.count(END)
    after = before.replace(END, ENTRY + END)
    changed = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines()).get_opcodes()
    assert 1 == sum(kind != "equal" for kind, *_ in changed)
    folder = tmp_path / "edited"
    folder.mkdir()
    (folder / "descriptors.py").write_text(after, encoding="utf-8")
    (folder / "sitecustomize.py").write_text(IN_ITS_PLACE.format(path=str(folder / "descriptors.py")))
    return {"PYTHONPATH": f"{folder}:{source.parents[1]}"}


def has_column(folder, count):
    """Whether parquet file and workbook, which are written once the sample rests, have all rows."""
    table, book = folder / "particles.parquet", folder / "Au.xlsx"
    if not (table.is_file() and book.is_file()):
        return False
    lengths = {parquet.read_metadata(table).num_rows, openpyxl.load_workbook(book)["particles"].max_row - 1}
    return lengths == {count} and "roundness" in parquet.read_schema(table).names


@pytest.mark.system
def test_a_new_descriptor_is_one_entry(tmp_path, series, edited):
    """Found in every table, the API and the page; empty where an older version measured the micrograph."""
    first, second = sorted(series.glob("*.dm3"))[:2]
    service = Service(tmp_path, output={"formats": ["csv", "xlsx", "parquet"]})
    folder = service.output / "Au"
    with service.start():
        shutil.copy(first, service.watched / "Au_01.dm3")
        wait_until(lambda: len(service.micrographs("Au")) == 1, what="the first micrograph")
        assert 422 == service.status("api/samples/Au/population?descriptor=roundness")
    assert "roundness" not in (folder / "particles.csv").read_text().partition("\n")[0]

    with service.start(env=edited):
        shutil.copy(second, service.watched / "Au_02.dm3")
        wait_until(lambda: len(service.micrographs("Au")) == 2, what="the second micrograph")
        answer = service.json("api/samples/Au/particles")
        population = service.json("api/samples/Au/population?descriptor=roundness")
        page = service.get("").decode()
        openapi = service.json("api/openapi.json")
        statistics = service.json("api/samples/Au/summary")["statistics"]
        (late,) = {row["id"] for row in service.json("api/micrographs") if row["micrograph"] == "Au_02.dm3"}
        details = service.json(f"api/micrographs/{late}")["particle_rows"]
        wait_until(lambda: has_column(folder, len(answer)), what="parquet and workbook of both micrographs")

    table = rows(folder / "particles.csv")
    assert [*(column.name for column in PARTICLE_COLUMNS), "roundness"] == list(table[0])
    assert {"Au_01.dm3", "Au_02.dm3"} == {row["micrograph"] for row in table}
    for row in table:
        disc = math.pi / 4 * float(row["feret_max_nm"]) ** 2
        expected = "" if row["micrograph"] == "Au_01.dm3" else pytest.approx(float(row["area_nm2"]) / disc)
        assert expected == (row["roundness"] and float(row["roundness"]))
    measured = [float(row["roundness"]) for row in table if row["roundness"]]
    assert measured

    for found in (answer, parquet.read_table(folder / "particles.parquet").to_pylist()):
        values = [row["roundness"] for row in found if row["roundness"] is not None]
        assert measured == pytest.approx(values)
        assert len(table) == len(found)
    field = parquet.read_schema(folder / "particles.parquet").field("roundness")
    assert b"disc of the maximum Feret" in field.metadata[b"meaning"]
    assert measured == pytest.approx([row["roundness"] for row in details])

    book = openpyxl.load_workbook(folder / "Au.xlsx")
    assert "roundness" in [cell.value for cell in book["particles"][1]]
    assert "roundness" in [row[0].value for row in book["statistics"]]
    assert "roundness from" in [cell.value for cell in book["charts"][1]]

    assert len(measured) == statistics["roundness"]["count"] == population["particles"]
    assert ("roundness", "") == (population["name"], population["unit"])
    choices = openapi["paths"]["/api/samples/{sample}/population"]["get"]["parameters"]
    (choices,) = [one["schema"]["enum"] for one in choices if one["name"] == "descriptor"]
    (labels,) = re.findall(r'data-descriptors="([^"]+)"', page)
    labels = json.loads(html.unescape(labels))
    assert choices == [name for name, _ in labels]
    assert ["roundness", "roundness"] == labels[-1]


def test_names_end_in_their_units():
    for one in DESCRIPTORS:
        suffix = {0: "", 1: "_nm", 2: "_nm2"}[one.power]
        assert one.name.endswith(suffix)
        assert suffix or not one.name.endswith(("_nm", "_nm2", "_px"))
        assert one.label
        assert one.meaning
    assert len(set(NAMES)) == len(NAMES) == len({one.label for one in DESCRIPTORS})


def test_pixels_become_nm_by_the_power_of_the_pixel_size():
    """Twice the pixel size: twice the lengths, four times the areas, the same ratios."""
    outline = Outline(314, 9.5, 9.5, 62.8, 62.8, 314, 20, 21, 5, 7, contrast=0.3, confidence=0.8)
    small, large = measure_outline(outline, 1.0), measure_outline(outline, 2.0)
    for one in DESCRIPTORS:
        assert large[one.name] == pytest.approx(2**one.power * small[one.name])


def test_people_meet_the_size_first():
    """The same order everywhere; where fewer are shown, the others are left out."""
    everywhere = [one.name for one in shown(Shown.STATISTICS)]
    assert descriptors.SIZE == everywhere[0]
    for place in Shown:
        names = [one.name for one in shown(place)]
        assert names == [name for name in everywhere if name in names]
        assert descriptors.SIZE in names


def test_the_table_needs_nothing_of_temwatch():
    """It stands on the lowest floor."""
    source = Path(descriptors.__file__).read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) temwatch", source, re.MULTILINE)
