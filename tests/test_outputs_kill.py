"""Killed at any moment, ledger and tables hold every micrograph exactly once."""

import csv
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

import killed_service
from ledger_cases import sha256
from temwatch.ledger import Reader, open_ledger
from temwatch.outputs import sample_folder
from temwatch.outputs.tables import TABLES, csv_text

pytestmark = pytest.mark.system

MEMORY = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # a kill, unlike a power cut, spares what is written


@pytest.fixture(scope="module")
def service():
    """Function that runs the service on a folder and says how it ended."""
    process = subprocess.Popen(
        [sys.executable, killed_service.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def run(output, step=100, *, seconds=0.0, fatal=0):
        process.stdin.write(f"{output}\t{step}\t{seconds}\t{fatal}\n")
        process.stdin.flush()
        code, calls = process.stdout.readline().split()
        return int(code), int(calls)

    with process:
        yield run
        process.stdin.close()


@pytest.fixture
def folder():
    """A folder in memory."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


def tables(output):
    """Every table of every sample, by its place below the output folder."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and ".temwatch" not in path.parts
    }


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def assert_every_micrograph_once(output, step=100):
    """From the files of the acquisition alone: nothing lost, nothing twice, nothing but whole rows."""
    files = killed_service.acquisition(step)
    for sample in ("Au", "Pt"):
        live = [(path, content) for path, content, _ in files if path.startswith(sample)]
        found = [row for row in rows(output / sample / "micrographs.csv") if row["status"] != "superseded"]
        frames = killed_service.STACK_FRAMES
        assert Counter({path: frames if "stack" in path else 1 for path, _ in live}) == Counter(
            row["micrograph"] for row in found
        )
        contents = {content for _, content in live}
        assert Counter(
            {sha256(content): frames if content == "stack" else 1 for content in contents}
        ) == Counter(row["sha256"] for row in found if row["status"] == "done")
        particles = rows(output / sample / "particles.csv")
        assert Counter(
            {
                (row["micrograph"], row["frame"]): int(row["particles"])
                for row in found
                if row["status"] == "done"
            }
        ) == Counter((row["micrograph"], row["frame"]) for row in particles)
        assert len(particles) == len(
            {(row["micrograph"], row["frame"], row["particle"]) for row in particles}
        )
    with Reader(output / ".temwatch") as reader:
        assert 0 == reader.receipt().pending
        for sample in ("Au", "Pt"):
            for table in TABLES:
                assert "".join(csv_text(table, reader, sample)) == (output / sample / table.file).read_text()


@pytest.mark.parametrize("times", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, service, times):
    """Files keep arriving, some are replaced, and the service does not live long."""
    seed = random.randrange(10**6)
    moments, kills = random.Random(seed), 0
    while kills < times:
        kills += service(tmp_path, 1 + 7 * kills // times, seconds=moments.uniform(0.001, 0.12))[0] == -9
    assert 0 == service(tmp_path)[0], f"seed {seed}"
    assert_every_micrograph_once(tmp_path)
    published = tables(tmp_path)
    with open_ledger(tmp_path / ".temwatch") as ledger:
        for sample in ("Au", "Pt"):
            sample_folder.rebuild(ledger, tmp_path, sample)
    assert published == tables(tmp_path)


@pytest.mark.parametrize(
    "stride",
    [
        60,
        pytest.param(30, marks=pytest.mark.slow),
        pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
    ids="each {}th".format,
)
def test_killed_at_any_step(folder, service, stride):
    """Some more files, killed before each call that changes something on the disk: the end is the same."""
    before, whole, killed = (folder / name for name in ("before", "whole", "killed"))
    assert 0 == service(before, 6)[0]
    shutil.copytree(before, whole)
    code, calls = service(whole, 7, fatal=10**9)
    assert (0, True) == (code, calls > 100)
    expected = tables(whole)
    for fatal in range(random.randint(1, stride), calls + 1, stride):
        shutil.copytree(before, killed)
        assert -9 == service(killed, 7, fatal=fatal)[0]
        assert 0 == service(killed, 7)[0]
        assert expected == tables(killed), f"killed before call {fatal}"
        shutil.rmtree(killed)
