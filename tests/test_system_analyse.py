"""`temwatch analyse` over real files: results, bad input, exit codes."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas
import pytest
from PIL import Image

from system import COMMAND, rows, temwatch, threshold, wait_until
from temwatch.columns import PARTICLE_COLUMNS
from temwatch.config import STATE_FOLDER
from temwatch.outputs.tables import MICROGRAPH_COLUMNS

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def analysed(series, tmp_path_factory):
    """The series, analysed once with every format."""
    output = tmp_path_factory.mktemp("analysed")
    options = ("--output", output, "--sample", "Au", "--formats", "csv,xlsx,parquet")
    done = temwatch("analyse", series, *options, fresh=True)
    assert 0 == done.returncode, done.stderr
    return output / "Au", done


def test_tables_have_the_columns_of_the_contract(analysed):
    """In their order, rows of every micrograph, numbers that fit together."""
    folder, done = analysed
    particles, micrographs = rows(folder / "particles.csv"), rows(folder / "micrographs.csv")
    assert [column.name for column in PARTICLE_COLUMNS] == list(particles[0])
    assert [column.name for column in MICROGRAPH_COLUMNS] == list(micrographs[0])
    assert {"done"} == {row["status"] for row in micrographs}
    assert {"file"} == {row["pixel_size_source"] for row in micrographs}
    assert all(row["stated_pixel_size_nm"] == row["pixel_size_nm"] for row in micrographs)
    assert 6 == len(micrographs)
    assert len(particles) == sum(int(row["particles"]) for row in micrographs) > 0
    for row in particles:
        area, diameter = float(row["area_nm2"]), float(row["equivalent_diameter_nm"])
        assert diameter == pytest.approx(2 * np.sqrt(area / np.pi), rel=1e-5)
        assert row["separated"] in ("true", "false")
    assert "equivalent diameter" in done.stdout


def test_all_formats_hold_the_same_particles(analysed):
    """csv, xlsx and parquet agree."""
    folder, _ = analysed
    table = pandas.read_csv(folder / "particles.csv")
    parquet = pandas.read_parquet(folder / "particles.parquet")
    workbook = pandas.read_excel(folder / "Au.xlsx", sheet_name=None)
    assert {"particles", "micrographs", "statistics"} <= set(workbook)
    for other in (parquet, workbook["particles"]):
        assert list(table.columns) == list(other.columns)
        assert np.allclose(table["area_nm2"], other["area_nm2"].astype(float), rtol=1e-6)


def test_pictures_of_every_micrograph(analysed):
    """Mask and overlay have the size of the micrograph; the mask covers what the table says."""
    folder, _ = analysed
    for row in rows(folder / "micrographs.csv"):
        name = row["micrograph"].removesuffix(".dm3")
        place = folder / "micrographs" / name
        with (
            Image.open(place / f"{name}_mask.png") as mask,
            Image.open(place / f"{name}_overlay.png") as overlay,
        ):
            assert (256, 256) == mask.size == overlay.size
            assert set(np.unique(np.array(mask))) <= {0, 255}
            assert float(row["particle_fraction"]) == pytest.approx((np.array(mask) > 0).mean(), rel=1e-4)
        own = rows(place / f"{name}_particles.csv")
        assert int(row["particles"]) == len(own)


def test_the_summary_adds_up(analysed):
    """summary.json is what a program reads."""
    folder, _ = analysed
    summary = json.loads((folder / "summary.json").read_text())
    table = pandas.read_csv(folder / "particles.csv")
    assert len(table) == summary["particles"]
    assert table["equivalent_diameter_nm"].mean() == pytest.approx(
        summary["statistics"]["equivalent_diameter_nm"]["mean"], rel=1e-5
    )


def test_a_second_run_finds_nothing_to_do(series, tmp_path):
    """Content that is in the ledger is not analysed again."""
    options = ("--output", tmp_path, "--sample", "Au", "--config", threshold(tmp_path))
    for _ in range(2):
        done = temwatch("analyse", series, *options)
        assert 0 == done.returncode, done.stderr
    assert 6 == len(rows(tmp_path / "Au" / "micrographs.csv"))


def test_bad_input_is_a_row_with_a_reason_and_the_rest_goes_on(series, tmp_path):
    """Each kind of trouble a folder can hold, beside good micrographs."""
    folder, output = tmp_path / "in", tmp_path / "out"
    (folder / "Au").mkdir(parents=True)
    good = sorted(series.glob("*.dm3"))
    content = good[0].read_bytes()
    shutil.copy(good[0], folder / "Au" / "good.dm3")
    shutil.copy(good[0], folder / "Au" / "same content.dm3")
    (folder / "Au" / "deeper").mkdir()
    shutil.copy(good[1], folder / "Au" / "deeper" / "good.dm3")
    (folder / "Au" / "empty.dm3").touch()
    (folder / "Au" / "truncated.dm3").write_bytes(content[: len(content) // 2])
    (folder / "Au" / "zeros.dm3").write_bytes(content[:4096] + bytes(len(content) - 4096))
    (folder / "Au" / "text.dm3").write_text("these are field notes")
    (folder / "Au" / "picture.tif").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "Au" / "a folder.dm3").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128), np.uint8)).save(
        folder / "Au" / "bare.tif"
    )
    (folder / "Au" / "notes.txt").write_text("ignored")
    for name in ("export.jpg", "other.JPG"):
        (folder / "Au" / name).write_text("passed over, and told of")
    shutil.copy(good[2], folder / "Au" / "closed.dm3")
    (folder / "Au" / "closed.dm3").chmod(0)
    done = temwatch("analyse", folder, "--output", output, "--config", threshold(tmp_path))
    assert 1 == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    assert 1 == done.stderr.count(f"{folder}/Au/*.jpg: jpg files are not read")
    assert "notes.txt" not in done.stderr
    found = {
        row["micrograph"]: (row["status"], row["reason"]) for row in rows(output / "Au" / "micrographs.csv")
    }
    status = {name: value for name, (value, _) in found.items()}
    # which of two equal files is the original depends on which is read first
    assert ["done", "duplicate"] == sorted((status.pop("Au/good.dm3"), status.pop("Au/same content.dm3")))
    assert {
        "Au/deeper/good.dm3": "done",
        "Au/empty.dm3": "refused",
        "Au/truncated.dm3": "refused",
        "Au/zeros.dm3": "refused",
        "Au/text.dm3": "refused",
        "Au/picture.tif": "refused",
        "Au/a folder.dm3": "refused",
        "Au/bare.tif": "refused",
        "Au/closed.dm3": "done" if os.geteuid() == 0 else "failed",
    } == status
    assert "--pixel-size" in found["Au/bare.tif"][1]
    for name, (value, reason) in found.items():
        assert "\n" not in reason, name
        assert bool(reason) == (value != "done"), name
        if value in ("refused", "failed"):
            assert f"{folder}/{name}" in done.stderr


def test_a_missing_pixel_size_is_cured_by_the_option(tmp_path):
    """The remedy that the reason names works, on the same output, also for a name that is not UTF-8."""
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[:256, :256]
    image = np.random.default_rng(0).normal(180, 5, (256, 256))
    image[(x - 90) ** 2 + (y - 120) ** 2 < 400] -= 100
    Image.fromarray(image.astype(np.uint8)).save(folder / os.fsdecode(b"Au_\xe9_1.tif"))
    options = ("--output", tmp_path / "out", "--config", threshold(tmp_path))
    first = temwatch("analyse", folder, *options)
    assert 1 == first.returncode
    second = temwatch("analyse", folder, *options, "--pixel-size", "0.5")
    assert 0 == second.returncode, second.stderr
    (sample,) = (entry for entry in (tmp_path / "out").iterdir() if (entry / "micrographs.csv").is_file())
    found = rows(sample / "micrographs.csv")
    assert [("done", "0.5", "user", "")] == [
        (row["status"], row["pixel_size_nm"], row["pixel_size_source"], row["stated_pixel_size_nm"])
        for row in found
    ]
    particle = rows(sample / "particles.csv")
    assert 1 == len(particle)
    assert float(particle[0]["equivalent_diameter_nm"]) == pytest.approx(20, rel=0.1)


def test_impatient_ctrl_c_ends_in_order_and_the_same_command_continues(series, tmp_path):
    """However often it is pressed: one line, exit 130, and nothing is lost."""
    output, spool = tmp_path / "out", tmp_path / "out" / STATE_FOLDER / "spool"
    arguments = ("analyse", series, "--output", output, "--sample", "Au", "--config", threshold(tmp_path))
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until(lambda: process.poll() is not None or (spool.is_dir() and any(spool.iterdir())), what="a file")
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    assert (130, "temwatch: interrupted; finished results are kept\n") == (
        process.returncode,
        process.communicate()[1],
    )
    assert 0 == temwatch(*arguments).returncode
    assert ["done"] * 6 == [row["status"] for row in rows(output / "Au" / "micrographs.csv")]


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path):
    """Brackets and colons are no styles and no emoji: nothing is lost from the line, nothing fails."""
    name = "gold[red] :smile: [1].tif"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128), np.uint8)).save(tmp_path / name)
    output = tmp_path / "results [" / "2]"
    done = temwatch("analyse", tmp_path / name, "--output", output, "--config", threshold(tmp_path))
    assert 1 == done.returncode, done.stderr
    (row,) = rows(output / "gold[red] _smile_ [1]" / "micrographs.csv")
    assert f"{tmp_path / name}: refused: {row['reason']}\n" == done.stderr
    assert "gold[red] _smile_ [1]: 0 particles" in done.stdout
    # the table has the true name, the folder one that any file system can hold
    assert "gold[red] :smile: [1]" == row["sample"]
    assert f"results in {output / 'gold[red] _smile_ [1]'}\n" in done.stdout


def test_a_named_file_of_another_kind_is_refused(tmp_path):
    """In a folder it would be ignored."""
    (tmp_path / "notes.txt").write_text("x")
    options = ("--output", tmp_path / "out", "--config", threshold(tmp_path))
    done = temwatch("analyse", tmp_path / "notes.txt", *options)
    assert 1 == done.returncode
    assert "notes.txt" in done.stderr
