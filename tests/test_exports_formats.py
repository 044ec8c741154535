"""What `temwatch export` writes, read by the tools that people will read it with."""

import csv
import json
import zipfile
from xml.etree import ElementTree

import h5py
import numpy as np
import ome_types
import openpyxl
import pandas
import pytest
import roifile
import shapely
import tifffile
from matplotlib.path import Path as Polygon
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from export_cases import DISCS, NM, SHAPE, disc_level, discs, polygon_area, record
from ledger_cases import START, take
from temwatch.analysis.measurement.polygons import measured_polygon
from temwatch.domain import Region
from temwatch.ledger import changes, exclusions, open_ledger
from temwatch.outputs import exports
from temwatch.outputs.exports.coco import encode_runs, run_lengths
from temwatch.outputs.tables import PARTICLES, rows, summary

OF_PYCOCOTOOLS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Two micrographs of one sample: one with outlines between the pixels, one of pixels."""
    with open_ledger(tmp_path_factory.mktemp("ledger")) as ledger:
        record(ledger, "Au/Au_01.dm3")
        record(ledger, "Au/Au_02.dm3", discs(DISCS[1:4], between_pixels=False))
        yield ledger


@pytest.fixture
def exported(ledger, tmp_path):
    """Function that writes one format and gives its files."""

    def export(name):
        with ledger.reader() as reader:
            return exports.export(reader, tmp_path, "Au", [name])

    return export


def masks(found=None):
    """The particles of a micrograph as masks of its size."""
    _, analysis = found or discs()
    whole = []
    for particle in analysis.particles:
        (row, column), crop = particle.region.origin_px, particle.region.mask
        mask = np.zeros(SHAPE, bool)
        mask[row : row + crop.shape[0], column : column + crop.shape[1]] = crop
        whole.append(mask)
    return whole


def pixels_in(polygon):
    """Pixels whose centre lies in a polygon of x and y, as ImageJ counts them."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    return Polygon(polygon).contains_points(np.stack((x.ravel(), y.ravel()), 1)).reshape(SHAPE)


def test_imagej_regions_are_the_measured_outlines(exported):
    """Names are numbers, overlaps are kept, and the areas are those of the outlines and of the table."""
    first, second = exported("roi")
    assert ("Au_01_RoiSet.zip", "Au_02_RoiSet.zip") == (first.name, second.name)
    regions = roifile.roiread(first)
    _, analysis = discs()
    assert ["1", "2", "3", "4", "5"] == [region.name for region in regions]
    for region, particle, mask in zip(regions, analysis.particles, masks(), strict=True):
        assert region.subpixelresolution
        assert region.version >= 222  # older ones are read without the sub-pixel part
        polygon = region.coordinates()
        outline = measured_polygon(particle.region)
        assert polygon_area(outline) == pytest.approx(polygon_area(polygon), rel=1e-3)
        # a curve through the corners holds a little more than the lines between them
        assert particle.area_nm2 / NM**2 == pytest.approx(polygon_area(polygon), rel=0.02)
        assert np.count_nonzero(mask) == pytest.approx(np.count_nonzero(pixels_in(polygon)), rel=0.01)
    overlap = pixels_in(regions[0].coordinates()) & pixels_in(regions[1].coordinates())
    assert np.count_nonzero(masks()[0] & masks()[1]) == pytest.approx(np.count_nonzero(overlap), rel=0.05)


def test_imagej_regions_of_pixels_hold_these_pixels(exported):
    """Without outlines between the pixels, the polygon runs along their edges."""
    regions = roifile.roiread(exported("roi")[1])
    for region, mask in zip(regions, masks(discs(DISCS[1:4], between_pixels=False)), strict=True):
        assert np.array_equal(mask, pixels_in(region.coordinates()))
        assert np.count_nonzero(mask) == pytest.approx(polygon_area(region.coordinates()))


def test_imagej_names_the_entries_of_the_archive(exported):
    """ImageJ takes the name of a region from its entry."""
    with zipfile.ZipFile(exported("roi")[0]) as archive:
        assert ["1.roi", "2.roi", "3.roi", "4.roi", "5.roi"] == archive.namelist()


@OF_PYCOCOTOOLS
def test_coco_masks_are_the_particles(exported, capsys):
    (path,) = exported("coco")
    coco = COCO(path)
    capsys.readouterr()  # it prints
    images = coco.loadImgs(coco.getImgIds())
    assert ["micrographs/Au_01/Au_01_micrograph.png", "micrographs/Au_02/Au_02_micrograph.png"] == [
        image["file_name"] for image in images
    ]
    assert {SHAPE} == {(image["height"], image["width"]) for image in images}
    found = coco.loadAnns(coco.getAnnIds(imgIds=[images[0]["id"]]))
    assert [1, 2, 3, 4, 5] == [one["particle"] for one in found]
    for one, mask in zip(found, masks(), strict=True):
        assert np.array_equal(mask, coco.annToMask(one))
        assert one["area"] == coco_mask.area(coco.annToRLE(one))
        assert one["bbox"] == coco_mask.toBbox(coco.annToRLE(one)).tolist()
    assert len({one["id"] for one in coco.loadAnns(coco.getAnnIds())}) == 8


@OF_PYCOCOTOOLS
@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_those_of_coco(seed):
    """Any mask anywhere, up to the edges of the picture."""
    random = np.random.default_rng(seed)
    size = tuple(random.integers(1, 40, 2).tolist())
    height, width = (int(random.integers(1, edge + 1)) for edge in size)
    row, column = int(random.integers(0, size[0] - height + 1)), int(random.integers(0, size[1] - width + 1))
    crop = random.random((height, width)) < random.choice([0.1, 0.5, 1])
    crop[0, 0] = True
    whole = np.zeros(size, np.uint8, order="F")
    whole[row : row + height, column : column + width] = crop
    runs = run_lengths(Region(origin_px=(row, column), mask=crop), size)
    expected = coco_mask.encode(whole)
    assert np.array_equal(whole, coco_mask.decode({"size": list(size), "counts": encode_runs(runs).encode()}))
    assert coco_mask.area(expected) == sum(runs[1::2])


def test_labels_hold_every_particle_whole_on_one_plane(exported):
    """Overlapping ones on two; the values are the numbers of the table."""
    path = exported("labels")[0]
    assert path.name == "Au_01_labels.ome.tif"
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        series = file.series[0]
        assert ("ZYX", (2, *SHAPE), np.uint32) == (series.axes, series.shape, series.dtype)
        planes = series.asarray()
    for number, mask in enumerate(masks(), 1):
        on = [np.array_equal(plane == number, mask) for plane in planes]
        assert [True] == [found for plane, found in zip(planes, on, strict=True) if (plane == number).any()]
    described = ome_types.from_tiff(path).images[0].pixels
    assert (2, *SHAPE) == (described.size_z, described.size_y, described.size_x)
    assert NM == pytest.approx(described.physical_size_x) == pytest.approx(described.physical_size_y)
    assert "nm" == described.physical_size_x_unit.value == described.physical_size_y_unit.value


def test_geojson_has_valid_polygons_of_the_right_area(exported):
    path = exported("geojson")[0]
    collection = shapely.from_geojson(path.read_text(encoding="utf-8"))
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    _, analysis = discs()
    assert ["1", "2", "3", "4", "5"] == [feature["properties"]["name"] for feature in features]
    for polygon, feature, particle in zip(collection.geoms, features, analysis.particles, strict=True):
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
        assert polygon_area(measured_polygon(particle.region)) == pytest.approx(polygon.area, rel=1e-3)
        assert polygon.centroid.x * NM == pytest.approx(particle.centroid_x_nm, abs=0.02)
        assert polygon.centroid.y * NM == pytest.approx(particle.centroid_y_nm, abs=0.02)
        assert particle.area_nm2 == feature["properties"]["measurements"]["area_nm2"]
    assert collection.geoms[0].intersects(collection.geoms[1])


def test_excel_csv_is_read_with_semicolons_and_commas(ledger, exported):
    """By an Excel with decimal commas, and with the same values as the table."""
    paths = {path.name: path for path in exported("csv-excel")}
    assert {"particles-excel.csv", "micrographs-excel.csv", "rejections-excel.csv"} == set(paths)
    raw = paths["particles-excel.csv"].read_bytes()
    assert raw.startswith("\ufeffsample;micrograph;".encode())
    table = pandas.read_csv(paths["particles-excel.csv"], sep=";", decimal=",", encoding="utf-8-sig")
    with ledger.reader() as reader:
        expected = list(rows(PARTICLES, reader, "Au"))
    place = [column.name for column in PARTICLES.columns].index("area_nm2")
    assert np.allclose([row[place] for row in expected], table["area_nm2"], rtol=1e-6)
    assert "." not in "".join(table.astype(str)["micrograph"]).replace(".dm3", "")
    with paths["particles-excel.csv"].open(encoding="utf-8-sig", newline="") as stream:
        assert {len(PARTICLES.columns)} == {len(row) for row in csv.reader(stream, delimiter=";")}


def test_excel_csv_quotes_what_looks_like_a_separator(tmp_path):
    with open_ledger(tmp_path / "state") as ledger, ledger.reader() as reader:
        take(ledger, 'Au/a;"b".dm3', content=1)
        take(ledger, "=1;2.dm3", content=2)
        exports.export(reader, tmp_path, "Au", ["csv-excel"])
    with (tmp_path / "micrographs-excel.csv").open(encoding="utf-8-sig", newline="") as stream:
        found = [row["micrograph"] for row in csv.DictReader(stream, delimiter=";")]
    assert ['Au/a;"b".dm3', "./=1;2.dm3"] == found


def test_nexus_has_the_groups_of_nxem_and_a_plot(exported):
    (path,) = exported("nexus")
    assert path.name == "Au.nxs"
    with h5py.File(path) as file:
        entry = file[file.attrs["default"]]
        assert ("NXem", "Au") == tuple(entry[name].asstr()[()] for name in ("definition", "experiment_alias"))
        assert ("NXentry", "NXem_measurement") == tuple(
            group.attrs["NX_class"] for group in (entry, entry["measurement"])
        )
        event = entry["measurement/event1"]
        assert (NM, "nm") == (event["pixel_size"][()], event["pixel_size"].attrs["units"])
        assert 300 == event["instrument/voltage"][()]
        data = entry[entry.attrs["default"]]
        signal = data[data.attrs["signal"]]
        assert ("NXdata", "nm", 8) == (data.attrs["NX_class"], signal.attrs["units"], len(signal))
        assert [1, 1, 1, 1, 1, 2, 2, 2] == data["roi"][()].tolist()
        outlines = entry["roi1/outlines"]
        assert [1, 2, 3, 4, 5] == outlines["indices"][()].tolist()
        parts = np.split(outlines["vertices"][()], np.cumsum(outlines["number_of_vertices"][()])[:-1])
    _, analysis = discs()
    for polygon, particle in zip(parts, analysis.particles, strict=True):
        expected = polygon_area(measured_polygon(particle.region)) * NM**2
        assert expected == pytest.approx(polygon_area(polygon.astype(float)), rel=1e-3)


def test_enanomapper_finds_its_fields_by_their_columns(ledger, exported):
    """The letters are those of the template's own description, see the module."""
    (path,) = exported("enanomapper")
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[1]
    assert sheet.title == "size TEM"
    letters = ("B", "J", "O", "P", "V", "AB", "AG", "AI", "AM")
    size = f"{SHAPE[1]} x {SHAPE[0]}"
    expected = ("Au", "Au", "P-CHEM", "PC_GRANULOMETRY_SECTION", size, "300", 2, "0.2", "y")
    assert expected == tuple(sheet[f"{one}5"].value for one in letters)
    with ledger.reader() as reader:
        statistics = summary(reader, "Au")["statistics"]
    for descriptor, median, mean, error in (
        ("equivalent_diameter_nm", "AQ", "AS", "AT"),
        ("feret_min_nm", "AW", "AY", "AZ"),
        ("aspect_ratio", "BC", "BE", "BF"),
        ("circularity", "BI", "BK", "BL"),
        ("solidity", "BU", "BW", "BX"),
    ):
        figures = statistics[descriptor]
        found = tuple(sheet[f"{letters}5"].value for letters in (median, mean, error))
        assert pytest.approx((figures["median"], figures["mean"], figures["sd"])) == found


def test_what_is_excluded_is_in_no_export(tmp_path):
    """The numbers of particles.csv keep gaps, and so do those of every format; micrographs are left out."""
    with open_ledger(tmp_path / "state") as ledger, ledger.reader() as reader:
        record(ledger, "Au/Au_01.dm3")
        record(ledger, "Au/Au_02.dm3")
        with ledger.transaction() as connection:
            author = changes.Author(by="me", at=START, source="command")
            exclusions.exclude_particles(connection, 1, [2, 4], author)
            exclusions.exclude_file(connection, 2, None, author)
        written = exports.export(reader, tmp_path, "Au", ["roi", "coco", "labels", "geojson", "nexus"])
    assert 5 == len(written)
    roi, coco, labels, geojson, nexus = written
    assert [1, 3, 5] == [int(region.name) for region in roifile.roiread(roi)]
    assert [1, 3, 5] == [one["particle"] for one in json.loads(coco.read_text())["annotations"]]
    assert [1, 3, 5] == np.unique(tifffile.imread(labels))[1:].tolist()
    names = [one["properties"]["name"] for one in json.loads(geojson.read_text())["features"]]
    assert ["1", "3", "5"] == names
    with h5py.File(nexus) as file:
        assert [1, 3, 5] == file["entry/particles/number"][()].tolist()
        assert [1, 3, 5] == file["entry/roi1/outlines/indices"][()].tolist()
        assert "roi2" not in file["entry"]


def test_a_sample_has_its_true_name(tmp_path):
    """Not that of its folder, which every system can open."""
    with open_ledger(tmp_path / "state") as ledger, ledger.reader() as reader:
        record(ledger, "Con/1.dm3", sample="Con")
        (row,) = reader.samples()
        assert (True, "Con") == (row.sample != "Con", row.name)
        nexus, coco, sheet = exports.export(reader, tmp_path, row.sample, ["nexus", "coco", "enanomapper"])
    with h5py.File(nexus) as file:
        found = [file[f"entry/{name}"].asstr()[()] for name in ("experiment_alias", "sample/name")]
    assert ["Con", "Con"] == found
    assert json.loads(coco.read_text())["info"]["description"].startswith("sample Con,")
    assert "Con" == openpyxl.load_workbook(sheet).properties.title


def test_outlines_of_a_disc_are_true(exported):
    """Where nothing overlaps, the polygon encloses the disc that was drawn."""
    regions = roifile.roiread(exported("roi")[0])
    for (row, column, radius), region in zip(DISCS[2:], regions[2:], strict=True):
        polygon = region.coordinates()
        assert np.pi * radius**2 == pytest.approx(polygon_area(polygon), rel=0.02)
        assert np.allclose([column + 0.5, row + 0.5], polygon.mean(0), atol=0.2)
    assert disc_level(*DISCS[3]).max() == 255  # deep enough to be wholly inside somewhere


def test_ome_metadata_is_wellformed(exported):
    with tifffile.TiffFile(exported("labels")[1]) as file:
        root = ElementTree.fromstring(file.ome_metadata)
    assert root.attrib["UUID"].startswith("urn:uuid:")
