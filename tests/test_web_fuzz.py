"""Hundreds of random requests, generated from the OpenAPI document of the service."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from web_cases import TOKEN, Site, copied

pytestmark = pytest.mark.system

LONG = [pytest.mark.soak, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def site(analysed, tmp_path_factory):
    """The application without rate limits."""
    with Site(copied(analysed, tmp_path_factory.mktemp("fuzz"))) as running:
        yield running


def operations(site):
    """All operations except the endless event stream, which `test_web_api` tests."""
    import schemathesis  # which takes seconds to load

    schema = schemathesis.openapi.from_dict(site.json("/api/openapi.json"))
    found = [operation.ok() for operation in schema.get_all_operations()]
    return [operation for operation in found if operation.path != "/api/events"]


@pytest.mark.parametrize(
    "cases", [pytest.param(8, marks=pytest.mark.slow), pytest.param(1000, marks=LONG)]
)  # per operation; there are about thirty
def test_no_request_makes_the_service_fail(site, cases):
    """Valid or not, with and without the token: always an answer, never a 5xx."""
    from schemathesis.checks import not_a_server_error

    codes = []
    there = {"sample": "Au", "id": 1, "number": 1}

    def ask(case):
        # every other case uses an existing sample and micrograph
        if len(codes) % 2:
            case.path_parameters.update({key: there[key] for key in there.keys() & case.path_parameters})
        if len(codes) % 3 and case.method == "POST":
            case.headers["Authorization"] = f"Bearer {TOKEN}"
        answer = case.call(base_url=site.url.rstrip("/"), timeout=60)
        codes.append(answer.status_code)
        case.validate_response(answer, checks=[not_a_server_error])

    for operation in operations(site):
        limits = settings(
            max_examples=cases,
            deadline=None,
            derandomize=cases < 100,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        limits(given(case=operation.as_strategy())(lambda case: ask(case)))()
    assert len(codes) > 15 * cases
    assert {200, 202, 401, 404, 422} <= set(codes)
    assert 200 == site.get("/healthz").status_code
