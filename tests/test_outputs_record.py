"""record.json: what an archive harvests of a sample."""

import io
import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import throwaway_environment
from ledger_cases import METHOD, START, arrival, result, take
from temwatch.domain import Metadata, Status
from temwatch.ledger import exclusions, open_ledger, queue, recording
from temwatch.ledger.changes import Author
from temwatch.outputs import sample_record
from temwatch.outputs.tables import summary

SOMEBODY = Author(by="me", source="command", at=datetime(2026, 3, 2, tzinfo=UTC))


def record_of(ledger, sample="Au"):
    stream = io.BytesIO()
    with ledger.reader() as reader, reader.snapshot():
        sample_record.write(reader, sample, stream)
    return json.loads(stream.getvalue())


@pytest.fixture
def ledger(tmp_path):
    """Two micrographs, one refused file and a stack of three frames."""
    with open_ledger(tmp_path / "state") as ledger:
        take(ledger, "Au/1.dm3", content=1, sample="Au")
        take(ledger, "Au/2.dm3", content=2, particles=5, sample="Au")
        queue.add(ledger, arrival("Au/3.dm3", sample="Au"))
        (file,) = queue.claim(ledger, 1, START)
        refused = {"status": Status.REFUSED, "code": "no_pixel_size", "reason": "none", "at": START}
        recording.reject_file(ledger, file.id, **refused)
        queue.add(ledger, arrival("Au/stack.dm4", sample="Au"))
        (file,) = queue.claim(ledger, 1, START)
        frames = [replace(result("stack", frame=index), acquired_at=None) for index in range(3)]
        frames = [replace(one, metadata=Metadata()) for one in frames]
        recording.record(ledger, file.id, frames, finished=True, frames_total=3)
        yield ledger


def test_it_has_the_files_that_count_with_their_digests(ledger):
    """A stack is one file; what was refused is in the counts alone."""
    found = record_of(ledger)
    assert ["Au/1.dm3", "Au/2.dm3", "Au/stack.dm4"] == [one["micrograph"] for one in found["datasets"]]
    assert [None, None, 3] == [one["frames"] for one in found["datasets"]]
    assert "/microscope/Au/1.dm3" == found["datasets"][0]["file"]
    assert 1 == found["summary"]["files"]["refused"]
    assert found["summary"]["particles"] == sum(one["particles"] for one in found["datasets"])
    assert all(len(one["sha256"]) == 64 for one in found["datasets"])
    with ledger.reader() as reader:
        assert json.loads(json.dumps(summary(reader, "Au"))) == found["summary"]


def test_the_method_of_every_row_is_told_in_full(ledger):
    found = record_of(ledger)
    assert {one["method"] for one in found["datasets"]} == set(found["methods"]) == {METHOD.digest}
    assert METHOD.software_version == found["methods"][METHOD.digest]["software_version"]


def test_what_a_file_does_not_state_is_not_there(ledger):
    """No time, no voltage: the frames of the stack state none."""
    first, _, stack = (one["nx_meta"] for one in record_of(ledger)["datasets"])
    assert "2026-03-01T11:00:00.000Z" == first["Creation Time"]
    assert {"value": 300.0, "units": "kilovolt"} == first["acceleration_voltage"]
    assert {"value": 0.1, "units": "nanometer"} == first["pixel_width"]
    assert "(96, 88)" == first["Data Dimensions"]
    assert "(3, 96, 88)" == stack["Data Dimensions"]
    assert not {"Creation Time", "acceleration_voltage", "magnification"} & set(stack)


def test_what_somebody_excluded_is_not_there(ledger):
    with ledger.transaction() as connection:
        exclusions.exclude_file(connection, 1, None, SOMEBODY)
    assert ["Au/2.dm3", "Au/stack.dm4"] == [one["micrograph"] for one in record_of(ledger)["datasets"]]


@pytest.mark.slow
def test_nexuslims_takes_the_metadata(ledger, tmp_path):
    """By its own model for images, which allows no key that it does not know."""
    requirements = ("pydantic", "pint", "rdflib", "numpy")
    python = throwaway_environment.install(tmp_path / "environment", *requirements)
    throwaway_environment.add(python, "--no-deps", "nexusLIMS>=2.8")
    metadata = [one["nx_meta"] for one in record_of(ledger)["datasets"]]
    code = """
import json, sys
from nexusLIMS.schemas.metadata import ImageMetadata
for one in json.load(sys.stdin):
    one.setdefault("Creation Time", "2026-03-01T11:00:00Z")  # it asks for one; a file may have none
    found = ImageMetadata.model_validate(one)
    print(found.acceleration_voltage, "|", found.pixel_width, "|", found.extensions)
"""
    told = subprocess.run(
        [python, "-c", code], input=json.dumps(metadata), capture_output=True, text=True, check=True
    )
    first, _, stack = told.stdout.strip().splitlines()
    assert "300.0 kilovolt | 0.1 nanometer | {'instrument': 'simulator'}" == first
    assert "None | 0.1 nanometer | {}" == stack
