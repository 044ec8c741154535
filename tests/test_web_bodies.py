"""Bodies of every kind for every POST: an answer that names what is wrong, never a failure of the service."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from web_cases import TOKEN, Site, copied

pytestmark = pytest.mark.system

MANY = [pytest.mark.slow, pytest.mark.timeout(0)]
LIMITS = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
KEYS = st.sampled_from(
    ["pixel_size_nm", "reason", "by", "polygon", "particles", "factor", "numbers"]
) | st.text(max_size=8)
NUMBERS = (
    st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.sampled_from([1e-320, 2**63, 2**64, -0.0, 1e308])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
DEEP = st.builds(
    lambda depth, opening: opening * depth + "1", st.integers(1, 50_000), st.sampled_from(["[", '{"a":'])
)
TEXTS = (
    VALUES.map(json.dumps)
    | DEEP
    | st.integers(1, 20_000).map(lambda digits: '{"pixel_size_nm": ' + "9" * digits + "}")
    | st.sampled_from(["", " ", "NaN", '{"a": 1, "a": 2}', '{"pixel_size_nm": 1e999}', '"\\ud800"'])
)
ENCODED = st.builds(
    lambda text, encoding: text.encode(encoding, "surrogatepass"),
    TEXTS,
    st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig", "utf-16-be"]),
)
BODIES = (
    ENCODED
    | st.binary(max_size=200)
    | st.builds(lambda a, b: a[: len(b)] + b, ENCODED, st.binary(max_size=9))
)
TYPES = st.sampled_from(
    [
        "application/json",
        "application/json; charset=utf-16",
        "text/csv",
        "application/x-json",
        "",
        "a/b; charset=x",
    ]
)

CELLS = (
    st.floats().map(str)
    | st.integers().map(str)
    | st.sampled_from(
        ["", "1,5", "1.234,5", "1e400", "nan", "-", '"', "Area", "Feret", "Diameter [nm]", "d (µm)"]
    )
    | st.text(max_size=12)
)
TABLES = st.builds(
    lambda rows, separator, end, encoding: end.join(separator.join(row) for row in rows).encode(
        encoding, "surrogatepass"
    ),
    st.lists(st.lists(CELLS, max_size=5), max_size=8),
    st.sampled_from([",", ";", "\t", " "]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)


@pytest.fixture(scope="module")
def site(analysed, tmp_path_factory):
    """The application without rate limits."""
    with Site(copied(analysed, tmp_path_factory.mktemp("bodies"))) as running:
        yield running


# each on a connection of its own: one that is kept may time out between two requests on a busy machine
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Connection": "close"}


def post(site, path, body, kind):
    headers = HEADERS | ({"Content-Type": kind} if kind else {})
    answer = site.client.post(path, content=body, headers=headers)
    assert answer.status_code < 500, (path, kind, body, answer.text)
    return answer


@pytest.mark.parametrize("examples", [60, pytest.param(800, marks=MANY)])
def test_no_body_makes_the_service_fail(site, examples):
    """Of every route in the OpenAPI document; what is refused is refused with a reason."""
    paths = [
        path.replace("{sample}", "Au").replace("{id}", "1")
        for path, methods in site.json("/api/openapi.json")["paths"].items()
        if "post" in methods
    ]
    codes = set()

    @settings(max_examples=examples, derandomize=examples < 100, **LIMITS)
    @given(path=st.sampled_from(paths), body=BODIES, kind=TYPES)
    def check(path, body, kind):
        answer = post(site, path, body, kind)
        codes.add(answer.status_code)
        assert answer.status_code in (200, 202) or answer.json()["detail"]

    check()
    assert 422 in codes
    assert 200 == site.get("/healthz").status_code


@pytest.mark.parametrize("examples", [60, pytest.param(800, marks=MANY)])
def test_no_table_makes_the_comparison_fail(site, examples):
    """Whatever its cells, separators, ends of lines and encoding, with and without a chosen column."""

    @settings(max_examples=examples, derandomize=examples < 100, **LIMITS)
    @given(table=TABLES | st.binary(max_size=300), column=st.none() | CELLS)
    def check(table, column):
        path = "/api/samples/Au/comparison"
        query = {} if column is None else {"params": {"column": column.encode("utf-8", "replace").decode()}}
        answer = site.client.post(
            path,
            content=table,
            headers=HEADERS | {"Content-Type": "text/csv"},
            **query,
        )
        assert answer.status_code in (200, 422), (table, column, answer.text)
        assert answer.status_code == 200 or answer.json()["detail"]

    check()
