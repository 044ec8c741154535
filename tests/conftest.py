"""What every test may use."""

import itertools
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TextIO

import hypothesis
import numpy as np
import pytest
import structlog

from temwatch import compiled_code, operating_system

# the folder that `make compiled` fills: set before numba is loaded, and for every process that a test starts
compiled_code.keep_in(Path(sys.prefix))
# as the command line sets it, before numpy is loaded
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# test processes fill the machine: threads of small arrays would spin, waiting for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")


# no test depends on how fast the machine is
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trainings first, which take longest; then files with real processes, which often wait, among others.

    A test process takes whole files, in this order.
    """
    files = list(dict.fromkeys(item.path for item in items))
    with_processes = {item.path for item in items if item.get_closest_marker("system")}
    waiting = [path for path in files if path in with_processes]
    computing = [path for path in files if path not in with_processes]
    # short ones are left for the end, so that no process is alone with a long one
    place = {path: 0.8 * number / len(waiting) for number, path in enumerate(waiting)}
    place |= {path: number / len(computing) for number, path in enumerate(computing)}
    items.sort(key=lambda item: (not item.path.name.startswith("test_training"), place[item.path]))


@pytest.fixture(autouse=True)
def logging_is_that_of_a_new_process() -> Iterator[None]:
    """Commands that ran in this process leave a level and loggers of which `capture_logs` hears nothing."""
    configure = structlog.configure
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(
            structlog, "configure", lambda **how: configure(**how | {"cache_logger_on_first_use": False})
        )
        yield
    structlog.reset_defaults()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails beside a real service shows what that has logged."""
    report = yield
    service = getattr(item, "funcargs", {}).get("service")
    if report.failed and hasattr(service, "trouble"):
        report.sections.append(("log of the service", service.trouble()))
    return report


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of real micrographs; not part of the project, so tests that need it skip without it."""
    value = os.environ.get("TEMWATCH_DATA", "")
    if not value or not Path(value).is_dir():
        pytest.skip("TEMWATCH_DATA does not name the folder of real micrographs")
    return Path(value)


@pytest.fixture(scope="session")
def write_dm() -> Callable[..., Path]:
    """Function that writes a dm3 or dm4 (by extension) with the tag tree that DigitalMicrograph has.

    `axes` are (scale, unit) for x, y and the frames; `thumbnail` puts an RGB picture in front of the image.
    """
    from nionswift_plugin.DM_IO import parse_dm3

    types = {"i2": 1, "f4": 2, "c8": 3, "u1": 6, "i4": 7, "i1": 9, "u2": 10, "u4": 11, "f8": 12}
    types |= {"c16": 13, "i8": 39, "u8": 40}

    def image(pixels: Any, axes: Any, tags: dict[str, Any], data_type: int | None) -> dict[str, Any]:
        if pixels.dtype.kind == "c":
            data = parse_dm3.StructArray(["f", "f"] if pixels.dtype.itemsize == 8 else ["d", "d"])
            data.raw_data = pixels.tobytes()
        else:
            bits = pixels.view(np.int8) if pixels.dtype == np.uint8 else pixels  # it has no uint8
            data = parse_dm3.DataChunkWriter(bits)
        dimensions = [{"Origin": 0.0, "Scale": float(scale), "Units": unit} for scale, unit in axes]
        return {
            "ImageData": {
                "Calibrations": {"Dimension": dimensions},
                "Data": data,
                "DataType": data_type or types[pixels.dtype.str[1:]],
                "Dimensions": list(pixels.shape[::-1]),
                "PixelDepth": pixels.dtype.itemsize,
            },
            "ImageTags": tags,
        }

    def write(
        path: Path,
        pixels: Any,
        axes: Any = ((0.05, "nm"), (0.05, "nm")),
        tags: dict[str, Any] | None = None,
        *,
        data_type: int | None = None,
        thumbnail: bool = False,
    ) -> Path:
        images = [image(pixels, axes, tags or {}, data_type)]
        tree: dict[str, Any] = {"ImageList": images}
        if thumbnail:
            small = np.full((8, 8), 0x80808080 - 2**32, np.int32)
            images.insert(0, image(small, ((1, ""), (1, "")), {}, 23))
            tree["Thumbnails"] = [{"ImageIndex": 0, "SourceSize_Pixels": (8, 8)}]
        tree["ImageSourceList"] = [
            {"ClassName": "ImageSource:Simple", "Id": [0], "ImageRef": len(images) - 1}
        ]
        with path.open("wb") as stream:
            parse_dm3.dm_write_header(stream, 4 if path.suffix.lower() == ".dm4" else 3, tree)
        return path

    return write


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Function that makes a folder once for all test processes, from its name and what fills it.

    Tests only read what is in there.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            _wait_for(lock)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


def _wait_for(lock: TextIO) -> None:
    while True:
        try:
            return operating_system.lock(lock)
        except BlockingIOError:
            time.sleep(0.05)


@pytest.fixture(scope="session")
def series(made_once) -> Path:
    """Six small simulated micrographs of one sample, as dm3."""
    from temwatch import simulator

    def fill(folder: Path) -> None:
        for _ in simulator.write_series(folder, micrographs=6, seed=1, size_px=256):
            pass

    return made_once("series", fill)


@pytest.fixture(scope="module")
def contents(series) -> Callable[[], bytes]:
    """Function that gives the bytes of a micrograph, others each time: what follows the end is no part of it.

    They are copies of one exposure.
    """
    whole = sorted(series.glob("*.dm3"))[0].read_bytes()
    numbers = itertools.count()
    return lambda: whole + next(numbers).to_bytes(3)


@pytest.fixture(scope="session")
def analysed(made_once, series) -> Path:
    """Folder with `acquisition` and `results` of two samples: six micrographs, and a file that is none."""
    from system import temwatch, threshold

    def fill(folder: Path) -> None:
        acquisition = folder / "acquisition"
        paths = sorted(series.glob("*.dm3"))
        for sample, chosen in (("Au", paths[:4]), ("Pt on carbon", paths[4:])):
            (acquisition / sample).mkdir(parents=True)
            for number, path in enumerate(chosen, 1):
                shutil.copy(path, acquisition / sample / f"{sample[:2]}_{number:02d}.dm3")
        (acquisition / "Au" / "Au_99.dm3").write_text("not a micrograph")
        done = temwatch("analyse", acquisition, "--output", folder / "results", "--config", threshold(folder))
        assert 1 == done.returncode, done.stderr

    return made_once("analysed", fill)
