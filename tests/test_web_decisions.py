"""Excluding and including over HTTP, and the history of it."""

import csv
import io
import json

import pytest

from temwatch.ledger import open_ledger
from temwatch.web.decisions import MAX_CORNERS
from web_cases import TOKEN, Site, copied

pytestmark = pytest.mark.system

ALLOWED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def site(analysed, tmp_path_factory):
    """The application on six micrographs of two samples."""
    with Site(copied(analysed, tmp_path_factory.mktemp("decisions"))) as running:
        yield running


@pytest.fixture
def micrograph(site):
    """Id of a micrograph of Au with more than three particles; what was decided about it is taken back."""
    row = next(row for row in site.json("/api/samples/Au/micrographs") if row["particles"] > 3)
    yield row["id"]
    numbers = [one["number"] for one in site.json(f"/api/micrographs/{row['id']}/outlines")["particles"]]
    post(site, row["id"], "include")
    post(site, row["id"], "particles/include", numbers=numbers)
    after = site.json(f"/api/micrographs/{row['id']}")
    assert (row["particles"], row["status"]) == (after["particles"], after["status"])


def post(site, number, what, *, headers=ALLOWED, code=200, **body):
    answer = site.client.post(f"/api/micrographs/{number}/{what}", json=body, headers=headers)
    assert code == answer.status_code, answer.text
    return answer.json()


def population(site):
    return site.json("/api/samples/Au/population")["particles"]


def table(site, name):
    return list(csv.DictReader(io.StringIO(site.get(f"/api/samples/Au/tables/{name}.csv").text)))


def test_an_excluded_micrograph_leaves_every_answer_at_once(site, micrograph):
    """Summary, population, rows and downloads of the next request; its outlines stay, and say it."""
    before, particles = population(site), site.json(f"/api/micrographs/{micrograph}")["particles"]
    answer = post(site, micrograph, "exclude", by="anna", reason="astigmatic")
    assert (1, 0, []) == (answer["micrographs"], answer["particles"], answer["unknown"])
    assert before - particles == population(site) == site.json("/api/samples/Au/summary")["particles"]
    assert before - particles == len(table(site, "particles")) == len(site.json("/api/samples/Au/particles"))
    row = site.json(f"/api/micrographs/{micrograph}")
    assert ("excluded", []) == (row["status"], row["particle_rows"])
    assert all(one["excluded"] for one in site.json(f"/api/micrographs/{micrograph}/outlines")["particles"])
    assert 1 == next(one for one in site.json("/api/samples") if one["sample"] == "Au")["excluded"]
    change = site.json("/api/history?limit=1")[0]
    assert ("anna", "astigmatic", "api", "exclude", None) == (
        change["made_by"],
        change["reason"],
        change["source"],
        change["action"],
        change["undone_by"],
    )
    assert 0 == post(site, micrograph, "exclude")["micrographs"]  # it is already
    undone = post(site, micrograph, "include", by="bert")["changes"]
    assert before == population(site)
    newest, older = site.json("/api/history?limit=2&sample=Au")
    assert ([newest["id"]], newest["id"]) == (undone, older["undone_by"])
    assert [older["id"]] == [one["id"] for one in site.json(f"/api/history?limit=1&before={newest['id']}")]


def test_particles_by_number(site, micrograph):
    """Numbers keep gaps; a number that does not exist is named."""
    before = population(site)
    answer = post(site, micrograph, "particles/exclude", numbers=[1, 3, 99999])
    assert (2, ["no particle 99999"]) == (answer["particles"], answer["unknown"])
    assert before - 2 == population(site)
    row = site.json(f"/api/micrographs/{micrograph}")
    assert {1, 3}.isdisjoint(one["particle"] for one in row["particle_rows"])
    assert 2 == row["excluded_particles"]
    outlines = site.json(f"/api/micrographs/{micrograph}/outlines")["particles"]
    assert [1, 3] == [one["number"] for one in outlines if one["excluded"]]
    assert 2 == sum(one["reason"] == "excluded" for one in table(site, "rejections"))


def test_particles_within_a_polygon(site, micrograph):
    """All of the micrograph within its frame, none outside it."""
    row = site.json(f"/api/micrographs/{micrograph}")
    width, height = row["width_px"], row["height_px"]
    outside = [[-9, -9], [-5, -9], [-5, -5]]
    assert 0 == post(site, micrograph, "particles/exclude", polygon=outside)["particles"]
    frame = [[0, 0], [width, 0], [width, height], [0, height]]
    assert row["particles"] == post(site, micrograph, "particles/exclude", polygon=frame)["particles"]
    most = [[0, 0], *([[width, 0]] * (MAX_CORNERS - 2)), [0, height]]
    assert 0 < post(site, micrograph, "particles/include", polygon=most)["particles"] < row["particles"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"numbers": [1], "polygon": [[0, 0], [1, 0], [1, 1]]},
        {"numbers": [0]},
        {"numbers": [2**63]},
        {"polygon": [[0, 0], [1, 0]]},
        {"polygon": [[0, 0]] * (MAX_CORNERS + 1)},
        {"numbers": [1], "by": "x" * 101},
        {"numbers": [1], "by": ""},
        {"numbers": [1], "source": "command"},
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(site, body):
    before = site.json("/api/history")
    post(site, 1, "particles/exclude", code=422, **body)
    assert before == site.json("/api/history")


@pytest.mark.parametrize("what", ["exclude", "include", "particles/exclude", "particles/include"])
def test_without_the_token_nothing_is_parsed(site, what):
    """Whatever the body is."""
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = site.client.post(f"/api/micrographs/1/{what}", content=b"{not json", headers=headers)
        assert answer.status_code in (401, 429)
    answer = site.client.post(f"/api/micrographs/1/{what}", content=b"{not json", headers=ALLOWED)
    assert answer.status_code in (422, 429)
    assert "not json" not in answer.text or answer.status_code == 429


def test_an_unknown_micrograph_is_404(site):
    post(site, 999_999, "exclude", code=404)
    post(site, 999_999, "particles/include", code=404, numbers=[1])


def test_a_ledger_that_cannot_be_written_is_said_in_words(site, micrograph):
    """Another process holds it: 503, and nothing has changed."""
    before = site.json("/api/history")
    with open_ledger(site.config.output.state):
        said = post(site, micrograph, "exclude", code=503)
    assert "nothing has changed" in said["detail"]
    assert before == site.json("/api/history")


def test_a_calibration_that_does_not_fit_is_refused(site):
    """Without the token, of an unknown sample, with two values or none, with nothing to undo."""

    def calibrate(code, sample="Au", headers=ALLOWED, **body):
        answer = site.client.post(f"/api/samples/{sample}/calibration", json=body, headers=headers)
        assert answer.status_code in (code, 429), answer.text

    calibrate(401, headers={}, factor=2.0)
    calibrate(404, sample="none", factor=2.0)
    calibrate(409, undo=True)
    for body in ({}, {"factor": 2.0, "pixel_size_nm": 0.1}, {"factor": 0}, {"pixel_size_nm": 1e9}):
        calibrate(422, **body)


def test_a_change_is_undone_by_its_number(site, micrograph):
    """Once; a number that is unknown, or a second time, is 409, and without the token nothing happens."""
    (made,) = post(site, micrograph, "exclude")["changes"]

    def undo(code, changes, headers=ALLOWED):
        answer = site.client.post("/api/history/undo", json={"changes": changes}, headers=headers)
        assert code == answer.status_code, answer.text
        return answer.json()

    undo(401, [made], {})
    undo(422, [])
    undo(409, [made, 10**9])
    assert "excluded" == site.json(f"/api/micrographs/{micrograph}")["status"]
    (undone,) = undo(200, [made])["changes"]
    assert "done" == site.json(f"/api/micrographs/{micrograph}")["status"]
    assert "was undone" in undo(409, [made])["detail"]
    newest, older = site.json("/api/history?limit=2")
    assert (undone, undone, "put back") == (newest["id"], older["undone_by"], newest["what"])
    assert micrograph == older["micrograph_id"]


def test_one_micrograph_is_calibrated_by_its_id(site, micrograph):
    """Others of its sample stay; it is measured again by whoever runs the engine."""

    def calibrate(code, **body):
        url = f"/api/micrographs/{micrograph}/calibration"
        answer = site.client.post(url, json=body, headers=ALLOWED)
        assert code == answer.status_code, answer.text
        return answer.json()

    assert 1 == calibrate(200, factor=2.0, by="anna")["micrographs"]
    assert 1 == site.json("/api/now")["queue"]["measured_again"]
    calibrate(200, undo=True)
    assert 0 == site.json("/api/now")["queue"]["measured_again"]
    calibrate(409, undo=True)


def test_a_remark_on_a_sample_is_dismissed(site, micrograph):
    """It is a flag of the sample, with what to do; an unknown sample is refused."""
    with open_ledger(site.config.output.state) as ledger, ledger.transaction() as connection:
        connection.execute("UPDATE micrographs SET pixel_size_source = 'user' WHERE id = ?", (micrograph,))
    sample = site.json(f"/api/micrographs/{micrograph}")["sample"]

    def flags():
        return next(one["flags"] for one in site.json("/api/now")["samples"] if one["sample"] == sample)

    (flag,) = flags()
    assert "mixed_calibrations" == flag["note"]
    path = f"/api/samples/{sample}/notes/dismiss"
    answer = site.client.post(path, json={"by": "anna", "notes": [flag["note"]]}, headers=ALLOWED)
    assert 1 == len(answer.json()["changes"])
    assert [] == flags()
    assert 401 == site.client.post(path, json={}).status_code
    assert 404 == site.client.post("/api/samples/none/notes/dismiss", json={}, headers=ALLOWED).status_code


def test_a_remark_is_dismissed_and_undone(site, micrograph):
    """The page shows it no more, with what to do; the table keeps it."""
    with open_ledger(site.config.output.state) as ledger, ledger.transaction() as connection:
        connection.execute("UPDATE micrographs SET notes = 'two_kinds' WHERE id = ?", (micrograph,))
    (flag,) = site.json(f"/api/micrographs/{micrograph}")["flags"]
    assert {"note", "words", "what_to_do"} == set(flag)
    answer = post(site, micrograph, "notes/dismiss", by="anna", reason="known", notes=[flag["note"]])
    row = site.json(f"/api/micrographs/{micrograph}")
    assert ([], "two_kinds", "two_kinds") == (row["flags"], row["notes"], row["dismissed_notes"])
    (change,) = site.json("/api/history?limit=1")
    assert ("anna", "known", "remark dismissed: particles look like two kinds") == (
        change["made_by"],
        change["reason"],
        change["what"],
    )
    undone = site.client.post("/api/history/undo", json={"changes": answer["changes"]}, headers=ALLOWED)
    assert 200 == undone.status_code
    assert [flag] == site.json(f"/api/micrographs/{micrograph}")["flags"]
    post(site, micrograph, "notes/dismiss", headers={}, code=401)


def test_history_is_json_with_every_field(site, micrograph):
    """Two people at once lose nothing: both are there."""
    for by in ("anna", "bert"):
        post(site, micrograph, "particles/exclude", by=by, numbers=[1 if by == "anna" else 2])
    bert, anna = site.json("/api/history?limit=2")
    assert ("bert", "anna") == (bert["made_by"], anna["made_by"])
    assert ([1], [1, 2]) == (bert["before"]["excluded_particles"], bert["after"]["excluded_particles"])
    json.dumps(bert)
