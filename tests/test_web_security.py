"""Security of the HTTP application."""

import http.client
import json
import logging
import socket

import pytest

from temwatch.ledger.requests import open_requests
from temwatch.web.security import Guard, RateLimiter, RequestLimits
from web_cases import TOKEN, Site, copied

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def results(analysed, tmp_path_factory):
    """Analysed once for all."""
    return copied(analysed, tmp_path_factory.mktemp("security"))


@pytest.fixture(scope="module")
def site(results):
    """The application with a token."""
    with Site(results) as running:
        yield running


def raw(site, path, method="GET", **headers):
    """A request whose path is sent unchanged."""
    host, port = site.url.removeprefix("http://").rstrip("/").split(":")
    line = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        line.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            line.putheader(name, value)
        line.endheaders()
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8750", True),
        ("LOCALHOST", True),
        ("127.0.0.1:8750", True),
        ("[::1]:8750", True),
        ("192.168.1.20:8750", True),  # a name server cannot redirect a literal address
        ("em-lab-2.example.org:8750", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8750", False),
        ("", False),
        ("[::1", False),
        ("em-lab-2.example.org.evil.example", False),
    ],
)
def test_only_known_host_names_are_accepted(host, known):
    """DNS rebinding needs a host name of the attacker."""
    guard = Guard(None, hosts=["localhost", "127.0.0.1", "em-lab-2.example.org"], limits=RequestLimits())
    assert known == guard.host_is_known(host)


def test_a_foreign_host_name_is_refused_everywhere(site):
    """By page, API, metrics and static files; the answer names the configuration key."""
    for path in ("/", "/api/now", "/metrics", "/healthz", "/static/page.js", "/api/events"):
        status, body = raw(site, path, Host="evil.example")
        assert 400 == status, path
        assert b"allowed_hosts" in body


def test_every_answer_has_the_security_headers(site):
    """Refusals too; inline scripts, scripts of other hosts and eval are forbidden."""
    for path in ("/", "/api/now", "/static/page.js", "/nothing", "/api/samples/none/summary"):
        headers = site.get(path).headers
        policy = dict(
            part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";")
        )
        assert "'none'" == policy["default-src"]
        assert "'self'" == policy["script-src"]
        assert "'self'" == policy["connect-src"]
        assert "nosniff" == headers["x-content-type-options"]
        assert "no-referrer" == headers["referrer-policy"]
        assert "SAMEORIGIN" == headers["x-frame-options"]
        assert "access-control-allow-origin" not in headers
    _, body = raw(site, "/", Host="evil.example")
    assert b"Traceback" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fconfig.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/../../etc/passwd",
        "/api/samples/../../etc/passwd",
        "/api/samples/..%2f..%2f/summary",
        "/api/samples/%2e%2e/tables/particles.csv",
        "/api/samples/Au/tables/..%2f..%2fledger.csv",
        "/api/samples/Au/charts/..%2fhistogram.png",
        "/api/micrographs/1/..%2f..%2f.temwatch%2fledger.png",
        "/api/micrographs/..%2f1/micrograph.png",
        "/static/plotly-..%2f..%2fapp.py.js",
    ],
)
def test_no_path_leads_out_of_the_folders(site, path):
    """Neither plain nor encoded."""
    status, body = raw(site, path)
    assert status in (400, 404, 422) or path.startswith("/static/plotly-")
    assert b"root:" not in body
    assert b"import " not in body[:2000]


def test_a_change_needs_the_token_in_the_authorization_header(site):
    """Not in the address, a cookie or a form."""
    for options in (
        {},
        {"params": {"token": TOKEN}},
        {"headers": {"Cookie": f"token={TOKEN}; authorization=Bearer {TOKEN}"}},
        {"headers": {"Authorization": TOKEN}},
        {"headers": {"Authorization": f"Basic {TOKEN}"}},
    ):
        with site.client.__class__(base_url=site.url) as client:
            assert 401 == client.post("/api/retry", **options).status_code, options
    with site.client.__class__(base_url=site.url) as client:
        assert 401 == client.post("/api/retry", headers={"Authorization": "Bearer wrong"}).status_code


def test_everything_that_is_posted_needs_the_token(site):
    """Whatever its body; without the token nothing of it is looked at."""
    posts = [path for path, methods in site.json("/api/openapi.json")["paths"].items() if "post" in methods]
    assert "/api/samples/{sample}/comparison" in posts
    for path in posts:
        for kind in ("application/json", "text/csv", "text/plain"):
            answer = site.client.post(
                path.replace("{sample}", "none").replace("{id}", "x"),
                content=b"{",
                headers={"Content-Type": kind},
            )
            assert 401 == answer.status_code, path


def test_with_the_token_a_retry_reaches_the_engine(site, analysed):
    """With the absolute path and the pixel size; its result can be queried."""
    (trouble,) = site.json("/api/trouble")["files"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = site.client.post(
        f"/api/micrographs/{trouble['id']}/retry", json={"pixel_size_nm": 0.05}, headers=headers
    )
    assert 202 == answer.status_code, answer.text
    assert {"answer": None} == site.json(f"/api/requests/{answer.json()['request']}")
    from temwatch.ledger import open_ledger

    with open_ledger(site.config.output.state) as ledger:
        request = open_requests(ledger)[-1]
    assert "retry" == request.kind
    assert 0.05 == request.arguments["pixel_size_nm"]
    (path,) = request.arguments["paths"]
    assert (analysed / "acquisition" / "Au" / "Au_99.dm3").samefile(path)
    assert 404 == site.client.post("/api/micrographs/999999/retry", headers=headers).status_code
    for size in (-1, 0, 5e-10, 5e7):
        for door in (f"/api/micrographs/{trouble['id']}/retry", "/api/retry"):
            bad = site.client.post(door, json={"pixel_size_nm": size}, headers=headers)
            assert 422 == bad.status_code, (door, size)


def test_without_a_token_file_nothing_can_be_changed(results):
    """Nor where the file is missing or empty: an empty token must not grant access."""
    with Site(results, token=None) as site:
        assert 403 == site.client.post("/api/retry", headers={"Authorization": "Bearer"}).status_code
        assert not site.json("/api/now")["changes_allowed"]
    with Site(results, token=None, token_file=str(results.parent / "missing")) as site:
        assert 403 == site.client.post("/api/retry").status_code
    empty = results.parent / "empty"
    empty.write_text("\n")
    with Site(results, token=None, token_file=str(empty)) as site:
        assert 403 == site.client.post("/api/retry", headers={"Authorization": "Bearer"}).status_code


def test_wrong_tokens_are_rate_limited(results):
    """Five guesses, then a pause, even for the right token."""
    with Site(results) as site:
        codes = [
            site.client.post("/api/retry", headers={"Authorization": f"Bearer {guess}"}).status_code
            for guess in range(8)
        ]
        assert [401] * 5 + [429] * 3 == codes
        assert 429 == site.client.post("/api/retry", headers={"Authorization": f"Bearer {TOKEN}"}).status_code
        assert 200 == site.get("/api/now").status_code


def test_a_flood_of_requests_is_refused(results):
    """With 429 and Retry-After."""
    with Site(results, limits=RequestLimits(burst=20, requests_per_second=5)) as site:
        answers = [site.get("/healthz") for _ in range(40)]
        assert {200, 429} == {answer.status_code for answer in answers}
        assert "1" == answers[-1].headers["retry-after"]


def test_a_bucket_refills_with_time_and_old_clients_are_forgotten():
    """With a clock that the test controls."""
    now = [0.0]
    rate = RateLimiter(3, 1.0, clock=lambda: now[0])
    assert [True, True, True, False] == [rate.take("a") for _ in range(4)]
    assert rate.take("b")
    now[0] = 2.0
    assert [True, True, False] == [rate.take("a") for _ in range(3)]
    for number in range(5000):
        rate.take(str(number))
    assert len(rate._clients) <= 1024


def test_a_large_body_is_refused_before_it_is_read(results):
    """By its declared length, or by the bytes that arrive where none is declared."""
    with Site(results, limits=RequestLimits(body_bytes=10_000)) as site:
        headers = {"Content-Type": "text/csv", "Authorization": f"Bearer {TOKEN}"}
        assert (
            413
            == site.client.post(
                "/api/samples/Au/comparison", content=b"1" * 10_001, headers=headers
            ).status_code
        )

        def pieces():
            for _ in range(20):
                yield b"1.5\n" * 1000

        assert (
            413
            == site.client.post("/api/samples/Au/comparison", content=pieces(), headers=headers).status_code
        )
        host, port = site.url.removeprefix("http://").rstrip("/").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(
                f"POST /api/retry HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999\r\n\r\n".encode()
            )
            assert b" 413 " in line.recv(200)


def test_content_types_of_cross_site_forms_are_refused(site):
    """Only text/csv is accepted; browsers send a preflight for it, which the service refuses."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = site.client.post(
            "/api/samples/Au/comparison",
            content=b"1\n2\n3\n",
            headers={"Content-Type": kind} | {"Authorization": f"Bearer {TOKEN}"},
        )
        assert 415 == answer.status_code
    asked = site.client.options(
        "/api/samples/Au/comparison",
        headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert 405 == asked.status_code


def test_the_token_is_in_no_log_and_no_answer(site, caplog):
    """Neither a right nor a wrong one."""
    with caplog.at_level(logging.DEBUG):
        site.client.post("/api/retry", headers={"Authorization": f"Bearer {TOKEN}"})
        site.client.post("/api/retry", headers={"Authorization": "Bearer guess-of-somebody"})
        answers = [site.get(path).text for path in ("/", "/api/now", "/api/openapi.json", "/metrics")]
    said = caplog.text + json.dumps(answers)
    assert TOKEN not in said
    assert "guess-of-somebody" not in said


def test_by_default_a_service_listens_on_its_own_machine_only():
    """Any other address must be configured."""
    from temwatch.config import HttpSettings

    assert "127.0.0.1" == HttpSettings().host
