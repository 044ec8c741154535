"""Copies of one exposure count once and exposures of one area are one field, in a run and after a rebuild."""

from datetime import UTC, datetime

import numpy as np
import pytest
import tifffile

from exposure_cases import SETTINGS, Area, in_8_bit, with_scale_bar
from system import rows, temwatch, threshold
from temwatch.domain import Metadata
from temwatch.ledger import Reader
from temwatch.ledger.sample_columns import fields
from temwatch.outputs import paths
from temwatch.simulator import write_dm

EXPORT, COPY = "Au/Au_01.tif", "Au/Au_01 - Copy.dm3"


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    """Two areas, one of them exposed twice; of one exposure an export and a copy that was saved again."""
    folder = tmp_path_factory.mktemp("acquisition") / "Au"
    folder.mkdir()
    first, second = (Area(SETTINGS, seed) for seed in (1, 2))
    exposure = first.expose()
    dm = {
        "Au_01": exposure,
        "Au_02": first.expose((20, 30)),
        "Au_03": second.expose(),
        "Au_01 - Copy": exposure,
    }
    for number, (name, image) in enumerate(dm.items()):
        taken = datetime(2026, 1, 1, 12, number, tzinfo=UTC)
        write_dm(folder / f"{name}.dm3", image, pixel_size_nm=0.1, acquired_at=taken, metadata=Metadata())
    tifffile.imwrite(
        folder / "Au_01.tif",
        with_scale_bar(in_8_bit(exposure)),
        imagej=True,
        resolution=(10, 10),
        metadata={"unit": "nm"},
    )
    return folder.parent


def run(acquisition, folder, *, count_copies=False):
    """Analyse it; gives the rows by path."""
    config = threshold(folder, count_copies=count_copies)
    done = temwatch("analyse", acquisition, "--output", folder / "results", "--config", config)
    assert 0 == done.returncode, done.stderr
    return config, {row["micrograph"]: row for row in rows(folder / "results" / "Au" / paths.MICROGRAPHS)}


def test_each_exposure_counts_once_and_each_area_is_one_field(acquisition, tmp_path):
    """The rows say of what they are copies or repeats, and a rebuild says the same."""
    config, found = run(acquisition, tmp_path)
    status = {path: row["status"] for path, row in found.items()}
    assert 5 == len(found)
    assert ["done", "done", "duplicate"] == [
        status[path] for path in ("Au/Au_02.dm3", "Au/Au_03.dm3", EXPORT)
    ]
    original = "Au/Au_01.dm3"
    assert ["done", "duplicate"] == [status[path] for path in (original, COPY)]
    for path in (EXPORT, COPY):
        assert f"same_field_as={found[original]['sha256']}" == found[path]["notes"]
        assert f"copy of the exposure in {original}" == found[path]["reason"]
        assert "" == found[path]["particles"]
    notes = [found[path]["notes"] for path in found if "repeat_of=" in found[path]["notes"]]
    assert notes
    folder = tmp_path / "results" / "Au"
    # nothing is left of what does not count, though a copy may have had its folder first
    assert 3 == len(list((folder / "micrographs").iterdir()))
    particles = rows(folder / paths.PARTICLES)
    assert {"Au/Au_02.dm3", "Au/Au_03.dm3", original} == {row["micrograph"] for row in particles}
    assert len(particles) == sum(int(row["particles"] or 0) for row in found.values())
    with Reader(tmp_path / "results" / ".temwatch") as reader:
        assert 2 == len(set(fields(reader, "Au").field))
    before = {path: path.read_bytes() for path in folder.glob("*.csv")}
    for path in before:
        path.unlink()
    config.write_text(config.read_text().replace('[output]\nfolder = "."', '[output]\nfolder = "results"'))
    again = temwatch("rebuild", "--config", config)
    assert 0 == again.returncode, again.stderr
    assert before == {path: path.read_bytes() for path in folder.glob("*.csv")}


def test_a_frame_that_comes_again_is_a_point_in_time(tmp_path):
    """Within a sequence nothing is a copy or a repeat."""
    stack = tmp_path / "acquisition" / "Series" / "Series_01.tif"
    stack.parent.mkdir(parents=True)
    frames = np.stack([in_8_bit(Area(SETTINGS, 1).expose())] * 3)
    unit = {"unit": "nm", "axes": "TYX"}
    tifffile.imwrite(stack, frames, imagej=True, resolution=(10, 10), metadata=unit)
    config = threshold(tmp_path)
    done = temwatch("analyse", stack.parent.parent, "--output", tmp_path / "results", "--config", config)
    assert 0 == done.returncode, done.stderr
    found = rows(tmp_path / "results" / "Series" / paths.MICROGRAPHS)
    assert [("done", "")] * 3 == [(row["status"], row["notes"]) for row in found]
    with Reader(tmp_path / "results" / ".temwatch") as reader:
        assert 0 == reader.value("SELECT count(*) FROM fingerprints")


def test_copies_count_where_the_settings_say_so(acquisition, tmp_path):
    """They are still of one field of view."""
    _, found = run(acquisition, tmp_path, count_copies=True)
    assert {"done"} == {row["status"] for row in found.values()}
    with Reader(tmp_path / "results" / ".temwatch") as reader:
        assert 2 == len(set(fields(reader, "Au").field))
